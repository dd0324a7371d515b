"""Batches of row positions, as a function of (seed, epoch) alone, dealt to processes batch by batch.

Rank r of w takes batches r, r + w, r + 2w ... of the list that one process would walk, so the batches of all ranks
together are exactly those of one process. With `even=True` (training under DDP, where every rank must do as many steps
as the others) a list that w does not divide is wrapped: its first batches come again at the end, at most w - 1 of them.

`sampler` is the object itself: Lightning calls `set_epoch` on `dataloader.batch_sampler.sampler`. Give its Trainer
`use_distributed_sampler=False`, since the dealing is done here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from biasmask.data.splits import strata_of
from biasmask.errors import DataError


class IndexBatches:
    """Base: subclasses give the whole epoch's batches from a random generator; this deals them to the ranks."""

    def __init__(
        self, batch_size: int, *, seed: int = 0, rank: int = 0, world_size: int = 1, even: bool = False
    ) -> None:
        if batch_size < 1:
            raise DataError(f"batch_size={batch_size} must be 1 or more")
        if not 0 <= rank < world_size:
            raise DataError(f"rank={rank} must be in [0, world_size={world_size})")
        self.batch_size, self.seed, self.rank, self.world_size, self.even = batch_size, seed, rank, world_size, even
        self.epoch, self._asks = 0, False

    @property
    def sampler(self) -> IndexBatches:
        return self

    def deal(self, dealt: bool) -> None:
        """Ask the running process group for rank and world size at each walk (True), or walk all batches in each process."""
        self._asks = dealt

    def _rank_and_world(self) -> tuple[int, int]:
        if self._asks and torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return self.rank, self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next walk gives."""
        self.epoch = int(epoch)

    def all_batches(self) -> list[np.ndarray]:
        """The batches of this epoch on all ranks together, before `even` wraps them."""
        return self._batches(np.random.default_rng([self.seed, self.epoch]))

    def __iter__(self) -> Iterator[list[int]]:
        batches = self.all_batches()
        for number in self._mine(len(batches)):
            yield batches[number % len(batches)].tolist()

    def __len__(self) -> int:
        return len(self._mine(self._count()))

    def _mine(self, count: int) -> range:
        rank, world_size = self._rank_and_world()
        if self.even:
            count = -(-count // world_size) * world_size
        return range(rank, count, world_size)

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        raise NotImplementedError

    def _count(self) -> int:
        raise NotImplementedError


class SequentialBatches(IndexBatches):
    """The rows in their order, the last batch smaller: for evaluation, features and the one importance walk.

    Args:
        rows: a number n (positions 0..n-1) or the int positions themselves.
        batch_size: rows a batch.
        seed, rank, world_size, even: see the head of this file; the seed has no effect here.

    >>> list(SequentialBatches(5, 2))
    [[0, 1], [2, 3], [4]]
    >>> [list(SequentialBatches(5, 2, rank=r, world_size=2)) for r in (0, 1)]
    [[[0, 1], [4]], [[2, 3]]]
    """

    def __init__(self, rows: int | Sequence[int] | np.ndarray, batch_size: int, **dealing: int | bool) -> None:
        super().__init__(batch_size, **dealing)  # type: ignore[arg-type]
        self.rows = _positions(rows)

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        return _cut(self.rows, self.batch_size)

    def _count(self) -> int:
        return -(-len(self.rows) // self.batch_size)


class ShuffledBatches(SequentialBatches):
    """Each row once an epoch, in an order of its own for every (seed, epoch).

    Args:
        rows, batch_size: as SequentialBatches.
        drop_last: leave a smaller last batch out, never the only one (a BatchNorm in train mode cannot take one row).
        seed, rank, world_size, even: see the head of this file.

    >>> batches = ShuffledBatches(5, 2, seed=1)
    >>> sorted(row for batch in batches for row in batch), list(batches) == list(batches)
    ([0, 1, 2, 3, 4], True)
    """

    def __init__(
        self, rows: int | Sequence[int] | np.ndarray, batch_size: int, drop_last: bool = False, **dealing: int | bool
    ) -> None:
        super().__init__(rows, batch_size, **dealing)
        self.drop_last = drop_last

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        return _cut(rng.permutation(self.rows), self.batch_size)[: self._count()]

    def _count(self) -> int:
        whole = len(self.rows) // self.batch_size
        return whole if self.drop_last and whole else super()._count()


class GroupTargetBatches(IndexBatches):
    """Each row once an epoch, with every group x target cell spread over the batches as evenly as it can be.

    A cell of c rows in B batches has floor(c / B) or ceil(c / B) rows in each, so a cell is missing from a batch only
    when it has fewer rows than there are batches. Batch sizes differ by at most one. Rows without a group (-1) are
    cells of their own.

    Args:
        target: int (N,), class of each position.
        group: int (N,), group of each position, -1 where missing.
        batch_size: largest batch.
        seed, rank, world_size, even: see the head of this file.

    Raises:
        DataError: target and group differ in length.

    >>> batches = GroupTargetBatches([0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 1], 3)
    >>> [sum(row >= 4 for row in batch) for batch in batches]
    [1, 1]
    """

    def __init__(
        self,
        target: Sequence[int] | np.ndarray,
        group: Sequence[int] | np.ndarray,
        batch_size: int,
        **dealing: int | bool,
    ) -> None:
        super().__init__(batch_size, **dealing)  # type: ignore[arg-type]
        self.cell = _cells(target, group)

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        return _spread(np.arange(len(self.cell)), self.cell, self._count(), rng)

    def _count(self) -> int:
        return -(-len(self.cell) // self.batch_size)


class BalancedRows(IndexBatches):
    """Batches of a group-balanced epoch: the rows of `balanced_rows`, spread like GroupTargetBatches.

    Args:
        target, group, batch_size: as GroupTargetBatches.
        mode, replacement: as `balanced_rows`.
        redraw: draw the kept rows anew each epoch; False keeps those of epoch 0 and shuffles only their order.
        seed, rank, world_size, even: see the head of this file.

    Raises:
        DataError: no row has a group, or `mode` is not known.

    >>> batches = BalancedRows([0] * 6, [0, 0, 0, 0, 1, 1], 4)
    >>> [len(batch) for batch in batches]
    [4]
    """

    def __init__(
        self,
        target: Sequence[int] | np.ndarray,
        group: Sequence[int] | np.ndarray,
        batch_size: int,
        mode: str = "per_target",
        replacement: bool = False,
        redraw: bool = True,
        **dealing: int | bool,
    ) -> None:
        super().__init__(batch_size, **dealing)  # type: ignore[arg-type]
        self.cell, self.target, self.group = _cells(target, group), np.asarray(target), np.asarray(group)
        self.mode, self.replacement, self.redraw = mode, replacement, redraw
        self.n_rows = len(balanced_rows(self.target, self.group, mode, replacement))

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        # A stream of its own, so that the kept rows are the same on every walk whatever `redraw` says of the order.
        draw = np.random.default_rng([self.seed, self.epoch if self.redraw else 0, 1])
        rows = balanced_rows(self.target, self.group, self.mode, self.replacement, draw)
        return _spread(rows, self.cell[rows], self._count(), rng)

    def _count(self) -> int:
        return -(-self.n_rows // self.batch_size)


class EqualCells(IndexBatches):
    """Every group x target cell as often as every other one, in each batch; small cells come several times an epoch.

    An epoch has as many rows as have a group. A cell gives its n / K share of them: whole passes over its rows in orders of
    their own, the last one cut off. Rows without a group are left out.

    Args:
        target, group, batch_size: as GroupTargetBatches.
        seed, rank, world_size, even: see the head of this file.

    Raises:
        DataError: no row has a group.

    >>> batches = EqualCells([0] * 6, [0, 0, 0, 0, 0, 1], 6)
    >>> sum(row == 5 for batch in batches for row in batch)
    3
    """

    def __init__(
        self,
        target: Sequence[int] | np.ndarray,
        group: Sequence[int] | np.ndarray,
        batch_size: int,
        **dealing: int | bool,
    ) -> None:
        super().__init__(batch_size, **dealing)  # type: ignore[arg-type]
        self.cell, known = _cells(target, group), np.asarray(group) >= 0
        if not known.any():
            raise DataError("equal cells: no row has a group; choose another attribute or check its missing values")
        self.cells = [np.flatnonzero((self.cell == c) & known) for c in np.unique(self.cell[known])]
        self.share = -(-int(known.sum()) // len(self.cells))

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        passes = [-(-self.share // len(rows)) for rows in self.cells]
        whole = (np.concatenate([rng.permutation(r) for _ in range(n)]) for r, n in zip(self.cells, passes, strict=True))
        rows = np.concatenate([drawn[: self.share] for drawn in whole])
        return _spread(rows, self.cell[rows], self._count(), rng)

    def _count(self) -> int:
        return -(-self.share * len(self.cells) // self.batch_size)


def balanced_rows(
    target: Sequence[int] | np.ndarray,
    group: Sequence[int] | np.ndarray,
    mode: str = "per_target",
    replacement: bool = False,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Rows kept when larger groups are down-sampled: within each target, every group to the size of the smallest one.

    A group with no row of a target does not count at that target (all others would be left with none); rows without a
    group are left out.

    Args:
        target: int (N,). group: int (N,), -1 missing.
        mode: `per_target`, or `all_cells` (every group x target cell to the size of the smallest cell that has rows).
        replacement: draw the larger groups with replacement, as the reference code does; then rows repeat.
        rng: source of the draw; None means seed 0.

    Returns:
        int64 positions in ascending order; their number does not depend on the draw.

    Raises:
        DataError: no row has a group, or `mode` is not known.

    >>> balanced_rows([0, 0, 0, 1, 1], [0, 0, 1, 0, 1]).size
    4
    """
    if mode not in ("per_target", "all_cells"):
        raise DataError(f"balanced rows: mode={mode!r} is not one of per_target, all_cells")
    target, group = np.asarray(target), np.asarray(group)
    rng = np.random.default_rng(0) if rng is None else rng
    cell = _cells(target, group)
    cells = {int(c): np.flatnonzero((cell == c) & (group >= 0)) for c in np.unique(cell[group >= 0])}
    if not cells:
        raise DataError("balanced rows: no row has a group; choose another attribute or check its missing values")
    kept = []
    for rows in cells.values():
        same = [len(r) for r in cells.values() if mode == "all_cells" or target[r[0]] == target[rows[0]]]
        smallest = min(same)
        kept.append(rows if len(rows) == smallest else rng.choice(rows, smallest, replace=replacement))
    return np.sort(np.concatenate(kept)).astype(np.int64)


def _positions(rows: int | Sequence[int] | np.ndarray) -> np.ndarray:
    return np.arange(rows) if isinstance(rows, int | np.integer) else np.asarray(rows, dtype=np.int64)


def _cut(rows: np.ndarray, batch_size: int) -> list[np.ndarray]:
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def _cells(target: Sequence[int] | np.ndarray, group: Sequence[int] | np.ndarray) -> np.ndarray:
    """One number per (target, group) pair that occurs, in their order."""
    target, group = np.asarray(target), np.asarray(group)
    if target.shape != group.shape or target.ndim != 1:
        raise DataError(f"target has the shape {target.shape} and group {group.shape}; both must be one value a row")
    return strata_of([target, group], len(target))


def _spread(rows: np.ndarray, cell: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Deal rows to `count` batches like cards, cell after cell; then shuffle each batch, and their order."""
    shuffled = rng.permutation(len(rows))
    dealt = rows[shuffled[np.argsort(cell[shuffled], kind="stable")]]
    batches = [rng.permutation(dealt[start::count]) for start in range(count)]
    return [batches[i] for i in rng.permutation(count)]
