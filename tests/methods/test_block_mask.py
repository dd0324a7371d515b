"""Masks of blocks: threshold, floor, grids, regulariser, the random control, overlap."""

import math

import pytest
import torch

from biasmask.methods.block_mask import (
    binarize,
    block_sum,
    blocks,
    check_grid,
    expand,
    overlap,
    regulariser,
    rows_kept,
    shuffled,
)

GRIDS = [((2, 3), (4, 6)), ((4, 1), (8, 5)), ((1, 5), (3, 10)), ((1, 1), (2, 2)), ((6, 6), (6, 6))]


def test_a_score_at_the_threshold_is_pruned():
    scores = torch.tensor([-0.1, 0.0, 0.1])
    assert binarize(scores, 0.5).tolist() == [0, 0, 1]
    assert binarize(scores, 0.0).tolist() == [1, 1, 1]  # sigmoid is above 0 everywhere
    assert binarize(scores, 0.0, sigmoid=False).tolist() == [0, 0, 1]


def test_the_gradient_passes_as_it_is():
    scores = torch.randn(3, 4, requires_grad=True)
    gradient = torch.randn(3, 4)
    binarize(scores, 0.6, min_kept=0.5).backward(gradient)
    assert torch.equal(scores.grad, gradient)


@pytest.mark.parametrize(
    ("share", "n", "kept"), [(0.0, 4, 0), (0.001, 4, 1), (0.25, 4, 1), (0.26, 4, 2), (1.0, 4, 4), (0.1, 30, 3)]
)
def test_the_floor_keeps_the_highest_scores(share, n, kept):
    scores = torch.arange(n, dtype=torch.float32) - 100
    mask = binarize(scores, 0.1, min_kept=share)
    assert mask.tolist() == [0.0] * (n - kept) + [1.0] * kept


def test_the_floor_breaks_ties_by_index_and_leaves_enough_alone():
    assert binarize(torch.zeros(2, 2), 0.9, min_kept=0.5).tolist() == [[1, 1], [0, 0]]
    assert binarize(torch.tensor([5.0, -5.0]), 0.1, min_kept=0.5).tolist() == [1, 0]


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_floor_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="min_kept is .*from 0 to 1"):
        binarize(torch.zeros(2), 0.1, share)


@pytest.mark.parametrize(("grid", "shape"), GRIDS)
def test_expanding_and_summing_are_adjoint(grid, shape):
    small, dense = torch.randn(grid, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    large = expand(small, shape)
    rows, columns = shape[0] // grid[0], shape[1] // grid[1]
    assert torch.equal(large, small.repeat_interleave(rows, 0).repeat_interleave(columns, 1))
    torch.testing.assert_close((large * dense).sum(), (small * block_sum(dense, grid)).sum())
    assert blocks(dense, grid).data_ptr() == dense.data_ptr(), "a view, not a copy"


def test_a_row_without_blocks_loses_its_bias():
    mask = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    assert rows_kept(mask, 4).tolist() == [0, 0, 1, 1]
    assert rows_kept(torch.zeros(1, 3), 2).tolist() == [0, 0]


def test_sizes_that_divide_are_listed():
    assert check_grid(768, 768, 64, 768, "value") == (12, 1)
    with pytest.raises(ValueError, match="blocks of 5 x 5 don't divide encoder.value of 12 x 8; sizes that do: 1, 2, 4$"):
        check_grid(12, 8, 5, 5, "encoder.value")
    with pytest.raises(ValueError, match="blocks of 0 x 4"):
        check_grid(12, 8, 0, 4, "value")


def test_regulariser_weighs_the_two_kinds_alike():
    attention = [torch.full((2, 2), 100.0), torch.full((1, 7), -100.0), torch.full((3,), 100.0)]
    feed_forward = [torch.zeros(5)]
    assert regulariser(attention, feed_forward).item() == pytest.approx((2 / 3 + 0.5) / 2)
    assert regulariser(attention, []).item() == pytest.approx(2 / 3)
    assert regulariser([], feed_forward).item() == pytest.approx(0.5)
    with pytest.raises(ValueError, match="at least one matrix"):
        regulariser([], [])


def random_masks() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = {"0.query": (4, 4), "0.output": (4, 4), "0.intermediate": (50,), "1.query": (4, 4), "1.intermediate": (50,)}
    return {name: torch.rand(shape, generator=generator) > 0.3 * i for i, (name, shape) in enumerate(shapes.items())}


def test_random_masks_prune_as_many_blocks():
    masks = random_masks()
    drawn = shuffled(masks, seed=0)
    again, other = shuffled(masks, seed=0), shuffled(masks, seed=1)
    assert list(drawn) == list(masks)
    assert all(drawn[n].shape == masks[n].shape and drawn[n].dtype == torch.bool for n in masks)
    assert all(torch.equal(drawn[n], again[n]) for n in masks)
    assert not all(torch.equal(drawn[n], other[n]) for n in masks)
    for kind in ("query", "intermediate"):
        names = [n for n in masks if (n.endswith("intermediate")) == (kind == "intermediate")]
        assert sum(int(drawn[n].sum()) for n in names) == sum(int(masks[n].sum()) for n in names)
    per_matrix = shuffled(masks, seed=0, within="matrix")
    assert all(int(per_matrix[n].sum()) == int(masks[n].sum()) for n in masks)
    assert not all(torch.equal(per_matrix[n], masks[n]) for n in masks)


def test_only_blocks_of_the_same_size_are_mixed():
    masks = random_masks()
    weights = {"0.query": 64, "0.output": 32, "1.query": 64, "0.intermediate": 8, "1.intermediate": 16}
    drawn = shuffled(masks, seed=0, block_weights=weights)
    for name in ("0.output", "0.intermediate", "1.intermediate"):
        assert int(drawn[name].sum()) == int(masks[name].sum())
    with pytest.raises(ValueError, match="number of weights of a block is given for 1.query"):
        shuffled(masks, 0, block_weights={n: w for n, w in weights.items() if n != "1.query"})
    with pytest.raises(ValueError, match="not within 'layer'"):
        shuffled(masks, 0, within="layer")


def test_overlap_and_what_chance_gives():
    masks = random_masks()
    share, chance = overlap(masks, masks)
    assert share == 1 and chance < 1
    complement = {name: ~mask for name, mask in masks.items()}
    assert overlap(masks, complement)[0] == 0
    draws = [overlap(masks, shuffled(masks, seed, within="matrix")) for seed in range(200)]
    assert sum(share for share, _ in draws) / 200 == pytest.approx(draws[0][1], abs=0.01)


def test_overlap_of_masks_that_prune_nothing_is_undefined():
    full = {"a": torch.ones(2, 2, dtype=torch.bool)}
    assert all(math.isnan(value) for value in overlap(full, full))
    with pytest.raises(ValueError, match="same matrices with the same grids"):
        overlap(full, {"a": torch.ones(2, 1, dtype=torch.bool)})
