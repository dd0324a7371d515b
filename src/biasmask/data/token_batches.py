"""Batches of sentences: for training every kind in equal shares and little padding, elsewhere sorted by length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from biasmask.data.samplers import IndexBatches, SequentialBatches
from biasmask.data.sentences import SentenceTable
from biasmask.errors import DataError

JITTER = 0.1  # how far a length is moved before sorting, relative to it: batches differ between epochs, padding hardly grows

Batch = dict[str, Any]


class PairedBatches(IndexBatches):
    """Each batch has as many sentences of one kind as of every other, and sentences of about the same length.

    An epoch uses n sentences of each kind, n being the number of the rarest: of it and of all as long as every sentence once,
    of the others a draw of its own in each epoch. They are sorted by length within their kind, cut into the same number of
    pieces (sizes differ by one at most, so there is no small last batch), and batch j is piece j of every kind. The order
    of the batches is drawn. A `batch_size` that the number of kinds doesn't divide is rounded down.

    Args:
        table: the sentences.
        rows_by_kind: kind -> rows of the table.
        batch_size: sentences a batch, at most; as many as there are kinds, or more.
        seed, rank, world_size, even: see `biasmask.data.samplers`.
    Raises:
        DataError: a batch too small for all kinds, or a kind without rows.

    >>> from types import SimpleNamespace
    >>> table = SimpleNamespace(lengths=np.array([3, 9, 3, 9]))
    >>> sorted(map(sorted, PairedBatches(table, {"male": [0, 1], "female": [2, 3]}, 2)))
    [[0, 2], [1, 3]]
    """

    def __init__(
        self,
        table: SentenceTable,
        rows_by_kind: Mapping[str, Sequence[int] | np.ndarray],
        batch_size: int,
        seed: int = 0,
        **dealing: int | bool,
    ) -> None:
        super().__init__(batch_size, seed=seed, **dealing)  # type: ignore[arg-type]
        self.rows = {kind: np.asarray(rows, np.int64) for kind, rows in rows_by_kind.items()}
        self.lengths = table.lengths
        empty = [kind for kind, rows in self.rows.items() if len(rows) == 0]
        if empty or not self.rows:
            raise DataError(f"no sentence of the kind {' or '.join(empty) or 'asked for'}: no batch can hold every kind")
        if batch_size < len(self.rows):
            raise DataError(f"batch_size={batch_size} is too small for one sentence of each of {len(self.rows)} kinds")
        self.per_kind = min(len(rows) for rows in self.rows.values())

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        pieces = []
        for rows in self.rows.values():
            drawn = rng.permutation(rows)[: self.per_kind]
            moved = self.lengths[drawn] * rng.uniform(1 - JITTER, 1 + JITTER, self.per_kind)
            pieces.append(np.array_split(drawn[np.argsort(moved, kind="stable")], self._count()))
        batches = [np.concatenate(piece) for piece in zip(*pieces, strict=True)]
        return [batches[number] for number in rng.permutation(len(batches))]

    def _count(self) -> int:
        return -(-self.per_kind // (self.batch_size // len(self.rows)))


class OrderedBatches(IndexBatches):
    """Each row once, sorted by length, the longest first, so that memory that doesn't suffice is told at once.

    Args:
        table: the sentences.
        rows: rows of the table.
        tokens_per_batch: sentences times the longest of them, at most; a sentence longer than that is a batch of its own.
        rank, world_size, even: see `biasmask.data.samplers`.
    Raises:
        DataError: `tokens_per_batch` below 1.

    >>> from types import SimpleNamespace
    >>> list(OrderedBatches(SimpleNamespace(lengths=np.array([3, 9, 4, 9])), [0, 1, 2], tokens_per_batch=10))
    [[1], [2, 0]]
    """

    def __init__(
        self, table: SentenceTable, rows: Sequence[int] | np.ndarray, tokens_per_batch: int, **dealing: int | bool
    ) -> None:
        if tokens_per_batch < 1:
            raise DataError(f"tokens_per_batch={tokens_per_batch} must be 1 or more")
        rows = np.asarray(rows, np.int64)
        lengths = table.lengths[rows]
        order = np.argsort(-lengths, kind="stable")
        self.batches, start = [], 0
        while start < len(order):
            end = start + max(1, int(tokens_per_batch // lengths[order[start]]))  # the first of a batch is its longest
            self.batches.append(rows[order[start:end]])
            start = end
        super().__init__(max(map(len, self.batches), default=1), **dealing)  # type: ignore[arg-type]

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        return self.batches

    def _count(self) -> int:
        return len(self.batches)


class SentenceDataset(Dataset[Batch]):
    """A table whose batches are read at once, not sentence by sentence."""

    def __init__(self, table: SentenceTable) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> Batch:
        return self.table.batch([row])

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        return self.table.batch(rows)


def sentence_loader(
    table: SentenceTable, rows: IndexBatches | Sequence[int] | np.ndarray, batch_size: int | None = None
) -> DataLoader[Batch]:
    """A DataLoader whose batches are those of `SentenceTable.batch`.

    Args:
        table: the sentences.
        rows: a batch sampler such as PairedBatches, or rows, which are then read in their order, `batch_size` at a time.
        batch_size: where `rows` are rows.
    Raises:
        DataError: rows without a batch size.
    """
    if not isinstance(rows, IndexBatches):
        if batch_size is None:
            raise DataError("sentence_loader: rows need a batch_size")
        rows = SequentialBatches(rows, batch_size)
    return DataLoader(SentenceDataset(table), batch_sampler=rows, collate_fn=_whole_batch)  # type: ignore[arg-type]


def ordered_loader(
    table: SentenceTable, rows: Sequence[int] | np.ndarray, tokens_per_batch: int, **dealing: int | bool
) -> DataLoader[Batch]:
    """A DataLoader over OrderedBatches; arguments and errors as there."""
    return sentence_loader(table, OrderedBatches(table, rows, tokens_per_batch, **dealing))


def ordered_batches(table: SentenceTable, rows: Sequence[int] | np.ndarray, tokens_per_batch: int) -> Iterator[Batch]:
    """Walk over the batches of OrderedBatches without a DataLoader; arguments and errors as there."""
    for chosen in OrderedBatches(table, rows, tokens_per_batch).batches:
        yield table.batch(chosen)


def _whole_batch(batch: Any) -> Any:
    return batch
