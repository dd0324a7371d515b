"""One sentence in plain words on what the run did to the gap, to the ranking and to each group."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

from biasmask.metrics.collapse import AUROC_CHANCE, collapse_report
from biasmask.metrics.levelling import WORSE
from biasmask.report.formats import interval, number, percent, signed
from biasmask.report.metric_names import change_of
from biasmask.report.run_folder import Estimate, MetricKey, RunFolder

GAPS = ("equalized_odds_mean", "equal_opportunity", "fpr_gap", "demographic_parity", "auroc_gap")
GAP_WORDS = {
    "equalized_odds_mean": "equalized-odds gap",
    "equal_opportunity": "equal-opportunity gap",
    "fpr_gap": "FPR gap",
    "demographic_parity": "demographic-parity gap",
    "auroc_gap": "AUROC gap",
}
SHORT_RATES = {"tpr": "TPR", "fpr": "FPR", "auroc": "AUROC", "balanced_accuracy": "balanced accuracy"}


@dataclass(frozen=True)
class Verdict:
    """State (`fell`, `unclear`, `rose`, `collapsed`, `undefined`, `single`), sentences, groups by what befell them."""

    state: str
    headline: str
    groups: str = ""
    kind: str = ""  # `Levelling down`, `Levelling down in part` or `Got worse`, where a group did
    worse: list[str] = field(default_factory=list)
    better: list[str] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        return f"{self.headline} {self.groups}".strip()


def judge(run: RunFolder, test_set: str | None = None, attribute: str | None = None) -> Verdict:
    """Say in words what the paired intervals show on one test set.

    A gap fell or rose when the interval of its paired difference leaves out zero, and a group got worse in a rate when
    that rate's interval does; everything else is not distinguishable from no change. A model whose ranking or spread of
    scores is gone has collapsed, whatever its gap.

    Args:
        run: The folder to judge.
        test_set: Name of the test set; the first one by default.
        attribute: The attribute whose gap is judged; the (first) debiased one by default.

    Returns:
        The verdict; state `undefined` where the gap has no value, `single` where there is one model only.
    """
    test_set = test_set or run.test_sets[0]
    attribute = attribute or run.attribute
    gap_key = find_gap(run, test_set, attribute)
    if not run.compares:
        return Verdict("single", describe_single(run, test_set, gap_key))
    worse, better, not_judged = group_changes(run, test_set, attribute)
    collapse = find_collapse(run, test_set)
    if collapse:
        gap = run.estimate(run.final, gap_key) if gap_key else None
        shown = f"Its gap of {number(gap.value)}" if gap and gap.defined else "Its gap"
        headline = f"The {run.final} model collapsed: {collapse}. {shown} says nothing about fairness."
        return Verdict("collapsed", headline, "", "Got worse" if worse else "", worse, better, not_judged)
    if gap_key is None:
        headline = f"No gap was computed on {test_set}. {describe_auroc(run, test_set)}"
        state = "undefined"
    else:
        state, headline = describe_gap(run, gap_key)
        headline = f"{headline} {describe_auroc(run, test_set)}"
    kind = kind_of_loss(state, worse, better)
    groups = describe_groups(kind, worse, better, not_judged)
    return Verdict(state, headline.strip(), groups, kind, worse, better, not_judged)


def find_gap(run: RunFolder, test_set: str, attribute: str | None = None) -> MetricKey | None:
    """The gap that the verdict speaks of: equalized odds (mean), else the first other one that was computed."""
    attribute = attribute or run.attribute
    keys = [MetricKey(test_set, gap, attribute) for gap in GAPS if attribute]
    return next((key for key in keys if run.estimate(run.final, key) is not None), None)


def describe_gap(run: RunFolder, key: MetricKey) -> tuple[str, str]:
    words = f"The {GAP_WORDS[key.metric]}"
    before, after, difference = run.estimate(run.base, key), run.estimate(run.final, key), run.difference(key)
    undefined = next((e for e in (after, before, difference) if e is not None and not e.defined), None)
    if undefined is not None or before is None or after is None or difference is None:
        reason = undefined.reason if undefined is not None and undefined.reason else "no paired difference is stored"
        return "undefined", f"{words} can't be compared: {reason}."
    change = change_of(key.metric, difference)
    # A gap over fewer groups than there are is another quantity; the reader must hear it in the same breath.
    caution = f" ({after.reason})" if (after.reason or "").startswith("incomplete") else ""
    path = f"from {number(before.value)} to {number(after.value)}"
    shown = f"difference {signed(difference.value)}{interval_words(run, difference)}"
    if change == "better":
        return "fell", f"{words} fell {path} ({shown}){caution}."
    if change == "worse":
        return "rose", f"{words} rose {path} ({shown}){caution}."
    why = "no interval is stored" if change is None else "not distinguishable from no change"
    return "unclear", f"{words} went {path} ({shown}){caution}: {why}."


def interval_words(run: RunFolder, estimate: Estimate, plus: bool = True) -> str:
    text = interval(estimate.low, estimate.high, plus=plus)
    return f", {percent(run.confidence, 0)} interval {text}" if text else ""


def describe_auroc(run: RunFolder, test_set: str) -> str:
    difference = run.difference(f"{test_set}/auroc")
    if difference is None or not difference.defined:
        return ""
    change = change_of("auroc", difference)
    shown = interval(difference.low, difference.high, plus=True)
    verb = {"better": "rose", "worse": "fell"}.get(change or "", "changed")
    size = signed(difference.value) if verb == "changed" else number(abs(difference.value))
    return f"AUROC {verb} by {size}" + (f" ({shown})." if shown else ".")


def group_changes(run: RunFolder, test_set: str, attribute: str | None) -> tuple[list[str], list[str], list[str]]:
    """Group and metric of each change for the worse, for the better, and of each that can't be judged."""
    worse: list[str] = []
    better: list[str] = []
    not_judged: list[str] = []
    for group in run.groups(attribute) if attribute else []:
        for metric in WORSE:
            key = MetricKey(test_set, metric, attribute, group)
            if run.estimate(run.final, key) is None:
                continue
            before, after, difference = run.estimate(run.base, key), run.estimate(run.final, key), run.difference(key)
            change = change_of(metric, difference)
            name = f"{SHORT_RATES.get(metric, metric)} of {group}"
            if change is None or difference is None or before is None or after is None:
                not_judged.append(name)
            elif change in ("worse", "better"):
                path = f"{number(before.value)} to {number(after.value)}"
                shown = f"{signed(difference.value)}, {interval(difference.low, difference.high, plus=True)}"
                text = f"{name} ({path}; {shown})"
                (worse if change == "worse" else better).append(text)
    return worse, better, not_judged


