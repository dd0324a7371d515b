"""A table of texts with a label, for the probe of what debiasing costs, and its split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biasmask.data.read_table import read_table
from biasmask.errors import DataError


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and their labels: `target` (N,) int64."""

    texts: tuple[str, ...]
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)


def read_labelled_texts(path: Path | str, text: str = "text", target: str = "target") -> LabelledTexts:
    """Reads a table with a column of texts and one of integer labels.

    Args:
        path: CSV, TSV or Parquet file.
        text: column of the texts.
        target: column of the labels: integers, two or more different ones.

    Returns:
        LabelledTexts in the order of the file.

    Raises:
        DataError: no file, no such column, an empty text, a label that isn't a whole number, one label alone; with the line.

    >>> read_labelled_texts("nowhere.csv")
    Traceback (most recent call last):
    biasmask.errors.DataError: no table of labelled texts nowhere.csv: ...
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no table of labelled texts {path}: give a CSV with the columns {text} and {target}")
    raw = read_table(path, text_columns=(text,))
    for column in (text, target):
        if column not in raw.frame:
            raise DataError(f"{path} has no column '{column}': it has {', '.join(map(str, raw.frame.columns))}")
    texts = raw.frame[text].fillna("").astype(str).str.strip()
    empty = (texts == "").to_numpy()
    if empty.any():
        raise DataError(f"{path} line {raw.lines[empty.argmax()]}, column '{text}': the text is empty or NA; delete the row")
    labels = raw.frame[target]
    wrong = np.array([not _is_whole(label) for label in labels])
    if wrong.any():
        row = int(wrong.argmax())
        where = f"{path} line {raw.lines[row]}, column '{target}'"
        raise DataError(f"{where}: expected a whole number of at most 64 bits, got {labels.iloc[row]!r}")
    whole = labels.astype(np.int64).to_numpy()
    if len(np.unique(whole)) < 2:
        raise DataError(f"{path}, column '{target}': all labels are {whole[0]}; a probe needs two classes")
    return LabelledTexts(tuple(texts), whole)


def split_labelled_texts(table: LabelledTexts, seed: int = 0, test_share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train and to test on: stratified by label, the same for a seed; equal texts stay on one side.

    Args:
        table: the texts.
        seed: of the shuffle.
        test_share: share of different texts of each label that are tested on, in (0, 1); at least one.

    Returns:
        train rows and test rows, each sorted int64; a text under two labels counts to that of its first row.

    Raises:
        DataError: a share outside (0, 1), or a label with one text alone.

    >>> train, test = split_labelled_texts(LabelledTexts(("a", "b", "c", "d"), np.array([0, 0, 1, 1])), test_share=0.5)
    >>> len(train), len(test)
    (2, 2)
    """
    if not 0.0 < test_share < 1.0:
        raise DataError(f"test_share is {test_share}: give a number between 0 and 1 such as 0.2")
    first_rows: dict[str, int] = {}
    first = np.array([first_rows.setdefault(" ".join(text.lower().split()), row) for row, text in enumerate(table.texts)])
    generator = np.random.default_rng(seed)
    tested = np.zeros(len(table), dtype=bool)
    distinct = np.unique(first)
    for label in np.unique(table.target[distinct]):
        rows = distinct[table.target[distinct] == label]
        if len(rows) < 2:
            raise DataError(f"label {label} has {len(rows)} text: the probe needs one to train and one to test on")
        n_test = min(len(rows) - 1, max(1, round(test_share * len(rows))))
        tested[generator.permutation(rows)[:n_test]] = True
    in_test = tested[first]
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def _is_whole(label: object) -> bool:
    """Whether it is an integer that int64 can hold."""
    whole = isinstance(label, (int, np.integer)) or (isinstance(label, (float, np.floating)) and float(label).is_integer())
    return whole and -(2**63) <= int(label) < 2**63  # type: ignore[call-overload]
