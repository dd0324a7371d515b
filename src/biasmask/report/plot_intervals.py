"""Dots with intervals, before and after: strips as wide as their box, to read alike on a phone and on paper."""

from dataclasses import dataclass

from markupsafe import Markup

from biasmask.report.formats import interval, number, signed
from biasmask.report.run_folder import Estimate, RunFolder
from biasmask.report.svg import element, fluid, join, tick_label, ticks
from biasmask.report.tables import Row, Section

INSET = 2.0  # per cent left free at both ends, for half a dot
LINE = 15  # height of one model's line in a strip
DIAMOND = "M0 -5.5 5.5 0 0 5.5 -5.5 0z"


@dataclass(frozen=True)
class Strip:
    """A row: label, what it rests on, the drawn strip, and the difference in figures (for one model its value)."""

    label: str
    note: str
    drawing: Markup
    value: str
    bounds: str
    change: str
    small: bool


@dataclass(frozen=True)
class StripPlot:
    """Rows that share one axis."""

    title: str
    strips: list[Strip]
    axis: Markup


def interval_plots(run: RunFolder, sections: list[Section], attribute: str | None = None) -> list[StripPlot]:
    """Gaps, then TPR and FPR by group, of an attribute, by default the (first) debiased one.

    Gaps share an axis from zero to the largest bound; rates have the axis 0 to 1, so that groups and metrics compare.
    """
    attribute = attribute or run.attribute
    own = [row for section in sections for row in section.rows if row.key.attribute == attribute]
    gaps = [row for row in own if row.key.group is None and row.key.metric != "auroc_worst_group"]
    plots = [strip_plot(run, "Gaps between groups (0 is equal)", gaps, upper=None)] if gaps else []
    for metric, title in (("tpr", "TPR by group (higher is better)"), ("fpr", "FPR by group (lower is better)")):
        rows = [row for row in own if row.key.metric == metric]
        if rows:
            plots.append(strip_plot(run, title, rows, upper=1.0))
    return plots


def test_set_plot(run: RunFolder, rows: list[tuple[str, Row]]) -> StripPlot:
    """One gap on every test set: rows of (test set, row)."""
    return strip_plot(run, "", [row for _, row in rows], upper=None, labels=[name for name, _ in rows])


def strip_plot(
    run: RunFolder, title: str, rows: list[Row], upper: float | None, labels: list[str] | None = None
) -> StripPlot:
    """Draw rows on one axis from zero to `upper`, or to the largest bound of an interval.

    Args:
        run: The folder, for model names.
        title: Heading of the plot.
        rows: Rows of the comparison.
        upper: End of the axis; None takes it from the rows.
        labels: Labels instead of the rows' own.
    """
    bounds = [b for row in rows for e in row.estimates if e is not None for b in (e.value, e.high) if b == b]
    marks = ticks(0.0, max([*bounds, 0.05]) if upper is None else upper)
    named = zip(rows, labels or map(short_label, rows), strict=True)
    strips = [draw_row(run, row, label, marks) for row, label in named]
    return StripPlot(title, strips, draw_axis(marks))


def short_label(row: Row) -> str:
    """A group by its name; a gap without the word, which the plot's title says."""
    return row.brief if row.key.group is None else row.key.group


def draw_row(run: RunFolder, row: Row, label: str, marks: list[float]) -> Strip:
    height = LINE * len(row.estimates) + 8
    grid = [grid_line(mark, marks, height) for mark in marks]
    lines, said = [], []
    for place, (model, estimate) in enumerate(zip(run.models, row.estimates, strict=True)):
        y = 4 + LINE * place + LINE / 2
        if estimate is None or not estimate.defined:
            said.append(f"{model} undefined")
            continue
        lines.append(mark_estimate(estimate, marks, y, model_class(run, place)))
        shown = interval(estimate.low, estimate.high)
        said.append(f"{model} {number(estimate.value)}" + (f" ({shown})" if shown else ""))
    drawing = fluid(f"{label}: {'; '.join(said)}", *grid, *lines, height=height)
    size = "n" if row.key.group is not None else "smallest cell"
    note = "" if row.rests_on is None else f"{size} {row.rests_on:,}"
    return Strip(label, note, drawing, *figures_of(row), row.change or "", row.small)


def figures_of(row: Row) -> tuple[str, str]:
    """The difference and its interval; for one model its value; `undefined` with the reason where there is none."""
    undefined = next((e for e in row.estimates if e is not None and not e.defined), None)
    if undefined is not None:
        return f"undefined: {undefined.reason or 'no reason stored'}", ""
    if row.difference is not None and row.difference.defined:
        return signed(row.difference.value), interval(row.difference.low, row.difference.high, plus=True)
    last = row.estimates[-1]
    return ("–", "") if last is None else (number(last.value), interval(last.low, last.high))


def model_class(run: RunFolder, place: int) -> str:
    """Class that colours a model: the first is the base, the last the final one, any other between."""
    if place == 0:
        return "base"
    return "final" if place == len(run.models) - 1 else "between"


def mark_estimate(estimate: Estimate, marks: list[float], y: float, class_: str) -> Markup:
    pieces = []
    if estimate.has_interval:
        x1, x2 = at(estimate.low, marks), at(estimate.high, marks)
        pieces.append(element("line", x1=x1, x2=x2, y1=y, y2=y, class_=f"whisker {class_}"))
    x = at(estimate.value, marks)
    if class_ == "final":
        # Shape and place tell the models apart where colour can't: diamond below circle.
        shape = element("path", d=DIAMOND, class_="dot final")
        pieces.append(element("svg", shape, x=x, y=y, overflow="visible", width=1, height=1))
    else:
        pieces.append(element("circle", cx=x, cy=y, r=4.5, class_=f"dot {class_}"))
    return join(pieces)


def draw_axis(marks: list[float]) -> Markup:
    texts = []
    for place, mark in enumerate(marks):
        anchor = "start" if place == 0 else "end" if place == len(marks) - 1 else "middle"
        x = {"start": "0%", "end": "100%"}.get(anchor, at(mark, marks))
        texts.append(element("text", tick_label(mark), x=x, y=12, text_anchor=anchor, class_="tick"))
    return fluid(None, *texts, height=16, class_="strip axis")


def grid_line(mark: float, marks: list[float], height: float) -> Markup:
    x = at(mark, marks)
    return element("line", x1=x, x2=x, y1=0, y2=height, class_="grid zero" if mark == 0 else "grid")


def at(value: float, marks: list[float]) -> str:
    """Place of a value on the axis as per cent of the width; values outside stop at its ends.

    >>> at(0.5, [0.0, 1.0]), at(7.0, [0.0, 1.0])
    ('50%', '98%')
    """
    share = (value - marks[0]) / (marks[-1] - marks[0])
    text = f"{INSET + (100 - 2 * INSET) * min(max(share, 0.0), 1.0):.2f}".rstrip("0").rstrip(".")
    return f"{text}%"
