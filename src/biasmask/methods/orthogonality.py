"""Losses that make target words orthogonal to attribute words, and hold the attribute words where they were.

Letters: L layers, B sentences, T tokens, D dimensions, K groups of the attribute (male, female).
"""

from itertools import combinations
from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["per_attribute", "sum", "difference"]
REDUCTIONS = ("per_attribute", "sum", "difference")


def keyword_embedding(hidden: Tensor, keyword_mask: Tensor) -> Tensor:
    """Embedding of the keyword of each sentence: the mean over its marked sub-tokens.

    Args:
        hidden: float (..., B, T, D), outputs of one or more layers.
        keyword_mask: bool or number (B, T), above 0 on the keyword's sub-tokens; a number is a weight (the reference counts a
            sub-token twice that matches twice).
    Returns:
        (..., B, D) in float32 at least; NaN for a sentence without a marked sub-token.
    Source:
        Kaneko and Bollegala 2021 (arXiv 2101.09523), token level.

    >>> keyword_embedding(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]])).tolist()
    [[2.0]]
    """
    weight = keyword_mask.to(torch.promote_types(hidden.dtype, torch.float32))
    total = torch.matmul(weight.unsqueeze(-2), hidden.to(weight.dtype)).squeeze(-2)
    return total / weight.sum(-1, keepdim=True)


def debias_loss(targets: Tensor, static: Tensor, reduction: Reduction = "per_attribute", weight: Tensor | None = None) -> Tensor:
    """How far target vectors t point along the attribute's vectors v_1..v_K, mean over t.

    `per_attribute`: sum over k of (t . v_k)^2. `sum`: (t . (v_1 + ... + v_K))^2, the published code, to which a target with
    t . v_1 = -t . v_2 costs nothing. `difference`: (t . (v_i - v_j))^2, mean over the pairs i < j, which charges only what
    tells the groups apart.

    Args:
        targets: float (..., N, D), or (L, ..., N, D) with one set of static vectors a layer.
        static: float (K, D), or (L, K, D) for targets of L layers.
        reduction: see above.
        weight: (..., N), broadcast over the leading dimensions: 0 leaves a vector (padding) out of the mean; None: all count.
    Returns:
        A scalar; a zero connected to the graph if no vector counts.
    Raises:
        ValueError: an unknown reduction, fewer than two groups, or shapes that don't fit.
    Source:
        Kaneko and Bollegala 2021, eq. 3 (`per_attribute`); the published code of arXiv 2207.02463 (`sum`); `difference` is ours.

    >>> v = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    >>> [float(debias_loss(torch.tensor([[2.0, 5.0]]), v, r)) for r in REDUCTIONS]
    [8.0, 0.0, 16.0]
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"attribute_reduction={reduction}: choose one of {', '.join(REDUCTIONS)}")
    if static.shape[-2] < 2 or static.shape[-1] != targets.shape[-1] or static.ndim not in (2, 3):
        raise ValueError(f"static vectors of shape {tuple(static.shape)} for targets of {tuple(targets.shape)}: give (K >= 2, D)")
    if static.ndim == 3 and static.shape[0] != targets.shape[0]:
        raise ValueError(f"static vectors of {static.shape[0]} layers for targets of {targets.shape[0]}")
    if reduction == "sum":
        directions = static.sum(-2, keepdim=True)
    elif reduction == "difference":
        pairs = list(combinations(range(static.shape[-2]), 2))
        directions = torch.stack([static[..., i, :] - static[..., j, :] for i, j in pairs], -2) / len(pairs) ** 0.5
    else:
        directions = static
    directions = directions.to(torch.promote_types(targets.dtype, torch.float32))
    if directions.ndim == 3:
        directions = directions.reshape(len(directions), *(1,) * (targets.ndim - 3), *directions.shape[1:])
    charge = torch.matmul(targets.to(directions.dtype), directions.transpose(-1, -2)).square().sum(-1)
    if weight is None:
        return charge.mean() if charge.numel() else charge.sum()
    weight = weight.to(charge.dtype).expand_as(charge)
    return (charge * weight).sum() / weight.sum().clamp(min=1)


def distance_loss(embedding: Tensor, original: Tensor, reduce: Literal["sum", "mean"] = "sum") -> Tensor:
    """Squared L2 distance to the original model's embeddings, mean over words and layers.

    Args:
        embedding: float (..., D).
        original: float (..., D), the frozen original's.
        reduce: over the D dimensions: `sum` (the published code of arXiv 2207.02463) or `mean` (Kaneko and Bollegala's code,
            D times smaller).
    Returns:
        A scalar; a zero connected to the graph for no word.
    Raises:
        ValueError: shapes differ, or an unknown `reduce`.
    Source:
        Kaneko and Bollegala 2021, eq. 4.

    >>> float(distance_loss(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2)))
    5.0
    """
    if embedding.shape != original.shape:
        raise ValueError(f"embeddings of shape {tuple(embedding.shape)} against originals of {tuple(original.shape)}")
    if reduce not in ("sum", "mean"):
        raise ValueError(f"distance_reduce={reduce}: choose sum or mean")
    squared = (embedding.to(torch.promote_types(embedding.dtype, torch.float32)) - original).square()
    per_word = squared.sum(-1) if reduce == "sum" else squared.mean(-1)
    return per_word.mean() if per_word.numel() else per_word.sum()


def sums_by_group(embedding: Tensor, group: Tensor, n_groups: int) -> tuple[Tensor, Tensor]:
    """Sums of embeddings by group, and how many there were: what static vectors are made of, batch by batch.

    Args:
        embedding: float (L, B, D).
        group: int (B,), 0..K-1.
        n_groups: K.
    Returns:
        (L, K, D) float64 sums, and (K,) counts.

    >>> sums, counts = sums_by_group(torch.ones(1, 3, 2), torch.tensor([0, 1, 1]), 2)
    >>> sums[0, :, 0].tolist(), counts.tolist()
    ([1.0, 2.0], [1, 2])
    """
    one_hot = torch.nn.functional.one_hot(group, n_groups).double()
    return torch.einsum("bk,lbd->lkd", one_hot, embedding.double()), one_hot.sum(0).long()
