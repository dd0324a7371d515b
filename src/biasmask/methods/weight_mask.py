"""From the scores of parameters to a mask: the top share of them; and the masks of controls.

A mask is a dict: parameter name -> bool tensor of the parameter's shape, True = may be edited.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from biasmask.methods.importance_score import min_max
from biasmask.methods.selection import above, check_scores, flatten, spread, top, units

Granularity = Literal["weight", "channel", "layer"]
Tensors = Mapping[str, Tensor]
Mask = dict[str, Tensor]


def hard_mask(scores: Tensors, edit_fraction: float, granularity: Granularity = "weight") -> Mask:
    """The parameters with the highest scores, all tensors ranked together.

    `weight`: exactly round(edit_fraction * n) of the n parameters; ties go to the earlier parameter, then the smaller
    flat index. `channel`: whole rows (index of dimension 0; an entry where there is one dimension), ranked by their
    mean score. `layer`: all tensors of a module (names that agree up to the last dot), ranked by their mean score. For
    these two the budget still counts parameters: the number of units whose size comes nearest to it.

    Args:
        scores: name -> float tensor, finite; the order of the names breaks ties.
        edit_fraction: share of the parameters to edit, in (0, 1]; 1 - rate/100 in BMFT's words.
        granularity: `weight`, `channel` or `layer`.
    Returns:
        Name -> bool tensor of the same shape, on the same device.
    Raises:
        ValueError: the mask would be empty, the fraction is out of range, or a score is not finite.
    Source:
        BMFT (arXiv 2408.06890): s > percentile there, which leaves out all ties (see `reference_mask`).

    >>> hard_mask({"a": torch.tensor([3.0, 1.0]), "b": torch.tensor([1.0, 0.0])}, 0.5)
    {'a': tensor([True, True]), 'b': tensor([False, False])}
    """
    return hard_masks(scores, [edit_fraction], granularity)[edit_fraction]


def hard_masks(scores: Tensors, edit_fractions: Sequence[float], granularity: Granularity = "weight") -> dict[float, Mask]:
    """Several masks from one ranking, each contained in the next larger one. See `hard_mask`.

    Args:
        scores: name -> float tensor, finite.
        edit_fractions: each in (0, 1].
        granularity: `weight`, `channel` or `layer`.
    Returns:
        Fraction -> mask.
    Raises:
        ValueError: as `hard_mask`.

    >>> masks = hard_masks({"w": torch.tensor([0.1, 0.4, 0.3, 0.2])}, [0.25, 0.5])
    >>> masks[0.25]["w"].tolist(), masks[0.5]["w"].tolist()
    ([False, True, False, False], [False, True, True, False])
    """
    scores = check_scores(scores)
    n = sum(score.numel() for score in scores.values())
    budgets = {}
    for fraction in edit_fractions:
        if not 0 < fraction <= 1:
            raise ValueError(f"edit_fraction is {fraction}: it must be above 0 and at most 1")
        budgets[fraction] = round(fraction * n)
        if budgets[fraction] == 0:
            raise ValueError(f"edit_fraction {fraction} of {n} parameters selects none: raise it to {1 / n:.3g} or more")
    if granularity == "weight":
        flat = flatten(scores)
        return {fraction: top(scores, flat, count) for fraction, count in budgets.items()}
    if granularity not in ("channel", "layer"):
        raise ValueError(f"granularity is {granularity!r}: use weight, channel or layer")
    means, sizes = units(scores, granularity)
    order = torch.sort(means, descending=True, stable=True).indices
    reached = torch.cat([torch.zeros(1, dtype=torch.int64), sizes[order].cumsum(0)])
    masks = {}
    for fraction, count in budgets.items():
        n_units = int((reached - count).abs().argmin())
        if n_units == 0:
            raise ValueError(
                f"edit_fraction {fraction} is at most half of the first {granularity} ({int(reached[1])} of {n} "
                "parameters), the mask would be empty: raise it, or use a finer granularity"
            )
        chosen = torch.zeros(len(means), dtype=torch.bool)
        chosen[order[:n_units]] = True
        masks[fraction] = spread(chosen, scores, granularity)
    return masks


def threshold_of(scores: Tensors, rate: float) -> float:
    """The `rate`-th percentile of all scores together, linearly interpolated.

    With the n scores in ascending order, h = (n - 1) * rate / 100 and k = floor h: s[k] + (h - k) * (s[k + 1] - s[k]).

    Args:
        scores: name -> float tensor, finite.
        rate: in [0, 100].
    Returns:
        The threshold, computed in double precision.
    Raises:
        ValueError: no scores, one is not finite, or the rate is out of range.
    Source:
        BMFT (arXiv 2408.06890), reference rate 50. Equal to numpy.percentile, at a fraction of its time.

    >>> threshold_of({"w": torch.tensor([1.0, 2.0, 4.0, 8.0])}, 50)
    3.0
    """
    if not 0 <= rate <= 100:
        raise ValueError(f"rate is {rate}: a percentile lies between 0 and 100")
    flat = flatten(check_scores(scores))
    position = (len(flat) - 1) * (rate / 100)
    below = math.floor(position)
    flat.partition(below)
    low = float(flat[below])
    if position == below:
        return low
    # One partition and a minimum beat a partition for two places by far.
    return low + (position - below) * (float(flat[below + 1 :].min()) - low)


def reference_mask(scores: Tensors, rate: float) -> Mask:
    """BMFT's mask as published: every parameter whose score lies above the `rate`-th percentile (strictly).

    Args:
        scores: name -> float tensor, finite.
        rate: in [0, 100]; 50 edits half of the backbone.
    Returns:
        Name -> bool tensor. Scores that tie at the threshold all stay out: the share may be smaller than 1 - rate/100.
    Raises:
        ValueError: the mask would be empty, or as `threshold_of`.
    Source:
        BMFT (arXiv 2408.06890).

    >>> reference_mask({"w": torch.tensor([1.0, 2.0, 4.0, 8.0])}, 50)["w"].tolist()
    [False, False, True, True]
    """
    scores = check_scores(scores)
    threshold = threshold_of(scores, rate)
    mask = {name: above(score, threshold) for name, score in scores.items()}
    if not any(bool(part.any()) for part in mask.values()):
        raise ValueError(f"no score lies above the {rate}-th percentile ({threshold:.6g}): lower the rate or use hard_mask")
    return mask


def random_mask(like: Tensors, edit_fraction: float, seed: int, granularity: Granularity = "weight") -> Mask:
    """Control: as many parameters (channels, layers) as `hard_mask` takes, drawn at random.

    Args:
        like: name -> tensor; only names, shapes and devices count.
        edit_fraction: share of the parameters, in (0, 1].
        seed: same seed, same mask, whatever the device.
        granularity: `weight`, `channel` or `layer`.
    Returns:
        Name -> bool tensor.
    Raises:
        ValueError: as `hard_mask`.
    Source:
        Ours (a control): same density over all, not per tensor.

    >>> int(random_mask({"w": torch.zeros(4, 5)}, 0.25, seed=1)["w"].sum())
    5
    """
    generator = torch.Generator().manual_seed(seed)
    if granularity == "weight":
        scores = {name: torch.rand(tensor.shape, generator=generator) for name, tensor in like.items()}
    else:
        blank = {name: torch.zeros(tensor.shape) for name, tensor in like.items()}
        # One number a unit: means over random entries would favour small units at both ends.
        n_units = len(units(blank, granularity)[0])
        scores = spread(torch.rand(n_units, generator=generator), blank, granularity)
    mask = hard_mask(scores, edit_fraction, granularity)
    return {name: mask[name].to(like[name].device) for name in like}


def bias_only(bias: Tensors, edit_fraction: float, granularity: Granularity = "weight") -> Mask:
    """Control: the hard mask of the bias importance (min-max per tensor) without the ratio to the task importance.

    Args:
        bias: bias importance, name -> float tensor, finite.
        edit_fraction: share of the parameters, in (0, 1].
        granularity: `weight`, `channel` or `layer`.
    Returns:
        Name -> bool tensor.
    Raises:
        ValueError: as `hard_mask`.

    >>> bias_only({"w": torch.tensor([0.1, 0.9])}, 0.5)["w"].tolist()
    [False, True]
    """
    return hard_mask(min_max(bias), edit_fraction, granularity)


def ones_mask(like: Tensors) -> Mask:
    """Control: every parameter.

    Args:
        like: name -> tensor; only names, shapes and devices count.
    Returns:
        Name -> bool tensor, all True.

    >>> ones_mask({"w": torch.zeros(2)})["w"].tolist()
    [True, True]
    """
    return {name: torch.ones(tensor.shape, dtype=torch.bool, device=tensor.device) for name, tensor in like.items()}


def density(mask: Tensors) -> dict[str, float]:
    """Share of each tensor that the mask selects.

    Args:
        mask: name -> bool tensor.
    Returns:
        Name -> share in [0, 1]; NaN for a tensor without entries.

    >>> density({"w": torch.tensor([True, False])})
    {'w': 0.5}
    """
    return {name: int(torch.count_nonzero(part)) / part.numel() if part.numel() else math.nan for name, part in mask.items()}
