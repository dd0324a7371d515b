"""The Linear layer that a pruner puts in place of another: the same parameters, seen through a mask."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from biasmask.methods.block_mask import binarize, rows_kept
from biasmask.methods.masked_product import masked_linear


@dataclass(eq=False)
class Level:
    """What all masks of a pruner have in common: the threshold, and the share of blocks that always stays."""

    threshold: float
    min_kept: float


@dataclass(eq=False)
class Gate:
    """The mask of one matrix, or of the neurons that two share: its scores, or a fixed mask in their place."""

    scores: nn.Parameter
    level: Level
    fixed: Tensor | None = None
    """Bool tensor of the shape of the scores; while it is set, the scores have no part and get no gradient."""

    def mask(self) -> Tensor:
        """Tensor of 0 and 1 in the shape of the scores, with the straight-through gradient to them."""
        if self.fixed is not None:
            return self.fixed.to(self.scores)
        return binarize(self.scores, self.level.threshold, self.level.min_kept)

    @torch.no_grad()
    def kept(self) -> Tensor:
        """The mask as a bool tensor."""
        return self.mask().bool()


@dataclass(frozen=True)
class Rows:
    """A slice of the rows of a weight, and its gate; none: these rows aren't masked."""

    gate: Gate | None
    grid: tuple[int, int]


class MaskedLinear(nn.Module):
    """Wraps a Linear: its own weight and bias Parameters under the same names, so that no key of a state dict changes.

    Args:
        linear: the layer to stand in for; its values are never changed.
        rows: slices of equal height that make up its rows, in order, all with the same grid (R, C) of blocks.
    """

    def __init__(self, linear: nn.Linear, rows: list[Rows]) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.rows = rows
        self.train(linear.training)
        self._original = (linear,)  # in a tuple, so that it isn't registered as a child

    @property
    def original(self) -> nn.Linear:
        """The layer that this one stands in for."""
        return self._original[0]

    def grid_mask(self) -> Tensor:
        """Mask of the whole weight, (R, C) of 0 and 1, slices one below the other."""
        masks = [self.weight.new_ones(part.grid) if part.gate is None else part.gate.mask().view(part.grid) for part in self.rows]
        return masks[0] if len(masks) == 1 else torch.cat(masks)

    def forward(self, x: Tensor) -> Tensor:
        mask = self.grid_mask()
        bias_mask = None if self.bias is None else rows_kept(mask, self.out_features)
        return masked_linear(x, self.weight, self.bias, mask, bias_mask)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


def replace_module(net: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in the place of another, wherever the network holds it."""
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if child is old:
                setattr(parent, name, new)
