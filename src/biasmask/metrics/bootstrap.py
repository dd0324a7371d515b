"""Stratified bootstrap as integer row weights, and intervals from draws."""

from collections.abc import Iterator

import torch
from torch import Tensor

from biasmask.metrics.row_weights import CHUNK_ELEMENTS

# With more undefined draws than this share the rest would no longer be a fair picture of the spread.
MAX_UNDEFINED = 0.05
BLOCK_ELEMENTS = 2**25  # of int32: 128 MB


def bootstrap_weights(strata: Tensor, n_draws: int, seed: int) -> Tensor:
    """How often each row was drawn, in each of `n_draws` draws with replacement within each stratum.

    Formula: in a stratum of n rows, n rows are drawn with equal chance: its weights are multinomial (n; 1/n, ..., 1/n)
    and sum to n in every draw.

    Args:
        strata: (N,) integer, any labels; rows with the same label form a stratum (here group x target).
        n_draws: D >= 0.
        seed: fixes the draws for given strata and D.

    Returns:
        (D, N) int32 >= 0.

    Raises:
        ValueError: strata that aren't one-dimensional, a negative number of draws.

    Source: Efron and Tibshirani 1993, chapter 6. Rows are drawn one by one: where several rows come from one subject,
    the intervals are too narrow.

    >>> bootstrap_weights(torch.tensor([0, 0, 0, 7]), n_draws=3, seed=0)[:, 3].tolist()
    [1, 1, 1]
    """
    return torch.cat([*bootstrap_blocks(strata, n_draws, seed, elements=n_draws * len(strata) + CHUNK_ELEMENTS)])


def bootstrap_blocks(strata: Tensor, n_draws: int, seed: int, elements: int = BLOCK_ELEMENTS) -> Iterator[Tensor]:
    """`bootstrap_weights` some draws at a time, so that many draws of many rows never stand in memory at once.

    Args:
        strata, n_draws, seed: as `bootstrap_weights`.
        elements: entries of a block, about.

    Returns:
        Blocks (some draws, N) which one after the other are the D draws; at least one, be it of no draw.

    Raises:
        ValueError: as `bootstrap_weights`.

    >>> strata = torch.arange(4) % 2
    >>> torch.cat([*bootstrap_blocks(strata, 5, seed=0, elements=1)]).equal(bootstrap_weights(strata, 5, seed=0))
    True
    """
    if strata.ndim != 1:
        raise ValueError(f"strata have shape {tuple(strata.shape)}, expected one label per row")
    if n_draws < 0:
        raise ValueError(f"n_draws is {n_draws}, expected 0 or more")
    n_rows = len(strata)
    if not n_rows or not n_draws:
        yield torch.zeros(n_draws, n_rows, dtype=torch.int32)
        return
    generator = torch.Generator().manual_seed(seed)
    _, label = strata.unique(return_inverse=True)
    order = label.argsort(stable=True)
    sizes = torch.bincount(label)
    size = sizes[label[order]]
    start = (sizes.cumsum(0) - sizes)[label[order]]
    one = torch.ones(1, 1, dtype=torch.int32)
    together = max(1, CHUNK_ELEMENTS // n_rows)  # draws of which the numbers are drawn at once: a block holds whole ones
    for first in range(0, n_draws, step := max(1, elements // n_rows // together) * together):
        weights = torch.zeros(min(step, n_draws - first), n_rows, dtype=torch.int32)
        for piece in weights.split(together):
            # A place within the row's own stratum: rand is at most 1 - 2**-53, so the product rounds to less than the size.
            place = (torch.rand(piece.shape, generator=generator, dtype=torch.float64) * size).long().add_(start)
            piece.scatter_add_(1, order[place], one.expand_as(place))
        yield weights


def percentile_interval(draws: Tensor, confidence: float = 0.95) -> tuple[Tensor, Tensor, Tensor]:
    """Percentile interval of each column of draws.

    Formula: the (1 - confidence) / 2 and (1 + confidence) / 2 quantiles over the draws that are defined.

    Args:
        draws: (D, M) float64; NaN = undefined in that draw.
        confidence: in (0, 1).

    Returns:
        low (M,), high (M,) and the number of undefined draws (M,); low and high are NaN when more than 5 % of the draws
        are undefined, or when there is no draw.

    Raises:
        ValueError: a confidence outside (0, 1).

    Source: Efron and Tibshirani 1993, chapter 13.

    >>> [value.item() for value in percentile_interval(torch.arange(101.0).unsqueeze(1), 0.9)]
    [5.0, 95.0, 0]
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1 such as 0.95")
    undefined = draws.isnan().sum(0)
    if not len(draws):
        nothing = torch.full((draws.shape[1],), torch.nan, dtype=draws.dtype)
        return nothing, nothing.clone(), undefined
    ends = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=draws.dtype)
    low, high = draws.nanquantile(ends, dim=0)
    enough = undefined <= MAX_UNDEFINED * len(draws)
    return torch.where(enough, low, torch.nan), torch.where(enough, high, torch.nan), undefined
