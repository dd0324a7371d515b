"""Counts of group x class x prediction: all rates and gaps are made of them.

Letters: D draws, N rows, G groups.
"""

import torch
from torch import Tensor

from biasmask.metrics.row_weights import check_rows, check_target, check_weights, weighted_sums


def group_counts(
    prediction: Tensor, target: Tensor, group: Tensor, n_groups: int, weights: Tensor | None = None
) -> Tensor:
    """Count rows by group, class and prediction, in every draw.

    Formula: counts[d, g, c, k] = sum of weights[d] over rows of group g with target c and prediction k. A group that
    doesn't occur keeps its place with zeros, so labels never shift.

    Args:
        prediction: (N,) integer or bool, 0 or 1.
        target: (N,) integer, 0 or 1.
        group: (N,) integer, -1..G-1; -1 = the attribute is missing, the row is left out.
        n_groups: G >= 1.
        weights: (D, N) integer >= 0; None = each row once (D = 1).

    Returns:
        (D, G, 2, 2) float64; zeros for a group without rows.

    Raises:
        ValueError: shapes that differ, a class or prediction other than 0/1, a group outside -1..G-1.

    Source: own; torchmetrics' group counts shift the labels when a group is absent from a batch.

    >>> group_counts(torch.tensor([1, 0, 1]), torch.tensor([1, 1, 0]), torch.tensor([2, 2, -1]), 3)[0, 2].tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    n_rows = target.shape[0] if target.ndim else 0
    check_rows(n_rows, prediction=prediction, target=target, group=group)
    check_target(target)
    if ((prediction != 0) & (prediction != 1)).any():
        raise ValueError("prediction holds a value other than 0 and 1: apply the threshold to the scores first")
    if n_groups < 1 or (n_rows and (int(group.min()) < -1 or int(group.max()) >= n_groups)):
        raise ValueError(f"group index outside -1..{n_groups - 1}: it must match the {n_groups} group names")
    weights = check_weights(weights, n_rows)

    cell = (group.long() * 2 + target.long()) * 2 + prediction.long()
    present = (group >= 0).nonzero().flatten()
    columns = torch.zeros(n_rows, n_groups * 4, dtype=torch.float64)
    columns[present, cell[present]] = 1.0
    return weighted_sums(columns, weights).reshape(-1, n_groups, 2, 2)
