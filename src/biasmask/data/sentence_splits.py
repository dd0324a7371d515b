"""Which sentences are trained on and which are held out: as many of each kind, no sentence on both sides."""

from __future__ import annotations

from typing import Any

import numpy as np

from biasmask.data.sentences import SentenceTable
from biasmask.errors import DataError

SHARE = 5  # at most a fifth of the rarest kind is held out


def split_sentences(
    table: SentenceTable, seed: int, held_out: int = 1000, per_kind: int | None = None, balance: bool = True
) -> dict[str, Any]:
    """Divide the sentences of each kind into a held-out and a training part, at random from the seed alone.

    Of sentences with the same text only the first is used, so that none stands on both sides or weighs double.

    Args:
        table: the sentences.
        seed: of the draw.
        held_out: sentences of each kind to hold out, 0 or more; where that is more than a fifth of the rarest kind, a fifth (1 at
            least), which the notes tell.
        per_kind: training sentences of each kind, at most; None: all.
        balance: as many training sentences of each kind as of the rarest.
    Returns:
        `train` and `held_out`, each kind -> int64 rows, ascending; `notes`, a list of lines.
    Raises:
        DataError: a number that is out of range, or a kind with fewer than two different sentences.

    >>> from types import SimpleNamespace
    >>> rows = {"male": np.arange(6), "female": np.arange(6, 9)}
    >>> table = SimpleNamespace(kinds=tuple(rows), rows=rows.get, hashes=lambda: np.arange(9))
    >>> parts = split_sentences(table, seed=0, held_out=1)
    >>> [len(part) for part in parts["train"].values()], [len(part) for part in parts["held_out"].values()]
    ([2, 2], [1, 1])
    """
    if held_out < 0 or (per_kind is not None and per_kind < 1):
        raise DataError(f"held_out={held_out} must be 0 or more, and per_kind={per_kind} 1 or more, or null")
    hashes, notes = table.hashes(), []
    rows, doubles = {}, 0
    for number, kind in enumerate(table.kinds):
        found = table.rows(kind)
        first = np.sort(np.unique(hashes[found], return_index=True)[1])
        doubles += len(found) - len(first)
        rows[kind] = np.random.default_rng([seed, number]).permutation(found[first])
    counts = {kind: len(found) for kind, found in rows.items()}
    rarest = min(counts, key=counts.__getitem__)
    if counts[rarest] < 2:
        raise DataError(
            f"{counts[rarest]} different sentence of the kind {rarest}: it takes one to train on and one to hold out; give more"
        )
    if doubles:
        notes.append(f"{doubles:,} sentences left out: the same text stands before")
    kept = min(held_out, max(1, counts[rarest] // SHARE))
    if kept < held_out:
        notes.append(f"{kept:,} sentences of each kind held out instead of {held_out:,}: {rarest} has {counts[rarest]:,}")
    most = counts[rarest] - kept if balance else max(counts.values())
    most = most if per_kind is None else min(most, per_kind)
    return {
        "train": {kind: np.sort(found[kept : kept + most]) for kind, found in rows.items()},
        "held_out": {kind: np.sort(found[:kept]) for kind, found in rows.items()},
        "notes": notes,
    }
