"""The masked Linear layer, with the gradient of its block mask, which is where the time of block pruning goes.

Letters: T tokens, O and I output and input features of a weight (O, I), R and C rows and columns of its grid of blocks.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from biasmask.methods.block_mask import block_sum, blocks


def masked_linear(x: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor, bias_mask: Tensor | None = None) -> Tensor:
    """A Linear layer whose weight is masked by blocks: y = x (W * M)^T + b * bm.

    The gradient of the mask is the block sum of W * dL/d(W * M); the bias has no part in it. Where a block spans whole
    rows (grid (R, 1)) or whole columns (grid (1, C)), outputs or inputs are masked instead of the weight, and the gradient
    of the dense weight is never made: sum over tokens of dy * x W^T, or of x * dy W. Under autocast products are made
    in its dtype, and score gradients summed in float32.

    Args:
        x: (..., I), float.
        weight: (O, I), float.
        bias: (O,) or none.
        mask: (R, C) of 0 and 1, R and C divide O and I; may ask for a gradient.
        bias_mask: (O,) of 0 and 1, or none for all ones (see `rows_kept`); gets no gradient.
    Returns:
        (..., O).
    Raises:
        ValueError: the grid doesn't divide the weight.

    >>> mask = torch.tensor([[1.0], [0.0]], requires_grad=True)
    >>> y = masked_linear(torch.ones(1, 3), torch.ones(2, 3), None, mask)
    >>> y.sum().backward(); y.tolist(), mask.grad.tolist()
    ([[3.0, 0.0]], [[3.0], [3.0]])
    """
    if weight.shape[0] % mask.shape[0] or weight.shape[1] % mask.shape[1]:
        raise ValueError(f"a mask of {tuple(mask.shape)} blocks doesn't divide a weight of {tuple(weight.shape)}")
    result: Tensor = _MaskedLinear.apply(x, weight, bias, mask, bias_mask)
    return result


class _MaskedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor, bias_mask: Tensor | None) -> Tensor:
        dtype = _product_dtype(x)
        tokens, kept_bias = x.reshape(-1, x.shape[-1]).to(dtype), None
        needs_input = needs_product = False
        if bias is not None:
            kept_bias = (bias if bias_mask is None else bias * bias_mask).to(dtype)
        with torch.autocast(x.device.type, enabled=False):
            if mask.shape[1] == 1:
                y, product, needs_product = _by_rows(tokens, weight.to(dtype), kept_bias, mask, ctx.needs_input_grad[3])
                needs_input = ctx.needs_input_grad[1]
            else:
                product = None
                needs_input = ctx.needs_input_grad[1] or ctx.needs_input_grad[3]
                if mask.shape[0] == 1:
                    y = F.linear(tokens * _columns(mask, weight).to(dtype), weight.to(dtype), kept_bias)
                else:
                    y = F.linear(tokens, _masked_weight(weight, mask, dtype), kept_bias)
        ctx.save_for_backward(tokens if needs_input else None, weight, mask, bias_mask, product if needs_product else None)
        ctx.x_shape, ctx.x_dtype, ctx.dtype = x.shape, x.dtype, dtype
        return y.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tokens, weight, mask, bias_mask, product = ctx.saved_tensors
        for_x, for_weight, for_bias, for_mask, _ = ctx.needs_input_grad
        grad_x = grad_weight = grad_bias = grad_mask = None
        with torch.autocast(gradient.device.type, enabled=False):
            dy = gradient.reshape(-1, gradient.shape[-1]).to(ctx.dtype)
            if for_bias:
                grad_bias = dy.sum(0, dtype=weight.dtype)
                grad_bias = grad_bias if bias_mask is None else grad_bias * bias_mask
            if mask.shape[1] == 1:
                if for_mask:
                    grad_mask = _sums(dy * product, mask.shape[0])[:, None]
                if for_x or for_weight:
                    dy = dy * _rows(mask, weight).to(ctx.dtype)
                grad_x = dy @ weight.to(ctx.dtype) if for_x else None
                grad_weight = dy.T @ tokens if for_weight else None
            elif mask.shape[0] == 1:
                columns = _columns(mask, weight).to(ctx.dtype)
                if for_x or for_mask:
                    grad_x = dy @ weight.to(ctx.dtype)
                    grad_mask = _sums(tokens * grad_x, mask.shape[1])[None] if for_mask else None
                    grad_x = grad_x.mul_(columns)
                grad_weight = dy.T @ (tokens * columns) if for_weight else None
            else:
                grad_x = dy @ _masked_weight(weight, mask, ctx.dtype) if for_x else None
                if for_weight or for_mask:
                    dense = dy.T @ tokens
                    grad_mask = _weighted_sums(dense, weight, mask.shape, keep=for_weight) if for_mask else None
                    grad_weight = dense
                if for_weight:
                    blocks(dense, mask.shape).mul_(mask[:, None, :, None].to(ctx.dtype))
        return (
            grad_x.to(ctx.x_dtype).view(ctx.x_shape) if for_x and grad_x is not None else None,
            grad_weight.to(weight.dtype) if for_weight and grad_weight is not None else None,
            grad_bias,
            grad_mask.to(mask.dtype) if grad_mask is not None else None,
            None,
        )


def _product_dtype(x: Tensor) -> torch.dtype:
    kind = x.device.type
    lowered = torch.is_autocast_enabled(kind) and x.dtype != torch.float64
    return torch.get_autocast_dtype(kind) if lowered else x.dtype


def _by_rows(tokens: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor, for_mask: bool) -> tuple[Tensor, Tensor, bool]:
    product = F.linear(tokens, weight)
    rows = _rows(mask, weight).to(product.dtype)
    y = product * rows if for_mask else product.mul_(rows)
    return y if bias is None else y.add_(bias), product, for_mask


def _rows(mask: Tensor, weight: Tensor) -> Tensor:
    return mask[:, 0].repeat_interleave(weight.shape[0] // mask.shape[0])


def _columns(mask: Tensor, weight: Tensor) -> Tensor:
    return mask[0].repeat_interleave(weight.shape[1] // mask.shape[1])


def _sums(products: Tensor, n: int) -> Tensor:
    dtype = torch.promote_types(products.dtype, torch.float32)
    return products.sum(0, dtype=dtype).view(n, -1).sum(1)


def _masked_weight(weight: Tensor, mask: Tensor, dtype: torch.dtype) -> Tensor:
    masked = torch.empty(weight.shape, dtype=dtype, device=weight.device)
    torch.mul(blocks(weight, mask.shape), mask[:, None, :, None], out=blocks(masked, mask.shape))
    return masked


def _weighted_sums(gradient: Tensor, weight: Tensor, grid: Sequence[int], keep: bool) -> Tensor:
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    if not keep:
        return block_sum(gradient.mul_(weight), grid, dtype)
    pairs = zip(gradient.chunk(grid[0]), weight.chunk(grid[0]), strict=True)  # a second dense buffer is never made
    return torch.cat([block_sum(part * rows, (1, grid[1]), dtype) for part, rows in pairs])
