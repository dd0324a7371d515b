"""Near duplicates that the preparation listed: kept in one split, or left out of the earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from biasmask.data.read_table import read_table
from biasmask.data.values import require_column, shown
from biasmask.errors import ConfigError, DataError

USES = ("exclude", "together")
LATER = {"train": 0, "debias": 1, "val": 2, "test": 3}  # of a pair across splits the row in the earlier one goes
FILE = "near_duplicates.csv"


@dataclass(frozen=True)
class NearRows:
    """Pairs of ids, and what they lead to: `exclude`, `together`, or None = nothing."""

    pairs: tuple[tuple[str, str], ...] = ()
    use: str | None = None
    other: str | None = None  # the data set that the second ids are of, where it isn't this one

    @classmethod
    def read(cls, settings: Mapping[str, Any] | None, root: Path) -> NearRows:
        """The pairs of `<root>/near_duplicates.csv` (columns id_a, id_b, distance), or none without settings.

        Args:
            settings: {use: exclude | together, file: another file, distance: pairs further apart are not used}.
            root: folder of the table.

        Raises:
            ConfigError: an unknown key or use. DataError: no such file, a column that it lacks.
        """
        if not settings:
            return cls()
        unknown = set(settings) - {"use", "file", "distance"}
        if unknown or settings.get("use") not in USES:
            raise ConfigError(
                f"near_duplicates: {shown(sorted(unknown)) or 'use=' + str(settings.get('use'))} isn't known; "
                f"keys: use ({' or '.join(USES)}), file, distance"
            )
        path = root / Path(settings.get("file") or FILE).expanduser()
        if not path.is_file():
            raise DataError(f"there is no {path}; make it with `scripts/prepare_dataset.py ... --near-duplicates`")
        with open(path, encoding="utf-8") as file:
            if sum(1 for _ in zip(file, range(2), strict=False)) < 2:
                return cls((), str(settings["use"]))  # a header alone: no pair was found
        frame = read_table(path, ["id_a", "id_b"]).frame
        for column in ("id_a", "id_b", "distance"):
            require_column(frame.columns, column, str(path), "for near duplicates")
        if settings.get("distance") is not None:
            frame = frame[frame["distance"] <= int(settings["distance"])]
        other = str(frame["other"].iloc[0]) if "other" in frame and len(frame) else None
        if other and settings["use"] == "together":
            raise ConfigError(f"near_duplicates: {path.name} lists pairs with {other}, which can only be excluded")
        return cls(tuple(zip(frame["id_a"], frame["id_b"], strict=True)), str(settings["use"]), other)

    def joined(self, keys: pd.Series, ids: pd.Series) -> pd.Series:
        """What a split keeps together: with `together`, rows that are linked by pairs get one key, the least of theirs.

        Args:
            keys: (N,) subject of each row.
            ids: (N,) ids.

        >>> keys, ids = pd.Series(["x", "x", "y", "z"]), pd.Series(["1", "2", "3", "4"])
        >>> NearRows((("2", "3"),), "together").joined(keys, ids).tolist()
        ['x', 'x', 'x', 'z']
        """
        if self.use != "together":
            return keys
        row_of = self._rows(ids)
        key_of = dict(zip(row_of, keys.iloc[list(row_of.values())].tolist(), strict=True))
        above = {key: key for key in key_of.values()}

        def root(key: str) -> str:
            while above[key] != key:
                above[key] = above[above[key]]
                key = above[key]
            return key

        for a, b in self.pairs:
            if a in key_of and b in key_of:
                low, high = sorted((root(key_of[a]), root(key_of[b])))
                above[high] = low
        return keys.map(lambda key: root(key) if key in above else key)

    def _rows(self, ids: pd.Series) -> dict[str, int]:
        """The rows (the last one of several) of the ids that pairs name."""
        rows = np.flatnonzero(ids.isin({name for pair in self.pairs for name in pair}).to_numpy())
        return dict(zip(ids.iloc[rows].tolist(), rows.tolist(), strict=True))

    def excluded(self, ids: pd.Series, splits: pd.Series) -> np.ndarray:
        """Why a row is left out, (N,) str or None: with `exclude`, it resembles a row of a later split (test is the last),
        or any of the other data set.

        >>> NearRows((("1", "2"),), "exclude").excluded(pd.Series(["1", "2"]), pd.Series(["train", "test"])).tolist()
        ['near duplicate of a test row', None]
        """
        out = np.full(len(ids), None, dtype=object)
        if self.use != "exclude":
            return out
        row_of = self._rows(ids)
        if self.other:
            for name, _ in self.pairs:
                if name in row_of:
                    out[row_of[name]] = f"near duplicate of a picture of {self.other}"
            return out
        split_of = dict(zip(row_of.values(), splits.iloc[list(row_of.values())].tolist(), strict=True))
        worst = dict.fromkeys(split_of, -1)
        for pair in self.pairs:
            if pair[0] not in row_of or pair[1] not in row_of:
                continue
            first, second = sorted((row_of[name] for name in pair), key=lambda row: LATER[split_of[row]])
            later = LATER[split_of[second]]
            if LATER[split_of[first]] < later and later > worst[first]:
                worst[first] = later
                out[first] = f"near duplicate of a {split_of[second]} row"
        return out
