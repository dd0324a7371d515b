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
