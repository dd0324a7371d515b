"""Row weights: how often each row counts in each draw. Every metric of this package is a function of them.

A bootstrap draw is a row of integers (how often each sample was drawn), the point estimate is one row of ones. So one
piece of code gives the value and its whole bootstrap distribution, without a loop over draws.

Letters: D draws, N rows, n rows of a subset, K columns.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

# Elements of a chunk of weights in float64 (4 MB): all temporaries together stay near the processor's cache.
CHUNK_ELEMENTS = 2**19


def ones_weights(n_rows: int) -> Tensor:
    """The weights of the point estimate: one draw, in which each row counts once; shape (1, N), int32."""
    return torch.ones(1, n_rows, dtype=torch.int32)


def check_weights(weights: Tensor | None, n_rows: int) -> Tensor:
    """Return `weights`, or ones for None; ValueError if the shape isn't (D, N)."""
    if weights is None:
        return ones_weights(n_rows)
    if weights.ndim != 2 or weights.shape[1] != n_rows:
        raise ValueError(f"weights have shape {tuple(weights.shape)}, expected (draws, {n_rows}): one weight per row")
    return weights


def check_rows(n_rows: int, **columns: Tensor) -> None:
    """ValueError if a column is not one-dimensional with `n_rows` entries; the message names it."""
    for name, column in columns.items():
        if column.shape != (n_rows,):
            raise ValueError(f"{name} has shape {tuple(column.shape)}, expected ({n_rows},): one entry per row")


def check_target(target: Tensor) -> None:
    """ValueError if a target is neither 0 nor 1."""
    wrong = (target != 0) & (target != 1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(f"target holds {target[row].item()} at position {row}, expected 0 or 1")


def check_classes(scores: Tensor, target: Tensor) -> range:
    """The places of the classes of scores (N, C); ValueError if there are no N x C scores, or a target is no class."""
    if scores.ndim != 2 or target.shape != scores.shape[:1]:
        raise ValueError(f"scores have shape {tuple(scores.shape)}, expected ({target.shape[0]}, classes): one row per target")
    wrong = (target < 0) | (target >= scores.shape[1])
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(f"target holds {target[row].item()} at position {row}, expected 0..{scores.shape[1] - 1}")
    return range(scores.shape[1])


def weight_chunks(weights: Tensor, rows: Tensor | None = None) -> Iterator[Tensor]:
    """Walk over the draws: float64 pieces (some draws, n) of `weights`, with the columns `rows` in that order."""
    n_rows = weights.shape[1] if rows is None else len(rows)
    for piece in weights.split(max(1, CHUNK_ELEMENTS // max(1, n_rows))):
        yield (piece if rows is None else piece.index_select(1, rows)).to(torch.float64)


def weighted_sums(columns: Tensor, weights: Tensor, rows: Tensor | None = None) -> Tensor:
    """Sum of each column in each draw.

    Formula: sum over rows of weight times entry.

    Args:
        columns: (n, K) float64, one row for each of `rows` (or for each of the N rows).
        weights: (D, N) integer or float, >= 0.
        rows: (n,) int64, the rows that count; None = all.

    Returns:
        (D, K) float64; 0 for an empty subset.

    >>> weighted_sums(torch.tensor([[1.0], [10.0]]), torch.tensor([[1, 1], [2, 0]])).tolist()
    [[11.0], [2.0]]
    """
    columns = columns.to(torch.float64)
    return torch.cat([piece @ columns for piece in weight_chunks(weights, rows)])


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, and NaN where the denominator is 0: undefined is never 0.

    >>> ratio(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    return torch.where(denominator > 0, numerator / denominator, torch.nan)
