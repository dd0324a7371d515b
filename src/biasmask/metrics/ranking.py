"""Ranking metrics with row weights: AUROC and average precision for all draws with one sort.

Letters: D draws, N rows, n rows of a subset, U distinct scores, C classes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from biasmask.metrics.row_weights import check_classes, check_rows, check_target, check_weights, ratio, weight_chunks


def _cumulated(score: Tensor, target: Tensor, weights: Tensor, rows: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight of positives and of negatives at or above each distinct score, from the highest: two (draws, U)."""
    rows = torch.arange(len(score)) if rows is None else rows
    # Integer weights sum exactly in float64, so the order of rows within a tie can't change a result.
    order = rows[torch.argsort(score[rows], descending=True, stable=True)]
    ordered, positive = score[order], target[order].to(torch.float64)
    last_of_tie = torch.ones(len(order), dtype=torch.bool)
    last_of_tie[:-1] = ordered[1:] != ordered[:-1]
    ends = None if last_of_tie.all() else last_of_tie.nonzero().flatten()
    for piece in weight_chunks(weights, order):
        above = piece.cumsum(1)
        above_positive = piece.mul_(positive).cumsum(1)
        if ends is not None:
            above, above_positive = above.index_select(1, ends), above_positive.index_select(1, ends)
        yield above_positive, above.sub_(above_positive)


def _checked(score: Tensor, target: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    check_rows(len(target), score=score, target=target)
    check_target(target)
    if score.isnan().any():
        raise ValueError(f"score is NaN at position {int(score.isnan().nonzero()[0])}: it can't be ranked")
    return score.to(torch.float64), check_weights(weights, len(target))


def auroc(score: Tensor, target: Tensor, weights: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
    """Area under the ROC curve: how often a positive scores above a negative.

    Formula: share of (positive, negative) pairs in which the positive has the higher score; a tie counts one half; a
    pair counts as often as the product of its weights.

    Args:
        score: (N,) float, any scale, no NaN.
        target: (N,) integer, 0 or 1.
        weights: (D, N) integer or float >= 0; None = each row once (D = 1).
        rows: (n,) int64, the rows that count, e.g. those of a group; None = all.

    Returns:
        (D,) float64 in [0, 1]; NaN in a draw (or an empty group) without a positive or without a negative.

    Raises:
        ValueError: shapes that differ, a NaN score, a target other than 0/1.

    Source: Hanley and McNeil 1982; equals scikit-learn's `roc_auc_score(..., sample_weight)`.

    >>> auroc(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1])).item()
    0.875
    """
    score, weights = _checked(score, target, weights)
    pieces = []
    for positives, negatives in _cumulated(score, target, weights, rows):
        if positives.shape[1] == 0:
            pieces.append(torch.full((len(positives),), torch.nan, dtype=torch.float64))
            continue
        # Trapezoids: the width is the step in negatives, the height the mean of the positives before and after it.
        area = positives[:, 0] * negatives[:, 0]
        area += (negatives.diff(dim=1) * (positives[:, 1:] + positives[:, :-1])).sum(1)
        pieces.append(ratio(area / 2, positives[:, -1] * negatives[:, -1]))
    return torch.cat(pieces)


def macro_auroc(scores: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over the classes of the AUROC of a class against the rest.

    Formula: mean of the AUROCs of the classes that have rows and aren't all rows. A draw that loses one of them is
    undefined: a mean over fewer classes is another quantity.

    Args:
        scores: (N, C) float, any scale, no NaN; a higher score in column c speaks for class c.
        target: (N,) integer, 0..C-1.
        weights: (D, N) integer or float >= 0; None = each row once (D = 1).

    Returns:
        (D,) float64 in [0, 1]; NaN with fewer than two classes in the table.

    Raises:
        ValueError: shapes that differ, a NaN score, a target outside 0..C-1.

    Source: equals scikit-learn's `roc_auc_score(..., multi_class="ovr", average="macro")`, which wants every class.

    >>> macro_auroc(torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]]), torch.tensor([0, 1, 0])).item()
    0.5
    """
    classes = check_classes(scores, target)
    weights = check_weights(weights, len(target))
    present = [index for index in classes if 0 < int((target == index).sum()) < len(target)]
    if not present:
        return torch.full((len(weights),), torch.nan, dtype=torch.float64)
    return torch.stack([auroc(scores[:, index], (target == index).long(), weights) for index in present]).mean(0)


def average_precision(score: Tensor, target: Tensor, weights: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
    """Average precision: precision averaged over the steps of recall.

    Formula: sum over distinct scores, from the highest, of (recall here - recall before) times precision here.

    Args:
        score: (N,) float, any scale, no NaN.
        target: (N,) integer, 0 or 1.
        weights: (D, N) integer or float >= 0; None = each row once (D = 1).
        rows: (n,) int64, the rows that count; None = all.

    Returns:
        (D,) float64 in [0, 1]; NaN in a draw (or an empty group) without a positive.

    Raises:
        ValueError: shapes that differ, a NaN score, a target other than 0/1.

    Source: as scikit-learn's `average_precision_score` (no interpolation), which gives 0 without a positive.

    >>> round(average_precision(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1])).item(), 4)
    0.8333
    """
    score, weights = _checked(score, target, weights)
    pieces = []
    for positives, negatives in _cumulated(score, target, weights, rows):
        if positives.shape[1] == 0:
            pieces.append(torch.full((len(positives),), torch.nan, dtype=torch.float64))
            continue
        step = positives.diff(dim=1, prepend=positives.new_zeros(len(positives), 1))
        # Before the first row with weight precision is 0/0, and the step of recall is 0.
        precision = (positives / (positives + negatives)).nan_to_num_(0.0)
        pieces.append(ratio((step * precision).sum(1), positives[:, -1]))
    return torch.cat(pieces)
