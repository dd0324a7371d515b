"""The permutation test of WEAT: would a random split of the targets differ as much?"""

import math
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
import torch
from torch import Tensor

# Numbers of one chunk of draws in float64 (2 MB): both buffers together stay in the processor's cache.
CHUNK_ELEMENTS = 2**18


@dataclass(frozen=True)
class PValue:
    """A p-value: `n` partitions were looked at, all there are when `exact`. NaN is undefined, and `reason` says why."""

    value: float
    exact: bool
    n: int
    reason: str | None = None


def permutation_p_value(s_x: Tensor, s_y: Tensor, n_draws: int = 100_000, seed: int = 0) -> PValue:
    """One-sided p-value of the difference of mean associations, over partitions of all targets into sets of these sizes.

    Formula: share of the partitions of X and Y together whose mean over the first part minus mean over the second is at
    least the observed difference (a tie counts). With at most `n_draws` partitions each is looked at once; else
    p = (1 + draws that reach it) / (1 + draws), which is never 0.

    Args:
        s_x: (n,) float, associations of X as `association.association` gives them.
        s_y: (m,) float, associations of Y.
        n_draws: random partitions, at least 1; also the largest number that is enumerated.
        seed: of the draws.

    Returns:
        PValue; NaN with a reason for an empty set or an association that isn't finite; 1 when all are the same.

    Raises:
        ValueError: associations that aren't one-dimensional, n_draws below 1.

    Source: Caliskan et al. 2017, in the form of May et al. 2019 for sets of unequal size; +1 of Phipson and Smyth 2010.
    Targets count as exchangeable: several sentences of one word aren't, and then p is too small.

    >>> permutation_p_value(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0]))
    PValue(value=0.16666666666666666, exact=True, n=6, reason=None)
    """
    if s_x.ndim != 1 or s_y.ndim != 1:
        raise ValueError(f"associations have shapes {tuple(s_x.shape)} and {tuple(s_y.shape)}, expected one number a target")
    if n_draws < 1:
        raise ValueError(f"n_draws is {n_draws}, expected 1 or more")
    for name, s in (("X", s_x), ("Y", s_y)):
        if not len(s):
            return PValue(math.nan, False, 0, f"{name} is empty")
        if not s.isfinite().all():
            return PValue(math.nan, False, 0, f"{int((~s.isfinite()).sum())} associations of {name} are undefined")
    pooled = torch.cat([s_x, s_y]).to(torch.float64).cpu()
    # Around the mean the rounding of a sum is smallest; the order of partitions stays as it is.
    pooled = pooled - pooled.mean()
    # The smaller set decides the cost. The difference of means grows with the sum over X and falls with that over Y.
    flip = len(s_y) < len(s_x)
    size = min(len(s_x), len(s_y))
    pooled = -pooled.flip(0) if flip else pooled
    # Sums of the same numbers in another order differ by rounding, and are ties.
    reached = pooled[:size].sum() - len(pooled) * torch.finfo(torch.float64).eps * pooled.abs().sum()
    total = math.comb(len(pooled), size)
    if total <= n_draws:
        count = int((_all_sums(pooled, size, total) >= reached).sum())
        return PValue(count / total, True, total, _tie_reason(pooled))
    count = int((_random_sums(pooled, size, n_draws, seed) >= reached).sum())
    return PValue((count + 1) / (n_draws + 1), False, n_draws, _tie_reason(pooled))


def _all_sums(pooled: Tensor, size: int, total: int) -> Tensor:
    """Sum over the chosen ones, for each way to choose `size` of all: (total,) float64."""
    chosen = np.fromiter(chain.from_iterable(combinations(range(len(pooled)), size)), np.int64, total * size)
    return pooled[torch.from_numpy(chosen)].reshape(total, size).sum(1)


def _random_sums(pooled: Tensor, size: int, n_draws: int, seed: int) -> Tensor:
    """Sum over `size` targets chosen without replacement, for each draw: (n_draws,) float64.

    The first `size` steps of a Fisher-Yates shuffle, each for all draws of a chunk at once.
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(pooled)
    width = max(1, min(n_draws, CHUNK_ELEMENTS // n))
    left = torch.arange(n, n - size, -1, dtype=torch.float64).unsqueeze(1)
    step = torch.arange(size).unsqueeze(1)
    shuffled = torch.empty(n, width, dtype=torch.float64)
    sums = torch.zeros(n_draws, dtype=torch.float64)
    for piece in sums.split(width):
        deck = shuffled[:, : len(piece)]
        deck.copy_(pooled.unsqueeze(1))
        # rand is at most 1 - 2**-53, so the product rounds to less than the number left.
        place = torch.rand(size, len(piece), generator=generator, dtype=torch.float64).mul_(left).long().add_(step)
        for i in range(size):
            row = place[i : i + 1]
            piece += deck.gather(0, row)[0]
            deck.scatter_(0, row, deck[i : i + 1].clone())
    return sums


def _tie_reason(pooled: Tensor) -> str | None:
    return "all associations are the same" if pooled.max() == pooled.min() else None
