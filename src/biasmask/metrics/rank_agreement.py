"""How well scores agree with a graded target in rank: sentence likeness against that of people."""

import math

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from biasmask.metrics.measurement import Measurement, undefined, with_interval


def rank_agreement(
    scores: Tensor, target: Tensor, base: Tensor | None = None, n_draws: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Measurement:
    """Spearman's rank correlation of scores and a target, or what it is above that of other scores of the same items.

    Formula: Pearson's correlation of the ranks, ties at their mean; each bootstrap draw ranks its items anew.

    Args:
        scores: (N,) float, such as cosines of sentence pairs.
        target: (N,) float, the grades.
        base: (N,) float, scores of another model: then the difference, scores minus base, on the same draws.
        n_draws, confidence, seed: of the interval, by item.

    Returns:
        Measurement in [-1, 1]; NaN with the reason where scores or target are constant or not finite, or with fewer than 2 items.

    Raises:
        ValueError: lengths that differ.

    Source: Spearman 1904; Cer et al. 2017 for the task (they report Pearson's as well).

    >>> rank_agreement(torch.tensor([0.1, 0.2, 0.9]), torch.tensor([0.0, 3.0, 5.0]), n_draws=0).value
    1.0
    """
    columns = [scores] if base is None else [scores, base]
    if any(column.shape != target.shape or column.ndim != 1 for column in columns):
        raise ValueError(f"scores and target have shapes {[tuple(c.shape) for c in [*columns, target]]}, expected one length")
    values = [column.detach().cpu().to(torch.float64).numpy() for column in [*columns, target]]
    n = len(target)
    if n < 2:
        return undefined(n, "fewer than two items")
    if not all(np.isfinite(column).all() for column in values):
        return undefined(n, "a score or a grade is not finite")
    if any(column.min() == column.max() for column in values):
        return undefined(n, "scores or grades are all the same")
    *mine, grades = values
    random = np.random.default_rng(seed)
    draws = [_difference(mine, grades, random.integers(0, n, n)) for _ in range(n_draws)]
    return with_interval(_difference(mine, grades, np.arange(n)), torch.tensor(draws, dtype=torch.float64), n, confidence)


def _difference(columns: list[np.ndarray], grades: np.ndarray, items: np.ndarray) -> float:
    found = [_spearman(column[items], grades[items]) for column in columns]
    return found[0] - found[1] if len(found) == 2 else found[0]


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    x, y = (rankdata(column) - (len(column) + 1) / 2 for column in (x, y))
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale else math.nan
