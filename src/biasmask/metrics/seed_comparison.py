"""Figures over several runs of one method (seeds, splits), and the difference of two methods run by run.

A run is one training, judged on its test rows. The interval of a mean over runs comes from a bootstrap of both: in each
draw runs are drawn with replacement (out of all but one, see `run_draws`), and in each run its test rows (stratified, as in
`evaluation`). Runs on the same test rows get the same rows in a draw, because they share the luck of these rows. Runs
of one split share the luck of its rows too: with `clusters` the splits are drawn and tested, and each counts the same.
Letters: R runs, D draws, M figures.

Limits. Few runs say little about the spread of runs: see docs/metrics.md for how often the intervals hold the truth.
Student's interval and the sign-flip test look at the R numbers alone, and so at other trainings on these test rows.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev

import pandas as pd
import torch
from torch import Tensor

from biasmask.metrics.metric_draws import GAPS
from biasmask.metrics.predictions import check_same_rows, read_predictions
from biasmask.metrics.run_draws import draw_runs, either_reason, mean_intervals, run_weights, runs_reason
from biasmask.metrics.run_statistics import cluster_means, sign_flip_p, smallest_p, student_interval
from biasmask.metrics.table_draws import Threshold

# Metrics of which less is better; selection rate and mean score have no better side, and of all others more is better.
LESS_IS_BETTER = {*GAPS, "fpr", "brier", "ece"} - {"auroc_worst_group"}
NO_BETTER_SIDE = {"selection_rate", "mean_score"}
ROUNDING = 1e-12


@dataclass(frozen=True)
class SeedSummary:
    """A figure over runs. NaN is undefined, and `reason` says why; a reason can also name the runs left out."""

    mean: float
    spread: float  # standard deviation over runs, ddof = 1
    low: float
    high: float
    n_runs: int
    reason: str | None = None


@dataclass(frozen=True)
class SeedComparison:
    """The mean over runs of other minus one. NaN is undefined, and `reason` says why; it can also name runs left out."""

    value: float
    low: float  # of the bootstrap over runs and rows
    high: float
    t_low: float  # Student's, over the runs' differences
    t_high: float
    p_value: float  # of the sign-flip test
    wins: int | None  # runs in which `other` is better; None for a metric without a better side
    losses: int | None
    ties: int | None
    n_runs: int
    reason: str | None = None
    n_clusters: int | None = None  # splits behind interval and p; None where each run stands for itself


def better_side(key: str) -> int:
    """+1 where more is better, -1 where less is, 0 where neither is.

    >>> better_side("test/auroc"), better_side("test:nv/fpr/sex=female"), better_side("test/mean_score/sex=female")
    (1, -1, 0)
    """
    metric = key.split("/")[1]
    return 0 if metric in NO_BETTER_SIDE else -1 if metric in LESS_IS_BETTER else 1


def summarize_runs(
    frames: Sequence[pd.DataFrame],
    thresholds: Sequence[Threshold],
    attributes: Mapping[str, tuple[str, ...]],
    split: str = "test",
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    mean_over: Sequence[str] = (),
    clusters: Sequence[Hashable] | None = None,
) -> dict[str, SeedSummary]:
    """Each figure's mean and spread over runs, with a bootstrap interval of the mean over runs and test rows.

    Args:
        frames: R frames, as for `evaluation.evaluate_predictions`; on the same test rows or on others (splits).
        thresholds: R, each of its own run.
        attributes: attribute -> group names in order; the first one sets the strata.
        split: first part of each key.
        n_bootstrap: number of draws; 0 = no intervals.
        confidence: coverage of the intervals, in (0, 1).
        seed: of the draws.
        mean_over: attributes whose mean gap is a figure of its own (`attribute_means`).
        clusters: R names of what runs share, such as their split; None = runs are independent.

    Returns:
        key -> SeedSummary. A run in which a figure is undefined is left out of that figure, and the reason names it.
        With one run there is no spread, and the interval is about the test rows alone.

    Raises:
        ValueError: no runs; as many thresholds as runs are needed; as `evaluate_predictions`.

    Source: bootstrap at two levels, Davison and Hinkley 1997, section 3.8.

    >>> frame = pd.DataFrame({"row": [0, 1, 2], "score": [0.25, 0.5, 0.75], "target": [0, 1, 1]})
    >>> summary = summarize_runs([frame, frame], [0.6, 0.5], {}, n_bootstrap=10)["test/accuracy"]
    >>> round(summary.mean, 4), round(summary.spread, 4), summary.n_runs
    (0.8333, 0.2357, 2)
    """
    runs = [read_predictions(frame, attributes) for frame in frames]
    made = draw_runs(runs, thresholds, split, run_weights(runs, n_bootstrap, seed), mean_over)
    points, draws = torch.stack([run.point for run in made]), torch.stack([run.draws for run in made])
    lows, highs, notes = mean_intervals(points, draws, confidence, seed, clusters)
    found = {}
    for column, key in enumerate(made[0].counts):
        values = _defined(points[:, column])
        spread = stdev(values) if len(values) > 1 else math.nan
        reason = runs_reason([run.reasons[key] for run in made], points[:, column], notes[column], clusters=clusters)
        middle = _mean(cluster_means(points[:, column].tolist(), clusters))
        found[key] = SeedSummary(middle, spread, lows[column], highs[column], len(values), reason)
    return found


def compare_runs_paired(
    one: Sequence[pd.DataFrame],
    other: Sequence[pd.DataFrame],
    thresholds_one: Sequence[Threshold],
    thresholds_other: Sequence[Threshold],
    attributes: Mapping[str, tuple[str, ...]],
    split: str = "test",
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    mean_over: Sequence[str] = (),
    clusters: Sequence[Hashable] | None = None,
) -> dict[str, SeedComparison]:
    """`other` minus `one` for each figure, over runs that belong together (the same seed and split).

    Args:
        one: R frames, as for `summarize_runs`.
        other: R frames; the i-th has the rows, targets and groups of the i-th of `one`.
        thresholds_one: R.
        thresholds_other: R.
        attributes, split, n_bootstrap, confidence, seed, mean_over, clusters: as for `summarize_runs`.

    Returns:
        key -> SeedComparison. A run in which either figure is undefined is left out of that figure, and the reason names
        it. Both models of a run are weighed with the same rows in each draw.

    Raises:
        ValueError: other numbers of runs; rows that differ within a pair; as `summarize_runs`.

    Source: as `summarize_runs`; sign flips, of whole clusters where there are such: Fisher 1935. Splits drawn at random again and
    again share rows, so that even they aren't independent: Nadeau and Bengio 2003.

    >>> frame = pd.DataFrame({"row": [0, 1, 2], "score": [0.25, 0.5, 0.75], "target": [0, 1, 1]})
    >>> pairs = compare_runs_paired([frame, frame], [frame, frame], [0.6, 0.6], [0.5, 0.5], {}, n_bootstrap=10)
    >>> pairs["test/accuracy"].wins, pairs["test/accuracy"].p_value, pairs["test/auroc"].ties
    (2, 0.5, 2)
    """
    if len(one) != len(other):
        raise ValueError(f"{len(one)} runs against {len(other)}: a paired comparison needs the same seeds and splits of both")
    before, after = ([read_predictions(frame, attributes) for frame in frames] for frames in (one, other))
    for index, (base, changed) in enumerate(zip(before, after, strict=True)):
        try:
            check_same_rows(base, changed)
        except ValueError as error:
            raise ValueError(f"run {index + 1}: {error}") from None
    weights = run_weights(before, n_bootstrap, seed)
    made = [
        draw_runs(before, thresholds_one, split, weights, mean_over),
        draw_runs(after, thresholds_other, split, weights, mean_over),
    ]
    points = torch.stack([b.point - a.point for a, b in zip(*made, strict=True)])
    draws = torch.stack([b.draws - a.draws for a, b in zip(*made, strict=True)])
    lows, highs, notes = mean_intervals(points, draws, confidence, seed, clusters)
    found = {}
    for column, key in enumerate(made[0][0].counts):
        values = _defined(points[:, column])
        tested = cluster_means(points[:, column].tolist(), clusters)
        t_low, t_high = student_interval(tested, confidence)
        texts = [either_reason(a.reasons[key], b.reasons[key]) for a, b in zip(*made, strict=True)]
        scores = _score(values, better_side(key))
        reason = runs_reason(texts, points[:, column], notes[column], smallest_p(len(tested)), clusters)
        found[key] = SeedComparison(
            _mean(tested),
            lows[column],
            highs[column],
            t_low,
            t_high,
            sign_flip_p(tested, seed),
            *scores,
            len(values),
            reason,
            None if clusters is None else len(tested),
        )
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being many: the chance of one false alarm among all of them stays below the level.

    Formula: the i-th smallest of m is multiplied by m - i + 1, at most 1, and never below the one before it.

    Args:
        p_values: each in [0, 1]; NaN = no test was made, and it doesn't count among the m.

    Returns:
        The corrected ones in the same order; NaN stays NaN.

    Raises:
        ValueError: a p-value outside [0, 1].

    Source: Holm 1979.

    >>> holm([0.01, 0.04, 0.03, float("nan")])
    [0.03, 0.06, 0.06, nan]
    """
    for value in p_values:
        if not math.isnan(value) and not 0.0 <= value <= 1.0:
            raise ValueError(f"p-value {value} is outside [0, 1]")
    order = sorted((index for index, value in enumerate(p_values) if not math.isnan(value)), key=lambda index: p_values[index])
    adjusted = [math.nan] * len(p_values)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _defined(values: Tensor) -> list[float]:
    return values[~values.isnan()].tolist()


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _score(values: Sequence[float], side: int) -> tuple[int | None, int | None, int | None]:
    """Wins, losses and ties; figures that are equal but for rounding tie."""
    if not side:
        return None, None, None
    wins, losses = (sum(sign * value > ROUNDING for value in values) for sign in (side, -side))
    return wins, losses, len(values) - wins - losses
