"""FairPrune: which weights matter least to the worst group and most to the best one.

Letters: G groups; L_g the task loss of the rows of group g.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from biasmask.methods.selection import check_scores, flatten, top

Tensors = Mapping[str, Tensor]


def saliency(weights: Tensors, curvature: Tensors) -> dict[str, Tensor]:
    """How much a group's loss rises when a weight becomes 0, to second order.

    S[theta] = 1/2 * H[theta] * theta^2, with H the diagonal of the Hessian of L_g.

    Args:
        weights: name -> float tensor.
        curvature: H, name -> float tensor of the weight's shape, >= 0; its names are those of the result. The mean squared
            gradient of L_g stands in for it (see `importance`).
    Returns:
        Name -> tensor of the same shape, >= 0.
    Raises:
        ValueError: shapes differ, or a curvature below 0.
    Source:
        FairPrune (Wu et al. 2022), after Optimal Brain Damage (LeCun et al. 1989).

    >>> saliency({"w": torch.tensor([1.0, -2.0])}, {"w": torch.tensor([4.0, 1.0])})["w"].tolist()
    [2.0, 2.0]
    """
    result = {}
    for name, diagonal in curvature.items():
        if weights[name].shape != diagonal.shape or bool((diagonal < 0).any()):
            raise ValueError(f"the curvature of {name} must have the weight's shape {tuple(weights[name].shape)} and be >= 0")
        result[name] = 0.5 * diagonal.double() * weights[name].double() ** 2
    return result


def pruning_scores(by_group: Mapping[int, Tensors], worst: int, best: int, beta: float) -> dict[str, Tensor]:
    """The score whose smallest values are pruned: saliency for the worst group minus beta times that for the others.

    score = S_worst - beta * S_best for G = 2; for G > 2 the mean saliency of all other groups stands for S_best.

    Args:
        by_group: group -> name -> saliency, at least two groups.
        worst, best: the groups that the model serves worst and best.
        beta: > 0; how much the best group's loss may rise for each bit of the worst group's that is spared.
    Returns:
        Name -> float64 tensor.
    Raises:
        ValueError: worst and best are one group, or beta is not above 0.
    Source:
        FairPrune (Wu et al. 2022) for two groups; more groups are ours.

    >>> groups = {0: {"w": torch.tensor([1.0, 3.0])}, 1: {"w": torch.tensor([4.0, 2.0])}}
    >>> pruning_scores(groups, worst=0, best=1, beta=0.5)["w"].tolist()
    [-1.0, 2.0]
    """
    if worst == best or not {worst, best} <= by_group.keys():
        raise ValueError(f"worst={worst} and best={best} must be two of the groups {sorted(by_group)}")
    if not beta > 0:
        raise ValueError(f"beta is {beta}: give a number above 0")
    others = [saliencies for group, saliencies in by_group.items() if group != worst]
    mean = {name: torch.stack([saliencies[name].double() for saliencies in others]).mean(0) for name in by_group[worst]}
    return {name: own.double() - beta * mean[name] for name, own in by_group[worst].items()}


def smallest_scores(scores: Tensors, pruned: Tensors, count: int) -> dict[str, Tensor]:
    """The entries to prune: those pruned before, and those of the smallest scores until there are `count` in all.

    Args:
        scores: name -> float tensor, finite; all tensors are ranked together, ties go to the earlier entry.
        pruned: name -> bool tensor of the same shape, True = already 0.
        count: entries in all, at least those pruned before and at most all.
    Returns:
        Name -> bool tensor, contains `pruned`.
    Raises:
        ValueError: a count out of range, or a score that is not finite.
    Source:
        FairPrune (Wu et al. 2022).

    >>> scores, pruned = {"w": torch.tensor([0.0, -3.0, 5.0, 1.0])}, {"w": torch.tensor([False, False, True, False])}
    >>> smallest_scores(scores, pruned, 3)["w"].tolist()
    [True, True, True, False]
    """
    scores = check_scores(scores)
    before, total = sum(int(p.sum()) for p in pruned.values()), sum(s.numel() for s in scores.values())
    if not before <= count <= total:
        raise ValueError(f"count is {count}: {before} entries are pruned already, of {total}")
    if count == 0:
        return {name: torch.zeros_like(part) for name, part in pruned.items()}
    negated = {name: torch.where(pruned[name], torch.inf, -score) for name, score in scores.items()}
    return top(negated, flatten(negated), count)
