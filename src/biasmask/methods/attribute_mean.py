"""One bias loss for several sensitive attributes at once."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from biasmask.methods.losses import BiasLoss, bias_loss


def mean_bias_loss(
    logits: Tensor, target: Tensor, groups: Mapping[str, Tensor], n_groups: Mapping[str, int], **settings: Any
) -> BiasLoss:
    """Mean over the attributes of each one's bias loss; an attribute that the batch leaves undefined is left out.

    Args:
        logits: float (N,) or (N, C).
        target: int (N,).
        groups: attribute -> int64 (N,), in -1..G-1; may hold more attributes than `n_groups`.
        n_groups: attribute -> G, at least 2; those that are debiased.
        settings: further keyword arguments of `bias_loss`.
    Returns:
        BiasLoss(value, defined); defined is False where no attribute has a defined loss. For one attribute it is `bias_loss`.
    Raises:
        ValueError: no attribute; as `bias_loss`.
    Source:
        Ours.

    >>> groups = {"sex": torch.tensor([0, 1, 0, 1]), "age": torch.tensor([0, 0, 1, 1])}
    >>> z, y = torch.tensor([0.75, 0.25, 0.5, 0.5]), torch.tensor([1, 1, 1, 1])
    >>> float(mean_bias_loss(z, y, groups, {"sex": 2, "age": 2}, inputs="scores").value)
    0.125
    """
    if not n_groups:
        raise ValueError("a bias loss needs at least one sensitive attribute")
    losses = [bias_loss(logits, target, groups[name], count, **settings) for name, count in n_groups.items()]
    defined = [loss.value for loss in losses if loss.defined]
    if not defined:
        return losses[0]
    return BiasLoss(defined[0] if len(defined) == 1 else torch.stack(defined).mean(), True)
