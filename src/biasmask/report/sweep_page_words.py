"""What a comparison shows, in plain words: which methods differ from the base model, the reference, and their random controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from biasmask.metrics.run_statistics import smallest_p
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
    sentences += control_words(test_set, sound, rows)
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
    """The headline; it says of how many intervals it speaks, since none of them is corrected for the others."""
    told = len(split.smaller) + len(split.larger)
    many = told + len(split.unclear)
    counted = f"{told} of {many} intervals of the paired difference leave out 0; {percent(confidence, 0)}, uncorrected"
    if not many:
        return f"No difference of the {gap} from the base model can be told: {names(split.untold)} without an interval."
    if told:
        parts = [f"smaller than the base model's with {listed(split.smaller)}"] if split.smaller else []
        parts += [f"larger with {listed(split.larger)}"] if split.larger else []
        text = f"The {gap} is {'; '.join(parts)} ({counted})."
        text += f" Not distinguishable from the base model: {names(split.unclear)}." if split.unclear else ""
    else:
        text = f"No method's {gap} is distinguishable from the base model's ({counted})."
    return text + (f" Not told, for want of an interval: {names(split.untold)}." if split.untold else "")


def reference_words(
    comparison: Mapping[str, Any], test_set: Mapping[str, Any], sound: Sequence[Row], rows: Mapping[str, Row]
) -> list[str]:
    reference = comparison.get("reference")
    others = [row for row in sound if row["id"] != reference]
    return against_row(rows[str(reference)], others, test_set, "vs_reference") if reference in rows and others else []


def control_words(test_set: Mapping[str, Any], sound: Sequence[Row], rows: Mapping[str, Row]) -> list[str]:
    """Ours against the same at random places, one sentence a control."""
    found: dict[str, list[Row]] = {}
    for row in sound:
        if row.get("control") in rows:
            found.setdefault(row["control"], []).append(row)
    return [words for control, own in found.items() for words in against_row(rows[control], own, test_set, "vs_control")]


def against_row(other: Row, rows: Sequence[Row], test_set: Mapping[str, Any], which: str) -> list[str]:
    """Rows against one that may itself be a failure, which nothing is gained from beating."""
    if other.get("collapsed"):
        of = f"{other['collapsed']} of {other.get('n_runs')} runs"
        return [f"Against {short_name(other)} no gap is compared: it collapsed in {of}."]
    return against_words(short_name(other), split_rows(rows, lambda row: difference(test_set, row["id"], which)))


def against_words(other: str, split: Split) -> list[str]:
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
    return [f"Against {other}, the gap is {'; '.join(parts)}."]


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
    """What the test over runs can and does show, and where it and the interval don't say the same."""
    found = {row["id"]: compared_of(test_set, row) for row in sound}
    what = "splits" if any(one.get("n_clusters") is not None for one in found.values()) else "runs"
    counts = [int(one.get("n_runs") or 0) if one.get("n_clusters") is None else one["n_clusters"] for one in found.values()]
    most = max(counts, default=0)
    if most < 2:
        return [f"One {what[:-1]} each: nothing is known of the spread between {'splits' if what == 'splits' else 'seeds'}."]
    passed = [row for row in sound if (p := found[row["id"]].get("p_holm")) is not None and p < SIGNIFICANT]
    agree = [row for row in passed if leaves_out_zero(found[row["id"]])]
    tested = [row for row in sound if found[row["id"]].get("p_holm") is not None]
    if not tested:
        return []
    least = smallest_p(most)
    if not passed and least * len(tested) >= SIGNIFICANT:  # the strongest of Holm's comparisons is multiplied by their number
        return [f"The sign-flip test over {most} {what} can't show a difference here: its smallest p is {number(least)}."]
    if not passed and not any(leaves_out_zero(found[row["id"]]) for row in tested):
        return [f"The sign-flip test over {most} {what} shows no difference from the base model (p below {SIGNIFICANT}, Holm)."]
    said = []
    if agree:
        said.append(f"The sign-flip test over {what} agrees (p below {SIGNIFICANT} after Holm's correction) for {names(agree)}.")
    test = f"the sign-flip test over {what}"
    if others := [row for row in passed if row not in agree]:
        said.append(f"The two disagree for {names(others)}: {test} shows a difference, the interval none.")
    if others := [row for row in tested if row not in passed and leaves_out_zero(found[row["id"]])]:
        said.append(f"The two disagree for {names(others)}: the interval leaves out 0, and {test} shows no difference.")
    return said


def compared_of(test_set: Mapping[str, Any], row: Row) -> Mapping[str, Any]:
    """The difference of a row's gap from the base model; empty where there is none."""
    return ((test_set["figures"].get(row["id"]) or {}).get(test_set["gap"]) or {}).get("vs_base") or {}


def leaves_out_zero(compared: Mapping[str, Any]) -> bool:
    """Whether the interval lies on the side of 0 that the difference lies on.

    >>> leaves_out_zero({"value": -0.1, "low": -0.2, "high": -0.05}), leaves_out_zero({"value": 0.1, "low": -0.2, "high": -0.05})
    (True, False)
    """
    found = Estimate.from_json(dict(compared))
    return found.has_interval and ((found.value < 0 and found.high < 0) or (found.value > 0 and found.low > 0))


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
