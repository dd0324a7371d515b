"""The map of a pruned encoder: heat maps of what each matrix and each head kept, and the neurons that are left."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from biasmask.report.formats import count, number, percent
from biasmask.report.plot_mask import share
from biasmask.report.svg import element, fluid

LEFT, TOP, GAP = 62, 24, 2
CELL = {"head": (26, 24), "matrix": (62, 24)}  # width, height: 12 heads fit on a phone
STRONGEST = 0.85  # opacity of a cell of which nothing is left: a number on it must stay readable
HEAD_ROLES = ("query", "key", "value", "output")
TWIN = "feed_forward_output"  # its columns have the mask of the intermediate rows: one column shows both
ROLE_WORDS = {"intermediate": "neurons"}


@dataclass(frozen=True)
class Cell:
    """One square of a heat map; NaN where the matrix or head has no scores."""

    density: float
    hint: str
    whole: bool = False


@dataclass(frozen=True)
class HeatMap:
    """Rows are layers, columns matrices or heads."""

    drawing: Markup
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class NeuronRow:
    """The neurons of a layer's feed-forward part."""

    label: str
    drawing: Markup
    figures: str
    density: str


def matrix_map(blocks: Mapping[str, Any]) -> HeatMap | None:
    """Kept density by layer and matrix; None where no matrix is listed."""
    matrices = [matrix for matrix in blocks.get("matrices") or [] if matrix.get("role") != TWIN]
    layers, roles = (list(dict.fromkeys(matrix[name] for matrix in matrices)) for name in ("layer", "role"))
    found = {(matrix["layer"], matrix["role"]): matrix for matrix in matrices}
    rows = [(f"layer {layer}", [matrix_cell(found.get((layer, role)), layer, role) for role in roles]) for layer in layers]
    return heat_map("Kept share by layer and matrix", [ROLE_WORDS.get(role, str(role)) for role in roles], rows, "matrix")


def head_map(blocks: Mapping[str, Any]) -> HeatMap | None:
    """Kept density by layer and head, the mean over the matrices that have scores; None without attention scores."""
    heads = blocks.get("heads") or []
    layers, places = (list(dict.fromkeys(head[name] for head in heads)) for name in ("layer", "head"))
    found = {(head["layer"], head["head"]): head for head in heads}
    rows = [(f"layer {layer}", [head_cell(found.get((layer, place)), layer, place) for place in places]) for layer in layers]
    return heat_map("Kept share by layer and head", [str(place) for place in places], rows, "head")


def matrix_cell(matrix: Mapping[str, Any] | None, layer: Any, role: Any) -> Cell:
    if matrix is None:
        return Cell(math.nan, f"layer {layer}, {role}: no scores")
    density = as_density(matrix.get("density"))
    kept = f"{count(matrix.get('kept'))} of {count(matrix.get('total'))} kept"
    return Cell(density, f"layer {layer}, {role}: {percent(density)}, {kept}")


def head_cell(head: Mapping[str, Any] | None, layer: Any, place: Any) -> Cell:
    densities = {role: as_density((head or {}).get(role)) for role in HEAD_ROLES}
    known = {role: density for role, density in densities.items() if math.isfinite(density)}
    if head is None or not known:
        return Cell(math.nan, f"layer {layer}, head {place}: no scores")
    whole = bool(head.get("whole"))
    parts = ", ".join(f"{role} {percent(density, 0)}" for role, density in known.items())
    hint = f"layer {layer}, head {place}: {parts}" + ("; pruned whole" if whole else "")
    return Cell(sum(known.values()) / len(known), hint, whole)


def as_density(value: Any) -> float:
    return math.nan if value is None else float(value)


def heat_map(label: str, columns: Sequence[str], rows: list[tuple[str, list[Cell]]], kind: str) -> HeatMap | None:
    """Draw cells with their numbers: the stronger the colour, the more was cut.

    Args:
        label: What the picture is called for who can't see it; all numbers are put behind it.
        columns: Names above the cells.
        rows: Name and cells of each layer, from the input to the output.
        kind: `matrix` or `head`: the cells' size.
    """
    if not rows or not columns:
        return None
    width, height = CELL[kind]
    pieces = [text("head", LEFT - 8, TOP - 8, "tick", "end")] if kind == "head" else []
    pieces += [text(name, LEFT + width * (i + 0.5), TOP - 8, "tick", "middle") for i, name in enumerate(columns)]
    for place, (name, cells) in enumerate(rows):
        y = TOP + height * place
        pieces.append(text(name, LEFT - 8, y + height / 2 + 4, "tick", "end"))
        pieces += [draw_cell(cell, LEFT + width * i, y, width, height) for i, cell in enumerate(cells)]
    said = "; ".join(
        f"{name}: " + ", ".join(f"{column} {percent(cell.density, 0)}" for column, cell in zip(columns, cells, strict=True))
        for name, cells in rows
    )
    size = LEFT + width * len(columns), TOP + height * len(rows)
    drawing = element(
        "svg", *pieces, viewBox=f"0 0 {size[0]} {size[1]}", width=size[0], height=size[1], role="img",
        aria_label=f"{label}. {said}", class_=f"heat {kind}",
    )  # fmt: skip
    return HeatMap(drawing, list(columns), rows)


def draw_cell(cell: Cell, x: float, y: float, width: float, height: float) -> Markup:
    box = {"x": x + GAP / 2, "y": y + GAP / 2, "width": width - GAP, "height": height - GAP}
    middle = x + width / 2, y + height / 2 + 4
    hint = element("title", cell.hint)
    if not math.isfinite(cell.density):
        return element("g", element("rect", **box, class_="ground"), text("–", *middle, "cell-text", "middle"), hint)
    cut = 1 - cell.density
    pieces = [element("rect", **box, class_="ground"), element("rect", **box, class_="cut", fill_opacity=STRONGEST * cut)]
    if cell.whole:
        inner = {"x": x + 2.0, "y": y + 2.0, "width": width - 4.0, "height": height - 4.0}
        pieces.append(element("rect", **inner, class_="whole"))
    class_ = "cell-text strong" if cut > 0.7 else "cell-text"
    return element("g", *pieces, text(cell_number(cell.density), *middle, class_, "middle"), hint)


def cell_number(density: float) -> str:
    """Per cent without a sign; only what is exactly all or nothing reads 100 or 0.

    >>> cell_number(0.5), cell_number(0.9999), cell_number(0.0001), cell_number(1.0)
    ('50', '>99', '<1', '100')
    """
    if 0 < density < 0.005:
        return "<1"
    return ">99" if 0.995 <= density < 1 else number(100 * density, 0)


def text(words: str, x: float, y: float, class_: str, anchor: str) -> Markup:
    return element("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


def neuron_rows(blocks: Mapping[str, Any]) -> list[NeuronRow]:
    """A bar a layer: the share of neurons that is left."""
    rows = []
    for entry in blocks.get("neurons") or []:
        kept, total = int(entry["kept"]), int(entry["total"])
        density = kept / total if total else math.nan
        figures = f"{count(kept)} of {count(total)}"
        pieces = [element("rect", x=0, y=3, width="100%", height=14, class_="ground")]
        if density > 0:
            pieces.append(element("rect", x=0, y=3, width=share(kept, total), height=14, class_="kept"))
        label = f"layer {entry['layer']}: {figures} neurons kept"
        rows.append(NeuronRow(f"layer {entry['layer']}", fluid(label, *pieces, height=20), figures, percent(density)))
    return rows
