"""Budget curves: the gap and the quality against the share of the debias data or the number of epochs, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from biasmask.report.formats import interval, number
from biasmask.report.plot_pareto import label_of, placed_estimate
from biasmask.report.run_folder import Estimate
from biasmask.report.svg import element, join, picture, points, tick_label, ticks

WIDE, HIGH, LEFT, TOP = 330, 190, 46, 8
SHIFT = 5.0  # pixels between methods with the same x, so that intervals don't cover each other
STYLES = 6  # line styles of the style sheet


@dataclass(frozen=True)
class BudgetFigure:
    """Panels of one budget on one test set, with a legend of methods."""

    title: str
    panels: list[tuple[str, Markup]]
    legend: list[tuple[Markup, str]]


def budget_figures(comparison: Mapping[str, Any], test_set: Mapping[str, Any]) -> list[BudgetFigure]:
    """A figure for each budget that was swept: the gap, then the quality, a line for each method."""
    curves = comparison.get("curves") or []
    figures = []
    for x in dict.fromkeys(curve["x"] for curve in curves):
        own = [curve for curve in curves if curve["x"] == x]
        panels = []
        for axis in ("gap", "quality"):
            key = test_set[axis]
            series = [(str(curve["name"]), curve_points(curve, test_set, axis)) for curve in own]
            if any(estimate.defined for _, found in series for _, estimate in found):
                panels.append((label_of(test_set, key), draw(label_of(test_set, key), str(own[0]["label"]), series)))
        if panels:
            legend = [(swatch(place), str(curve["name"])) for place, curve in enumerate(own)]
            figures.append(BudgetFigure(str(own[0]["label"]), panels, legend))
    return figures


def curve_points(curve: Mapping[str, Any], test_set: Mapping[str, Any], axis: str) -> list[tuple[float, Estimate]]:
    found = [(float(point["x"]), placed_estimate(test_set, point["row"], axis)) for point in curve["points"]]
    return sorted(found, key=lambda pair: pair[0])


def draw(name: str, budget: str, series: Sequence[tuple[str, list[tuple[float, Estimate]]]]) -> Markup:
    drawn = [(x, e) for _, found in series for x, e in found if e.defined]
    bounds = [b for _, e in drawn for b in (e.value, e.low, e.high) if math.isfinite(b)]
    xs, ys = ticks(0.0, max(x for x, _ in drawn), most=5), ticks(min(bounds), max(bounds), most=4)
    pieces = []
    for mark in ys:
        y = place_y(mark, ys)
        pieces.append(element("line", x1=LEFT, x2=LEFT + WIDE, y1=y, y2=y, class_="grid"))
        pieces.append(element("text", tick_label(mark), x=LEFT - 6, y=y + 4, text_anchor="end", class_="tick"))
    for mark in xs:
        x = place_x(mark, xs)
        pieces.append(element("text", tick_label(mark), x=x, y=TOP + HIGH + 15, text_anchor="middle", class_="tick"))
    middle = LEFT + WIDE / 2
    pieces.append(element("text", budget, x=middle, y=TOP + HIGH + 33, text_anchor="middle", class_="axis-name"))
    for place, (_, found) in enumerate(series):
        pieces.append(line(found, xs, ys, place, shift=SHIFT * (place - (len(series) - 1) / 2)))
    said = "; ".join(f"{title}: " + ", ".join(f"{tick_label(x)} {words(e)}" for x, e in found) for title, found in series)
    size = {"width": LEFT + WIDE + 14, "height": TOP + HIGH + 40}
    return picture(f"{name} against the {budget}. {said}", *pieces, **size)


def line(found: list[tuple[float, Estimate]], xs: list[float], ys: list[float], place: int, shift: float) -> Markup:
    """A line through the means, dots with their intervals; an undefined point breaks it."""
    class_, pieces, part = f"g{place % STYLES}", [], []
    for x, estimate in [*found, (math.nan, Estimate())]:
        if estimate.defined:
            left = place_x(x, xs) + shift
            part.append((left, place_y(estimate.value, ys)))
            if estimate.has_interval:
                y1, y2 = place_y(estimate.high, ys), place_y(estimate.low, ys)
                pieces.append(element("line", x1=left, x2=left, y1=y1, y2=y2, class_=f"whisker thin {class_}"))
            continue
        if len(part) > 1:
            pieces.append(element("polyline", points=points(*zip(*part, strict=True)), class_=f"roc {class_}"))
        pieces += [element("circle", cx=x, cy=y, r=4, class_=f"dot {class_}") for x, y in part]
        part = []
    return join(pieces)


def words(estimate: Estimate) -> str:
    bounds = interval(estimate.low, estimate.high)
    return number(estimate.value) + (f" ({bounds})" if bounds else "")


def place_x(value: float, xs: list[float]) -> float:
    return LEFT + 12 + (WIDE - 24) * (value - xs[0]) / (xs[-1] - xs[0])


def place_y(value: float, ys: list[float]) -> float:
    return TOP + HIGH * (1 - (value - ys[0]) / (ys[-1] - ys[0]))


def swatch(place: int) -> Markup:
    mark = element("line", x1=1, x2=29, y1=7, y2=7, class_=f"roc g{place % STYLES}")
    dot = element("circle", cx=15, cy=7, r=4, class_=f"dot g{place % STYLES}")
    return element("svg", mark, dot, width=30, height=14, aria_hidden="true")
