"""Masks by depth: the last or the first layers of a network, for the rivals that freeze the others."""

from collections.abc import Mapping

import torch
from torch import Tensor

from biasmask.methods.selection import spread, units


def depth_mask(like: Mapping[str, Tensor], share: float, end: str = "last") -> dict[str, Tensor]:
    """The last (or first) layers, as many as hold at most a share of all parameters, and never less than one.

    A layer is all tensors whose names agree up to the last dot. Layers are never divided.

    Args:
        like: name -> tensor, in the order of the network; only names, shapes and devices count.
        share: of the parameters, in (0, 1].
        end: `last` (near the head) or `first` (near the image).
    Returns:
        Name -> bool tensor, all True or all False.
    Raises:
        ValueError: share out of range, an unknown end, or no parameters.
    Source:
        Surgical fine-tuning (Lee et al. 2022) trains one part of the depth; the rule by share is ours.

    >>> mask = depth_mask({"a.w": torch.zeros(6), "b.w": torch.zeros(2), "b.b": torch.zeros(1), "c.w": torch.zeros(1)}, 0.4)
    >>> [bool(part.all()) for part in mask.values()]
    [False, True, True, True]
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: it must be above 0 and at most 1")
    if end not in ("last", "first"):
        raise ValueError(f"end is {end!r}: use last or first")
    if not any(tensor.numel() for tensor in like.values()):
        raise ValueError("there are no parameters to choose from")
    sizes = units({name: torch.zeros(tensor.shape) for name, tensor in like.items()}, "layer")[1]
    ordered = sizes.flip(0) if end == "last" else sizes
    # The tolerance lets a share that was computed from a sum of layers take all of them.
    taken = max(1, int((ordered.cumsum(0) <= share * int(sizes.sum()) + 1e-6).sum()))
    chosen = torch.arange(len(sizes)) < taken
    return spread(chosen.flip(0) if end == "last" else chosen, like, "layer")
