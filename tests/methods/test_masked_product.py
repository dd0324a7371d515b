"""The masked Linear against the textbook way: a repeated mask on the dense weight, all gradients by autograd."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biasmask.methods.block_mask import binarize, expand, rows_kept
from biasmask.methods.masked_product import masked_linear

SHAPES = [((2, 3), 4, 2), ((4, 1), 2, 7), ((1, 4), 5, 3), ((1, 1), 3, 2), ((6, 1), 1, 5), ((1, 6), 5, 1), ((6, 4), 1, 1)]


def textbook(x, weight, bias, scores, threshold):
    """Straight-through on the dense mask; the mask of the bias isn't part of the graph."""
    soft = torch.sigmoid(scores)
    mask = (soft > threshold).to(scores) + scores - scores.detach()
    dense = mask.repeat_interleave(weight.shape[0] // mask.shape[0], 0).repeat_interleave(weight.shape[1] // mask.shape[1], 1)
    y = x @ (weight * dense).T
    return y if bias is None else y + bias * (dense.detach() != 0).any(1)


def make(grid, rows, columns, tokens=(3, 5), with_bias=True, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    out, into = grid[0] * rows, grid[1] * columns

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()

    return draw(*tokens, into), draw(out, into), draw(out) if with_bias else None, draw(*grid)


def ours(x, weight, bias, scores, threshold):
    mask = binarize(scores, threshold)
    return masked_linear(x, weight, bias, mask, None if bias is None else rows_kept(mask, len(weight)))


def gradients(function, given, frozen, threshold=0.4):
    leaves = [None if t is None else t.detach().clone().requires_grad_() for t in given]
    if frozen:
        for leaf in leaves[1:3]:
            if leaf is not None:
                leaf.requires_grad_(False)
    y = function(*leaves, threshold)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(y))
    return [y.detach()] + [None if leaf is None else leaf.grad for leaf in leaves]


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("grid", "rows", "columns"), SHAPES)
def test_outputs_and_gradients_are_those_of_the_textbook(grid, rows, columns, with_bias, frozen):
    given = make(grid, rows, columns, with_bias=with_bias)
    for got, want in zip(gradients(ours, given, frozen), gradients(textbook, given, frozen), strict=True):
        assert (got is None) == (want is None)
        if got is not None:
            torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    block=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    tokens=st.lists(st.integers(1, 3), min_size=0, max_size=3),
    threshold=st.floats(0.0, 0.99),
    frozen=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_shape_at_any_threshold(grid, block, tokens, threshold, frozen, seed):
    given = make(grid, *block, tokens=tuple(tokens), seed=seed)
    pairs = zip(gradients(ours, given, frozen, threshold), gradients(textbook, given, frozen, threshold), strict=True)
    for got, want in pairs:
        if want is not None:
            torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("grid", [(2, 3), (4, 1), (1, 4)])
def test_a_mask_of_nothing_and_an_input_without_gradient(grid):
    x, weight, bias, scores = make(grid, 2, 2)
    scores = torch.full_like(scores, -9.0).requires_grad_()
    y = ours(x.detach(), weight.detach(), bias.detach(), scores, 0.1)
    assert y.eq(0).all()
    y.sum().backward()
    dense = x.detach().sum((0, 1)).expand_as(weight) * weight.detach()
    want = [[float(dense[r * 2 : r * 2 + 2, c * 2 : c * 2 + 2].sum()) for c in range(grid[1])] for r in range(grid[0])]
    block_rows, block_columns = weight.shape[0] // grid[0], weight.shape[1] // grid[1]
    assert (block_rows, block_columns) == (2, 2)
    torch.testing.assert_close(scores.grad, torch.tensor(want, dtype=torch.float64))


@pytest.mark.parametrize("grid", [(2, 3), (4, 1), (1, 4)])
def test_the_gradient_of_a_frozen_dense_weight_is_never_kept(grid):
    x, weight, bias, scores = make(grid, 2, 2)
    weight.requires_grad_(False)
    ours(x, weight, bias, scores, 0.4).sum().backward()
    assert weight.grad is None and bias.grad is not None and scores.grad.shape == grid


@pytest.mark.parametrize("backward_inside", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize(("grid", "rows", "columns"), [((2, 3), 16, 8), ((4, 1), 8, 32), ((1, 4), 32, 8)])
def test_autocast_to_bfloat16(grid, rows, columns, frozen, backward_inside):
    given = make(grid, rows, columns, tokens=(8, 4), dtype=torch.float32)
    x, weight, bias, scores = [t.detach().clone().requires_grad_() for t in given]
    if frozen:
        weight.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        y = ours(x, weight, bias, scores, 0.4)
        assert y.dtype == torch.bfloat16
        if backward_inside:
            y.float().square().sum().backward()
    if not backward_inside:
        y.float().square().sum().backward()
    exact = [t.detach().clone().requires_grad_() for t in given]
    textbook(*exact, 0.4).square().sum().backward()
    for got, want in zip((x, weight, bias, scores), exact, strict=True):
        if got.requires_grad:
            assert got.grad.dtype == torch.float32
            assert float((got.grad - want.grad).norm() / want.grad.norm()) < 0.02


def test_float64_stays_under_autocast():
    x, weight, bias, scores = make((2, 2), 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x, weight, bias, scores, 0.4).dtype == torch.float64


def test_a_grid_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"mask of \(3, 1\) blocks doesn't divide a weight of \(4, 2\)"):
        masked_linear(torch.zeros(1, 2), torch.zeros(4, 2), None, torch.ones(3, 1))


def test_a_fixed_mask_gets_no_gradient():
    x, weight, bias, scores = make((2, 2), 2, 2)
    mask = (scores.detach() > 0).double()
    y = masked_linear(x, weight, bias, mask)
    torch.testing.assert_close(y, x @ (weight * expand(mask, weight.shape)).T + bias)
    y.sum().backward()
    assert mask.grad is None and x.grad is not None
