"""Figures of a method over its runs, and its paired differences to another: from predictions, else from each run's figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import pandas as pd

from biasmask.metrics.seed_comparison import ROUNDING, compare_runs_paired, summarize_runs
from biasmask.report.metric_names import NAMES, MetricName
from biasmask.report.run_folder import Estimate, MetricKey
from biasmask.report.sweep_runs import SweepRun, Unit
from biasmask.report.text_folder import pooling_words, seat_of
from biasmask.report.text_tables import NAMES as TEXT_NAMES
from biasmask.report.text_tables import text_name
from biasmask.report.value_statistics import compare_values, summarize_values

AGAINST = ("vs_base", "vs_reference", "vs_control")  # a figure's differences
TEXT = "text"  # the one test set of a text run, whose figures rest on benchmarks of their own


@dataclass(frozen=True)
class Draws:
    """How intervals are made."""

    n_bootstrap: int = 1000
    confidence: float = 0.95
    seed: int = 0
    by_split: bool = False  # runs of one split are no independent ones: splits are drawn and tested


@dataclass(frozen=True)
class Side:
    """One model of each of several runs: the base models, or what a method made of them."""

    runs: Mapping[Unit, SweepRun]
    is_base: bool = False

    def model(self, run: SweepRun) -> str:
        return run.folder.base if self.is_base or run.kept_base else run.folder.final

    def at(self, units: Sequence[Unit]) -> "Side":
        return Side({unit: self.runs[unit] for unit in units}, self.is_base)

    def estimates(self, key: str) -> list[Estimate]:
        """A figure in each run; one that a run doesn't have is undefined."""
        absent = Estimate(reason="not measured")
        return [run.folder.estimate(self.model(run), key) or absent for run in self.runs.values()]

    def frames(self, test_set: str) -> list[pd.DataFrame] | None:
        """The predictions of each run, or None where a run has none."""
        found = [run.folder.predictions(self.model(run), test_set) for run in self.runs.values()]
        return None if any(frame is None for frame in found) or not found else found  # type: ignore[return-value]

    @property
    def thresholds(self) -> list[Any]:
        return [run.folder.threshold.get(self.model(run)) for run in self.runs.values()]

    def groups(self, test_set: str) -> dict[str, tuple[str, ...]]:
        """Attribute -> groups of a test set; another data set has attributes and groups of its own, which its figures name."""
        run = next(iter(self.runs.values()))
        own = {name: tuple(groups) for name, groups in (run.run.get("group_names") or {}).items()}
        if test_set not in (run.run.get("extra_tests") or []):
            return own
        found: dict[str, dict[str, None]] = {}
        for key in map(MetricKey.parse, self.keys(test_set)):
            if key.attribute is not None and key.group is not None:
                found.setdefault(key.attribute, {})[key.group] = None
        return {name: tuple(groups) for name, groups in found.items()}

    @property
    def attributes(self) -> tuple[str, ...]:
        return next(iter(self.runs.values())).attributes

    def clusters(self, draws: Draws) -> list[int | None] | None:
        """The split of each run, where splits are what is drawn and tested."""
        return [unit[1] for unit in self.runs] if draws.by_split else None

    def failed(self) -> list[bool]:
        """Which runs collapsed; a base model never did."""
        return [not self.is_base and run.collapse is not None for run in self.runs.values()]

    def keys(self, test_set: str) -> list[str]:
        """Keys of a test set, of each of its classes too, in the order of the first run that has them."""
        found = dict.fromkeys(key for run in self.runs.values() for key in run.folder.estimates[self.model(run)])
        return [key for key in found if test_set == TEXT or key.split("/")[0].split(":")[0] == test_set]


def figure_name(key: str) -> MetricName:
    """Label and direction of a figure of either family; SEAT figures tell their test and pooling.

    >>> figure_name("test/auroc").direction, figure_name("seat_mean/mean_abs_effect_size/gender").label
    (1, 'Mean |d|, mean pooling')
    """
    parts = MetricKey.parse(key)
    if (mean_of := (parts.attribute or "").partition("mean of ")[2]) and parts.group is None:
        name = NAMES[parts.metric]
        return MetricName(f"{name.label}, mean over {mean_of}", name.direction, short=f"{name.brief}, {mean_of}")
    name = TEXT_NAMES.get(f"{parts.split}/{parts.metric}") or NAMES.get(parts.metric) or text_name(parts)
    if (seat := seat_of(parts.split.replace("lean_", "seat_"))) is None:
        return name
    words = f"SEAT {seat[0]}" if seat[0] else name.label.partition(":")[0]
    return MetricName(f"{words}, {pooling_words(seat[1])}", name.direction)


