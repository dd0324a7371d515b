"""Columns of a large table in a file instead of in memory: written block by block, read through a memory map.

The file has no name from the moment it is made, so that whatever ends a process also gives its room back. What such columns
take of memory is pages of that file, which the system drops when something else needs the room.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from biasmask.errors import DataError

NUMBERS = "biufmM"  # kinds of NumPy types that are kept as their bytes
ALIGNED = 64  # bytes: where buffers start, as Arrow wants it
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def can_be_kept(dtype: Any) -> bool:
    """True for packed text and for plain numbers, dates and truth values; a column of any other type stays in memory."""
    return _is_packed(dtype) or (isinstance(dtype, np.dtype) and dtype.kind in NUMBERS)


def _is_packed(dtype: Any) -> bool:
    return isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow"


@dataclass(frozen=True)
class Place:
    """Where a column lies in the file: its type, its number of rows, and start and length of each of its buffers."""

    dtype: Any
    count: int
    buffers: tuple[tuple[int, int], ...]


class ColumnFile:
    """Columns that are written one after the other, each in one piece, and read back without a copy.

    Args:
        folder: where the file lies; None, or one that can't be written = the system's folder for temporary files.

    >>> with ColumnFile() as file:
    ...     numbers = file.put([pd.Series([1.5, 2.5]), pd.Series([3.5])], 3)
    ...     texts = file.put([pd.Series(["a", "ccc"])], 2)
    ...     columns = file.get(numbers), file.get(texts)
    >>> [column.tolist() for column in columns]
    [[1.5, 2.5, 3.5], ['a', 'ccc']]
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder, self._why = folder or Path(tempfile.gettempdir()), ""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115, closed by __exit__
        except OSError as error:
            self._why = f" (used because {self._folder} can't be written: {error.strerror})"
            self._folder = Path(tempfile.gettempdir())
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._end = 0
        self._map: mmap.mmap | None = None

    def __enter__(self) -> ColumnFile:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing more is written; columns that were read stay readable as long as something holds them."""
        self._file.close()

    def put(self, blocks: Iterable[pd.Series], count: int) -> Place:
        """Write a column.

        Args:
            blocks: of one type that `can_be_kept`, one at least.
            count: rows of all of them.

        Raises:
            DataError: the disk is full, or can't be written.
        """
        self._map = None
        rest = iter(blocks)
        first = next(rest)
        write = self._put_text if _is_packed(first.dtype) else self._put_numbers
        try:
            return Place(first.dtype, count, write(chain([first], rest), count, first.dtype))
        except OSError as error:
            why = "no room is left" if error.errno in DISK_FULL else f"can't write ({error.strerror})"
            raise DataError(
                f"{why} in {self._folder}{self._why} for the columns of a large table, {self._end / 1e6:,.0f} MB so far: "
                "make room, or name a folder of another disk as paths.cache_dir=..."
            ) from error

    def get(self, place: Place) -> pd.Series:
        """The column, (N,), read-only; its pages are read when they are looked at."""
        if self._map is None:
            if os.fstat(self._file.fileno()).st_size < max(self._end, 1):  # a map of no byte is refused
                self._file.truncate(max(self._end, 1))
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        whole = pa.py_buffer(self._map)
        buffers = [whole.slice(*part) for part in place.buffers]
        if not _is_packed(place.dtype):
            return pd.Series(np.frombuffer(buffers[0], dtype=np.uint8).view(place.dtype), copy=False)
        array = pa.LargeStringArray.from_buffers(place.count, *buffers)
        return pd.Series(place.dtype.__from_arrow__(array), copy=False)

    def _put_numbers(self, blocks: Iterable[pd.Series], count: int, dtype: np.dtype) -> tuple[tuple[int, int], ...]:
        start = self._room(count * dtype.itemsize)
        at = start
        for block in blocks:
            at += self._write(np.ascontiguousarray(block.to_numpy()).view(np.uint8).data, at)
        return ((start, count * dtype.itemsize),)

    def _put_text(self, blocks: Iterable[pd.Series], count: int, _: Any) -> tuple[tuple[int, int], ...]:
        """Offsets, texts and validity (one bit a row): the buffers of Arrow's large strings."""
        bits, places = self._room(-(-count // 8)), self._room(8 * (count + 1))
        start = self._room(0)
        filled = []
        at = places + self._write(bytes(8), places)
        for block in blocks:
            packed = pa.array(block, pa.large_string(), from_pandas=True)
            packed = packed.combine_chunks() if isinstance(packed, pa.ChunkedArray) else packed
            own = np.frombuffer(packed.buffers()[1], dtype=np.int64)[packed.offset : packed.offset + len(packed) + 1]
            at += self._write((own[1:] - own[0] + (self._end - start)).view(np.uint8).data, at)
            if own[-1] > own[0]:
                self._end += self._write(memoryview(packed.buffers()[2])[own[0] : own[-1]], self._end)
            filled.append(block.notna().to_numpy())
        packed_bits = np.packbits(np.concatenate(filled), bitorder="little")
        self._write(packed_bits.data, bits)
        return (places, 8 * (count + 1)), (start, self._end - start), (bits, len(packed_bits))

    def _room(self, size: int) -> int:
        """The start of so many bytes at the end of the file."""
        start = -(-self._end // ALIGNED) * ALIGNED
        self._end = start + size
        return start

    def _write(self, content: memoryview | bytes, at: int) -> int:
        """Write all of it, and tell how much that is."""
        view, done = memoryview(content), 0
        self._file.seek(at)
        while done < len(view):
            done += self._file.write(view[done:])
        return done
