"""Which heads and neurons of a masked layer have no part in its output any more, and the rows that are left."""

import torch
from torch import Tensor


def whole_heads(value_rows: Tensor, output_columns: Tensor, n_heads: int) -> Tensor:
    """Heads that can be taken out without a change of the output.

    What a head adds is its attention times its value rows times its output columns: nothing, where all its value rows (with
    their bias) or all its output columns are masked. A masked query or key is no reason: it means uniform attention.

    Args:
        value_rows: (heads * dim,) bool, True = the row of the value weight and its bias are masked.
        output_columns: (heads * dim,) bool, True = the column of the output weight is masked.
        n_heads: number of heads, >= 1.
    Returns:
        (heads,) bool, True = removable.
    Raises:
        ValueError: the lengths differ, or the heads don't divide them.
    Source:
        Differs from the published code of arXiv 2207.02463, which takes out heads whose query or key is masked, too.

    >>> whole_heads(torch.tensor([True, True, False, True]), torch.tensor([False] * 4), 2).tolist()
    [True, False]
    """
    if value_rows.shape != output_columns.shape or value_rows.ndim != 1 or n_heads < 1 or len(value_rows) % n_heads:
        raise ValueError(
            f"value rows {tuple(value_rows.shape)} and output columns {tuple(output_columns.shape)} "
            f"must be two vectors of the same length, divided by {n_heads} heads"
        )
    rows, columns = value_rows.bool().view(n_heads, -1), output_columns.bool().view(n_heads, -1)
    return rows.all(1) | columns.all(1)


def whole_neurons(first_rows: Tensor, second_columns: Tensor, zero_stays_zero: bool = True) -> Tensor:
    """Intermediate neurons that can be taken out without a change of the output.

    Args:
        first_rows: (n,) bool, True = the row of the first weight and its bias are masked.
        second_columns: (n,) bool, True = the column of the second weight is masked.
        zero_stays_zero: the activation between them gives 0 at 0 (GELU, ReLU, SiLU, tanh); else only columns count.
    Returns:
        (n,) bool, True = removable.
    Raises:
        ValueError: the lengths differ.

    >>> whole_neurons(torch.tensor([True, False, False]), torch.tensor([False, True, False])).tolist()
    [True, True, False]
    """
    if first_rows.shape != second_columns.shape or first_rows.ndim != 1:
        raise ValueError(
            f"rows {tuple(first_rows.shape)} and columns {tuple(second_columns.shape)} must be vectors of the same length"
        )
    return second_columns.bool() | (first_rows.bool() & zero_stays_zero)


def kept_units(removed: Tensor) -> Tensor:
    """Indices of the units that stay; where all would go, the first stays, so that no layer has a width of 0.

    The unit that stays is masked in the weights, and so adds nothing.

    Args:
        removed: (n,) bool, n >= 1.
    Returns:
        int64 indices in order, at least one.

    >>> kept_units(torch.tensor([True, False])).tolist(), kept_units(torch.tensor([True, True])).tolist()
    ([1], [0])
    """
    kept = torch.nonzero(~removed.bool()).flatten()
    return kept if len(kept) else torch.zeros(1, dtype=torch.long, device=removed.device)


def rows_of_heads(heads: Tensor, head_dim: int) -> Tensor:
    """Rows (or columns) of a weight that belong to heads.

    Args:
        heads: int64 indices of heads.
        head_dim: rows of a head, >= 1.
    Returns:
        int64 indices of rows, head by head.

    >>> rows_of_heads(torch.tensor([0, 2]), 3).tolist()
    [0, 1, 2, 6, 7, 8]
    """
    return (heads[:, None] * head_dim + torch.arange(head_dim, device=heads.device)).flatten()
