"""A table of texts, or of pairs of texts, with a label or a grade and perhaps its own split: what a probe is made of."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from biasmask.data.labelled_texts import LabelledTexts, read_labelled_texts, split_labelled_texts
from biasmask.data.read_table import read_table
from biasmask.errors import DataError

PREPARED = "table.parquet"
TEST_SHARE = 0.5  # of a table without a split of its own


@dataclass(frozen=True)
class TaskTable:
    """Rows of a task: N of them.

    Args:
        name: of the task.
        texts: N texts.
        seconds: N texts that pair with them, or none.
        target: (N,) int64 labels; float64 grades where nothing is trained.
        train, test: rows, int64, ascending; no training rows for grades.
    """

    name: str
    texts: tuple[str, ...]
    seconds: tuple[str, ...]
    target: np.ndarray
    train: np.ndarray
    test: np.ndarray

    @property
    def graded(self) -> bool:
        """Whether the target is a grade."""
        return self.target.dtype == np.float64


def read_task(task: str, folder: Path | str, max_rows: int, seed: int) -> TaskTable:
    """A task by the name under which it was prepared, or by the path of a table.

    Args:
        task: sst2 (<folder>/sst2/table.parquet), or a CSV, TSV or Parquet file with the columns text, target, and perhaps text_b
            and split (train, test). Whole numbers are labels, other numbers grades.
        folder: of prepared data sets.
        max_rows: half of them train and half test, at most; drawn at random.
        seed: of the draw, and of the split where the table has none.

    Raises:
        DataError: no such table, a missing column, an empty text, a label that is no number, no row to train or test on.

    >>> read_task("sst2", "nowhere", 10, 0)
    Traceback (most recent call last):
    biasmask.errors.DataError: no table of the probe sst2 at nowhere/sst2/table.parquet: ...
    """
    path = Path(task) if Path(task).suffix else Path(folder) / task / PREPARED
    name = path.stem if Path(task).suffix else task
    if not path.is_file():
        how = "metrics.probes names it" if Path(task).suffix else f"prepare it: `python scripts/prepare_dataset.py {task}`"
        raise DataError(f"no table of the probe {name} at {path}: {how}")
    raw = read_table(path, ("text", "text_b"))
    frame = raw.frame
    for column in ("text", "target"):
        if column not in frame:
            raise DataError(f"{path} has no column '{column}': it has {', '.join(map(str, frame.columns))}")
    for column in {"text", "text_b"} & set(frame.columns):
        empty = (frame[column].fillna("").astype(str).str.strip() == "").to_numpy()
        if empty.any():
            raise DataError(f"{path} line {raw.lines[empty.argmax()]}, column '{column}': the text is empty; delete the row")
    grades = frame["target"].dtype == np.float64 and bool((frame["target"] % 1 != 0).any())
    if grades and "text_b" not in frame:
        raise DataError(f"{path} has grades and no column text_b: grades are of pairs")
    target = frame["target"].to_numpy(np.float64, copy=True) if grades else read_labelled_texts(path).target.copy()
    table = LabelledTexts(tuple(frame["text"]), target)
    seconds = tuple(frame["text_b"]) if "text_b" in frame else ()
    train, test = _parts(frame, table, path, grades, seed)
    random = np.random.default_rng(seed)
    train, test = (np.sort(random.permutation(rows)[: max_rows // 2]) for rows in (train, test))
    return TaskTable(name, table.texts, seconds, target, train, test)


def _parts(frame: pd.DataFrame, table: LabelledTexts, path: Path, grades: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if "split" in frame:
        split = frame["split"].to_numpy()
        train, test = np.flatnonzero(split == "train"), np.flatnonzero(split == "test")
    elif grades:
        train, test = np.zeros(0, np.int64), np.arange(len(table))
    else:
        train, test = split_labelled_texts(table, seed, TEST_SHARE)
    if not len(test) or not (len(train) or grades):
        raise DataError(f"{path}, column 'split': no row of {'test' if not len(test) else 'train'}; a probe needs both")
    return (train[:0] if grades else train), test
