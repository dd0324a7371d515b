"""Frames of more rows than should stand in memory: made, joined and cut block by block, their columns in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from biasmask.data.disk_columns import ColumnFile, can_be_kept
from biasmask.data.values import TEXT

BLOCK = 50_000  # rows that are worked on at one time; a table of more of them lies in a file


def collect(
    chunks: Iterable[pd.DataFrame], again: Callable[[list[str]], pd.DataFrame], folder: Path | None = None
) -> pd.DataFrame:
    """Chunks of a table as one frame, with the type of each column that the whole of it gives.

    Args:
        chunks: one or more, of the same columns. A single one is the frame.
        again: reads some columns whole: those whose type can't be told from the types in the chunks.
        folder: for the file of the columns.

    >>> frame = collect(iter([pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [None, 2.5]})]), lambda names: None)
    >>> frame["a"].tolist()
    [1.0, nan, 2.5]
    """
    rest = iter(chunks)
    head = list(islice(rest, 2))
    if len(head) == 1:
        return head[0]
    names, count, kinds = [str(name) for name in head[0]], 0, []
    in_turn = chain((head.pop(0) for _ in range(2)), rest)  # none is held longer than it is needed
    with ColumnFile(folder) as pieces:
        places = []
        for chunk in in_turn:
            count += len(chunk)
            kinds.append([(column.dtype, bool(column.notna().any())) for _, column in chunk.items()])
            places.append([pieces.put([c], len(c)) if can_be_kept(c.dtype) else None for _, c in chunk.items()])
        types = [_type_of_all(of_chunks) for of_chunks in zip(*kinds, strict=True)]

        def blocks(number: int) -> Iterator[pd.Series]:
            return (pieces.get(place[number]).astype(types[number]) for place in places)

        told = [number for number, kind in enumerate(types) if kind is not None]
        columns = _in_file({names[number]: blocks(number) for number in told}, count, folder)
    odd = [name for name in names if name not in columns]
    whole = again(odd) if odd else None
    return whole_frame({name: columns[name] if whole is None or name in columns else whole[name] for name in names})


def whole_frame(columns: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Columns of one length as a frame, those of a large table without a copy."""
    large = max((len(column) for column in columns.values()), default=0) > BLOCK
    return pd.DataFrame(dict(columns), copy=not large)


def kept_rows(frame: pd.DataFrame, keep: np.ndarray, folder: Path | None = None) -> pd.DataFrame:
    """The rows of a mask (N,) bool, numbered anew.

    >>> kept_rows(pd.DataFrame({"a": ["x", "y", "z"]}), np.array([True, False, True]))["a"].tolist()
    ['x', 'z']
    """
    count = int(keep.sum())
    if count <= BLOCK:
        return frame[keep].reset_index(drop=True)
    kept = [str(name) for name, column in frame.items() if can_be_kept(column.dtype)]
    columns = _in_file({name: _blocks(frame[name], keep) for name in kept}, count, folder)
    rest = frame[[name for name in frame if name not in columns]][keep].reset_index(drop=True)
    return whole_frame({str(name): columns[name] if name in columns else rest[name] for name in frame})


def joined(parts: Sequence[pd.DataFrame], folder: Path | None = None) -> pd.DataFrame:
    """Tables one below the other, as `pd.concat` joins them; a column that one of them lacks is empty there."""
    count = sum(map(len, parts))
    if len(parts) == 1:
        return parts[0]
    if count <= BLOCK:
        return pd.concat(parts, ignore_index=True)
    names = list(dict.fromkeys(str(name) for part in parts for name in part))
    types = {name: _joined_type([part[name].dtype if name in part else None for part in parts]) for name in names}

    def blocks(name: str) -> Iterator[pd.Series]:
        for part in parts:
            column = part[name] if name in part else pd.Series(np.nan, index=range(len(part)))
            yield from (block.astype(types[name]) for block in _blocks(column))

    columns = _in_file({name: blocks(name) for name in names if types[name] is not None}, count, folder)
    odd = [name for name in names if name not in columns]
    rest = pd.concat([part[[name for name in odd if name in part]] for part in parts], ignore_index=True) if odd else None
    return whole_frame({name: columns[name] if rest is None or name in columns else rest[name] for name in names})


