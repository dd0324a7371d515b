"""CSV or Parquet into a frame, with the line of each row, so that an error can name it."""

import csv
import gzip
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyarrow import parquet

from biasmask.data import large_table
from biasmask.data.large_table import collect
from biasmask.data.values import shown
from biasmask.errors import DataError

SEPARATORS = {".tsv": "\t", ".tab": "\t"}
PARQUET = (".parquet", ".pq")
SPREADSHEETS = (".xlsx", ".xls", ".ods")


@dataclass(frozen=True)
class RawTable:
    """A table as it was read: `frame`, and `lines` (N,) the line of each row in the file (CSV) or its number from 1."""

    frame: pd.DataFrame
    lines: np.ndarray


def read_table(
    path: Path, text_columns: Iterable[str] = (), separator: str | None = None, folder: Path | None = None
) -> RawTable:
    """Reads a table and refuses one that is broken, rather than guessing.

    Args:
        path: a CSV (UTF-8, with or without BOM), TSV or Parquet file; a CSV or TSV may be packed (.csv.gz).
        text_columns: columns that stay text, so that an id such as 0042 keeps its zeros.
        separator: of the CSV; None = by the suffix, a comma otherwise.
        folder: where the columns of a large table are kept; None = the system's folder for temporary files.

    Returns:
        RawTable with at least one row.

    Raises:
        DataError: unreadable file, wrong separator, a row with too few or too many fields (with its line), no row.
    """
    suffix = Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()
    if suffix in SPREADSHEETS:
        raise DataError(f"{path} is a spreadsheet; save it as CSV (UTF-8) or Parquet")
    if suffix in PARQUET:
        raw = _read_parquet(path, folder)
    else:
        raw = _read_csv(path, set(text_columns), separator or SEPARATORS.get(suffix, ","), folder)
    if raw.frame.empty:
        raise DataError(f"{path} has no row below its header")
    return raw


def _read_parquet(path: Path, folder: Path | None) -> RawTable:
    try:
        frame = collect(_parquet_chunks(path), lambda names: _plain(pd.read_parquet(path, columns=names)), folder)
    except DataError:
        raise
    except Exception as error:  # pyarrow raises a dozen kinds; all mean that the file can't be used
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} can't be read as Parquet: {reason}") from error
    return RawTable(frame, np.arange(1, len(frame) + 1))


def _parquet_chunks(path: Path) -> Iterator[pd.DataFrame]:
    with parquet.ParquetFile(path) as file:
        if file.metadata.num_rows <= large_table.BLOCK:
            yield _plain(pd.read_parquet(path))
            return
        names = file.schema_arrow.names
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise DataError(f"{path}: column {shown(repeated)} stands more than once in the table")
        for batch in file.iter_batches(large_table.BLOCK):
            yield _plain(batch.to_pandas())


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Without an index, columns named by text."""
    frame = frame.reset_index(drop=True)
    frame.columns = [str(c) for c in frame.columns]
    return frame


def _read_csv(path: Path, text_columns: set[str], separator: str, folder: Path | None) -> RawTable:
    header, lines = _check_fields(path, separator)
    types = {column: str for column in header if column in text_columns}
    try:
        frame = _parse(path, folder, sep=separator, encoding="utf-8-sig", dtype=types, index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise DataError(f"{path} can't be read as CSV: {' '.join(str(error).split())[:200]}") from error
    if len(frame) != len(lines):
        return RawTable(frame, np.arange(2, len(frame) + 2))
    return RawTable(frame, np.frombuffer(lines, dtype=np.int64))


def _parse(path: Path, folder: Path | None, **options: Any) -> pd.DataFrame:
    """The CSV, with the type of each column that the whole of it gives, and little of it as Python strings at one time."""
    # low_memory=False gives one type per column whatever the part's length
    with pd.read_csv(path, low_memory=False, chunksize=large_table.BLOCK, **options) as parts:
        return collect(parts, lambda names: pd.read_csv(path, low_memory=False, usecols=names, **options), folder)


def _check_fields(path: Path, separator: str) -> tuple[list[str], array]:
    """Header and the line of each record; pandas itself pads a short row with NaN and says nothing."""
    lines = array("q")
    line = 0
    try:
        opened = gzip.open if path.suffix.lower() == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=separator, strict=True)
            header = next(reader, [])
            _check_header(path, header, separator)
            line = reader.line_num
            for record in reader:
                if record and len(record) != len(header):
                    raise DataError(
                        f"{path} line {line + 1}: {len(record)} fields where the header has {len(header)}; "
                        "quote a field that holds the separator, or mend the row"
                    )
                if record:
                    lines.append(line + 1)
                line = reader.line_num
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} can't be unpacked ({error}); is the download complete?") from error
    except UnicodeDecodeError as error:
        before = path.read_bytes()[:4]
        kind = "UTF-16" if before[:2] in (b"\xff\xfe", b"\xfe\xff") else "not UTF-8"
        hint = "a Parquet file: rename it" if before == b"PAR1" else "save it as UTF-8"
        raise DataError(f"{path} is {kind} text (after line {line}: {error.reason}); {hint}") from error
    except csv.Error as error:
        raise DataError(f"{path} line {line + 1}: {error}; is a quote left open?") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error
    return header, lines


def _check_header(path: Path, header: list[str], separator: str) -> None:
    if not header:
        raise DataError(f"{path} is empty: a table needs a header and at least one row")
    for other, name in ((";", "';'"), ("\t", "tabs"), (",", "','")):
        if len(header) == 1 and other != separator and other in header[0]:
            raise DataError(
                f"{path} line 1: the columns are separated by {name}, not by '{separator}'; "
                "save it with commas or set data.source.separator"
            )
    repeated = [name for name, count in Counter(header).items() if count > 1 and name]
    if repeated:
        raise DataError(f"{path} line 1: column {shown(repeated)} stands more than once in the header")
