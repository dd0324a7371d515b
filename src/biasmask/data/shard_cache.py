"""Shards of pixels copied to a local folder as they are looked at, checked, and dropped when the folder has grown too large.

Rows of a shard that isn't here and that there is no room for are read from where the shard lies, so that a shuffled walk over a
store larger than the cache moves the rows it asks for and no more. Several processes and runs share the folder.
"""

import hashlib
import os
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from filelock import FileLock

from biasmask.errors import StoreError
from biasmask.files import storage_error

WALKED = 4  # a shard of which a call wants more than this part (1/4) is copied, whatever has to go for it
LOOK_AGAIN = 5.0  # seconds


@dataclass(frozen=True)
class Shard:
    """A file of `rows` images, one after the other; `sha256` of its bytes."""

    file: str
    rows: int
    sha256: str


@contextmanager
def remote_reading(url: str, done: str) -> Iterator[None]:
    """Tell any refusal of a remote file system in one line; each has exceptions of its own."""
    try:
        yield
    except StoreError:
        raise
    except ImportError as error:
        raise StoreError(f"{url} can't be {done}: {error}") from error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise StoreError(f"{url} can't be {done}: {reason}; check data.store_url and your access to it") from error


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """Where in rising rows each stretch without a gap starts and ends.

    >>> _runs(np.array([3, 4, 5, 9]))
    [(0, 3), (3, 4)]
    """
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1).tolist()
    return list(zip(starts, [*starts[1:], len(rows)], strict=True))


