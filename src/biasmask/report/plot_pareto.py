"""The Pareto plot of a comparison: gap to the right, quality upward, a mark with an interval cross for each method."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from biasmask.report.formats import interval, number
from biasmask.report.plot_labels import Box, place_labels
from biasmask.report.run_folder import Estimate
from biasmask.report.svg import element, join, picture, tick_label, ticks

LEFT, TOP, RIGHT, BOTTOM = 60, 14, 12, 46
FONT, LETTER, LINE = 13, 0.56, 1.25  # font size in pixels; width of a letter and height of a line, as shares of it
LETTERS = 30  # of a short name
FAR = 22.0  # a label further from its mark than this gets a line to it
SHAPES = {
    "base": "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0 -11 0z",
    "ours": "M0 -7 7 0 0 7 -7 0z",
    "rival": "M-5 -5H5V5H-5z",
    "control": "M0 -6 6 5H-6z",
    "collapsed": "M-5 -5 5 5M-5 5 5 -5",
}
ROLE_WORDS = {
    "base": "base model", "ours": "ours", "rival": "rival", "control": "control", "collapsed": "collapsed in some run",
}  # fmt: skip

DOMINATED = "grey: another one that never collapsed is at least as good in both means and better in one"


@dataclass(frozen=True)
class ParetoPlot:
    """The drawing for a wide and for a narrow page, the legend's entries, and rows that could not be drawn."""

    wide: Markup
    narrow: Markup
    legend: list[tuple[Markup, str]]
    left_out: list[str]


@dataclass(frozen=True)
class Place:
    """A method of the plot."""

    name: str  # in full, for who can't see the plot
    short: str
    kind: str  # key of SHAPES
    dominated: bool
    front: bool  # in the Pareto set
    gap: Estimate
    quality: Estimate


def pareto_plot(comparison: Mapping[str, Any], test_set: Mapping[str, Any]) -> ParetoPlot | None:
    """Draw all rows of a test set whose gap and quality are defined.

    Args:
        comparison: One of compare.json.
        test_set: One of its test sets.

    Returns:
        The plot; None where no row can be drawn.
    """
    rows = {row["id"]: row for row in comparison["rows"]}
    places, left_out = [], []
    for row_id in test_set["order"]:
        gap, quality = (placed_estimate(test_set, row_id, axis) for axis in ("gap", "quality"))
        undefined = next((e for e in (gap, quality) if not e.defined), None)
        if undefined is not None:
            left_out.append(f"{row_name(rows[row_id])} ({undefined.reason or 'no figure'})")
            continue
        dominated = row_id in test_set.get("dominated", [])
        places.append(
            Place(
                row_name(rows[row_id]),
                short_name(rows[row_id]),
                kind_of(rows[row_id]),
                dominated,
                row_id in test_set.get("front", []),
                gap,
                quality,
            )
        )
    if not places:
        return None
    names = [label_of(test_set, test_set[axis]) for axis in ("gap", "quality")]
    front = [place for place in places if place.front]
    kinds = [kind for kind in SHAPES if any(place.kind == kind for place in places)]
    legend = [(swatch(kind), ROLE_WORDS[kind]) for kind in kinds]
    if any(place.dominated for place in places):
        legend.append((swatch("rival", "dominated"), DOMINATED))
    drawn = [draw(places, front, names, width, height) for width, height in ((940, 430), (370, 420))]
    return ParetoPlot(drawn[0], drawn[1], legend, left_out)


def figure_estimate(test_set: Mapping[str, Any], row_id: str, key: str) -> Estimate:
    """Mean over runs with its interval and the rows behind it."""
    found = (test_set["figures"].get(row_id) or {}).get(key)
    if found is None:
        return Estimate(reason="no figure")
    return Estimate.from_json({**found, "value": found.get("mean")})


def placed_estimate(test_set: Mapping[str, Any], row_id: str, axis: str) -> Estimate:
    """The figure of an axis (`gap` or `quality`) at the row's place.

    Of a method without some of the runs that is not its mean, but the base model's plus the paired difference.
    """
    found = figure_estimate(test_set, row_id, test_set[axis])
    placed = ((test_set.get("places") or {}).get(row_id) or {}).get(axis)
    if placed is None or not found.defined:
        return found
    shift = placed - found.value
    return replace(found, value=placed, low=found.low + shift, high=found.high + shift)


def row_name(row: Mapping[str, Any]) -> str:
    """Label and setting of a row."""
    return " ".join(str(part) for part in (row.get("label") or row.get("method") or row["id"], row.get("setting")) if part)


def short_name(row: Mapping[str, Any]) -> str:
    """The name where the place is narrow: a long one was cut and has the row's number (see `with_short_names`)."""
    return str(row.get("short") or row_name(row))


