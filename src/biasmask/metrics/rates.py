"""Rates of a table of counts [..., class, prediction]. Undefined is NaN, never 0.

Each function takes counts (..., 2, 2) float64 >= 0, as `group_counts` gives them, and returns (...) float64 in [0, 1].
"""

import torch
from torch import Tensor

from biasmask.metrics.row_weights import ratio


def tpr(counts: Tensor) -> Tensor:
    """True positive rate: predicted positive among the positives. NaN without a positive.

    >>> tpr(torch.tensor([[3.0, 1.0], [1.0, 3.0]])).item()
    0.75
    """
    return ratio(counts[..., 1, 1], counts[..., 1, :].sum(-1))


def fpr(counts: Tensor) -> Tensor:
    """False positive rate: predicted positive among the negatives. NaN without a negative.

    >>> fpr(torch.tensor([[3.0, 1.0], [1.0, 3.0]])).item()
    0.25
    """
    return ratio(counts[..., 0, 1], counts[..., 0, :].sum(-1))


def ppv(counts: Tensor) -> Tensor:
    """Positive predictive value (precision): positives among the predicted positive. NaN if none is predicted so.

    >>> ppv(torch.tensor([[3.0, 0.0], [1.0, 0.0]])).item()
    nan
    """
    return ratio(counts[..., 1, 1], counts[..., :, 1].sum(-1))


def selection_rate(counts: Tensor) -> Tensor:
    """Selection rate: predicted positive among all rows. NaN without a row.

    >>> selection_rate(torch.tensor([[3.0, 1.0], [1.0, 3.0]])).item()
    0.5
    """
    return ratio(counts[..., :, 1].sum(-1), counts.sum((-2, -1)))


def accuracy(counts: Tensor) -> Tensor:
    """Accuracy: predictions that equal the target, among all rows. NaN without a row.

    >>> accuracy(torch.tensor([[3.0, 1.0], [1.0, 3.0]])).item()
    0.75
    """
    return ratio(counts[..., 0, 0] + counts[..., 1, 1], counts.sum((-2, -1)))


def balanced_accuracy(counts: Tensor) -> Tensor:
    """Balanced accuracy: mean of the true positive and the true negative rate. NaN if a class is absent.

    >>> balanced_accuracy(torch.tensor([[3.0, 1.0], [1.0, 1.0]])).item()
    0.625
    """
    return (tpr(counts) + 1 - fpr(counts)) / 2


def f1(counts: Tensor) -> Tensor:
    """F1: 2 TP / (2 TP + FP + FN). NaN without a positive, where recall is undefined (scikit-learn gives 0 there).

    >>> f1(torch.tensor([[3.0, 1.0], [1.0, 3.0]])).item()
    0.75
    """
    positives = counts[..., 1, :].sum(-1)
    return torch.where(positives > 0, 2 * counts[..., 1, 1] / (positives + counts[..., :, 1].sum(-1)), torch.nan)