@dataclass
class ShardCache:
    """Copies of the shards of one store.

    Args:
        url: where the store lies. shards: its files, in the order of their rows. row_bytes: of one image.
        folder: where the copies go; folders beside it are of other stores, and count as well.
        limit: most bytes of all copies together.
    """

    url: str
    shards: Sequence[Shard]
    row_bytes: int
    folder: Path
    limit: int
    _fs: Any = field(default=None, repr=False)
    _pid: int = 0
    _full_until: float = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_fs": None}

    def remote(self) -> tuple[Any, str]:
        """The file system, opened anew in each process: its threads don't survive a fork."""
        if self._fs is None or self._pid != os.getpid():
            self._fs, self._pid = fsspec.core.url_to_fs(self.url), os.getpid()
        return self._fs

    def read(self, number: int, rows: np.ndarray) -> np.ndarray:
        """Rows of one shard, (n, row_bytes) uint8."""
        shard, path = self.shards[number], self.folder / self.shards[number].file
        while True:
            try:
                return self._read_copy(path, rows)
            except FileNotFoundError:
                size = shard.rows * self.row_bytes
                if size > self.limit or (len(rows) * WALKED <= shard.rows and not self._room_for(size)):
                    return self._read_rows(shard, rows)
                self._fetch(shard, path)

    def _read_copy(self, path: Path, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), self.row_bytes), dtype=np.uint8)
        with open(path, "rb", buffering=0) as file:
            for start, end in _runs(rows):
                file.seek(int(rows[start]) * self.row_bytes)
                if file.readinto(out[start:end].data) != (end - start) * self.row_bytes:
                    raise StoreError(f"{path} was cut short after it was copied: remove it, and it is copied again")
        return out

    def _read_rows(self, shard: Shard, rows: np.ndarray) -> np.ndarray:
        with remote_reading(f"{self.url}/{shard.file}", "read"):
            fs, root = self.remote()
            runs = _runs(rows)
            starts = [int(rows[start]) * self.row_bytes for start, _ in runs]
            ends = [first + (end - start) * self.row_bytes for first, (start, end) in zip(starts, runs, strict=True)]
            parts = fs.cat_ranges([f"{root}/{shard.file}"] * len(runs), starts, ends, on_error="raise")
        whole = shard.rows * self.row_bytes
        # A web server that knows no ranges answers with the whole file.
        cut = [p[a:b] if len(p) == whole != b - a else p for p, a, b in zip(parts, starts, ends, strict=True)]
        content = b"".join(cut)
        if len(content) != len(rows) * self.row_bytes:
            raise StoreError(f"{self.url}/{shard.file} gave {len(content)} bytes for {len(rows)} rows: publish it again")
        return np.frombuffer(content, dtype=np.uint8).reshape(len(rows), self.row_bytes)

    def _fetch(self, shard: Shard, path: Path) -> None:
        """Copy a shard to its place, once however many processes ask for it, and make room first."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / f"{shard.file}.lock"):
                if path.is_file():
                    return
                with remote_reading(f"{self.url}/{shard.file}", "read"):
                    fs, root = self.remote()
                    content = fs.cat_file(f"{root}/{shard.file}")
                if hashlib.sha256(content).hexdigest() != shard.sha256:
                    raise StoreError(
                        f"{self.url}/{shard.file} is damaged ({len(content)} bytes of another checksum): publish it again"
                    )
                temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
                try:
                    with FileLock(self.folder.parent / "room.lock"):
                        self._make_room(len(content))
                        temporary.write_bytes(content)
                        os.replace(temporary, path)
                finally:
                    temporary.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, path) from error

    def _room_for(self, size: int) -> bool:
        """Whether a copy fits beside the others; a full folder is looked at again after some seconds."""
        if time.monotonic() < self._full_until:
            return False
        room = sum(status.st_size for _, status in self._copies()) + size <= self.limit
        self._full_until = 0.0 if room else time.monotonic() + LOOK_AGAIN
        return room

    def _copies(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for path in self.folder.parent.glob("*/*.u8*"):
            try:
                if path.suffix in (".u8", ".part"):
                    found.append((path, path.stat()))
            except FileNotFoundError:
                continue  # another process made room
        return found

    def _make_room(self, size: int) -> None:
        """Drop the copies that were made first until `size` bytes fit; a reader that has one open reads on."""
        copies = sorted(self._copies(), key=lambda copy: copy[1].st_mtime_ns)
        held = sum(status.st_size for _, status in copies)
        for path, status in copies:
            if held + size <= self.limit:
                break
            path.unlink(missing_ok=True)
            held -= status.st_size


class ShardedImages:
    """What a memory map of all pixels is to a local store: `images[rows]` gives them, uint8 (n, S, S, 3).

    >>> import tempfile
    >>> fs = fsspec.filesystem("memory"); fs.pipe_file("/shards/0.u8", bytes(range(24)))
    >>> shard = Shard("0.u8", 2, hashlib.sha256(bytes(range(24))).hexdigest())
    >>> cache = ShardCache("memory://shards", [shard], 12, Path(tempfile.mkdtemp()) / "store", limit=100)
    >>> checks = np.array([zlib.crc32(bytes(range(12))), zlib.crc32(bytes(range(12, 24)))], np.uint32)
    >>> ShardedImages(cache, (2, 2, 2, 3), checks)[[1]].ravel()[:3].tolist()
    [12, 13, 14]
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, cache: ShardCache, shape: tuple[int, ...], checks: np.ndarray) -> None:
        self.cache, self.shape, self.checks = cache, shape, checks
        self.ends = np.cumsum([shard.rows for shard in cache.shards])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Images of the given rows, in their order.

        Raises:
            StoreError: a shard or a row that can't be read, or whose checksum is another.
        """
        index = np.arange(len(self))[rows]
        wanted, place = np.unique(np.atleast_1d(index), return_inverse=True)
        shard = np.searchsorted(self.ends, wanted, side="right")
        out = np.empty((len(wanted), self.cache.row_bytes), dtype=np.uint8)
        for number in np.unique(shard):
            here = np.flatnonzero(shard == number)
            start = int(self.ends[number]) - self.cache.shards[number].rows
            out[here] = self.cache.read(int(number), wanted[here] - start)
        for row, pixels in zip(wanted, out, strict=True):
            if zlib.crc32(pixels) != self.checks[row]:
                raise StoreError(f"row {row} of {self.cache.url} is damaged: remove {self.cache.folder}, and it is read again")
        return out[place].reshape(*index.shape, *self.shape[1:])
