"""The map: how much of each layer the mask selects, in the order of the network, grouped by block."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from biasmask.report.formats import count, percent
from biasmask.report.svg import element, fluid, tick_label, ticks

MOST_ROWS = 26
BARS_A_LINE = 40
ROW_HEIGHT = 40


@dataclass(frozen=True)
class Block:
    """Consecutive tensors of one part of the network."""

    name: str
    tensors: list[dict[str, Any]]

    @property
    def parameters(self) -> int:
        return sum(tensor["parameters"] for tensor in self.tensors)

    @property
    def selected(self) -> float:
        return sum(tensor["selected"] for tensor in self.tensors)

    @property
    def density(self) -> float:
        return self.selected / self.parameters if self.parameters else math.nan


@dataclass(frozen=True)
class BlockRow:
    """A block's bars with its label and figures."""

    label: str
    note: str
    density: str
    drawing: Markup


@dataclass(frozen=True)
class MaskMap:
    """The whole network in one strip, then a row for each block."""

    overview: Markup
    rows: list[BlockRow]
    top: str
    expected: str


def mask_map(mask: dict[str, Any]) -> MaskMap | None:
    """Draw the densities of a mask; None where it lists no tensor."""
    tensors = mask.get("tensors") or []
    if not tensors:
        return None
    blocks = group_blocks(tensors)
    densities = [density_of(tensor) for tensor in tensors]
    expected = mask.get("edit_fraction")
    expected = math.nan if expected is None or mask.get("kind") == "soft" else float(expected)
    highest = max([value for value in (*densities, expected) if math.isfinite(value)] + [0.02])
    top = min(ticks(0.0, highest)[-1], max(highest, 1.0))
    most = max(min(len(block.tensors), BARS_A_LINE) for block in blocks)
    rows = [row for block in blocks for row in block_rows(block, most, top, expected)]
    return MaskMap(overview(blocks, top, expected), rows, tick_label(top), percent(expected))


def density_of(tensor: dict[str, Any]) -> float:
    value = tensor.get("density")
    return math.nan if value is None else float(value)


def group_blocks(tensors: Sequence[dict[str, Any]]) -> list[Block]:
    """Cut the list of tensors into blocks: the longest common name parts that give at most 26 rows.

    >>> names = ["stem.weight", *(f"blocks.{i}.{part}.weight" for i in range(2) for part in "abcd")]
    >>> [(block.name, len(block.tensors)) for block in group_blocks([{"name": name} for name in names])]
    [('stem', 1), ('blocks.0', 4), ('blocks.1', 4)]
    """
    best: list[Block] = []
    for depth in range(1, 6):
        runs: list[Block] = []
        for tensor in tensors:
            parts = str(tensor["name"]).split(".")
            name = ".".join(parts[: min(depth, max(len(parts) - 1, 1))])
            if runs and runs[-1].name == name:
                runs[-1].tensors.append(tensor)
            else:
                runs.append(Block(name, [tensor]))
        merged = merge_small(runs)
        # Rows of one or two tensors show nothing that the overview doesn't.
        if best and (len(merged) > MOST_ROWS or len(tensors) / len(merged) < 2.5):
            break
        best = merged
    return best


def merge_small(runs: list[Block]) -> list[Block]:
    """Join neighbours of one or two tensors, such as a stem and its norm layer, to one row."""
    merged: list[Block] = []
    for block in runs:
        last = merged[-1] if merged else None
        if last and len(block.tensors) <= 2 and len(last.tensors) <= 2 and "." not in block.name + last.name:
            merged[-1] = Block(f"{last.name}, {block.name}", last.tensors + block.tensors)
        else:
            merged.append(block)
    return merged


def overview(blocks: list[Block], top: float, expected: float) -> Markup:
    """One bar a tensor, all tensors side by side; blocks stand on alternate ground."""
    total = sum(len(block.tensors) for block in blocks)
    height, pieces, place = 96, [], 0
    for number_, block in enumerate(blocks):
        width = len(block.tensors)
        if number_ % 2 == 0:
            ground = share(place, total), share(width, total)
            pieces.append(element("rect", x=ground[0], width=ground[1], y=0, height=height, class_="ground"))
        pieces += [bar(tensor, place + i, total, top, height) for i, tensor in enumerate(block.tensors)]
        place += width
    pieces += reference(expected, top, height, "100%")
    label = f"Mask density of {total} tensors in network order, from 0 to {tick_label(top)}; " + ", ".join(
        f"{block.name} {percent(block.density, 0)}" for block in blocks
    )
    return fluid(label, *pieces, height=height, class_="strip map")


def block_rows(block: Block, most: int, top: float, expected: float) -> list[BlockRow]:
    """A row of bars; a block with many tensors goes on in further rows."""
    rows = []
    for start in range(0, len(block.tensors), BARS_A_LINE):
        part = block.tensors[start : start + BARS_A_LINE]
        end = share(len(part), most)
        pieces = [element("rect", x=0, y=0, width=end, height=ROW_HEIGHT, class_="ground")]
        pieces += [bar(tensor, i, most, top, ROW_HEIGHT) for i, tensor in enumerate(part)]
        pieces += reference(expected, top, ROW_HEIGHT, end)
        label = f"{block.name}: " + ", ".join(f"{short_name(t, block)} {percent(density_of(t), 0)}" for t in part)
        first = start == 0
        rows.append(
            BlockRow(
                block.name if first else "(goes on)",
                f"{count(block.parameters)} parameters" if first else "",
                percent(block.density) if first else "",
                fluid(label, *pieces, height=ROW_HEIGHT, class_="strip map"),
            )
        )
    return rows


def short_name(tensor: dict[str, Any], block: Block) -> str:
    return str(tensor["name"]).removeprefix(f"{block.name}.")


def bar(tensor: dict[str, Any], place: int, total: int, top: float, height: float) -> Markup:
    """A bar as high as the density, paler for vectors (norm weights, biases); a cross where it is undefined."""
    density = density_of(tensor)
    shape = "×".join(map(str, tensor.get("shape") or [])) or "scalar"
    hint = element("title", f"{tensor['name']} ({shape}): {percent(density)} of {count(tensor['parameters'])}")
    x, width = share(place + 0.12, total), share(0.76, total)
    if not math.isfinite(density):
        middle = share(place + 0.5, total)
        return element("text", "?", hint, x=middle, y=height - 3, text_anchor="middle", class_="tick")
    length = max(height * min(density / top, 1.0), 1.0)  # a bar of no height would look like a missing tensor
    class_ = "density" if len(tensor.get("shape") or []) > 1 else "density vector"
    return element("rect", hint, x=x, width=width, y=height - length, height=length, class_=class_)


def reference(expected: float, top: float, height: float, end: str) -> list[Markup]:
    if not math.isfinite(expected):
        return []
    y = height * (1 - min(expected / top, 1.0))
    return [element("line", x1=0, x2=end, y1=y, y2=y, class_="threshold")]


def share(part: float, total: float) -> str:
    text = f"{100 * part / total:.3f}".rstrip("0").rstrip(".")
    return f"{text}%"


