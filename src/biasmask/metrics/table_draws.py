"""Every figure of one model on one table: its value on the rows as they are and in each draw, its counts and its reason."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from biasmask.metrics.bootstrap import bootstrap_blocks, bootstrap_weights
from biasmask.metrics.metric_draws import figures, metric_draws
from biasmask.metrics.predictions import Predictions
from biasmask.metrics.reasons import value_reason
from biasmask.metrics.row_weights import ones_weights

Threshold = float | Mapping[str, float]


@dataclass(frozen=True)
class TableDraws:
    """M figures in the order of the keys of `counts`, which are those of `reasons` too."""

    counts: dict[str, tuple[int, int]]  # key -> rows, positives
    point: Tensor  # (M,) float64; NaN = undefined
    draws: Tensor  # (D, M) float64; NaN = undefined in that draw
    reasons: dict[str, str | None]


def strata_weights(predictions: Predictions, n_draws: int, seed: int) -> Tensor:
    """Bootstrap weights (D, N) within first attribute x target; rows without the attribute form strata of their own.

    >>> import torch
    >>> rows = Predictions(torch.arange(3), torch.rand(3), torch.tensor([0, 0, 1]), {}, {})
    >>> strata_weights(rows, n_draws=4, seed=0)[:, 2].tolist()
    [1, 1, 1, 1]
    """
    return bootstrap_weights(_strata(predictions), n_draws, seed)


def strata_blocks(predictions: Predictions, n_draws: int, seed: int) -> Iterator[Tensor]:
    """`strata_weights` in blocks of draws, at least one, for tables of many rows."""
    return bootstrap_blocks(_strata(predictions), n_draws, seed)


def _strata(predictions: Predictions) -> Tensor:
    strata = predictions.target
    if predictions.group:
        strata = strata + max(2, len(predictions.class_names)) * next(iter(predictions.group.values()))
    return strata


def two_class_draws(predictions: Predictions, threshold: float, split: str, weights: Tensor) -> TableDraws:
    """The figures of two classes.

    Args:
        predictions: N rows of two classes.
        threshold: predict positive when score >= threshold; not looked at where the predictions hold decisions.
        split: first part of each key.
        weights: (D, N) integer >= 0, the draws.

    Returns:
        TableDraws.

    Raises:
        ValueError: a threshold that is NaN and is needed.

    >>> import torch
    >>> rows = Predictions(torch.tensor([0, 1]), torch.tensor([0.2, 0.7]), torch.tensor([0, 1]), {}, {})
    >>> two_class_draws(rows, 0.5, "test", ones_weights(2)).counts["test/auroc"]
    (2, 1)
    """
    if math.isnan(threshold) and predictions.prediction is None:
        raise ValueError("threshold is NaN: choose it on the validation split with select_threshold")
    known = figures(predictions, split)
    point = metric_draws(predictions, threshold, split, ones_weights(len(predictions.row)), known)[0]
    draws = metric_draws(predictions, threshold, split, weights, known)
    counts, reasons = {}, {}
    for (key, figure), value in zip(known.items(), point.tolist(), strict=True):
        counts[key] = (sum(cell.rows for cell in figure.cells), sum(cell.positives for cell in figure.cells))
        reasons[key] = value_reason(value, figure.cells, figure.needs, figure.unseen, figure.is_gap)
    return TableDraws(counts, point, draws, reasons)
