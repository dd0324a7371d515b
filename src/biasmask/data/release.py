"""What a reader makes of an official download: a tidy table and what was left out of it, with reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from biasmask.data.table import EXAMPLES, Exclusion
from biasmask.data.values import shown
from biasmask.errors import DataError


@dataclass(frozen=True)
class Release:
    """An official download as a tidy table.

    Args:
        frame: one row a sample. `id` (str, unique, usable as a file name); pictures: `file`, their path below the source, posix;
            sentences: `text`. Besides: `target` where the data set has one, `split` (train | debias | val | test) and `subject`
            where it has them, and any further columns under their official names.
        exclusions: rows of the official tables that are not in the frame, by reason.
        notes: sentences for the data card: what this reader decided.
        files: name -> content of files that are written beside the table: official tables, lists of what is missing.
    """

    frame: pd.DataFrame
    exclusions: list[Exclusion] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


def exclude(frame: pd.DataFrame, out: np.ndarray, reason: str, exclusions: list[Exclusion]) -> pd.DataFrame:
    """The rows that stay; those that go are counted in `exclusions`.

    Args:
        frame: (N) rows with a column `id`.
        out: (N,) bool, True = left out.

    >>> gone = []
    >>> exclude(pd.DataFrame({"id": ["a", "b"]}), np.array([False, True]), "no label", gone)["id"].tolist(), gone[0].count
    (['a'], 1)
    """
    out = np.asarray(out, dtype=bool)
    if out.any():
        ids = [str(i) for i in frame["id"].to_numpy()[out]]
        exclusions.append(Exclusion(reason, len(ids), ids[:EXAMPLES]))
    return frame[~out].reset_index(drop=True)


def find_file(source: Path, names: Sequence[str], homepage: str) -> Path:
    """The first file below a folder that has one of these names (a pattern such as `*.csv` is one too), in this order.

    Raises:
        DataError: there is none.
    """
    for name in names:
        for path in sorted(source.rglob(name)):
            if path.is_file():
                return path
    raise DataError(f"there is no {' nor '.join(names)} below {source}; get it from {homepage}")


def require_columns(frame: pd.DataFrame, columns: Sequence[str], path: Path, homepage: str) -> None:
    """Raises a DataError that names the columns which an official table should have and this one lacks."""
    lacking = [column for column in columns if column not in frame]
    if lacking:
        raise DataError(
            f"{path} has no column {', '.join(lacking)} (it has {shown(list(frame.columns))}); take the table from {homepage}"
        )


def check_release(release: Release, name: str) -> None:
    """Holds a reader to its word.

    Raises:
        DataError: no row, no or repeated ids, an id or a file that leads out of its folder, neither `file` nor `text`.
    """
    frame = release.frame
    if frame.empty:
        why = "; ".join(f"{e.count} rows: {e.reason}" for e in release.exclusions) or "its tables are empty"
        raise DataError(f"{name}: no row is left ({why})")
    ids = frame["id"].astype(str)
    if ids.duplicated().any():
        raise DataError(f"{name}: the id {ids[ids.duplicated()].iloc[0]!r} stands in two rows")
    if ("file" in frame) == ("text" in frame):
        raise DataError(f"{name}: a release has either `file` or `text`")
    if "file" not in frame:
        return
    bad = [i for i in ids if PurePosixPath(i).name != i or "\\" in i or "\0" in i]
    if bad:
        raise DataError(f"{name}: the id {bad[0]!r} can't be a file name")
    for file in frame["file"]:
        path = PurePosixPath(str(file).replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"{name}: the path {str(file)!r} leads out of the download")
