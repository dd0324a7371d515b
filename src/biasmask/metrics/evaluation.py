"""Evaluate one model, or the difference of two, from predictions alone: values, intervals, n and reasons.

Intervals come from a bootstrap of rows, stratified by first attribute x target (rows without the first attribute form
strata of their own), so that every draw has the table's number of positives and negatives in each group of the first
attribute. Groups of further attributes vary in size from draw to draw. Rows without an attribute stay in the overall
figures and are left out of that attribute's group figures and gaps. There are intervals and no p-values. A table with a
score for each of more than two classes gives the figures of `multiclass`.

Three limits. Rows are drawn one by one, so several rows of one subject make intervals too narrow. Intervals are for
tables with these numbers of positives and negatives per group: figures that move with the share of positives (selection
rate, accuracy, PPV, mean score, demographic parity) vary more between tables whose shares vary. And a gap is never
negative, so its percentile interval leans upwards and says little about "is the gap 0": look at the groups' own rates.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pandas as pd
import torch
from torch import Tensor

from biasmask.metrics.bootstrap import percentile_interval
from biasmask.metrics.multiclass import multiclass_draws
from biasmask.metrics.predictions import Predictions, check_same_rows, read_predictions
from biasmask.metrics.table_draws import TableDraws, Threshold, strata_blocks, two_class_draws


@dataclass(frozen=True)
class MetricValue:
    """A figure with its interval. NaN is undefined, and `reason` says why; a reason can also warn of few rows."""

    value: float
    low: float
    high: float
    n: int
    n_positive: int
    reason: str | None = None


def evaluate_predictions(
    frame: pd.DataFrame,
    attributes: Mapping[str, tuple[str, ...]],
    threshold: Threshold,
    split: str = "test",
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, MetricValue]:
    """All figures of one model on one table, with percentile intervals.

    Formula: each metric on the rows as they are, and on `n_bootstrap` stratified draws (see the module's text); an
    undefined draw is left out of the interval, and with more than 5 % of such draws there is no interval.

    Args:
        frame: columns row, score (float in [0, 1]), target (0 or 1), `attribute:<name>` (string, null = missing); more
            than two classes and decisions of another kind: see `read_predictions`.
        attributes: attribute -> group names in order; the first one sets the strata.
        threshold: frozen, from the validation split; positive when score >= threshold. With more than two classes a
            mapping class -> threshold. Not looked at (it may be NaN) where the frame holds decisions.
        split: first part of each key, such as test; without "/".
        n_bootstrap: number of draws; 0 = values without intervals.
        confidence: coverage of the intervals, in (0, 1).
        seed: of the draws.

    Returns:
        `split/metric[/attribute[=group]]` -> MetricValue, for more than two classes also `split:<class>/...`. An empty
        group keeps its keys, with NaN and a reason.

    Raises:
        ValueError: as `read_predictions`; a split with "/"; a threshold that is NaN or of another number of classes.

    Source: bootstrap of Efron and Tibshirani 1993; metrics as in their own files.

    >>> frame = pd.DataFrame({"row": [0, 1, 2], "score": [0.25, 0.5, 0.75], "target": [0, 1, 1]})
    >>> evaluate_predictions(frame, {}, threshold=0.6, n_bootstrap=10)["test/accuracy"].value
    0.6666666666666666
    """
    predictions = read_predictions(frame, attributes)
    blocks = [draw_table(predictions, threshold, split, block) for block in strata_blocks(predictions, n_bootstrap, seed)]
    made = blocks[0]
    return _with_intervals(made.counts, made.point, torch.cat([block.draws for block in blocks]), confidence, made.reasons)


def compare_predictions(
    base_frame: pd.DataFrame,
    debiased_frame: pd.DataFrame,
    attributes: Mapping[str, tuple[str, ...]],
    thresholds: tuple[Threshold, Threshold],
    split: str = "test",
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, MetricValue]:
    """Debiased minus base for every figure, with paired intervals.

    Formula: in each draw both models are evaluated with the same row weights, and the interval is that of their
    difference. A model against itself differs by exactly 0.

    Args:
        base_frame: as for `evaluate_predictions`.
        debiased_frame: the same rows (matched by `row`), targets and groups, scores of the other model.
        attributes: attribute -> group names in order; the first one sets the strata.
        thresholds: (base, debiased), each frozen from the validation split.
        split: first part of each key.
        n_bootstrap: number of draws; 0 = values without intervals.
        confidence: coverage of the intervals, in (0, 1).
        seed: of the draws.

    Returns:
        As `evaluate_predictions`, of the difference; NaN where either model's figure is undefined.

    Raises:
        ValueError: rows, targets or groups that differ; as `evaluate_predictions`.

    Source: paired bootstrap, Efron and Tibshirani 1993.

    >>> frame = pd.DataFrame({"row": [0, 1, 2], "score": [0.25, 0.5, 0.75], "target": [0, 1, 1]})
    >>> compare_predictions(frame, frame, {}, thresholds=(0.6, 0.6), n_bootstrap=10)["test/auroc"].value
    0.0
    """
    models = [read_predictions(frame, attributes) for frame in (base_frame, debiased_frame)]
    check_same_rows(*models)
    draws = []
    for block in strata_blocks(models[0], n_bootstrap, seed):
        base, debiased = (draw_table(model, threshold, split, block) for model, threshold in zip(models, thresholds, strict=True))
        draws.append(debiased.draws - base.draws)
    reasons = {key: _joint_reason(text, debiased.reasons[key]) for key, text in base.reasons.items()}
    return _with_intervals(base.counts, debiased.point - base.point, torch.cat(draws), confidence, reasons)


def draw_table(predictions: Predictions, threshold: Threshold, split: str, weights: Tensor) -> TableDraws:
    """Every figure of one model on one table and in each draw, for two classes or more.

    Args:
        predictions: N rows.
        threshold: as for `evaluate_predictions`.
        split: first part of each key.
        weights: (D, N) integer >= 0, the draws.

    Returns:
        TableDraws.

    Raises:
        ValueError: a split with "/"; a threshold that is NaN or of another number of classes.

    >>> frame = pd.DataFrame({"row": [0, 1], "score": [0.25, 0.5], "target": [0, 1]})
    >>> from biasmask.metrics.table_draws import strata_weights
    >>> rows = read_predictions(frame, {})
    >>> draw_table(rows, 0.3, "val", strata_weights(rows, 5, seed=0)).draws.shape
    torch.Size([5, 7])
    """
    if not split or "/" in split:
        raise ValueError(f"split '{split}' can't be the first part of a metric key: give a name without '/'")
    if predictions.class_names:
        return multiclass_draws(predictions, threshold, split, weights)
    if isinstance(threshold, Mapping):
        raise ValueError(f"thresholds of classes {list(threshold)} for predictions of two classes: give one number")
    return two_class_draws(predictions, threshold, split, weights)


def to_json(values: Mapping[str, MetricValue]) -> dict[str, dict[str, float | int | str | None]]:
    """Plain dictionaries for `metrics.json`; NaN becomes None, which JSON writes as null.

    >>> undefined = MetricValue(float("nan"), float("nan"), float("nan"), 4, 0, "no positive")
    >>> to_json({"test/auroc": undefined})["test/auroc"]["value"] is None
    True
    """

    def plain(entry: float | int | str | None) -> float | int | str | None:
        return None if isinstance(entry, float) and not math.isfinite(entry) else entry

    return {key: {name: plain(entry) for name, entry in asdict(value).items()} for key, value in values.items()}


def _joint_reason(base: str | None, debiased: str | None) -> str | None:
    if base == debiased:
        return base
    return "; ".join(f"{model}: {text}" for model, text in (("base", base), ("debiased", debiased)) if text)


def _with_intervals(
    counts: Mapping[str, tuple[int, int]],
    point: Tensor,
    draws: Tensor,
    confidence: float,
    reasons: Mapping[str, str | None],
) -> dict[str, MetricValue]:
    lows, highs, undefined = (ends.tolist() for ends in percentile_interval(draws, confidence))
    found = {}
    for column, ((key, count), value) in enumerate(zip(counts.items(), point.tolist(), strict=True)):
        low, high, reason = lows[column], highs[column], reasons[key]
        # A figure that is undefined in the table is so in every draw, and its reason is given already.
        if math.isnan(low) and not math.isnan(value):
            lost = f"undefined in {undefined[column]} of {len(draws)} draws" if len(draws) else "no draws asked for"
            reason = "; ".join(text for text in (reason, f"no interval: {lost}") if text)
        found[key] = MetricValue(value, low, high, *count, reason)
    return found
