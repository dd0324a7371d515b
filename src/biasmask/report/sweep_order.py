"""The places of the rows of a test set: which gap and quality they are ordered, drawn and called dominated by."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from biasmask.report.sweep_candidates import Candidate
from biasmask.report.sweep_columns import Columns
from biasmask.report.sweep_figures import plain

Content = dict[str, Any]
Place = tuple[float, float]
DIGITS = 12  # sums in another order differ beyond


def place_of(base: Mapping[str, Any], own: Mapping[str, Any], columns: Columns) -> Place:
    """(gap, minus quality), smaller is better in both: the base model's mean plus the paired difference.

    A mean over other seeds than the base model's would tell of these seeds. Without a difference it is the row's own mean.
    """
    gap, quality = (at(base.get(key) or {}, own.get(key) or {}) for key in (columns.gap, columns.quality))
    return gap, -quality


def at(base: Mapping[str, Any], own: Mapping[str, Any]) -> float:
    """One figure's place.

    >>> at({"mean": 0.3}, {"mean": 0.1, "vs_base": {"value": -0.1}}), at({"mean": 0.3}, {"mean": 0.1, "vs_base": None})
    (0.2, 0.1)
    """
    change = (own.get("vs_base") or {}).get("value")
    value = own.get("mean") if change is None or base.get("mean") is None else base["mean"] + change
    return math.nan if value is None else round(value, DIGITS)


def beats(one: Place, other: Place) -> bool:
    """Whether a place is as good in both and better in one.

    >>> beats((0.1, -0.9), (0.2, -0.9)), beats((0.1, -0.8), (0.2, -0.9))
    (True, False)
    """
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def order_of(figures: Mapping[str, Content], columns: Columns, candidates: Sequence[Candidate]) -> Content:
    """Order, places, dominated rows and Pareto set; a row with a collapsed run is last and in neither."""
    failed = {candidate.id for candidate in candidates if candidate.collapsed}
    places = {row: place_of(figures["base"], own, columns) for row, own in figures.items()}
    measured = {row: place for row, place in places.items() if all(map(math.isfinite, place)) and row not in failed}
    dominated = [row for row in figures if row in measured and any(beats(other, measured[row]) for other in measured.values())]
    rows = [row for row in figures if row != "base"]
    rows.sort(key=lambda row: (row in failed, not math.isfinite(places[row][0]), *places[row]))
    return {
        "order": ["base", *rows], "dominated": dominated, "front": [row for row in measured if row not in dominated],
        "places": {row: {"gap": plain(gap), "quality": plain(-quality)} for row, (gap, quality) in places.items()},
    }  # fmt: skip
