"""Counts of group x class x prediction: by hand, absent groups, batches = whole, two processes = one."""

import os

import pytest
import torch
import torch.multiprocessing as mp

from biasmask.metrics.group_counts import group_counts
from biasmask.metrics.group_counts_metric import GroupCounts

# A table of 10 rows with three groups, of which group 1 is absent and one row has no attribute.
PREDICTION = torch.tensor([1, 0, 1, 0, 0, 1, 1, 0, 1, 1])
TARGET = torch.tensor([1, 1, 0, 0, 0, 1, 1, 1, 0, 0])
GROUP = torch.tensor([0, 0, 0, 0, 0, 2, 2, 2, 2, -1])
COUNTS = torch.tensor([[[2, 1], [1, 1]], [[0, 0], [0, 0]], [[0, 1], [1, 2]]])


def random_table(seed: int, n_rows: int = 40, n_groups: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction, target = torch.randint(0, 2, (2, n_rows), generator=generator)
    return prediction, target, torch.randint(-1, n_groups, (n_rows,), generator=generator)


def test_counts_by_hand() -> None:
    assert torch.equal(group_counts(PREDICTION, TARGET, GROUP, 3)[0], COUNTS.double())


def test_an_absent_group_shifts_no_label() -> None:
    only_last = GROUP == 2
    counts = group_counts(PREDICTION[only_last], TARGET[only_last], GROUP[only_last], 4)[0]
    assert torch.equal(counts[2], COUNTS[2].double())
    assert counts[[0, 1, 3]].sum() == 0


def test_no_rows_give_zeros() -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    assert group_counts(empty, empty, empty, 2).tolist() == [[[[0, 0], [0, 0]]] * 2]


@pytest.mark.parametrize("seed", range(5))
def test_weights_count_like_repeated_rows(seed: int) -> None:
    table = random_table(seed)
    weights = torch.randint(0, 4, (7, 40), generator=torch.Generator().manual_seed(seed))
    counts = group_counts(*table, 3, weights)
    for draw, weight in enumerate(weights):
        repeated = [column.repeat_interleave(weight) for column in table]
        assert torch.equal(counts[draw], group_counts(*repeated, 3)[0])


@pytest.mark.parametrize("seed", range(3))
def test_order_of_rows_is_of_no_account(seed: int) -> None:
    table = random_table(seed)
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(group_counts(*table, 3), group_counts(*(column[shuffled] for column in table), 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": torch.tensor([0, 2])}, "target holds 2 at position 1"),
        ({"prediction": torch.tensor([0.5, 1.0])}, "prediction holds"),
        ({"group": torch.tensor([0, 3])}, r"outside -1\.\.1"),
        ({"group": torch.tensor([-2, 0])}, r"outside -1\.\.1"),
        ({"group": torch.tensor([0])}, "group has shape"),
        ({"weights": torch.ones(2)}, "weights have shape"),
        ({"weights": torch.ones(2, 3)}, "weights have shape"),
    ],
)
def test_bad_input_is_named(changes: dict[str, torch.Tensor], message: str) -> None:
    good = {name: torch.tensor([0, 1]) for name in ("prediction", "target", "group")}
    with pytest.raises(ValueError, match=message):
        group_counts(n_groups=2, **(good | changes))


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_batches_are_the_whole(batch_size: int) -> None:
    metric = GroupCounts(3)
    for batch in zip(*(column.split(batch_size) for column in (PREDICTION, TARGET, GROUP)), strict=True):
        metric.update(*batch)
    assert torch.equal(metric.compute(), COUNTS)
    metric.reset()
    metric.update(PREDICTION, TARGET, GROUP)
    assert torch.equal(metric.compute(), COUNTS)


def test_merged_states_are_the_whole() -> None:
    metrics = [GroupCounts(3), GroupCounts(3)]
    for metric, rows in zip(metrics, (slice(0, 3), slice(3, 10)), strict=True):
        metric.update(PREDICTION[rows], TARGET[rows], GROUP[rows])
    metrics[0].merge_state(metrics[1])
    assert torch.equal(metrics[0].compute(), COUNTS)


def _count_on_a_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    metric = GroupCounts(3)
    rows = slice(0, 3) if rank == 0 else slice(3, 10)
    metric.update(PREDICTION[rows], TARGET[rows], GROUP[rows])
    torch.save(metric.compute(), f"{folder}/counts_{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: spawning imports torch twice, which takes seconds")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_processes_are_one(tmp_path) -> None:
    mp.start_processes(_count_on_a_rank, args=(str(tmp_path),), nprocs=2, start_method="fork")
    for rank in range(2):
        assert torch.equal(torch.load(tmp_path / f"counts_{rank}.pt", weights_only=True), COUNTS)
