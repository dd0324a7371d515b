"""Pixels decoded once: a uint8 memory map beside a JSON file, in a folder named by all that determines it.

A store is built in a temporary folder under a file lock and appears by one rename, so a reader sees a whole store or
none, two jobs never decode the same table twice, and a killed build leaves only a folder that the next one removes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock, Timeout

from biasmask.data.decode import Decoded, quiet_pillow, try_decode
from biasmask.data.large_table import texts_of
from biasmask.data.table import Table
from biasmask.errors import DataError, StoreError

VERSION = 1
PIXELS, META = "pixels.npy", "pixels.json"
DECODE_CHUNK = 16  # files a task: long enough to hide the cost of a task, short enough to keep threads even
RENDER_CHUNK = 64
_quoted = json.encoder.encode_basestring_ascii  # what json.dumps does to a string, without its overhead
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Progress = Callable[[int, int], None]


class PixelSource(Protocol):
    """A data source that makes its own pixels."""

    def parameters(self) -> dict[str, Any]: ...

    def render(self, table: Table, size: int, rows: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class PixelStore:
    """Decoded pixels of a table, in its row order; an unreadable row is black and must not be used."""

    images: np.ndarray  # read-only memmap, uint8 (N, size, size, 3)
    readable: np.ndarray  # bool (N,)
    unreadable: dict[int, str]  # row -> reason
    converted: dict[str, int]  # kind of file that had to be converted -> count
    key: str  # of table, files and size
    fingerprint: str  # of the pixels themselves: a touched file changes the key, not this
    hit: bool  # True: nothing had to be decoded
    path: Path = field(default=Path("."))


def open_pixel_store(
    table: Table,
    size: int,
    cache_dir: Path,
    source: Any = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> PixelStore:
    """Open the pixels of a table, building them first where they are not there or no longer true.

    The key is the SHA-256 of the format's version, the size and each row's relative path, file size and modification
    time in nanoseconds; for a source with a `render` method, of its parameters and the rows' paths and ids.

    Args:
        table: N rows, N >= 1; `path` is relative to `table.root`.
        size: side of the square in pixels, 1 or more.
        cache_dir: folder of all stores, made when absent.
        source: where it has `render(table, size, rows)` and `parameters()`, pixels come from it and no file is read.
        progress: called with (rows done, N).
        workers: decoding threads; None means the cores this process may use.

    Returns:
        The store; a row that cannot be read is in `unreadable` with its reason, never an exception.

    Raises:
        DataError: the table is empty or the size is below 1.
        StoreError: no space for the store, or a folder that cannot be written.

    >>> import tempfile
    >>> from biasmask.data.rendered import RenderedLesions
    >>> source = RenderedLesions(n={"train": 8, "debias": 0, "val": 0, "test": 0})
    >>> open_pixel_store(source.load(), 16, Path(tempfile.mkdtemp()), source).images.shape
    (8, 16, 16, 3)
    """
    if len(table.frame) == 0:
        raise DataError(f"table {table.name} has no rows; there is nothing to decode")
    if size < 1:
        raise DataError(f"image_size={size} must be 1 or more")
    cache_dir = Path(cache_dir)
    source = source if hasattr(source, "render") else None
    key = store_key(table, size, source)
    if (store := _read(cache_dir / key, key, hit=True)) is not None:
        return store
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        _remove_stale(cache_dir)
        with FileLock(cache_dir / f"{key}.lock"):
            if (store := _read(cache_dir / key, key, hit=True)) is not None:
                return store  # another job built it while this one waited
            _build(table, size, cache_dir, key, source, progress, workers)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StoreError(_no_space(cache_dir, len(table.frame), size)) from error
        why = f"{error.strerror or error}; choose a cache folder that can be written"
        raise StoreError(f"pixel store {cache_dir}: {why}") from error
    store = _read(cache_dir / key, key, hit=False)
    if store is None:
        raise StoreError(f"pixel store {cache_dir / key} vanished or was damaged after it was built; run again")
    return store


def store_key(table: Table, size: int, source: PixelSource | None = None) -> str:
    """SHA-256 (hex) over all that determines the pixels; a missing file counts as such, so its arrival is noticed."""
    digest = hashlib.sha256(json.dumps([VERSION, size]).encode())
    paths = texts_of(table.frame["path"])
    if source is not None:
        digest.update(json.dumps(source.parameters(), sort_keys=True).encode())
        rows = (f"[{_quoted(path)}, {_quoted(name)}]" for path, name in zip(paths, texts_of(table.frame["id"]), strict=True))
    else:
        rows = _stamps(str(table.root), paths)
    while block := "".join(islice(rows, 1000)):
        digest.update(block.encode())
    return digest.hexdigest()


def _stamps(root: str, paths: Iterable[str]) -> Iterator[str]:
    """Each path with the size and time of its file, as `json.dumps` writes the list of them."""
    for path in paths:
        try:
            status = os.stat(f"{root}{os.sep}{path}")
            yield f"[{_quoted(path)}, {status.st_size}, {status.st_mtime_ns}]"
        except OSError:
            yield f"[{_quoted(path)}]"


def _read(folder: Path, key: str, hit: bool) -> PixelStore | None:
    """The store in `folder`, or None when it is absent, incomplete or of the wrong size."""
    try:
        meta = json.loads((folder / META).read_text())
        if meta["version"] != VERSION or meta["key"] != key or not meta["complete"]:
            return None
        if os.path.getsize(folder / PIXELS) != meta["bytes"]:
            return None
        images = np.load(folder / PIXELS, mmap_mode="r")
        if images.dtype != np.uint8 or list(images.shape) != meta["shape"]:
            return None
        unreadable = {int(row): reason for row, reason in meta["unreadable"].items()}
        readable = np.ones(len(images), bool)
        readable[list(unreadable)] = False
        marks = (images, readable, unreadable, meta["converted"], key, meta["fingerprint"])
        return PixelStore(*marks, hit=hit, path=folder / PIXELS)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None  # whatever is damaged there is built again


def _build(
    table: Table, size: int, cache_dir: Path, key: str, source: Any, progress: Progress | None, workers: int | None
) -> None:
    """Decode or render into a temporary folder, then rename it to its place; the caller holds the lock."""
    rows = len(table.frame)
    if shutil.disk_usage(cache_dir).free < _needed(rows, size):
        raise StoreError(_no_space(cache_dir, rows, size))
    temporary = cache_dir / f"{key}.tmp-{uuid.uuid4().hex}"  # not mkdtemp: other users of a shared cache may read it
    temporary.mkdir()
    try:
        unreadable: dict[int, str] = {}
        converted: Counter[str] = Counter()
        digest = hashlib.sha256()
        made = _rendered(table, size, source) if source is not None else _decoded(table, size, workers)
        shape, done = [rows, size, size, 3], 0
        # Plain writes, not a writable memory map: on a full disk they raise, where a map kills the process by SIGBUS.
        with quiet_pillow(), closing(made) as blocks, open(temporary / PIXELS, "wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)})
            for block in blocks:
                pixels = np.zeros((len(block), size, size, 3), np.uint8)
                for i, decoded in enumerate(block):
                    converted.update(decoded.converted)
                    if decoded.pixels is None:
                        unreadable[done + i] = str(decoded.reason)
                    else:
                        pixels[i] = decoded.pixels
                file.write(pixels.data)
                digest.update(pixels.data)
                done += len(block)
                if progress is not None:
                    progress(done, rows)
            file.flush()
            os.fsync(file.fileno())
        digest.update(json.dumps(sorted(unreadable)).encode())
        meta = {
            "version": VERSION,
            "key": key,
            "complete": True,
            "shape": shape,
            "bytes": os.path.getsize(temporary / PIXELS),
            "fingerprint": digest.hexdigest(),
            "converted": dict(sorted(converted.items())),
            "unreadable": unreadable,
        }
        (temporary / META).write_text(json.dumps(meta, indent=1))
        if (cache_dir / key).exists():
            os.replace(cache_dir / key, temporary / "damaged")
        # The new folder must hold only the store: what was damaged goes before the rename.
        shutil.rmtree(temporary / "damaged", ignore_errors=True)
        os.replace(temporary, cache_dir / key)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _decoded(table: Table, size: int, workers: int | None) -> Generator[list[Decoded], None, None]:
    """Decoded files in row order, a chunk at a time; threads do, as Pillow frees the GIL while it decodes."""
    paths = (os.path.join(str(table.root), path) for path in texts_of(table.frame["path"]))
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def work(chunk: list[str]) -> list[Decoded]:
        return [try_decode(path, size) for path in chunk]

    chunks = iter(lambda: list(islice(paths, DECODE_CHUNK)), [])
    ahead: deque[Future[list[Decoded]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for chunk in chunks:
            ahead.append(pool.submit(work, chunk))
            if len(ahead) > 3 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _rendered(table: Table, size: int, source: PixelSource) -> Generator[list[Decoded], None, None]:
    for start in range(0, len(table.frame), RENDER_CHUNK):
        rows = np.arange(start, min(start + RENDER_CHUNK, len(table.frame)))
        yield [Decoded(picture) for picture in source.render(table, size, rows)]


def _remove_stale(cache_dir: Path) -> None:
    """Remove temporary folders whose builder is dead, which is known from its lock being free."""
    for folder in cache_dir.glob("*.tmp-*"):
        try:
            with FileLock(cache_dir / f"{folder.name.split('.tmp-')[0]}.lock", timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            continue


def _needed(rows: int, size: int) -> int:
    return rows * size * size * 3 + 1_000_000


def _no_space(cache_dir: Path, rows: int, size: int) -> str:
    need, free = _needed(rows, size) / 1e6, shutil.disk_usage(cache_dir).free / 1e6
    return (
        f"pixel store {cache_dir}: {rows} images of {size} x {size} pixels need {need:,.0f} MB, "
        f"{free:,.0f} MB are free; make room, or choose another cache folder or a smaller image_size"
    )