def with_short_names(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison whose rows have a `short` name of at most 30 letters, no two alike.

    >>> rows = [{"id": "a", "label": "BMFT"}, {"id": "b", "label": "block pruning, frozen", "setting": "lr=0.1, size=64"}]
    >>> [row["short"] for row in with_short_names({"rows": rows})["rows"]]
    ['BMFT', 'block pruning, frozen (2)']
    """
    rows = []
    for number_, row in enumerate(comparison["rows"], 1):
        name, label_ = row_name(row), str(row.get("label") or row.get("method") or row["id"])
        cut = label_ if len(label_) <= LETTERS - 5 else label_[: LETTERS - 6].rstrip(" ,(") + "…"
        rows.append({**row, "short": name if len(name) <= LETTERS else f"{cut} ({number_})"})
    return {**comparison, "rows": rows}


def kind_of(row: Mapping[str, Any]) -> str:
    """The role of a row; `collapsed` where one of its runs did, which is a failure whatever the others gave."""
    return "collapsed" if row.get("collapsed") else str(row["role"]) if row.get("role") in SHAPES else "rival"


def label_of(test_set: Mapping[str, Any], key: str) -> str:
    return next((str(metric["label"]) for metric in test_set["metrics"] if metric["key"] == key), key)


def draw(places: list[Place], front: list[Place], names: list[str], width: int, height: int) -> Markup:
    xs, ys = axis(places, [p.gap for p in places], zero=True), axis(places, [p.quality for p in places], zero=False)
    right, bottom = width - RIGHT, height - BOTTOM

    def across(value: float) -> float:
        return LEFT + (right - LEFT) * min(max((value - xs[0]) / (xs[-1] - xs[0]), 0.0), 1.0)

    def up(value: float) -> float:
        return bottom - (bottom - TOP) * min(max((value - ys[0]) / (ys[-1] - ys[0]), 0.0), 1.0)

    pieces = frame(xs, ys, across, up, names, width, height)
    steps, lines = front_line(front, across, up, right)
    pieces.append(steps)
    whiskers = []
    for place in places:
        cross, boxes = interval_cross(place, across, up)
        whiskers.append(cross)
        lines += boxes
    points = [(across(place.gap.value), up(place.quality.value)) for place in places]
    marks = [marker(place.kind, x, y, place.dominated) for place, (x, y) in zip(places, points, strict=True)]
    texts = [place.short + off_words(place, xs, ys) for place in places]
    sizes = [(LETTER * FONT * len(text) + 4, LINE * FONT) for text in texts]
    boxes = place_labels(points, sizes, Box(LEFT + 2, TOP + 2, right - 2, bottom - 2), lines)
    labels = [label(text, box, point, place) for text, box, point, place in zip(texts, boxes, points, places, strict=True)]
    said = "; ".join(f"{p.name}: {words(p.gap)}, {words(p.quality)}{said_state(p)}" for p in places)
    alt = f"{names[0]} to the right, {names[1]} upward; best is top left. {said}"
    return picture(alt, *pieces, *whiskers, *marks, *labels, width=width, height=height, class_="panel pareto")


def off_words(place: Place, xs: list[float], ys: list[float]) -> str:
    """The figures of a mark that stands at the edge, for want of room on the axis."""
    gap, quality = place.gap.value, place.quality.value
    off = [f"gap {number(gap, 2)}"] if not xs[0] <= gap <= xs[-1] else []
    return f": {', '.join([*off, *([number(quality, 2)] if not ys[0] <= quality <= ys[-1] else [])])}".rstrip(": ")


def words(estimate: Estimate) -> str:
    bounds = interval(estimate.low, estimate.high)
    return number(estimate.value) + (f" ({bounds})" if bounds else "")


def said_state(place: Place) -> str:
    return ", collapsed" if place.kind == "collapsed" else ", dominated" if place.dominated else ""


def axis(places: list[Place], estimates: list[Estimate], zero: bool) -> list[float]:
    """Ticks that hold the means of all models that didn't collapse and, as far as they don't squeeze these, their intervals.

    A collapsed model far off would squeeze the others into a line: it is drawn at the edge.
    """
    sound = [e for place, e in zip(places, estimates, strict=True) if place.kind != "collapsed"] or estimates
    means = [e.value for e in sound]
    room = max(max(means) - min(means), 0.02)
    bounded = [e for e in sound if e.has_interval]
    low = min([*means, *(max(e.low, min(means) - room) for e in bounded)]) - 0.04 * room
    high = max([*means, *(min(e.high, max(means) + room) for e in bounded)]) + 0.04 * room
    if max(means) <= 1:  # both are shares, or an AUROC
        high = min(high, 1.0)
    return ticks(min(0.0, *means) if zero else low, high)


def frame(xs: list[float], ys: list[float], across: Any, up: Any, names: list[str], width: int, height: int) -> list[Markup]:
    right, bottom = width - RIGHT, height - BOTTOM
    pieces = []
    for mark in xs:
        x, class_ = across(mark), "grid zero" if mark == 0 else "grid"
        pieces.append(element("line", x1=x, x2=x, y1=TOP, y2=bottom, class_=class_))
        pieces.append(element("text", tick_label(mark), x=x, y=bottom + 16, text_anchor="middle", class_="tick"))
    for mark in ys:
        y = up(mark)
        pieces.append(element("line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid"))
        pieces.append(element("text", tick_label(mark), x=LEFT - 6, y=y + 4, text_anchor="end", class_="tick"))
    upright = f"translate(12 {(TOP + bottom) / 2:g}) rotate(-90)"
    gap, quality = f"{names[0]}: less is fairer", names[1]
    pieces.append(element("text", gap, x=(LEFT + right) / 2, y=height - 8, text_anchor="middle", class_="axis-name"))
    pieces.append(element("text", quality, transform=upright, text_anchor="middle", class_="axis-name"))
    return pieces


def front_line(front: list[Place], across: Any, up: Any, right: float) -> tuple[Markup, list[Box]]:
    """Steps along the Pareto set: what lies below and right of them is dominated."""
    ordered = sorted(front, key=lambda place: place.gap.value)
    if not ordered:
        return Markup(""), []
    corners = [(across(place.gap.value), up(place.quality.value)) for place in ordered]
    path, boxes = f"M{corners[0][0]:.1f} {corners[0][1]:.1f}", []
    for (x, y), (next_x, next_y) in pairwise([*corners, (right, corners[-1][1])]):
        path += f"H{next_x:.1f}V{next_y:.1f}"
        boxes += [Box(x, y - 1, next_x, y + 1), Box(next_x - 1, min(y, next_y), next_x + 1, max(y, next_y))]
    return element("path", d=path, class_="front"), boxes


def interval_cross(place: Place, across: Any, up: Any) -> tuple[Markup, list[Box]]:
    """Both intervals through the mark, and the boxes that they fill."""
    x, y, class_ = across(place.gap.value), up(place.quality.value), f"whisker thin {colour(place.kind, place.dominated)}"
    pieces, boxes = [], []
    if place.gap.has_interval:
        x1, x2 = across(place.gap.low), across(place.gap.high)
        pieces.append(element("line", x1=x1, x2=x2, y1=y, y2=y, class_=class_))
        boxes.append(Box(x1, y - 1, x2, y + 1))
    if place.quality.has_interval:
        y1, y2 = up(place.quality.high), up(place.quality.low)
        pieces.append(element("line", x1=x, x2=x, y1=y1, y2=y2, class_=class_))
        boxes.append(Box(x - 1, y1, x + 1, y2))
    return join(pieces), boxes


def colour(kind: str, dominated: bool = False) -> str:
    if kind == "collapsed":
        return "kind-collapsed"
    return "dominated" if dominated and kind != "base" else f"kind-{kind}"


def marker(kind: str, x: float | str, y: float, dominated: bool = False) -> Markup:
    """The mark of a role: shape and colour both tell it; x may be per cent of the width."""
    class_ = f"{'stroke' if kind == 'collapsed' else 'dot'} {colour(kind, dominated)}"
    shape = element("path", d=SHAPES[kind], class_=class_)
    return element("svg", shape, x=x, y=y, overflow="visible", width=1, height=1)


def swatch(kind: str, class_: str | None = None) -> Markup:
    shape = element("path", d=SHAPES[kind], transform="translate(10 9)",
                    class_=f"{'stroke' if kind == 'collapsed' else 'dot'} {class_ or colour(kind)}")  # fmt: skip
    return element("svg", shape, width=20, height=18, aria_hidden="true")


def label(text: str, box: Box, point: tuple[float, float], place: Place) -> Markup:
    """A name beside its mark; with a thin line to it where it had to go further off."""
    class_ = "mark-name muted-name" if place.dominated and place.kind != "base" else "mark-name"
    x, baseline = box.left + 2, box.bottom - 0.28 * FONT
    written = element("text", text, x=x, y=baseline, font_size=FONT, class_=class_)
    if box.distance(*point) <= FAR:
        return written
    end = min(max(point[0], box.left), box.right), min(max(point[1], box.top), box.bottom)
    return join([element("line", x1=point[0], y1=point[1], x2=end[0], y2=end[1], class_="leader"), written])
