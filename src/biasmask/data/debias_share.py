"""A share of the debias split, for curves of the gap against how much data debiasing gets."""

import hashlib
from collections.abc import Sequence

import numpy as np

from biasmask.errors import ConfigError


def nested_share(subjects: Sequence[str], strata: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Choose a share of the rows of each stratum; a smaller share is part of every larger one.

    Rule: a subject belongs to the stratum of its first row, and is taken with all of its rows or not at all. Within a stratum
    the subjects stand in the order of sha256(seed:subject), and as many are taken as it needs for its share of the rows,
    rounded up, so that no stratum is emptied.

    Args:
        subjects: (N,) strings.
        strata: (N,) integers, such as group x target.
        share: in (0, 1].
        seed: of the order.

    Returns:
        bool (N,).

    Raises:
        ConfigError: a share outside (0, 1].

    >>> strata = np.array([0, 0, 0, 0, 1, 1])
    >>> nested_share(list("abcdef"), strata, 0.5, seed=0).tolist()
    [False, True, False, True, True, False]
    """
    if not 0 < share <= 1:
        raise ConfigError(f"data.debias_share={share:g}: give a number above 0 and up to 1")
    home: dict[str, int] = {}
    rows: dict[str, int] = {}
    for subject, stratum in zip(subjects, strata.tolist(), strict=True):
        home.setdefault(subject, stratum)
        rows[subject] = rows.get(subject, 0) + 1
    taken: set[str] = set()
    for stratum in set(home.values()):
        members = sorted((subject for subject in home if home[subject] == stratum), key=lambda subject: _order(subject, seed))
        wanted, found = share * sum(rows[subject] for subject in members), 0
        for subject in members:
            if found >= wanted - 1e-9:
                break
            taken.add(subject)
            found += rows[subject]
    return np.array([subject in taken for subject in subjects], dtype=bool)


def _order(subject: str, seed: int) -> str:
    return hashlib.sha256(f"share:{seed}:{subject}".encode()).hexdigest()
