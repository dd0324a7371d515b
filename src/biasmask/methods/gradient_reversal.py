"""Learning not to learn: features from which the sensitive attribute can't be told, by an adversary behind a reversed gradient.

Letters: N samples, F features, G groups; f the backbone, h the adversary that tells the group from the features.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call


class AdversaryLoss(NamedTuple):
    """What the adversary adds to a batch's loss: `prediction` and `entropy`, scalars; `defined` is False without any group."""

    prediction: Tensor
    entropy: Tensor
    defined: bool


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


def reverse_gradient(values: Tensor, factor: float) -> Tensor:
    """The values as they are; on the way back the gradient is multiplied by -factor.

    Args:
        values: float tensor.
        factor: >= 0; 0 lets no gradient through.
    Returns:
        A tensor with the same values.
    Source:
        Ganin and Lempitsky 2015 (arXiv 1409.7495).

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> (3 * reverse_gradient(x, 0.5)).sum().backward(); x.grad.tolist()
    [-1.5, -1.5]
    """
    return _Reversal.apply(values, factor)  # type: ignore[no-any-return]


def attribute_predictor(n_features: int, hidden: int, n_groups: int) -> nn.Sequential:
    """The adversary h: one hidden layer, or a linear one with hidden = 0.

    Args:
        n_features: F.
        hidden: width of the hidden layer, >= 0.
        n_groups: G, at least 2.
    Returns:
        A module from (N, F) to logits (N, G).
    Raises:
        ValueError: a size out of range.

    >>> attribute_predictor(8, 4, 3)(torch.zeros(5, 8)).shape
    torch.Size([5, 3])
    """
    if n_features < 1 or hidden < 0 or n_groups < 2:
        raise ValueError(f"an adversary of {n_features} features, width {hidden}, {n_groups} groups: give >= 1, >= 0 and >= 2")
    if hidden == 0:
        return nn.Sequential(nn.Linear(n_features, n_groups))
    return nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, n_groups))


def adversary_loss(predictor: nn.Module, features: Tensor, group: Tensor, factor: float) -> AdversaryLoss:
    """Both losses of the adversary on one batch.

    prediction = mean cross-entropy of h(f(x)) and the group, over samples that have one. Its gradient trains h, and reaches f
    multiplied by -factor. entropy = mean over all samples of the sum over groups of p log p, p = softmax(h(f(x))): minus the
    entropy. Its gradient goes into f alone: as it falls, the features leave h undecided.

    Args:
        predictor: h, from (N, F) to (N, G).
        features: float (N, F), connected to the graph of f.
        group: int64 (N,), in -1..G-1; -1 means missing.
        factor: of the reversed gradient, >= 0.
    Returns:
        AdversaryLoss; entropy is in [-log G, 0]. Without any group prediction is a zero connected to the graph.
    Raises:
        ValueError: shapes differ, an empty batch, or a group out of range.
    Source:
        Kim et al. 2019 (Learning Not To Learn, arXiv 1812.10352); they take both in turns, here in one step.

    >>> result = adversary_loss(attribute_predictor(2, 0, 2), torch.zeros(3, 2), torch.tensor([0, 1, -1]), 1.0)
    >>> result.defined, bool(-0.7 < result.entropy <= 0)
    (True, True)
    """
    if features.ndim != 2 or group.shape != features.shape[:1] or group.numel() == 0:
        raise ValueError(f"features {tuple(features.shape)} and groups {tuple(group.shape)} must be (N, F) and (N,), N >= 1")
    logits = predictor(reverse_gradient(features, factor)).float()
    if int(group.min()) < -1 or int(group.max()) >= logits.shape[1]:
        raise ValueError(f"groups run from {int(group.min())} to {int(group.max())}, expected -1 to {logits.shape[1] - 1}")
    known = group >= 0
    defined = bool(known.any())
    prediction = F.cross_entropy(logits[known], group[known]) if defined else logits.sum() * 0.0
    frozen = {name: parameter.detach() for name, parameter in predictor.named_parameters()}
    log_p = F.log_softmax(functional_call(predictor, frozen, (features,)).float(), 1)
    return AdversaryLoss(prediction, (log_p.exp() * log_p).sum(1).mean(), defined)


def warmed_up(step: int, warmup_steps: int) -> float:
    """The share of a factor in force at a step: a linear rise from 0 to 1 over the first steps, then 1.

    Args:
        step: optimizer steps done so far, >= 0.
        warmup_steps: length of the rise, >= 0; 0 = 1 from the start.
    Returns:
        In [0, 1].

    >>> [warmed_up(step, 4) for step in (0, 1, 4, 9)], warmed_up(0, 0)
    ([0.0, 0.25, 1.0, 1.0], 1.0)
    """
    return 1.0 if warmup_steps <= 0 else min(1.0, step / warmup_steps)
