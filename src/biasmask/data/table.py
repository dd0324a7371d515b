"""The table: one row an image, with target, split and subject; built from CSV or Parquet by a declarative source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from biasmask.data.attributes import RAW
from biasmask.data.image_files import fill_template, find_files, relative_paths, template_fields
from biasmask.data.large_table import joined, kept_numbers, kept_rows, text_column, whole_frame
from biasmask.data.missing_data import missing_images, missing_table
from biasmask.data.near_rows import NearRows
from biasmask.data.read_table import read_table
from biasmask.data.table_splits import SplitRules
from biasmask.data.targets import encode_target, require_two_classes
from biasmask.data.values import column_text, require_column, shown
from biasmask.errors import ConfigError, DataError

MISSING_IMAGE = "image file not found"
NO_PATH = "image path is empty"
EXAMPLES = 5
FindFiles = Callable[..., np.ndarray]
NameRow = Callable[[int], str]
FIRST = ("id", "path", "target", "split")  # columns of a table, in this order before all others


@dataclass(frozen=True)
class Exclusion:
    """Rows of the source that are not in the table: why, how many, and up to 5 of their ids."""

    reason: str
    count: int
    examples: list[str]


@dataclass(frozen=True)
class Table:
    """A data set as the rest of the program sees it.

    `frame` has a RangeIndex and the columns id (str), path (str, posix, relative to `root`), target (int64 0..C-1),
    split (train | debias | val | test), subject (str), and each column of the source under "raw:<column>".
    The columns of a large table (`large_table`) can't be written to, those of `frame.copy()` can.
    `class_names` are C names, for two classes (negative, positive).
    """

    name: str
    frame: pd.DataFrame
    root: Path
    class_names: tuple[str, ...]
    exclusions: list[Exclusion] = field(default_factory=list)

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of a split, (n,) int64; empty for a split that the table lacks."""
        return np.flatnonzero((self.frame["split"] == split).to_numpy())


def _reasons(out: np.ndarray, reason: str) -> np.ndarray:
    return np.array([None, reason], dtype=object)[out.astype(np.int8)]


def _require_rows(frame: pd.DataFrame, exclusions: list[Exclusion], where: str) -> None:
    if frame.empty:
        why = "; ".join(f"{e.count} rows: {e.reason}" for e in exclusions)
        raise DataError(f"{where}: no usable row is left ({why})")


