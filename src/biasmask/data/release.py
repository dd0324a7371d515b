"""What a reader makes of an official download: a tidy table and what was left out of it, with reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from biasmask.data.read_table import read_table
from biasmask.data.splits import SPLITS
from biasmask.data.table import EXAMPLES, MISSING_IMAGE, Exclusion
from biasmask.data.values import column_text, shown
from biasmask.errors import ConfigError, DataError, near_names

OWN_FILES = ("table.parquet", "card.md", "card.json")


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


def find_files(source: Path, names: Sequence[str]) -> list[Path]:
    """All files below a folder that have one of these names (a pattern such as `*.csv` is one too), in this order."""
    return [path for name in names for path in sorted(source.rglob(name)) if path.is_file()]


def find_file(source: Path, names: Sequence[str], homepage: str) -> Path:
    """The first of `find_files`.

    Raises:
        DataError: there is none.
    """
    found = find_files(source, names)
    if not found:
        raise DataError(f"there is no {' nor '.join(names)} below {source}; get it from {homepage}")
    return found[0]


def one_of(option: str, value: str, known: Sequence[str]) -> str:
    """The value of a reader's option.

    Raises:
        ConfigError: it is none of the known ones.

    >>> one_of("view", "derm", ["derm", "clinic"])
    'derm'
    """
    if value not in known:
        raise ConfigError(f"{option}={value} isn't known{near_names(str(value), known) or ';'} known: {shown(known)}")
    return value


def require_columns(frame: pd.DataFrame, columns: Sequence[str], path: Path, homepage: str) -> None:
    """Raises a DataError that names the columns which an official table should have and this one lacks."""
    lacking = [column for column in columns if column not in frame]
    if lacking:
        raise DataError(
            f"{path} has no column {', '.join(lacking)} (it has {shown(list(frame.columns))}); take the table from {homepage}"
        )


def official_table(
    source: Path, names: Sequence[str], columns: Sequence[str], homepage: str, texts: Sequence[str] = ()
) -> tuple[Path, pd.DataFrame]:
    """The official table of one of these names, and where it lies; of several the first that has the columns.

    Args:
        columns: those it must have.
        texts: those that stay text (ids with leading zeros).

    Raises:
        DataError: it isn't there, can't be read, or lacks a column.
    """
    path = find_file(source, names, homepage)
    frame = read_table(path, texts).frame
    for other in find_files(source, names)[1:]:  # two editions may share a name
        if set(columns) <= set(frame.columns):
            break
        path, frame = other, read_table(other, texts).frame
    require_columns(frame, columns, path, homepage)
    return path, frame


def one_hot_label(frame: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """The label of each row out of columns of 0 and 1: the one that is 1, None where none or several are.

    Returns:
        Object array (N,) of str or None.

    >>> one_hot_label(pd.DataFrame({"MEL": [1.0, 0, 1], "NV": [0.0, 0, 1]}), ["MEL", "NV"]).tolist()
    ['MEL', None, None]
    """
    ones = frame[list(labels)].to_numpy(dtype=np.float64) == 1
    names = np.array([*labels, None], dtype=object)
    return names[np.where(ones.sum(1) == 1, ones.argmax(1), len(labels))]


def mapped(column: pd.Series, values: Mapping[str, str]) -> np.ndarray:
    """Cells under other names, compared as texts without regard to case; None for every other cell.

    >>> mapped(pd.Series(["FEMALE", "male", None, "?"]), {"female": "female", "male": "male"}).tolist()
    ['female', 'male', None, None]
    """
    return np.array([values.get(t.lower()) if t is not None else None for t in column_text(column)], dtype=object)


def numbers(column: pd.Series, low: float = -np.inf, high: float = np.inf) -> pd.Series:
    """Cells as numbers; what is none, or lies outside low..high, is missing.

    >>> numbers(pd.Series(["55", "unknown", "414"]), 0, 120).tolist()
    [55.0, nan, nan]
    """
    values = pd.to_numeric(column, errors="coerce").astype(np.float64)
    return values.where((values >= low) & (values <= high))


def tidy(official: pd.DataFrame, **ours: Any) -> pd.DataFrame:
    """Our columns first, then the official ones that have other names.

    >>> tidy(pd.DataFrame({"target": [1], "sex": ["f"]}), id=["a"], target=["malignant"]).columns.tolist()
    ['id', 'target', 'sex']
    """
    own = pd.DataFrame(ours, index=official.index)
    return pd.concat([own, official.drop(columns=list(own.columns), errors="ignore")], axis=1)


def picture_release(
    frame: pd.DataFrame, no_target: str, notes: Sequence[str] = (), files: Mapping[str, bytes] | None = None,
    exclusions: Sequence[Exclusion] = (),
) -> Release:
    """A release of pictures out of all official rows; those without a target, then those without a file, are left out.

    Args:
        frame: rows with `id`, `file` (missing where there is no such file) and `target` (missing where there is no usable label).
        no_target: why a row has none.
        exclusions: what the reader left out before.
    """
    gone = list(exclusions)
    frame = exclude(frame, frame["target"].isna().to_numpy(), no_target, gone)
    frame = exclude(frame, frame["file"].isna().to_numpy(), MISSING_IMAGE, gone)
    return Release(frame, gone, tuple(notes), dict(files or {}))


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
    if "split" in frame and (wrong := set(frame["split"].dropna()) - set(SPLITS)):
        raise DataError(f"{name}: the split {sorted(map(str, wrong))[0]!r} is none of {shown(SPLITS)}")
    for file in release.files:
        if PurePosixPath(file).name != file or file in OWN_FILES:
            raise DataError(f"{name}: {file!r} can't be written beside the table")
    if "file" not in frame:
        return
    bad = [i for i in ids if PurePosixPath(i).name != i or "\\" in i or "\0" in i]
    if bad:
        raise DataError(f"{name}: the id {bad[0]!r} can't be a file name")
    for file in frame["file"]:
        path = PurePosixPath(str(file).replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"{name}: the path {str(file)!r} leads out of the download")
