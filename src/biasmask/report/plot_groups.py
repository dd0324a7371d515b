"""Small multiples: a panel for each group and rate, in it every method with its interval, and a line at the base model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from biasmask.report.formats import count, interval, number
from biasmask.report.metric_names import metric_name, samples_behind
from biasmask.report.plot_intervals import at
from biasmask.report.plot_pareto import colour, figure_estimate, kind_of, marker, row_name, short_name
from biasmask.report.run_folder import Estimate
from biasmask.report.svg import element, fluid, tick_label, ticks

ROW, AXIS = 32, 20  # heights
SMALL_CELL = 10  # with fewer rows behind it a group's figure is marked
GROUP_METRICS = ("tpr", "fpr", "auroc")


@dataclass(frozen=True)
class GroupPanel:
    """One group: its name, the rows behind its figures, whether these are few, and the drawing."""

    group: str
    note: str
    small: bool
    drawing: Markup


@dataclass(frozen=True)
class GroupFigure:
    """A rate of an attribute's groups, all panels on one axis."""

    attribute: str
    title: str
    panels: list[GroupPanel]


def group_figures(comparison: Mapping[str, Any], test_set: Mapping[str, Any]) -> list[GroupFigure]:
    """A figure for each attribute and each rate of `group_metrics`; TPR, FPR and AUROC first, the debiased attribute first."""
    cells = test_set.get("group_metrics") or []
    debiased = comparison.get("attributes") or []
    pairs = list(dict.fromkeys((cell["attribute"], cell["metric"]) for cell in cells))
    pairs.sort(key=lambda pair: (debiased.index(pair[0]) if pair[0] in debiased else len(debiased), place_of(pair[1])))
    figures = []
    for attribute, metric in pairs:
        own = [cell for cell in cells if (cell["attribute"], cell["metric"]) == (attribute, metric)]
        named = [str(name) for name in (comparison.get("group_names") or {}).get(attribute) or []]
        own.sort(key=lambda cell: named.index(cell["group"]) if cell["group"] in named else len(named))
        marks = shared_axis(comparison, test_set, own)
        name = metric_name(metric)
        better = {1: " (higher is better)", -1: " (lower is better)"}.get(own[0].get("direction", name.direction), "")
        panels = [group_panel(comparison, test_set, cell, marks) for cell in own]
        figures.append(GroupFigure(attribute, f"{name.label} by {attribute}{better}", panels))
    return figures


def place_of(metric: str) -> int:
    return GROUP_METRICS.index(metric) if metric in GROUP_METRICS else len(GROUP_METRICS)


def shared_axis(comparison: Mapping[str, Any], test_set: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> list[float]:
    """From 0 to 1 for rates; an AUROC starts where the lowest interval of a sound model does, so that differences can be seen.

    Intervals that go beyond the axis end at it; a Student interval over few runs can leave the range of its figure.
    """
    values, bounds = [], []
    for row in ordered_rows(comparison, test_set):
        for estimate in (figure_estimate(test_set, row["id"], cell["key"]) for cell in cells):
            values += [estimate.value] if estimate.defined else []
            bounds += [] if row.get("collapsed") or not estimate.has_interval else [estimate.low, estimate.high]
    if not values:
        return [0.0, 1.0]
    low, high = min([*values, *bounds]), max([*values, *bounds])
    if min(values) < 0 or max(values) > 1:
        return ticks(low, high, most=4)
    return ticks(max(low, 0.0) if cells[0]["metric"] == "auroc" else 0.0, 1.0, most=4)


def ordered_rows(comparison: Mapping[str, Any], test_set: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = {row["id"]: row for row in comparison["rows"]}
    return [rows[row] for row in test_set["order"]]


def group_panel(
    comparison: Mapping[str, Any], test_set: Mapping[str, Any], cell: Mapping[str, Any], marks: list[float]
) -> GroupPanel:
    figures = [(row, figure_estimate(test_set, row["id"], cell["key"])) for row in ordered_rows(comparison, test_set)]
    height = ROW * len(figures) + AXIS
    pieces = [element("line", x1=at(m, marks), x2=at(m, marks), y1=0, y2=height - AXIS, class_="grid") for m in marks]
    base = next((e.value for row, e in figures if row.get("role") == "base" and e.defined), math.nan)
    if math.isfinite(base):
        x = at(base, marks)
        pieces.append(element("line", x1=x, x2=x, y1=0, y2=height - AXIS, class_="before"))
    said = []
    for place, (row, estimate) in enumerate(figures):
        drawn, spoken = method_row(row, estimate, marks, ROW * place)
        pieces += drawn
        said.append(spoken)
    for place, mark in enumerate(marks):
        anchor = "start" if place == 0 else "end" if place == len(marks) - 1 else "middle"
        x = {"start": "0%", "end": "100%"}.get(anchor, at(mark, marks))
        pieces.append(element("text", tick_label(mark), x=x, y=height - 5, text_anchor=anchor, class_="tick"))
    note, small = rows_behind(cell["metric"], [estimate for _, estimate in figures])
    alt = f"{cell['label']}, {note}. " + "; ".join(said)
    return GroupPanel(str(cell["group"]), note, small, fluid(alt, *pieces, height=height))


def method_row(row: Mapping[str, Any], estimate: Estimate, marks: list[float], top: float) -> tuple[list[Markup], str]:
    """Name and figure in words, below them the mark with its interval."""
    name, kind, y = row_name(row), kind_of(row), top + 23
    bounds = interval(estimate.low, estimate.high, digits=2)
    value = number(estimate.value, 2) + (f" ({bounds})" if bounds else "")
    pieces = [
        element("text", short_name(row), element("title", name), x="0%", y=top + 12, class_="row-name"),
        element("text", value, x="100%", y=top + 12, text_anchor="end", class_="row-value"),
    ]
    if not estimate.defined:
        return pieces, f"{name} undefined ({estimate.reason or 'no reason stored'})"
    if estimate.has_interval:
        x1, x2 = at(estimate.low, marks), at(estimate.high, marks)
        pieces.append(element("line", x1=x1, x2=x2, y1=y, y2=y, class_=f"whisker {colour(kind)}"))
    pieces.append(marker(kind, at(estimate.value, marks), y))
    return pieces, f"{name} {value}" + (", collapsed" if kind == "collapsed" else "")


def rows_behind(metric: str, estimates: Sequence[Estimate]) -> tuple[str, bool]:
    """The rows of a group in words, and whether fewer than ten carry its figure; the smallest of all methods counts.

    >>> rows_behind("tpr", [Estimate(0.5, n=40, n_positive=7)])
    ('n 40, 7 of them positive: TPR rests on 7', True)
    """
    counted = [e for e in estimates if e.n is not None]
    if not counted:
        return "n not stored", False
    least = min(counted, key=lambda e: e.n or 0)
    behind = samples_behind(metric, least)
    positive = "" if least.n_positive is None else f", {count(least.n_positive)} of them positive"
    small = behind is not None and behind < SMALL_CELL
    return f"n {count(least.n)}{positive}" + (f": {metric_name(metric).brief} rests on {behind}" if small else ""), small
