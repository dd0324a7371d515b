"""Image files that repeat the bytes of another one: found by size, then by their ends, and read whole only where both agree."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from biasmask.data.large_table import texts_of
from biasmask.data.repeated import repeated, repeated_numbers
from biasmask.errors import StoreError
from biasmask.files import write_json

END = 4096  # bytes at each end of a file that are looked at first: most files of one size differ there


def same_files(paths: pd.Series, root: Path, memory: Path | None = None) -> list[list[int]]:
    """Sets of rows whose image files are different files with the same bytes; of a file that several rows name the first row.

    A file that is not there (a rendered image, or one that vanished) is in no set.

    Args:
        paths: (N,) relative to `root`.
        root: of the images.
        memory: file in which the sets are kept, for a table whose files are known to be as they were; None = look anew.

    Returns:
        The sets in the order of their first rows, rows in rising order.

    >>> import tempfile; root = Path(tempfile.mkdtemp())
    >>> for name, text in (("a", "same"), ("b", "else"), ("c", "same")): _ = (root / name).write_text(text)
    >>> same_files(pd.Series(["a", "b", "c", "a"]), root)
    [[0, 2]]
    """
    if memory is not None:
        try:
            return json.loads(memory.read_text())["sets"]
        except (OSError, ValueError, KeyError):
            pass  # not there yet, or damaged: it is made again
    sizes = np.fromiter((_size(f"{root}{os.sep}{path}") for path in texts_of(paths)), dtype=np.int64, count=len(paths))
    again = np.flatnonzero(repeated(paths))
    sizes[again[paths.iloc[again].duplicated().to_numpy()]] = -1  # a file is looked at in its first row
    values, counts = np.unique(sizes, return_counts=True)
    several = np.flatnonzero(np.isin(sizes, values[(counts > 1) & (values >= 0)]))
    suspects = zip(sizes[several], texts_of(paths.iloc[several]), strict=True)
    marks = (_digest(f"{root}{os.sep}{path}", size) or b"" for size, path in suspects)
    ends = np.fromiter((int.from_bytes(mark[:8]) for mark in marks), dtype=np.uint64, count=len(several))
    alike = several[repeated_numbers(ends)]
    sets = sorted(_sets((row, _digest(f"{root}{os.sep}{paths.iloc[row]}")) for row in alike.tolist()))
    if memory is not None and memory.parent.is_dir():
        _keep(memory, sets)
    return sets


def _keep(memory: Path, sets: list[list[int]]) -> None:
    try:
        write_json(memory, {"sets": sets})
    except StoreError:
        return  # a cache that others own: looked at again next time


def _sets(keyed: Iterable[tuple[int, bytes | None]]) -> list[list[int]]:
    found: dict[bytes, list[int]] = defaultdict(list)
    for row, key in keyed:
        if key is not None:
            found[key].append(row)
    return [rows for rows in found.values() if len(rows) > 1]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _digest(path: str, size: int | None = None) -> bytes | None:
    """Hash of a file, or (with its size) of the size and its two ends; None where it can't be read."""
    try:
        with open(path, "rb") as file:
            if size is None:
                return hashlib.file_digest(file, "sha256").digest()
            digest = hashlib.sha256(f"{size}:".encode() + file.read(END))
            if size > END:
                file.seek(max(END, size - END))
                digest.update(file.read(END))
            return digest.digest()
    except OSError:
        return None
