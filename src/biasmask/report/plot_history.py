"""Training curves: one small panel for each stage and metric."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from biasmask.report.formats import small_number
from biasmask.report.svg import element, join, picture, points, tick_label, ticks

WIDE, HIGH, LEFT, TOP = 230, 110, 44, 8


@dataclass(frozen=True)
class CurvePanel:
    """A metric of a stage over its epochs, training and validation together."""

    stage: str
    metric: str
    drawing: Markup


Series = dict[str, list[tuple[float, float]]]


def curve_panels(history: Sequence[dict[str, Any]]) -> list[CurvePanel]:
    """Draw every metric of every stage in the order in which they were logged; one with no finite value is left out."""
    found: dict[tuple[str, str], Series] = {}
    for row in history:
        value = math.nan if row.get("value") is None else float(row["value"])
        key = str(row.get("stage", "")), str(row.get("metric", ""))
        found.setdefault(key, {}).setdefault(str(row.get("split", "")), []).append((float(row["epoch"]), value))
    stages = list(dict.fromkeys(stage for stage, _ in found))
    ordered = sorted(found, key=lambda key: stages.index(key[0]))
    return [
        CurvePanel(stage, metric, draw(stage, metric, found[stage, metric]))
        for stage, metric in ordered
        if any(math.isfinite(value) for series in found[stage, metric].values() for _, value in series)
    ]


def draw(stage: str, metric: str, series: Series) -> Markup:
    finite = [(x, y) for values in series.values() for x, y in values if math.isfinite(y)]
    ys = ticks(min(y for _, y in finite), max(y for _, y in finite), most=3)
    last = max(max(x for x, _ in finite), 1.0)
    pieces = [element("rect", x=LEFT, y=TOP, width=WIDE, height=HIGH, class_="frame")]
    for mark in ys:
        y = place_y(mark, ys)
        pieces.append(element("line", x1=LEFT, x2=LEFT + WIDE, y1=y, y2=y, class_="grid"))
        pieces.append(element("text", tick_label(mark), x=LEFT - 5, y=y + 4, text_anchor="end", class_="tick"))
    for mark in (mark for mark in ticks(0, last, most=4) if mark <= last and mark == int(mark)):
        x = LEFT + WIDE * mark / last
        pieces.append(element("text", f"{int(mark) + 1}", x=x, y=TOP + HIGH + 14, text_anchor="middle", class_="tick"))
    for split, values in series.items():
        pieces.append(line(values, last, ys, "train" if split == "train" else "val"))
    ends = "; ".join(f"{split} ends at {small_number(values[-1][1])}" for split, values in series.items())
    label = f"{stage}, {metric} by epoch: {ends}"
    return picture(label, *pieces, width=LEFT + WIDE + 10, height=TOP + HIGH + 20)


def line(values: list[tuple[float, float]], last: float, ys: list[float], class_: str) -> Markup:
    """A line that breaks where a value is missing; a value alone between two gaps is a dot."""
    pieces, part = [], []
    for x, y in [*sorted(values), (math.nan, math.nan)]:
        if math.isfinite(y):
            part.append((LEFT + WIDE * x / last, place_y(y, ys)))
            continue
        if len(part) == 1:
            pieces.append(element("circle", cx=part[0][0], cy=part[0][1], r=3, class_=f"curve-dot {class_}"))
        elif part:
            pieces.append(element("polyline", points=points(*zip(*part, strict=True)), class_=f"curve {class_}"))
        part = []
    return join(pieces)


def place_y(value: float, ys: list[float]) -> float:
    return TOP + HIGH * (1 - (value - ys[0]) / (ys[-1] - ys[0]))