def text_column(count: int, texts: Callable[[slice], Sequence[str | None]], folder: Path | None = None) -> pd.Series:
    """A column of text made block by block, so that only one block of it stands in memory as Python strings.

    Args:
        count: N.
        texts: rows -> their texts.
        folder: for the file of a long column.

    Returns:
        (N,), None or NaN where there is no text.

    >>> text_column(3, lambda rows: ["a", None, "c"][rows]).isna().tolist()
    [False, True, False]
    """
    blocks = (pd.Series(texts(rows), dtype=TEXT) for rows in row_blocks(count))
    if count <= BLOCK or not can_be_kept(TEXT):
        return pd.concat(list(blocks), ignore_index=True)
    return _in_file({"": blocks}, count, folder)[""]


def texts_of(column: pd.Series) -> Iterator[str]:
    """Its texts as Python strings, of which few are in memory at one time; a loop over a packed column takes ten times as long.

    >>> list(texts_of(pd.Series(["a", "b"])))
    ['a', 'b']
    """
    return chain.from_iterable(column.iloc[rows].tolist() for rows in row_blocks(len(column)))


def row_blocks(count: int) -> list[slice]:
    """The blocks of N rows; an empty one for no row.

    >>> row_blocks(0), [(rows.start, rows.stop) for rows in row_blocks(BLOCK + 1)]
    ([slice(0, 0, None)], [(0, 50000), (50000, 50001)])
    """
    return [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)] or [slice(0, 0)]


@contextmanager
def lean_arrow() -> Iterator[None]:
    """Arrow takes memory from the system and returns it; its own pool keeps up to 80 bytes a row for buffers to come."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)
        give_back()


def give_back() -> None:
    """Return freed memory to the system (glibc's `malloc_trim`, through Arrow; elsewhere what Arrow does there)."""
    pa.system_memory_pool().release_unused()


def kept_numbers(values: np.ndarray, folder: Path | None = None) -> np.ndarray:
    """Numbers (N,) of a large table as they lie in a file; few ones are left where they are."""
    if len(values) <= BLOCK:
        return values
    return _in_file({"": _blocks(pd.Series(values, copy=False))}, len(values), folder)[""].to_numpy()


def _blocks(column: pd.Series, keep: np.ndarray | None = None) -> Iterator[pd.Series]:
    for rows in row_blocks(len(column)):
        block = column.iloc[rows]
        yield block if keep is None else block[keep[rows]]


def _in_file(columns: Mapping[str, Iterable[pd.Series]], count: int, folder: Path | None) -> dict[str, pd.Series]:
    with ColumnFile(folder) as file:
        places = {name: file.put(blocks, count) for name, blocks in columns.items()}
        columns = {name: file.get(place) for name, place in places.items()}
    give_back()
    return columns


def _joined_type(dtypes: Sequence[Any]) -> Any:
    """The type of a column of several tables (None = one lacks it) where `pd.concat` gives the same for any values; else None."""
    types, lacking = set(dtypes) - {None}, None in dtypes
    if types <= {np.dtype(np.int64), np.dtype(float)} and (len(types) == 2 or lacking):
        return np.dtype(float)
    kind = types.pop()
    known = not types and can_be_kept(kind) and (not lacking or kind in (TEXT, np.dtype(float)))
    return kind if known else None


def _type_of_all(kinds: Sequence[tuple[Any, bool]]) -> Any:
    """The type of a column from those in its chunks, each with whether it has a value there; None where that isn't known."""
    types = {dtype for dtype, _ in kinds}
    if not all(map(can_be_kept, types)):
        return None
    if len(types) == 1:
        return types.pop()
    if np.dtype(float) in types and all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in types):
        return np.dtype(float)
    if TEXT in types and all(dtype == TEXT or (dtype == np.dtype(float) and not filled) for dtype, filled in kinds):
        return TEXT
    return None
