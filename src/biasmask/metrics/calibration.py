"""Calibration with row weights: Brier score and expected calibration error for all draws at once."""

import torch
from torch import Tensor

from biasmask.metrics.row_weights import check_rows, check_target, check_weights, ratio, weighted_sums

N_BINS = 15


def _checked(score: Tensor, target: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor]:
    check_rows(len(target), score=score, target=target)
    check_target(target)
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError("score holds a value outside [0, 1] or NaN: calibration needs probabilities, not logits")
    score, target = score.to(torch.float64), target.to(torch.float64)
    return (score, target) if rows is None else (score[rows], target[rows])


def _weighted_mean(values: Tensor, weights: Tensor, rows: Tensor | None) -> Tensor:
    sums = weighted_sums(torch.stack([values, torch.ones_like(values)], 1), weights, rows)
    return ratio(sums[:, 0], sums[:, 1])


def brier(score: Tensor, target: Tensor, weights: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
    """Brier score: mean of (score - target) squared.

    Args:
        score: (N,) float in [0, 1].
        target: (N,) integer, 0 or 1.
        weights: (D, N) integer or float >= 0; None = each row once (D = 1).
        rows: (n,) int64, the rows that count; None = all.

    Returns:
        (D,) float64 in [0, 1]; NaN for an empty group.

    Raises:
        ValueError: shapes that differ, a score outside [0, 1], a target other than 0/1.

    Source: Brier 1950, the form for two classes.

    >>> brier(torch.tensor([0.5, 1.0]), torch.tensor([0, 1])).item()
    0.125
    """
    weights = check_weights(weights, len(target))
    score, target = _checked(score, target, rows)
    return _weighted_mean((score - target).square(), weights, rows)


def mean_score(score: Tensor, target: Tensor, weights: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
    """Mean of the score; arguments, errors and the empty group as for `brier`.

    >>> mean_score(torch.tensor([0.5, 1.0]), torch.tensor([0, 1])).item()
    0.75
    """
    weights = check_weights(weights, len(target))
    return _weighted_mean(_checked(score, target, rows)[0], weights, rows)


def expected_calibration_error(
    score: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    rows: Tensor | None = None,
    n_bins: int = N_BINS,
) -> Tensor:
    """Expected calibration error over bins of equal width.

    Formula: sum over bins of (share of the rows) times |share of positives - mean score|, which is the sum over bins of
    |sum of (target - score)| / number of rows. Bins of equal width over [0, 1], closed on the left, the last on both
    sides. It is about the score of the positive class, not the confidence in the predicted one.

    Args:
        score: (N,) float in [0, 1].
        target: (N,) integer, 0 or 1.
        weights: (D, N) integer or float >= 0; None = each row once (D = 1).
        rows: (n,) int64, the rows that count; None = all.
        n_bins: number of bins.

    Returns:
        (D,) float64 in [0, 1]; NaN for an empty group. It's biased upwards in small samples.

    Raises:
        ValueError: shapes that differ, a score outside [0, 1], a target other than 0/1.

    Source: Guo et al. 2017, section 2 (15 bins; bins there are closed on the right).

    >>> expected_calibration_error(torch.tensor([0.25, 0.25, 1.0]), torch.tensor([0, 1, 1])).item()
    0.16666666666666666
    """
    weights = check_weights(weights, len(target))
    score, target = _checked(score, target, rows)
    bins = (score * n_bins).long().clamp_(max=n_bins - 1)
    columns = torch.zeros(len(score), n_bins + 1, dtype=torch.float64)
    columns[torch.arange(len(score)), bins] = target - score
    columns[:, n_bins] = 1.0
    sums = weighted_sums(columns, weights, rows)
    return ratio(sums[:, :n_bins].abs().sum(1), sums[:, n_bins])
