"""Files of sentences, one a line or one a row, read in chunks so that no file has to fit into memory."""

from __future__ import annotations

import bz2
import glob
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from biasmask.errors import ConfigError, DataError

CHUNK = 1 << 20  # bytes: some thousand lines, enough to hide the cost of handing them to a process
MAX_LINE = 1_000_000  # bytes; no sentence is longer, and a file without line ends must not fill the memory
SUFFIXES = (".txt", ".txt.gz", ".gz", ".parquet")
PARQUET = (".parquet", ".pq")
COLUMN = "text"  # of a Parquet file
ROWS = 8192  # of a Parquet file in a chunk: about a megabyte of sentences


@dataclass(frozen=True)
class Chunk:
    """Whole lines of a file.

    Args:
        file: number of the file.
        first_line: number of the first line, from 1.
        data: the lines, without the last line's end; None where there is only `too_long`.
        too_long: numbers of lines that were longer than MAX_LINE and are not in `data`; they come before its first line.
        done: bytes read of this file, as they lie on the disk.
        encoding: of the lines, where the file itself says it; None = as the run has it.
    """

    file: int
    first_line: int
    data: bytes | None
    too_long: tuple[int, ...]
    done: int
    encoding: str | None = None


def sentence_files(files: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files meant by a file, a folder (its .txt, .gz and .parquet files), a pattern such as `news/*.txt`, or a list of these.

    Returns:
        Each file once; those of a folder or pattern in the order of their names.
    Raises:
        DataError: something that isn't there, a folder or pattern without a file.

    >>> [path.suffix for path in sentence_files(__file__)]
    ['.py']
    """
    asked = [files] if isinstance(files, str | Path) else list(files)
    found: dict[Path, Path] = {}
    for item in asked:
        path = Path(item)
        if path.is_dir():
            matches = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES) and file.is_file())
            wanted = f"folder {item} has no .txt, .gz or .parquet file"
        elif path.exists():
            matches, wanted = [path], ""
        else:
            matches = sorted(Path(name) for name in glob.glob(str(item), recursive=True) if os.path.isfile(name))
            wanted = (
                f"sentences: {item} is no file, no folder and no pattern that fits a file; check data.files and paths.data_dir"
            )
        if not matches:
            raise DataError(wanted)
        for match in matches:
            found.setdefault(match.resolve(), match)
    if not found:
        raise DataError("sentences: no file was named; set data.files")
    return list(found.values())


def check_encoding(encoding: str) -> None:
    """Refuse an encoding that isn't known or in which a line's end isn't one byte.

    Raises:
        ConfigError: the encoding can't be used.

    >>> check_encoding("latin-1")
    """
    try:
        usable = "a\n".encode(encoding) == b"a\n"
    except (LookupError, UnicodeError):
        usable = False
    if not usable:
        raise ConfigError(
            f"encoding={encoding} is unknown or doesn't end lines by one byte; convert the files to utf-8, or set latin-1"
        )


def content_hash(path: Path) -> str:
    """SHA-256 (hex) of a file as it lies on the disk.

    Raises:
        DataError: the file can't be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"sentences {path}: {error.strerror or error}") from error


def chunks_of(path: Path, file: int) -> Iterator[Chunk]:
    """Walk over a file in chunks of about a megabyte.

    Args:
        path: the file: plain, .gz, .bz2, or .parquet with a column `text` (a row is a line then).
        file: its number, handed on.
    Raises:
        DataError: the file can't be read, is cut off, or isn't of the kind that its name tells.
    """
    if path.suffix in PARQUET:
        yield from _parquet_chunks(path, file)
        return
    line, rest, skipping = 1, b"", False
    too_long: list[int] = []
    try:
        with open(path, "rb") as raw, _unpacked(raw, path) as stream:
            while block := stream.read(CHUNK):
                if skipping:
                    end = block.find(b"\n")
                    if end < 0:
                        continue
                    block, skipping, line = block[end + 1 :], False, line + 1
                data = rest + block
                cut = data.rfind(b"\n")
                lines, rest = (data[:cut], data[cut + 1 :]) if cut >= 0 else (None, data)
                if lines is not None:
                    yield Chunk(file, line, lines, tuple(too_long), raw.tell())
                    line, too_long = line + lines.count(b"\n") + 1, []
                if len(rest) > MAX_LINE:
                    too_long, rest, skipping = [*too_long, line], b"", True
            if rest or too_long:
                yield Chunk(file, line, rest or None, tuple(too_long), raw.tell())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"sentences {path}, after line {line - 1}: {error}; is the file whole?") from error


def _unpacked(raw: IO[bytes], path: Path) -> IO[bytes]:
    if path.suffix == ".bz2":
        return bz2.BZ2File(raw)  # type: ignore[return-value]
    return gzip.GzipFile(fileobj=raw, mode="rb") if path.suffix == ".gz" else raw  # type: ignore[return-value]


def _parquet_chunks(path: Path, file: int) -> Iterator[Chunk]:
    """Rows of a Parquet file's column as lines; one row is one line, whatever line ends are in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        size, row = path.stat().st_size, 1
        # Buffered: without it a whole row group is read at once, and a file may have only one.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=CHUNK) as table:
            if COLUMN not in table.schema_arrow.names:
                raise DataError(f"sentences {path} has no column {COLUMN}: it has {', '.join(table.schema_arrow.names)}")
            for batch in table.iter_batches(ROWS, columns=[COLUMN]):
                texts = ["" if text is None else " ".join(str(text).splitlines()) for text in batch[COLUMN].to_pylist()]
                done = size * (row - 1 + len(texts)) // table.metadata.num_rows
                yield Chunk(file, row, "\n".join(texts).encode("utf-8", "surrogatepass"), (), done, "utf-8")
                row += len(texts)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"sentences {path}: {' '.join(str(error).split())[:200]}; is the file whole?") from error
