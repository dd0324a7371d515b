"""What a comparison shows, in plain words: which methods differ from the base model, the reference, and a random mask."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

from biasmask.report.formats import interval, number, percent, signed
from biasmask.report.plot_pareto import label_of, short_name
from biasmask.report.run_folder import Estimate

Row = Mapping[str, Any]
SIGNIFICANT = 0.05


@dataclass
class Split:
    """Rows of a comparison with one other row: those with a smaller gap, a larger one, and no difference that can be told."""

    smaller: list[tuple[Row, Estimate]] = field(default_factory=list)
    larger: list[tuple[Row, Estimate]] = field(default_factory=list)
    unclear: list[Row] = field(default_factory=list)
    untold: list[Row] = field(default_factory=list)  # no interval

    @property
    def empty(self) -> bool:
        return not (self.smaller or self.larger or self.unclear or self.untold)


@dataclass(frozen=True)
class SweepVerdict:
    """State of the box (`fell`, `mixed`, `unclear`, `rose`, `collapsed`, `undefined`), headline, further sentences."""

    state: str
    headline: str
    sentences: list[str]


def sweep_verdict(content: Mapping[str, Any], comparison: Mapping[str, Any], test_set: Mapping[str, Any]) -> SweepVerdict:
    """Judge a test set by the intervals of paired differences of the gap.

    A method differs from another one where the interval of their difference leaves out zero. A method of which a run collapsed is
    a failure: it is named as one, and no smaller gap is credited to it.

    Args:
        content: compare.json, for its level of confidence.
        comparison: One of its comparisons.
        test_set: One of that one's test sets.

    Returns:
        The verdict; state `undefined` where there is nothing to compare.
    """
    rows = {row["id"]: row for row in comparison["rows"]}
    others = [rows[row] for row in test_set["order"] if rows[row].get("role") != "base"]
    sound = [row for row in others if not row.get("collapsed")]
    failed = [row for row in others if row.get("collapsed")]
    against_base = split_rows(sound, lambda row: difference(test_set, row["id"], "vs_base"))
    gap = lower_first(label_of(test_set, test_set["gap"]))
    sentences = [failure_words(failed)] if failed else []
    if not others:
        return SweepVerdict("undefined", "There is no method to compare with the base model.", [])
    if not sound:
        return SweepVerdict("collapsed", f"Every method collapsed: no {gap} here says anything about fairness.", sentences)
    headline = base_words(against_base, gap, float(content.get("confidence") or 0.95))
    sentences += reference_words(comparison, test_set, sound, rows)
    sentences += control_words(comparison, test_set, sound)
    sentences += quality_words(test_set, sound)
    sentences += run_words(test_set, sound)
    return SweepVerdict(state_of(against_base), headline, sentences)


def lower_first(label: str) -> str:
    """A label inside a sentence; an abbreviation keeps its letters.

    >>> lower_first("Equalized-odds gap (mean)"), lower_first("TPR gap")
    ('equalized-odds gap (mean)', 'TPR gap')
    """
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def difference(test_set: Mapping[str, Any], row: str, against: str, key: str | None = None) -> Estimate:
    found = (test_set["figures"].get(row) or {}).get(key or test_set["gap"]) or {}
    compared = found.get(against)
    return Estimate(reason="no paired difference") if compared is None else Estimate.from_json(compared)


def split_rows(rows: Sequence[Row], find: Any) -> Split:
    """Sort rows by the interval of their difference; below zero is smaller."""
    made = Split()
    for row in rows:
        found = find(row)
        if not found.defined or not found.has_interval:
            made.untold.append(row)
        elif found.high < 0:
            made.smaller.append((row, found))
        elif found.low > 0:
            made.larger.append((row, found))
        else:
            made.unclear.append(row)
    return made


def state_of(split: Split) -> str:
    if split.smaller and split.larger:
        return "mixed"
    return "fell" if split.smaller else "rose" if split.larger else "unclear" if split.unclear else "undefined"


def base_words(split: Split, gap: str, confidence: float) -> str:
    if not (split.smaller or split.larger):
        if not split.unclear:
            return f"No difference of the {gap} from the base model can be told: {names(split.untold)} without an interval."
        return f"No method is distinguishable from chance: none changes the base model's {gap} by more than its interval allows."
    parts = []
    if split.smaller:
        parts.append(f"smaller than the base model's with {listed(split.smaller)}")
    if split.larger:
        parts.append(f"larger with {listed(split.larger)}")
    text = f"The {gap} is {'; '.join(parts)} ({percent(confidence, 0)} intervals of the paired difference)."
    if split.unclear:
        text += f" Not distinguishable from the base model: {names(split.unclear)}."
    return text + (f" Not told, for want of an interval: {names(split.untold)}." if split.untold else "")


def reference_words(
    comparison: Mapping[str, Any], test_set: Mapping[str, Any], sound: Sequence[Row], rows: Mapping[str, Row]
) -> list[str]:
    reference = comparison.get("reference")
    others = [row for row in sound if row["id"] != reference]
    if reference not in rows or not others:
        return []
    return against_words(
        short_name(rows[reference]), split_rows(others, lambda row: difference(test_set, row["id"], "vs_reference"))
    )


def control_words(comparison: Mapping[str, Any], test_set: Mapping[str, Any], sound: Sequence[Row]) -> list[str]:
    """Ours against each control, such as a random mask; by a Student interval over the runs that both have."""
    ours = [row for row in sound if row.get("role") == "ours"]
    said = []
    for control in (row for row in sound if row.get("role") == "control"):
        pair = split_rows(ours, lambda row, other=control: over_runs(test_set, row, other))
        said += against_words(short_name(control), pair, " (Student interval over runs)")
    return said


def over_runs(test_set: Mapping[str, Any], row: Row, other: Row, confidence: float = 0.95) -> Estimate:
    """Mean difference of the gap over the runs that two methods share, with a Student interval; none for a single run."""
    pair = [values_by_unit(test_set, one) for one in (row, other)]
    changes = [pair[0][unit] - pair[1][unit] for unit in pair[0] if unit in pair[1]]
    if len(changes) < 2:
        return Estimate(reason="fewer than two common runs")
    half = float(student.ppf((1 + confidence) / 2, len(changes) - 1)) * stdev(changes) / math.sqrt(len(changes))
    return Estimate(mean(changes), mean(changes) - half, mean(changes) + half)


def values_by_unit(test_set: Mapping[str, Any], row: Row) -> dict[tuple[Any, Any], float]:
    values = ((test_set["figures"].get(row["id"]) or {}).get(test_set["gap"]) or {}).get("values") or []
    pairs = zip(row.get("runs") or [], values, strict=False)
    return {(run.get("seed"), run.get("split_seed")): float(value) for run, value in pairs if value is not None}


def against_words(other: str, split: Split, how: str = "") -> list[str]:
    """One sentence on rows against another one."""
    if split.empty:
        return []
    parts = []
    if split.smaller:
        parts.append(f"smaller with {listed(split.smaller)}")
    if split.larger:
        parts.append(f"larger with {listed(split.larger)}")
    if split.unclear:
        parts.append(f"not distinguishable with {names(split.unclear)}")
    if split.untold:
        parts.append(f"not told, for want of an interval, with {names(split.untold)}")
    return [f"Against {other}{how}, the gap is {'; '.join(parts)}."]


def quality_words(test_set: Mapping[str, Any], sound: Sequence[Row]) -> list[str]:
    """Which methods paid with the quality, and which gained."""
    split = split_rows(sound, lambda row: difference(test_set, row["id"], "vs_base", test_set["quality"]))
    name = label_of(test_set, test_set["quality"])
    parts = []
    if split.smaller:
        parts.append(f"fell with {listed(split.smaller)}")
    if split.larger:
        parts.append(f"rose with {listed(split.larger)}")
    return [f"{name} {'; '.join(parts)}."] if parts else []


def run_words(test_set: Mapping[str, Any], sound: Sequence[Row]) -> list[str]:
    """What the test over runs can and does show."""
    found = {}
    for row in sound:
        compared = ((test_set["figures"].get(row["id"]) or {}).get(test_set["gap"]) or {}).get("vs_base") or {}
        found[row["id"]] = compared
    passed = [row for row in sound if (p := found[row["id"]].get("p_holm")) is not None and p < SIGNIFICANT]
    if passed:
        return [f"The sign-flip test over runs agrees (p below {SIGNIFICANT} after Holm's correction) for {names(passed)}."]
    runs = max((int(one.get("n_runs") or 0) for one in found.values()), default=0)
    if runs < 2:
        return ["One run each: nothing is known of the spread between seeds."]
    least = 2 / 2**runs
    if least * len(sound) >= SIGNIFICANT:  # the strongest of Holm's comparisons is multiplied by their number
        return [f"The sign-flip test over {runs} runs can't show a difference here: its smallest p is {number(least)}."]
    return [f"The sign-flip test over {runs} runs shows no difference from the base model (p below {SIGNIFICANT}, Holm)."]


def failure_words(failed: Sequence[Row]) -> str:
    told = [f"{short_name(row)} ({row['collapsed']} of {row.get('n_runs')} runs)" for row in failed]
    return f"Failures, collapsed to a model that no longer tells anything: {', '.join(told)}."


def listed(found: Sequence[tuple[Row, Estimate]]) -> str:
    """Names with their differences, the largest ones first; of many the first five.

    >>> listed([({"id": "a", "label": "A"}, Estimate(-0.1, -0.2, -0.05))]).replace("\N{MINUS SIGN}", "-")
    'A (-0.100, -0.200 to -0.050)'
    """
    ranked = sorted(found, key=lambda pair: -abs(pair[1].value))
    return enumerated(
        [f"{short_name(row)} ({signed(e.value)}, {interval(e.low, e.high, plus=True)})" for row, e in ranked], most=5
    )


def names(rows: Sequence[Row]) -> str:
    return enumerated([short_name(row) for row in rows])


def enumerated(texts: Sequence[str], most: int = 3) -> str:
    """Texts as in a sentence.

    >>> enumerated(["a"]), enumerated(["a", "b"]), enumerated(list("abcde"))
    ('a', 'a and b', 'a, b, c and 2 more')
    """
    shown = list(texts) if len(texts) <= most + 1 else [*texts[:most], f"{len(texts) - most} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
