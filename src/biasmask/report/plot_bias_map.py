"""Pictures of the bias map: blocks by kind of parameter, and layers by head, in one form for CNN, ViT and text encoders."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from biasmask.report.bias_map import STATISTICS, PartSum, part_sum, sums_by
from biasmask.report.formats import count, number, percent
from biasmask.report.plot_blocks import STRONGEST, text
from biasmask.report.svg import element

CELL = (54, 22)  # width, height
TOP, CHARACTER, LABEL = 26, 6.6, 96  # a label's character, and its narrowest column
KINDS = (
    *("embedding", "conv", "depthwise", "linear", "query", "key", "value", "output", "intermediate", "feed_forward_output"),
    *("norm", "bias", "scale", "classifier", "other"),
)
KIND_WORDS = {
    **{"intermediate": "mlp in", "feed_forward_output": "mlp out"},
    **{"embedding": "embed", "depthwise": "depthw", "classifier": "head"},
}
MOST_BLOCKS = 60  # rows of a picture that can still be read


@dataclass(frozen=True)
class BiasMap:
    """What `bias_map.html.j2` shows."""

    selected_words: str
    by_kind: Markup | None
    by_head: Markup | None
    measure: str
    blocks: list[PartSum]
    kinds: list[PartSum]
    statistics: float
    importance: bool
    changed_known: bool


def bias_map_view(content: Mapping[str, Any] | None) -> BiasMap | None:
    """Sums and pictures of a run's map; None without one, and for a run that selected and changed no weight.

    The pictures show what was selected (or cut); where nothing selects, what was changed.
    """
    if not content:
        return None
    rows = content["rows"]
    selects = content["selected_by"] is not None
    measure = {"mask": "selected", "block_mask": "cut", None: "changed"}[content["selected_by"]]
    if not selects and not any(row["changed"] for row in rows):
        return None
    value: Callable[[PartSum], float] = (lambda part: part.share) if selects else (lambda part: part.changed_share)
    blocks = sums_by(rows, "block")
    return BiasMap(
        measure,
        kind_map(rows, value, measure),
        attention_map(rows, value, measure),
        "selected" if selects else "changed",
        blocks,
        sums_by(rows, "kind"),
        sum(part.statistics for part in blocks if math.isfinite(part.statistics)),
        any(math.isfinite(part.bias) for part in blocks),
        bool(content["changed_known"]),
    )


def kind_map(rows: Sequence[Mapping[str, Any]], value: Callable[[PartSum], float], measure: str) -> Markup | None:
    """Blocks of the network, input on top, by kind of parameter."""
    real = [row for row in rows if row["kind"] != STATISTICS]
    names = list(dict.fromkeys(row["block"] for row in real))
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in real)]
    if len(names) > MOST_BLOCKS:
        return None
    cells = {}
    for name in names:
        for kind in kinds:
            own = [row for row in real if row["block"] == name and row["kind"] == kind]
            if own:
                cells[name, kind] = part_sum(f"{name}, {kind}", own)
    return grid(f"Share {measure} by block and kind", names, kinds, cells, value, KIND_WORDS)


def attention_map(rows: Sequence[Mapping[str, Any]], value: Callable[[PartSum], float], measure: str) -> Markup | None:
    """Layers by head, query, key, value and output of a head together; None for a network without heads."""
    real = [row for row in rows if row["head"] is not None]
    names, heads = sorted({row["layer"] for row in real}), sorted({row["head"] for row in real})
    if not heads:
        return None
    cells = {}
    for layer in names:
        for head in heads:
            own = [row for row in real if row["layer"] == layer and row["head"] == head]
            if own:
                cells[f"layer {layer}", str(head)] = part_sum(f"layer {layer}, head {head}", own)
    return grid(
        f"Share {measure} by layer and head", [f"layer {n}" for n in names], [str(h) for h in heads], cells, value, {}, width=40
    )


def grid(
    label: str,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], PartSum],
    value: Callable[[PartSum], float],
    words: Mapping[str, str],
    width: int = CELL[0],
) -> Markup | None:
    """Cells with their numbers in per cent; the colour goes from 0 to the strongest cell of the picture."""
    known = [value(cell) for cell in cells.values() if math.isfinite(value(cell))]
    if not known:
        return None
    top, height = max(known), CELL[1]
    left = max(LABEL, CHARACTER * max(len(row) for row in rows) + 10)
    pieces = [text(words.get(c, c), left + width * (i + 0.5), TOP - 8, "tick", "middle") for i, c in enumerate(columns)]
    said = []
    for place, row in enumerate(rows):
        y = TOP + height * place
        pieces.append(text(row, left - 8, y + height / 2 + 4, "tick", "end"))
        spoken = []
        for i, column in enumerate(columns):
            cell = cells.get((row, column))
            if cell is not None:
                pieces.append(draw(cell, value(cell), top, left + width * i, y, width, height))
                spoken.append(f"{words.get(column, column)} {percent(value(cell))}")
        said.append(f"{row}: " + ", ".join(spoken))
    size = left + width * len(columns), TOP + height * len(rows) + 2
    return element(
        "svg", *pieces, viewBox=f"0 0 {size[0]:.0f} {size[1]}", width=round(size[0]), height=size[1], role="img", class_="heat",
        aria_label=f"{label}. " + "; ".join(said),
    )  # fmt: skip


def draw(cell: PartSum, share: float, top: float, x: float, y: float, width: float, height: float) -> Markup:
    box = {"x": x + 1.0, "y": y + 1.0, "width": width - 2.0, "height": height - 2.0}
    hint = f"{cell.name}: {count(cell.parameters)} parameters"
    if math.isfinite(cell.selected):
        hint += f", {percent(cell.share)} selected"
    if math.isfinite(cell.changed):
        hint += f", {percent(cell.changed_share)} changed"
    part = share / top if top > 0 and math.isfinite(share) else 0.0
    pieces = [element("rect", **box, class_="ground")]
    if part:
        pieces.append(element("rect", **box, class_="cut", fill_opacity=round(STRONGEST * part, 3)))
    shown = text(
        share_words(share), x + width / 2, y + height / 2 + 4, "cell-text strong" if part > 0.7 else "cell-text", "middle"
    )
    return element("g", *pieces, shown, element("title", hint))


def share_words(share: float) -> str:
    """Per cent without its sign; what isn't 0 never reads 0.

    >>> share_words(0.5), share_words(0.0004), share_words(0.0), share_words(0.01234), share_words(math.nan)
    ('50', '<0.1', '0', '1.2', '–')
    """
    if not math.isfinite(share):
        return "–"
    if share in (0.0, 1.0) or share >= 0.1:
        return number(100 * share, 0)
    return "<0.1" if share < 0.0005 else number(100 * share, 1)


def bias_map_content(content: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a report's template needs for the section."""
    return {"bias_map": bias_map_view(content), "mean_importance": mean_importance, "isfinite": math.isfinite}


def mean_importance(value: float) -> str:
    """A mean importance with two digits, in powers of ten.

    >>> mean_importance(0.000123), mean_importance(math.nan)
    ('1.2e-04', '–')
    """
    return f"{value:.1e}" if math.isfinite(value) else "–"