@dataclass
class TableSource:
    """A data set described by its files and columns.

    Args:
        name: of the data set.
        root: folder that image paths and relative table files lie in.
        files: list of {file, split}: split null = as `split` below, a name = all rows, a mapping = a split of its own.
        image: template such as images/{image_id}.jpg, or a column that holds the path.
        target: a column that holds 0/1, or {column, positive, negative, names: [negative, positive]}, or {column, classes}.
        id: column that names a row; None = the image path.
        subject: column of the person or lesion that must not be divided; None = each row for itself. A row with an
            empty subject is one for itself.
        attributes: definitions (see `attributes.encode_attribute`), used here for `stratify` only.
        split: {method: stratified | hash | column | auto, by, fractions, stratify, seed, folds, fold, column, names, divide};
            auto = the column `split` where there is one, else stratified. `divide` cuts splits of the column further, by
            subject and stratum: {train: {train: .6, debias: .4}}.
        near_duplicates: {use: exclude | together, file, distance}: what pairs that the preparation listed lead to (`near_rows`).
        on_missing: exclude | error: what a missing image file means.
        homepage, prepare_script: what the error for missing data tells.
        separator: of CSV files; None = comma, or tab for .tsv.
        follow_symlinks: allow links out of the root.
    """

    name: str
    root: str | Path
    files: Sequence[Mapping[str, Any]]
    image: str
    target: str | Mapping[str, Any]
    id: str | None = None
    subject: str | None = None
    attributes: Mapping[str, Any] | None = None
    split: Mapping[str, Any] | None = None
    on_missing: str = "exclude"
    homepage: str | None = None
    prepare_script: str | None = None
    separator: str | None = None
    follow_symlinks: bool = False
    near_duplicates: Mapping[str, Any] | None = None

    def load(self, find: FindFiles = find_files, folder: Path | None = None) -> Table:
        """Reads, encodes, splits and checks.

        The split is drawn before rows without an image file are left out: it stays the same when more images arrive.

        Args:
            find: tells which images there are, as `find_files` does; other than that where pixels don't come from files.
            folder: for the columns of a large table, which aren't kept in memory; None = the system's for temporary files.

        Returns:
            Table with rows of at least two classes.

        Raises:
            DataError: a file, column, value or path that can't be used, always with its place.
            ConfigError: arguments that contradict each other.
        """
        if self.on_missing not in ("exclude", "error"):
            raise ConfigError(f"on_missing={self.on_missing} must be exclude or error")
        target = {"column": self.target} if isinstance(self.target, str) else dict(self.target)
        root = Path(self.root).expanduser()
        raw, file_number, lines = self._read(root, target, folder)
        names = [str(entry["file"]) for entry in self.files]
        where = names[0] if len(names) == 1 else f"{self.name} ({shown(names)})"
        rows = kept_numbers(np.arange(len(raw)), folder)

        def name_row(number: int) -> str:
            return f"{names[file_number[rows[number]]]} line {lines[rows[number]]}"

        encoded = encode_target(raw[target["column"]], target)
        class_names, reasons = encoded.class_names, encoded.reasons
        frame = self._frame(raw, kept_numbers(encoded.index, folder), root, where, name_row, folder)
        del raw, encoded
        exclusions: list[Exclusion] = []

        def leave_out(reasons: np.ndarray) -> None:
            nonlocal frame, rows
            drop = reasons != None  # noqa: E711, each entry by itself
            if not drop.any():
                return
            for reason in pd.unique(reasons[drop]):
                places = np.flatnonzero(reasons == reason)
                examples = [str(i) for i in frame["id"].iloc[places[:EXAMPLES]]]
                exclusions.append(Exclusion(str(reason), len(places), examples))
            frame, rows = kept_rows(frame, ~drop, folder), kept_numbers(rows[~drop], folder)

        leave_out(reasons)
        del reasons
        leave_out(_reasons(frame["path"].isna().to_numpy(), NO_PATH))
        _require_rows(frame, exclusions, where)
        near = NearRows.read(self.near_duplicates, root)
        rules = SplitRules(self.name, self.files, self.split, self.subject, self.attributes, folder)
        named = rules.draw(frame, file_number[rows], name_row, near)
        frame = whole_frame({name: named if name == "split" else frame[name] for name in dict.fromkeys((*FIRST, *frame))})
        del named
        leave_out(_reasons(frame["split"].isna().to_numpy(), "split is empty"))
        leave_out(near.excluded(frame["id"], frame["split"]))
        _require_rows(frame, exclusions, where)
        found = find(frame["path"], root, name_row, self.follow_symlinks)
        if not found.any():
            first = root / frame["path"].iloc[0]
            raise missing_images(self.name, len(frame), first, root, self.homepage, self.prepare_script)
        if self.on_missing == "error" and not found.all():
            first_row = int(np.flatnonzero(~found)[0])
            raise DataError(
                f"{name_row(first_row)}: there is no image file {root / frame['path'].iloc[first_row]} "
                f"({int((~found).sum())} are missing); on_missing: exclude goes on without them"
            )
        leave_out(_reasons(~found, MISSING_IMAGE))
        require_two_classes(frame["target"].to_numpy(), class_names, where)
        return Table(self.name, frame, root, class_names, exclusions)

    def _read(
        self, root: Path, target: Mapping[str, Any], folder: Path | None
    ) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        """All files as one frame, with the number of the file and the line of each row."""
        if not self.files:
            raise ConfigError(f"data set '{self.name}': `files` is empty")
        text = {*template_fields(self.image), self.id, self.subject, (self.split or {}).get("by")} - {None}
        needed = {self.id: "for the id", self.subject: "for the subject", target["column"]: "for the target"}
        parts, numbers, lines = [], [], []
        for number, entry in enumerate(self.files):
            path = root / Path(entry["file"]).expanduser()
            if not path.is_file():
                raise missing_table(self.name, path, root, self.homepage, self.prepare_script)
            part = read_table(path, {str(c) for c in text}, self.separator, folder)
            for column, use in {**needed, **{c: "for the image path" for c in template_fields(self.image)}}.items():
                if column is not None:
                    require_column(part.frame.columns, column, str(path), use)
            parts.append(part.frame)
            lines.append(part.lines)
            numbers.append(np.full(len(part.frame), number, dtype=np.int32))
        return joined(parts, folder), np.concatenate(numbers), kept_numbers(np.concatenate(lines), folder)

    def _frame(
        self, raw: pd.DataFrame, target: np.ndarray, root: Path, where: str, name_row: NameRow, folder: Path | None
    ) -> pd.DataFrame:
        """All rows with id, path, target and subject, and the columns of the source under their names here."""

        def paths(rows: slice) -> list[str | None]:
            filled = fill_template(self.image, raw.iloc[rows], where)
            return relative_paths(filled.tolist(), root, lambda row: name_row(rows.start + row))

        def ids(rows: slice) -> list[str]:
            if self.id is None:
                return [p if isinstance(p, str) else name_row(rows.start + row) for row, p in enumerate(path.iloc[rows].tolist())]
            texts = column_text(raw[self.id].iloc[rows]).tolist()
            if None in texts:
                raise DataError(f"{name_row(rows.start + texts.index(None))}: the id column '{self.id}' is empty")
            return texts

        def subjects(rows: slice) -> list[str]:
            texts = column_text(raw[self.subject].iloc[rows])
            return [i if t is None else t for t, i in zip(texts, identifier.iloc[rows].tolist(), strict=True)]

        path = text_column(len(raw), paths, folder)
        identifier = text_column(len(raw), ids, folder)
        subject = identifier if self.subject is None else text_column(len(raw), subjects, folder)
        columns = {"id": identifier, "path": path, "target": pd.Series(target, copy=False), "subject": subject}
        return whole_frame(columns | {RAW + name: raw[name] for name in raw})
