"""The cache of an extraction: an Arrow file beside its report, in a folder named by all that determines it.

It is built in a temporary folder under a file lock and appears by one rename, as the pixel store does. Rows are written as they
are made, in the order of the files and lines whatever the number of processes, so memory doesn't grow with the files.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from biasmask.data.sentence_files import CHUNK, Chunk, chunks_of
from biasmask.data.sentence_scan import EXCLUSIONS, Found, Scanner, schema_of
from biasmask.data.word_lists import WordLists
from biasmask.errors import DataError
from biasmask.files import storage_error

VERSION = 1
ROWS, REPORT = "sentences.arrow", "sentences.json"
PER_PROCESS = 16 * CHUNK  # bytes below which starting another process costs more than it gives

Progress = Callable[[int, int], None]
_scanner: Scanner | None = None  # of a scanning process


def cache_key(hashes: list[str], lists: WordLists, tokenizer_key: str, max_length: int, encoding: str) -> str:
    """SHA-256 (hex) over the version, the files' contents, the lists, the tokenizer's identity, max_length and encoding."""
    words = {"groups": list(lists.groups.items()), "stereotype": lists.stereotype}
    parts = [VERSION, hashes, words, tokenizer_key, max_length, encoding]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read_cache(folder: Path, key: str) -> tuple[pa.Buffer, dict[str, Any]] | None:
    """The mapped rows and the report of a cache, or None when it is absent, incomplete or of the wrong size."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if report["key"] != key or os.path.getsize(folder / ROWS) != report["cache_bytes"]:
            return None
        return pa.memory_map(str(folder / ROWS)).read_buffer(), report
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None  # whatever is damaged there is built again


def build_cache(
    cache_dir: Path,
    key: str,
    files: list[Path],
    facts: dict[str, Any],
    scanner: tuple[WordLists, str, int, str],
    processes: int | None,
    progress: Progress | None,
) -> bool:
    """Extract into the cache, unless another job did so meanwhile.

    Args:
        cache_dir: folder of all caches.
        key: of `cache_key`, the name of the folder.
        files: in the order of the rows.
        facts: JSON-able, put into the report.
        scanner: lists, tokenizer JSON, max_length and encoding of `Scanner`.
        processes: how many scan; None: all cores, fewer for small files. 1: none but this one.
        progress: called with (bytes read, bytes in all).
    Returns:
        Whether it was built here.
    Raises:
        DataError: a file that can't be read.
        StoreError: the disk is full, or the folder can't be written.
    """
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir / f"{key}.lock"):
            if read_cache(cache_dir / key, key) is not None:
                return False
            for stale in cache_dir.glob(f"{key}.tmp-*"):  # of a killed job: the lock is ours
                shutil.rmtree(stale, ignore_errors=True)
            temporary = cache_dir / f"{key}.tmp-{uuid.uuid4().hex}"
            temporary.mkdir()
            try:
                report = _extract(temporary / ROWS, files, scanner, processes, progress)
                report = {"key": key, **facts, **report, "cache_bytes": os.path.getsize(temporary / ROWS)}
                (temporary / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
                shutil.rmtree(cache_dir / key, ignore_errors=True)  # damaged, or it would have been read
                os.replace(temporary, cache_dir / key)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise storage_error(error, cache_dir) from error
    return True


def write_rows(found: Iterator[Found], sink: Any, names: list[str]) -> dict[str, Any]:
    """Write the rows of all chunks as an Arrow file and sum up what was found."""
    n_lines, rows, tokens, truncated = 0, 0, 0, 0
    excluded: dict[str, dict[str, Any]] = {}
    with pa.ipc.new_file(sink, schema_of()) as writer:
        for part in found:
            n_lines, truncated = n_lines + part.lines, truncated + part.truncated
            for reason, (count, line) in part.excluded.items():
                first = {"count": 0, "what": EXCLUSIONS[reason], "first": f"{names[part.file]}:{line}"}
                excluded.setdefault(reason, first)["count"] += count
            if part.batch.num_rows:
                rows, tokens = rows + part.batch.num_rows, tokens + len(part.batch["input_ids"].values)
                writer.write_batch(part.batch)
    excluded = {reason: excluded[reason] for reason in EXCLUSIONS if reason in excluded}
    return {"lines": n_lines, "rows": rows, "tokens": tokens, "truncated": truncated, "excluded": excluded}


def _extract(
    path: Path,
    files: list[Path],
    scanner: tuple[WordLists, str, int, str],
    processes: int | None,
    progress: Progress | None,
) -> dict[str, Any]:
    sizes = [os.path.getsize(file) for file in files]
    names = [str(file) for file in files]
    if processes is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        processes = max(1, min(cores, sum(sizes) // PER_PROCESS))

    def chunks() -> Iterator[Chunk]:
        for number, file in enumerate(files):
            yield from chunks_of(file, number)

    def watched() -> Iterator[Found]:
        with closing(_scanned(chunks(), (*scanner, names), processes)) as parts:
            for found, chunk in parts:
                yield found
                if progress is not None:
                    progress(sum(sizes[: chunk.file]) + chunk.done, sum(sizes))

    with pa.OSFile(str(path), "wb") as sink:
        return write_rows(watched(), sink, names)


def _scanned(chunks: Iterator[Chunk], scanner: tuple[Any, ...], processes: int) -> Generator[tuple[Found, Chunk], None, None]:
    """What each chunk gave, in the order of the chunks; a few are under way in each process, never all."""
    if processes == 1:
        alone = Scanner(*scanner)
        for chunk in chunks:
            yield alone.scan(chunk), chunk
        return
    # Spawned, not forked: this process may have threads, and a scanning one needs nothing of what is loaded here.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _start, scanner)
    ahead: deque[tuple[Future[Found], Chunk]] = deque()
    try:
        for chunk in chunks:
            ahead.append((pool.submit(_scan, chunk), Chunk(chunk.file, chunk.first_line, None, (), chunk.done)))
            if len(ahead) > 2 * processes:
                future, done = ahead.popleft()
                yield future.result(), done
        while ahead:
            future, done = ahead.popleft()
            yield future.result(), done
    except BrokenProcessPool as error:
        why = "out of memory, or the script that was started doesn't guard its main part by __name__"
        raise DataError(f"a process of the extraction ended without a word ({why}); set data.processes=1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start(*scanner: Any) -> None:
    global _scanner
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the process that reads; it ends these
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each process has a core, no more
    _scanner = Scanner(*scanner)


def _scan(chunk: Chunk) -> Found:
    assert _scanner is not None
    return _scanner.scan(chunk)