def summarize(side: Side, test_set: str, draws: Draws) -> tuple[dict[str, dict[str, Any]], str]:
    """Each figure of a side over its runs.

    Returns:
        key -> mean, spread, interval, the value of each run, n; and what the interval is of: `bootstrap` (rows and runs) or
        `student` (runs alone, where predictions are missing or no draws are asked for).
    """
    frames = side.frames(test_set) if draws.n_bootstrap else None
    clusters, drawn = side.clusters(draws), {}
    if frames is not None:
        how = (draws.n_bootstrap, draws.confidence, draws.seed, side.attributes, clusters)
        drawn = summarize_runs(frames, side.thresholds, side.groups(test_set), test_set, *how)
    found = {}
    for key in side.keys(test_set):
        estimates = side.estimates(key)
        values = [estimate.value for estimate in estimates]
        summary = drawn.get(key) or summarize_values(values, draws.confidence, clusters)
        reason = summary.reason or next((estimate.reason for estimate in estimates if estimate.reason), None)
        found[key] = {
            "mean": plain(summary.mean), "spread": plain(summary.spread), "low": plain(summary.low),
            "high": plain(summary.high), "n_runs": summary.n_runs, "values": [plain(value) for value in values],
            "n": smallest([estimate.n for estimate in estimates]),
            "n_positive": smallest([estimate.n_positive for estimate in estimates]), "reason": reason,
            **dict.fromkeys(AGAINST),
        }  # fmt: skip
    return found, "bootstrap" if drawn else "student"


def compare(one: Side, other: Side, test_set: str, draws: Draws) -> dict[str, dict[str, Any]]:
    """`other` minus `one` in each figure, paired by unit.

    A run that collapsed is a loss in every figure that has a better side, whatever its gap: a constant predictor has none. For
    the same reason a row with a collapsed run has no p in figures of which less is better, such as gaps.

    Returns:
        key -> difference, intervals, p of the sign-flip test over runs (or splits), wins and losses, runs in which one collapsed.
    """
    units = [unit for unit in other.runs if unit in one.runs]
    if not units:
        return {}
    one, other = one.at(units), other.at(units)
    clusters = other.clusters(draws)
    pair = (one.frames(test_set), other.frames(test_set)) if draws.n_bootstrap else (None, None)
    drawn, other_rows = {}, None
    if pair[0] is not None and pair[1] is not None:
        how = (draws.n_bootstrap, draws.confidence, draws.seed, other.attributes, clusters)
        try:
            drawn = compare_runs_paired(*pair, one.thresholds, other.thresholds, other.groups(test_set), test_set, *how)  # type: ignore[arg-type]
        except ValueError as error:  # the two were judged on other rows: their own figures are all there is to compare
            other_rows = f"not paired by row: {error}"
    failed = list(zip(one.failed(), other.failed(), strict=True))
    collapsed = sum(map(any, failed))
    no_test = f"no test: {collapsed} of {len(units)} runs collapsed" if collapsed else None
    known, found = one.keys(test_set), {}
    for key in other.keys(test_set):
        if key not in known:  # what only a debiased model has, as the cosine to the original
            continue
        before, after = (tuple(e.value for e in side.estimates(key)) for side in (one, other))
        differences = [b - a for a, b in zip(before, after, strict=True)]
        compared = drawn.get(key) or compare_values(differences, draws.confidence, clusters)
        numbers = {name: plain(getattr(compared, name)) for name in ("value", "low", "high", "t_low", "t_high")}
        better = figure_name(key).direction
        tested = better >= 0 or not collapsed
        reasons = [other_rows or compared.reason, None if tested else no_test]
        found[key] = {
            **numbers, "p": plain(compared.p_value) if tested else None, "p_holm": None, **score(differences, better, failed),
            "n_runs": compared.n_runs, "n_clusters": compared.n_clusters, "collapsed": collapsed,
            "reason": "; ".join(reason for reason in reasons if reason) or None,
        }  # fmt: skip
    return found


def score(differences: Sequence[float], better: int, failed: Sequence[tuple[bool, bool]]) -> dict[str, int | None]:
    """In how many runs a figure got better, worse, or stayed; None for a figure with no better side.

    Args:
        differences: the other minus the one, NaN = undefined.
        better: +1 where more is better, -1 where less is, 0 where neither is.
        failed: whether the one collapsed, and whether the other did: who didn't wins, and two failures are a tie.

    >>> score([-0.1, -0.2, 0.0], -1, [(False, True), (False, False), (False, False)])
    {'wins': 1, 'losses': 1, 'ties': 1}
    >>> score([0.1, 0.1], -1, [(True, False), (True, True)])
    {'wins': 1, 'losses': 0, 'ties': 1}
    """
    if not better:
        return {"wins": None, "losses": None, "ties": None}
    pairs = zip(differences, failed, strict=True)
    gains = [float(a) - float(b) if a or b else d * better for d, (a, b) in pairs if a or b or math.isfinite(d)]
    wins, losses = (sum(sign * gain > ROUNDING for gain in gains) for sign in (1, -1))
    return {"wins": wins, "losses": losses, "ties": len(gains) - wins - losses}


def plain(value: float | None) -> float | None:
    """A number for JSON: undefined is null."""
    return float(value) if value is not None and math.isfinite(value) else None


def smallest(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return min(known) if known else None


def average(values: Sequence[float | None]) -> float | None:
    """Mean of what is known, None where nothing is."""
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def total(values: Sequence[float | None]) -> Any:
    """Sum of what is known, None where nothing is.

    >>> total([1, None, 2]), total([None])
    (3, None)
    """
    known = [value for value in values if value is not None]
    return sum(known) if known else None
