"""The split of each row of a table: by a rule of its own for a file, or by one rule for all other rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from biasmask.data.attributes import RAW, encode_values
from biasmask.data.large_table import kept_rows, text_column
from biasmask.data.near_rows import NearRows
from biasmask.data.splits import SPLITS, column_split, divide_splits, fold_split, hash_split, strata_of, stratified_split
from biasmask.data.values import column_text, require_column, shown
from biasmask.errors import ConfigError

NameRow = Callable[[int], str]
KEYS = {"method", "by", "fractions", "stratify", "seed", "column", "names", "folds", "fold", "divide"}


@dataclass(frozen=True)
class SplitRules:
    """How the rows of a table are split; the arguments are those of `TableSource`, and the folder for a large table's columns."""

    name: str
    files: Sequence[Mapping[str, Any]]
    split: Mapping[str, Any] | None = None
    subject: str | None = None
    attributes: Mapping[str, Any] | None = None
    folder: Path | None = None

    def draw(self, frame: pd.DataFrame, file_number: np.ndarray, name_row: NameRow, near: NearRows) -> pd.Series:
        """The split of each row, (N,) of train, debias, val or test; None where the cell that names it is empty.

        Args:
            frame: N rows with id, target, subject and the columns of the source under "raw:<column>".
            file_number: (N,) which of `files` a row is of.
            name_row: row number -> how an error calls the row.
            near: pairs of near duplicates that must not be divided.

        Raises:
            ConfigError: an unknown key, method or split. DataError: a column or value that can't be used.
        """
        given = {number: entry.get("split") for number, entry in enumerate(self.files)}
        for number, spec in given.items():
            if isinstance(spec, str) and spec not in SPLITS:
                raise ConfigError(f"file {self.files[number]['file']}: split '{spec}' must be one of {shown(SPLITS)}")
        own = [number for number, spec in given.items() if spec is None]
        drawn = [([number], spec) for number, spec in given.items() if spec is not None] + ([(own, self.split)] if own else [])
        out: np.ndarray | None = None
        for numbers, spec in drawn:
            here = np.isin(file_number, numbers)
            if not here.any():
                continue
            if spec is None:
                raise ConfigError(f"data set '{self.name}': a file has no split of its own, so `split` must be given")
            if here.all() and not isinstance(spec, str):
                out = self._draw(frame, spec, name_row, near)
                break
            out = np.empty(len(frame), dtype=object) if out is None else out
            out[here] = spec if isinstance(spec, str) else self._draw_part(frame, here, spec, name_row, near)
        named = np.empty(len(frame), dtype=object) if out is None else out
        return text_column(len(frame), lambda block: named[block].tolist(), self.folder)

    def _draw_part(
        self, frame: pd.DataFrame, here: np.ndarray, spec: Mapping[str, Any], name_row: NameRow, near: NearRows
    ) -> np.ndarray:
        rows = np.flatnonzero(here)
        return self._draw(kept_rows(frame, here, self.folder), spec, lambda row: name_row(int(rows[row])), near)

    def _draw(self, frame: pd.DataFrame, spec: Mapping[str, Any], name_row: NameRow, near: NearRows) -> np.ndarray:
        unknown = set(spec) - KEYS
        if unknown:
            raise ConfigError(f"split: unknown key {shown(sorted(unknown))}; known: {shown(sorted(KEYS))}")
        method, column = spec.get("method"), spec.get("column") or "split"
        if method == "auto":
            method = "column" if RAW + column in frame else "stratified"
        columns = [c[len(RAW) :] for c in frame.columns if c.startswith(RAW)]
        if method == "column":
            require_column(columns, column, self.name, "for the split")
            if spec.get("folds") is not None:
                raise ConfigError(
                    f"data.folds={spec['folds']}: the column '{column}' splits the rows; folds need data.split=stratified or hash"
                )
            named = column_split(frame[RAW + column], spec.get("names"), name_row)
            if not spec.get("divide"):
                return named
            keys = near.joined(self._split_keys(frame, spec.get("by"), columns), frame["id"])
            return divide_splits(named, keys, self._strata(frame, spec), spec["divide"], int(spec.get("seed") or 0))
        if method not in ("hash", "stratified"):
            raise ConfigError(f"split method '{method}' must be stratified, hash, column or auto")
        if not spec.get("fractions"):
            raise ConfigError(f"split method '{method}' needs `fractions`, such as {{debias: .5, val: .2, test: .3}}")
        subjects = near.joined(self._split_keys(frame, spec.get("by"), columns), frame["id"])
        seed, fractions = int(spec.get("seed") or 0), spec["fractions"]
        strata = self._strata(frame, spec) if method == "stratified" else None
        if spec.get("folds") is not None:
            return fold_split(subjects, strata, fractions, int(spec["folds"]), int(spec.get("fold") or 0), seed)
        return hash_split(subjects, fractions, seed) if strata is None else stratified_split(subjects, strata, fractions, seed)

    def _strata(self, frame: pd.DataFrame, spec: Mapping[str, Any]) -> np.ndarray:
        names = spec.get("stratify") or ["target"]
        return strata_of([self._stratum(name, frame) for name in names], len(frame))

    def _stratum(self, name: str, frame: pd.DataFrame) -> np.ndarray:
        """(N,) int64 of the target or an attribute."""
        return frame["target"].to_numpy() if name == "target" else encode_values(name, self.attributes, frame, self.name).index

    def _split_keys(self, frame: pd.DataFrame, by: str | None, columns: list[str]) -> pd.Series:
        if by is None or by == self.subject:
            return frame["subject"]
        require_column(columns, by, self.name, "for the split")

        def keys(rows: slice) -> list[str]:
            texts = column_text(frame[RAW + by].iloc[rows])
            return [i if t is None else t for t, i in zip(texts, frame["id"].iloc[rows].tolist(), strict=True)]

        return text_column(len(frame), keys, self.folder)
