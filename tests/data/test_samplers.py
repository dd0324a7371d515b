"""Batch samplers: every row once, the cells in every batch, one process or several."""

import numpy as np
import pytest
import torch

from biasmask.data.samplers import (
    BalancedRows,
    EqualCells,
    GroupTargetBatches,
    SequentialBatches,
    ShuffledBatches,
    balanced_rows,
)
from biasmask.errors import DataError
from biasmask.methods.group_dro import cell_sums, first_weights, next_weights

RNG = np.random.default_rng(0)
TARGET = (RNG.random(501) < 0.3).astype(int)
GROUP = RNG.choice([-1, 0, 1, 2], 501, p=[0.1, 0.5, 0.3, 0.1])

MAKERS = {
    "sequential": lambda **kw: SequentialBatches(501, 32, **kw),
    "shuffled": lambda **kw: ShuffledBatches(501, 32, **kw),
    "shuffled_drop": lambda **kw: ShuffledBatches(501, 32, drop_last=True, **kw),
    "group_target": lambda **kw: GroupTargetBatches(TARGET, GROUP, 32, **kw),
    "balanced": lambda **kw: BalancedRows(TARGET, GROUP, 32, **kw),
    "equal_cells": lambda **kw: EqualCells(TARGET, GROUP, 32, **kw),
    "balanced_replacement": lambda **kw: BalancedRows(TARGET, GROUP, 32, replacement=True, **kw),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def test_deterministic_in_seed_and_epoch_and_len_is_true(make):
    batches = make(seed=3)
    first = list(batches)
    assert first == list(batches) == list(make(seed=3)) and len(first) == len(batches)
    assert all(isinstance(row, int) for row in first[0]) and max(map(len, first)) <= 32
    batches.set_epoch(1)
    second = list(batches)
    assert len(second) == len(first)
    if not isinstance(batches, SequentialBatches) or isinstance(batches, ShuffledBatches):
        assert second != first and list(make(seed=4)) != first
    batches.set_epoch(0)
    assert list(batches) == first


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_ranks_together_see_the_batches_of_one(make, world_size):
    one = list(make(seed=1))
    ranks = [make(seed=1, rank=rank, world_size=world_size) for rank in range(world_size)]
    dealt = [list(rank) for rank in ranks]
    assert [len(rank) for rank in ranks] == [len(batches) for batches in dealt]
    assert [dealt[number % world_size][number // world_size] for number in range(len(one))] == one
    assert sum(map(len, dealt)) == len(one)


@pytest.mark.parametrize("world_size", [2, 3, 40])
def test_even_gives_all_ranks_as_many_and_wraps(make, world_size):
    one = list(make(seed=1))
    ranks = [make(seed=1, rank=rank, world_size=world_size, even=True) for rank in range(world_size)]
    dealt = [list(rank) for rank in ranks]
    assert {len(batches) for batches in dealt} == {len(ranks[0])} == {-(-len(one) // world_size)}
    walked = [batch for turn in zip(*dealt, strict=True) for batch in turn]
    assert walked[: len(one)] == one
    assert walked[len(one) :] == [one[number % len(one)] for number in range(len(one), len(walked))]


def test_lightning_reaches_set_epoch():
    batches = MAKERS["shuffled"]()
    batches.sampler.set_epoch(7)
    assert batches.epoch == 7


@pytest.mark.parametrize("name", ["sequential", "shuffled", "group_target"])
def test_each_row_once_an_epoch(name):
    rows = [row for batch in MAKERS[name](seed=2) for row in batch]
    assert sorted(rows) == list(range(501))
    assert (rows == sorted(rows)) == (name == "sequential")


def test_rows_may_be_given():
    rows = [9, 4, 7, 1]
    assert list(SequentialBatches(rows, 3)) == [[9, 4, 7], [1]]
    assert sorted(sum(ShuffledBatches(np.array(rows), 3), [])) == sorted(rows)


def test_drop_last_keeps_the_only_batch():
    assert [len(batch) for batch in ShuffledBatches(65, 32, drop_last=True)] == [32, 32]
    assert [len(batch) for batch in ShuffledBatches(5, 32, drop_last=True)] == [5]


def test_every_cell_in_every_batch_at_its_natural_rate():
    batches = GroupTargetBatches(TARGET, GROUP, 64, seed=5)
    for epoch in range(5):
        batches.set_epoch(epoch)
        count = len(batches)
        sizes = [len(batch) for batch in batches]
        assert max(sizes) - min(sizes) <= 1
        for group in (-1, 0, 1, 2):
            for target in (0, 1):
                here = (group == GROUP) & (target == TARGET)
                per_batch = [int(here[batch].sum()) for batch in batches]
                assert min(per_batch) == here.sum() // count and max(per_batch) <= -(-here.sum() // count)


def missing_cells(batches, target, group):
    """How many (batch, cell) pairs of 20 epochs have no row."""
    count = 0
    for epoch in range(20):
        batches.set_epoch(epoch)
        for batch in batches:
            count += sum(not ((group[batch] == g) & (target[batch] == t)).any() for g in (0, 1, 2) for t in (0, 1))
    return count


def test_a_cell_is_missing_only_where_it_has_too_few_rows():
    count = len(GroupTargetBatches(TARGET, GROUP, 32))
    cells = [int(((group == GROUP) & (target == TARGET)).sum()) for group in (0, 1, 2) for target in (0, 1)]
    unavoidable = 20 * sum(max(0, count - rows) for rows in cells)
    assert missing_cells(GroupTargetBatches(TARGET, GROUP, 32), TARGET, GROUP) == unavoidable
    assert missing_cells(ShuffledBatches(501, 32), TARGET, GROUP) > unavoidable
    rich_target, rich_group = np.tile([0, 0, 1, 0, 1, 1], 100), np.tile([0, 1, 2, 2, 0, 1], 100)
    assert missing_cells(GroupTargetBatches(rich_target, rich_group, 8), rich_target, rich_group) == 0
    assert missing_cells(ShuffledBatches(600, 8), rich_target, rich_group) > 100


def test_composition_of_a_batch_varies_between_epochs():
    batches = GroupTargetBatches(TARGET, GROUP, 32)
    first = {frozenset(batch) for batch in batches}
    batches.set_epoch(1)
    assert not first & {frozenset(batch) for batch in batches}


@pytest.mark.parametrize("replacement", [False, True])
def test_balanced_per_target(replacement):
    batches = BalancedRows(TARGET, GROUP, 32, replacement=replacement)
    rows = np.concatenate(list(batches))
    assert batches.n_rows == len(rows) and (GROUP[rows] >= 0).all()
    for target in (0, 1):
        smallest = min(((group == GROUP) & (target == TARGET)).sum() for group in (0, 1, 2))
        for group in (0, 1, 2):
            chosen = rows[(GROUP[rows] == group) & (TARGET[rows] == target)]
            assert len(chosen) == smallest
            large = ((group == GROUP) & (target == TARGET)).sum() > 2 * smallest
            assert replacement or len(set(chosen)) == len(chosen)
            if replacement and large and smallest > 20:
                assert len(set(chosen)) < len(chosen)


def test_balanced_over_all_cells():
    rows = balanced_rows(TARGET, GROUP, mode="all_cells")
    counts = [((GROUP[rows] == g) & (TARGET[rows] == t)).sum() for g in (0, 1, 2) for t in (0, 1)]
    assert len(set(counts)) == 1 and counts[0] > 0


def test_redraw_chooses_other_rows_and_false_keeps_them():
    for redraw in (True, False):
        batches = BalancedRows(TARGET, GROUP, 32, redraw=redraw)
        chosen = []
        for epoch in (0, 1):
            batches.set_epoch(epoch)
            chosen.append(sorted(sum(batches, [])))
        assert (chosen[0] != chosen[1]) == redraw


def test_group_without_a_row_of_a_target_does_not_empty_the_rest():
    target, group = np.array([0, 0, 0, 0, 1, 1, 1]), np.array([0, 0, 0, 1, 1, 1, 1])
    rows = balanced_rows(target, group)
    assert [(target[row], group[row]) for row in rows].count((1, 1)) == 3 and len(rows) == 5


def test_no_rows_give_no_batches():
    assert list(SequentialBatches(0, 4)) == list(ShuffledBatches(0, 4, even=True)) == []
    assert list(GroupTargetBatches([], [], 4)) == [] and len(SequentialBatches(0, 4)) == 0


def test_errors_are_named():
    with pytest.raises(DataError, match="batch_size=0"):
        SequentialBatches(4, 0)
    with pytest.raises(DataError, match="rank=2"):
        SequentialBatches(4, 2, rank=2, world_size=2)
    with pytest.raises(DataError, match="shape"):
        GroupTargetBatches([0, 1], [0], 2)
    with pytest.raises(DataError, match="no row has a group"):
        BalancedRows([0, 1], [-1, -1], 2)
    with pytest.raises(DataError, match="mode='other'"):
        balanced_rows([0, 1], [0, 1], mode="other")


def test_equal_cells_show_a_rare_cell_in_each_batch_and_no_row_without_a_group():
    target = np.array([0] * 1000 + [1] * 1000 + [0] * 995 + [1] * 5 + [0] * 50)
    group = np.array([0] * 2000 + [1] * 1000 + [-1] * 50)
    batches = EqualCells(target, group, 64, seed=1)
    drawn = list(batches)
    assert len(drawn) == len(batches) == -(-3000 // 64)
    for rows in drawn:
        assert all(14 <= ((target[rows] == t) & (group[rows] == g)).sum() <= 18 for t in (0, 1) for g in (0, 1))
    rows = np.concatenate(drawn)
    assert (group[rows] >= 0).all() and set(rows[(target[rows] == 1) & (group[rows] == 1)]) == set(range(2995, 3000))
    assert np.bincount(rows, minlength=3000)[:2995].max() == 1  # a large cell is not seen twice
    assert list(batches) == drawn
    batches.set_epoch(1)
    assert list(batches) != drawn
    with pytest.raises(DataError, match="no row has a group"):
        EqualCells([0, 1], [-1, -1], 2)


def test_a_rare_cell_of_high_loss_gains_weight_only_where_each_batch_has_it():
    target = np.array([0] * 1000 + [1] * 1000 + [0] * 995 + [1] * 5)
    group = np.array([0] * 2000 + [1] * 1000)
    cell = torch.as_tensor(group * 2 + target)
    losses, found = torch.tensor([0.5, 0.5, 0.5, 1.5])[cell], {}
    for kind in (EqualCells, GroupTargetBatches):
        q, batches = first_weights(torch.bincount(cell)), kind(target, group, 64)
        for epoch in range(20):
            batches.set_epoch(epoch)
            for rows in batches:
                q = next_weights(q, *cell_sums(losses[rows], cell[rows], 4), eta=0.01)
        found[kind] = float(q[3])
    assert found[EqualCells] > 0.99 and found[GroupTargetBatches] < 0.05