def kind_of_loss(state: str, worse: list[str], better: list[str]) -> str:
    """What to call it that groups got worse: levelling down when the gap fell, in part when some group gained too."""
    if not worse:
        return ""
    if state != "fell":
        return "Got worse"
    return "Levelling down in part" if better else "Levelling down"


def describe_groups(kind: str, worse: list[str], better: list[str], not_judged: list[str]) -> str:
    if worse:
        # A gap that falls because one group lost is not what "fairer" is taken to mean: name the group and the rate.
        shown = "; ".join(worse[:2]) + (f"; and {len(worse) - 2} more" if len(worse) > 2 else "")
        tail = "" if better else " No group got better."
        text = f"{kind}: {shown}.{tail}"
    else:
        text = "No group got measurably worse."
    if not_judged:
        text += f" Could not be judged: {', '.join(not_judged[:3])}{' and others' if len(not_judged) > 3 else ''}."
    return text


def find_collapse(run: RunFolder, test_set: str) -> str:
    """Why the final model counts as collapsed, by the definition of `metrics.collapse`; empty when it doesn't.

    The run's own finding on the validation split counts; a folder without one is judged on the test set's predictions,
    and without predictions on the stored AUROC.
    """
    if run.collapse:
        text = str(run.collapse.get("text") or "").removeprefix("collapsed: ")
        split = run.collapse.get("split")
        return text + (f" (on {split})" if split else "") if run.collapse.get("collapsed") else ""
    frames = [run.predictions(model, test_set) for model in (run.base, run.final)]
    if all(frame is not None and not frame.empty for frame in frames):
        base, final = (frame.set_index("row") for frame in frames if frame is not None)
        final = final.loc[base.index]
        score, base_score = (torch.tensor(scores_in(frame)) for frame in (final, base))
        collapsed, text = collapse_report(score, base_score, torch.tensor(base["target"].to_numpy()))
        return text.removeprefix("collapsed: ") if collapsed else ""
    before, after = (run.estimate(model, f"{test_set}/auroc") for model in (run.base, run.final))
    if before is None or after is None or not after.value < AUROC_CHANCE <= before.value:
        return ""
    return f"AUROC fell from {number(before.value)} to {number(after.value)}"


def scores_in(frame: pd.DataFrame) -> np.ndarray:
    """The score of each row, (n,), or the scores of more than two classes, (n, C)."""
    columns = "score" if "score" in frame else [name for name in frame if name.startswith("score:")]
    return frame[columns].to_numpy(dtype=float)


def describe_single(run: RunFolder, test_set: str, gap_key: MetricKey | None) -> str:
    auroc = run.estimate(run.final, f"{test_set}/auroc")
    parts = [f"One model, no comparison: {run.final} on {test_set}."]
    if auroc is not None:
        parts.append(f"AUROC {describe_value(auroc)}.")
    if gap_key is not None:
        gap = run.estimate(run.final, gap_key)
        words = GAP_WORDS[gap_key.metric][0].upper() + GAP_WORDS[gap_key.metric][1:]
        parts.append(f"{words} {describe_value(gap)}." if gap else "")
    return " ".join(part for part in parts if part)


def describe_value(estimate: Estimate) -> str:
    if not estimate.defined:
        return f"undefined ({estimate.reason or 'no reason stored'})"
    shown = interval(estimate.low, estimate.high)
    return number(estimate.value) + (f" ({shown})" if shown else "")
