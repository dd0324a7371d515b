"""A part of the change between two models: which entries of a delta lie where, and the delta of a choice of them.

A delta is that of `weight_delta`. Letters: K entries of one tensor that differ, N of all tensors together.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Slice = tuple[int, int, int]  # axis, start, stop


def changed_names(delta: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that a delta edits, in its order.

    >>> changed_names({"w:index": torch.tensor([0]), "w:bits": torch.tensor([1])})
    ['w']
    """
    return [key.removesuffix(":index") for key in delta if key.endswith(":index")]


def label_entries(index: Tensor, shape: Sequence[int], slices: Sequence[Slice], labels: Sequence[int]) -> Tensor:
    """The label of the slice in which each entry lies.

    Args:
        index: (K,) int64, flat positions in a tensor.
        shape: of the tensor.
        slices: axis, start, stop of slices that cover the tensor, each place once.
        labels: a number >= 0 for each slice.
    Returns:
        (K,) int64.
    Raises:
        ValueError: an entry lies in no slice, or in several.

    >>> label_entries(torch.tensor([0, 5]), (2, 3), [(1, 0, 2), (1, 2, 3)], [7, 8]).tolist()
    [7, 8]
    """
    found = torch.full_like(index, -1)
    for (axis, start, stop), label in zip(slices, labels, strict=True):
        after = 1
        for size in shape[axis + 1 :]:
            after *= size
        place = torch.div(index, after, rounding_mode="floor") % (shape[axis] if len(shape) else 1)
        inside = (place >= start) & (place < stop)
        if bool((found[inside] >= 0).any()):
            raise ValueError(f"slices {list(slices)} of a tensor {tuple(shape)} overlap: each place must lie in one of them")
        found[inside] = label
    if bool((found < 0).any()):
        raise ValueError(f"slices {list(slices)} don't cover the tensor {tuple(shape)}")
    return found


def choose(delta: Mapping[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    """The delta of some of its entries.

    Args:
        delta: of `weight_delta`.
        chosen: (N,) bool, over the entries of all tensors in the delta's order.
    Returns:
        A delta; tensors without a chosen entry are left out.
    Raises:
        ValueError: another number of entries.

    >>> delta = {"w:index": torch.tensor([0, 3]), "w:bits": torch.tensor([1, 2])}
    >>> choose(delta, torch.tensor([False, True]))["w:index"].tolist()
    [3]
    """
    names = changed_names(delta)
    sizes = [len(delta[f"{name}:index"]) for name in names]
    if len(chosen) != sum(sizes):
        raise ValueError(f"a choice of {len(chosen)} entries for a delta of {sum(sizes)}")
    found = {}
    for name, own in zip(names, chosen.split(sizes), strict=True):
        if bool(own.any()):
            found[f"{name}:index"] = delta[f"{name}:index"][own]
            found[f"{name}:bits"] = delta[f"{name}:bits"][own]
    return found


def random_choice(total: int, number: int, seed: int) -> Tensor:
    """So many of all entries, drawn at random without replacement.

    Args:
        total: N >= 0.
        number: of entries to draw, in [0, N].
        seed: of the draw.
    Returns:
        (N,) bool.
    Raises:
        ValueError: more entries than there are.

    >>> int(random_choice(10, 4, seed=0).sum())
    4
    """
    if not 0 <= number <= total:
        raise ValueError(f"{number} of {total} entries can't be drawn")
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:number]] = True
    return chosen
