"""Block masks on weights: from scores to a mask, its grid, the regulariser, random controls and the overlap of two.

Letters: O and I output and input features of a weight (O, I), R and C rows and columns of its grid of blocks.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Masks = dict[str, Tensor]


def check_grid(out_features: int, in_features: int, rows: int, columns: int, what: str) -> tuple[int, int]:
    """Rows and columns of the grid of blocks that cover a weight: (out / rows, in / columns).

    Args:
        out_features: rows of the weight, >= 1.
        in_features: columns of the weight, >= 1.
        rows: rows of a block.
        columns: columns of a block.
        what: name of the weight, for the message.
    Returns:
        (R, C).
    Raises:
        ValueError: the blocks don't cover the weight exactly; the sizes that do, for square blocks, are listed.

    >>> check_grid(768, 3072, 64, 64, "intermediate")
    (12, 48)
    """
    if rows >= 1 and columns >= 1 and out_features % rows == 0 and in_features % columns == 0:
        return out_features // rows, in_features // columns
    fitting = [n for n in range(1, min(out_features, in_features) + 1) if out_features % n == 0 and in_features % n == 0]
    sizes = ", ".join(map(str, fitting))
    raise ValueError(
        f"blocks of {rows} x {columns} don't divide {what} of {out_features} x {in_features}; sizes that do: {sizes}"
    )


class _Binarize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, threshold: float, min_kept: float, sigmoid: bool) -> Tensor:
        kept = (torch.sigmoid(scores) if sigmoid else scores) > threshold
        floor = _floor(scores.numel(), min_kept)
        if floor and int(kept.sum()) < floor:
            best = torch.sort(scores.flatten(), descending=True, stable=True).indices[:floor]
            kept = torch.zeros_like(scores, dtype=torch.bool).flatten().index_fill_(0, best, True).view_as(scores)
        return kept.to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return gradient, None, None, None


def _floor(n: int, share: float) -> int:
    return -int(-round(share * n, 9) // 1)  # rounded first, so that 0.1 * 30 doesn't ask for a fourth block


def binarize(scores: Tensor, threshold: float, min_kept: float = 0.0, sigmoid: bool = True) -> Tensor:
    """The mask that scores give: M = 1[sigmoid(S) > tau], with the gradient of the identity (straight through).

    A pruned block goes on receiving gradient, and so may come back.

    Args:
        scores: float tensor of any shape, one entry a block.
        threshold: tau; a score at the threshold is pruned.
        min_kept: share of the blocks in [0, 1] that stays whatever the threshold: where fewer pass, the
            ceil(min_kept * n) highest scores do (ties: the smaller index). Above 0 a matrix never vanishes.
        sigmoid: compare sigmoid(S) with the threshold; else S itself.
    Returns:
        Tensor of 0 and 1, of the shape and dtype of `scores`.
    Raises:
        ValueError: `min_kept` is out of range.
    Source:
        Block movement pruning as in arXiv 2207.02463; the derivative of the sigmoid is left out there too.

    >>> binarize(torch.tensor([[-3.0, 0.0], [2.0, -2.0]]), threshold=0.1)
    tensor([[0., 1.],
            [1., 1.]])
    >>> binarize(torch.tensor([-3.0, -5.0, -4.0]), threshold=0.1, min_kept=0.3)
    tensor([1., 0., 0.])
    """
    if not 0 <= min_kept <= 1:
        raise ValueError(f"min_kept is {min_kept}: it is a share of the blocks, from 0 to 1")
    mask: Tensor = _Binarize.apply(scores, threshold, min_kept, sigmoid)
    return mask


def expand(mask: Tensor, shape: Sequence[int]) -> Tensor:
    """Repeat each entry of a grid over its block: (R, C) to (O, I).

    Args:
        mask: (R, C), any dtype.
        shape: (O, I), multiples of R and C.
    Returns:
        (O, I), same dtype.

    >>> expand(torch.tensor([[1, 0]]), (2, 4)).tolist()
    [[1, 1, 0, 0], [1, 1, 0, 0]]
    """
    (rows, columns), (out_features, in_features) = mask.shape, shape
    blocks = mask[:, None, :, None].expand(rows, out_features // rows, columns, in_features // columns)
    return blocks.reshape(out_features, in_features)


def block_sum(dense: Tensor, grid: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
    """Sum of a weight-shaped tensor over each block: the adjoint of `expand`.

    Args:
        dense: (O, I), float.
        grid: (R, C), which divide O and I.
        dtype: dtype to sum in; none: that of `dense`.
    Returns:
        (R, C).

    >>> block_sum(torch.ones(4, 6), (2, 3)).tolist()
    [[4.0, 4.0, 4.0], [4.0, 4.0, 4.0]]
    """
    return blocks(dense, grid).sum((1, 3), dtype=dtype)


def blocks(dense: Tensor, grid: Sequence[int]) -> Tensor:
    """View of a weight-shaped tensor (O, I) as its blocks, (R, O / R, C, I / C).

    >>> blocks(torch.zeros(4, 6), (2, 3)).shape
    torch.Size([2, 2, 3, 2])
    """
    viewed: Tensor = dense.unflatten(1, (grid[1], -1)).unflatten(0, (grid[0], -1))
    return viewed


def rows_kept(mask: Tensor, out_features: int) -> Tensor:
    """Which rows of the weight have a block left: the bias entry of the others falls away.

    Args:
        mask: (R, C) of 0 and 1.
        out_features: O, a multiple of R.
    Returns:
        (O,) of 0 and 1, without gradient, in the dtype of `mask`.

    >>> rows_kept(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), 4)
    tensor([1., 1., 0., 0.])
    """
    return mask.detach().amax(1).repeat_interleave(out_features // mask.shape[0])


def regulariser(attention: Sequence[Tensor], feed_forward: Sequence[Tensor]) -> Tensor:
    """How open the scores are: R = half the mean over attention matrices of mean sigmoid(S), half that of feed-forward.

    Args:
        attention: scores of the attention matrices, each of any shape, float.
        feed_forward: scores of the feed-forward parts.
    Returns:
        Scalar in [0, 1]. Where one kind is absent, R is the mean of the other with weight 1, so that lambda keeps its
        meaning; frozen scores are not to be handed in, they would only dilute it.
    Raises:
        ValueError: no scores at all.
    Source:
        arXiv 2207.02463 and its published code (which counts frozen scores too).

    >>> regulariser([torch.zeros(2, 2)], [torch.full((3,), 100.0)]).item()
    0.75
    """
    kinds = [[torch.sigmoid(scores).mean() for scores in kind] for kind in (attention, feed_forward) if kind]
    if not kinds:
        raise ValueError("the regulariser needs the scores of at least one matrix")
    return torch.stack([torch.stack(means).mean() for means in kinds]).mean()


def shuffled(
    masks: Mapping[str, Tensor],
    seed: int,
    within: Literal["network", "matrix"] = "network",
    block_weights: Mapping[str, int] | None = None,
) -> Masks:
    """Random masks that prune as many blocks as given ones: the control that a found mask has to beat.

    Args:
        masks: name -> bool grid, True = kept.
        seed: seed of the draw; the same masks and seed give the same result.
        within: `matrix` keeps the number of each matrix; `network` the number over all matrices whose blocks have
            the same number of weights.
        block_weights: name -> weights of one block, which tells what `network` may mix; none: matrices with grids of the
            same number of dimensions are mixed (grids of blocks, vectors of neurons).
    Returns:
        Name -> bool grid of the same shape, on the same device.
    Raises:
        ValueError: `within` is neither, or a name has no number of weights.

    >>> masks = {"a": torch.tensor([True, False]), "b": torch.tensor([False, False, True])}
    >>> sum(int(mask.sum()) for mask in shuffled(masks, seed=0).values())
    2
    """
    if within not in ("network", "matrix"):
        raise ValueError(f"masks are shuffled within the network or within a matrix, not within {within!r}")
    if block_weights is not None and (missing := masks.keys() - block_weights.keys()):
        raise ValueError(f"no number of weights of a block is given for {', '.join(sorted(missing))}")
    kinds: dict[Any, list[str]] = {}
    for name, mask in masks.items():
        kind = name if within == "matrix" else mask.ndim if block_weights is None else block_weights[name]
        kinds.setdefault(kind, []).append(name)
    generator, drawn = torch.Generator().manual_seed(seed), {}
    for names in kinds.values():
        flat = torch.cat([masks[name].flatten().bool().cpu() for name in names])
        flat = flat[torch.randperm(len(flat), generator=generator)]
        for name, part in zip(names, flat.split([masks[name].numel() for name in names]), strict=True):
            drawn[name] = part.view(masks[name].shape).to(masks[name].device)
    return {name: drawn[name] for name in masks}


def overlap(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> tuple[float, float]:
    """How far two masks prune the same blocks: intersection over union of the pruned sets, and what chance gives.

    Chance: for each matrix, pruned sets of the same sizes drawn independently share p_a p_b / n blocks on average;
    the value is the sum of these over the sum of the unions that go with them.

    Args:
        a: name -> bool grid, True = kept.
        b: the same names and shapes.
    Returns:
        (intersection over union, its value for random masks), each in [0, 1]; NaN where neither mask prunes a block.
    Raises:
        ValueError: names or shapes differ.

    >>> overlap({"w": torch.tensor([False, False, True, True])}, {"w": torch.tensor([True, False, False, True])})
    (0.3333333333333333, 0.3333333333333333)
    """
    if a.keys() != b.keys() or any(a[name].shape != b[name].shape for name in a):
        raise ValueError("two masks can be compared only where they are of the same matrices with the same grids")
    both = either = 0
    chance = 0.0
    for name, mask in a.items():
        first, second = ~mask.bool().cpu(), ~b[name].bool().cpu()
        both += int((first & second).sum())
        either += int((first | second).sum())
        chance += int(first.sum()) * int(second.sum()) / max(1, mask.numel())
    if not either:
        return math.nan, math.nan
    return both / either, chance / (both + either - chance)
