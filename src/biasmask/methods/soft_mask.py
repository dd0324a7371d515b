"""SWiFT's soft mask: how much of each update goes through, instead of a yes or no."""

from collections.abc import Mapping

import torch
from torch import Tensor


def soft_mask(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A weight in [0, 1) for each parameter: tanh of its score.

    m = tanh(s), with s the ratio of bias importance to task importance; every tensor takes part, there is no threshold.

    Args:
        scores: name -> float tensor of any shape, >= 0 and finite (see `importance_ratio`).
    Returns:
        Name -> tensor of the same shape and dtype (a very large score gives exactly 1).
    Raises:
        ValueError: a score is negative or not finite.
    Source:
        SWiFT (MELBA 2025:015).

    >>> [round(v, 3) for v in soft_mask({"w": torch.tensor([0.0, 0.5, 5.0])})["w"].tolist()]
    [0.0, 0.462, 1.0]
    """
    for name, score in scores.items():
        if not bool((torch.isfinite(score) & (score >= 0)).all()):
            raise ValueError(f"scores of {name} are negative or not finite: a soft mask needs ratios of importances")
    return {name: torch.tanh(score) for name, score in scores.items()}


def reset_entries(mask: Mapping[str, Tensor], times: float = 1.0) -> dict[str, Tensor]:
    """The entries of a head that start from 0: those whose soft mask exceeds the mean of their tensor.

    m > times * mean of m over the tensor. A tensor of one entry, such as the bias of a head with one output, has none.

    Args:
        mask: name -> soft mask, float tensor in [0, 1].
        times: of the mean, >= 0.
    Returns:
        Name -> bool tensor of the same shape.
    Raises:
        ValueError: a negative or undefined factor.
    Source:
        SWiFT (MELBA 2025:015), times = 1.

    >>> reset_entries({"head": torch.tensor([0.1, 0.2, 0.9])})["head"].tolist()
    [False, False, True]
    """
    if not times >= 0:
        raise ValueError(f"times is {times}: give a number of at least 0")
    return {name: part > times * part.mean() for name, part in mask.items()}
