"""Splits: train, debias, val and test, by a hash, by a stratified walk over subjects, in folds, or by a column."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from biasmask.data.large_table import give_back, row_blocks, texts_of
from biasmask.data.values import column_codes, shown
from biasmask.errors import ConfigError, DataError, near_names

SPLITS = ("train", "debias", "val", "test")
SPLIT_NAMES = {
    **{name: name for name in SPLITS},
    **dict.fromkeys(("training", "trn"), "train"),
    **dict.fromkeys(("debiasing", "external"), "debias"),
    **dict.fromkeys(("validation", "valid", "validate", "dev"), "val"),
    **dict.fromkeys(("testing", "tst"), "test"),
}


def check_fractions(fractions: Mapping[str, float]) -> dict[str, float]:
    """The fractions above 0, in the order of SPLITS.

    Raises:
        ConfigError: an unknown split, a negative fraction, a sum other than 1.

    >>> check_fractions({"val": 0.5, "debias": 0.5, "train": 0})
    {'debias': 0.5, 'val': 0.5}
    """
    unknown = [str(name) for name in fractions if name not in SPLITS]
    if unknown:
        raise ConfigError(f"fractions: unknown split {shown(unknown)}; known: {shown(SPLITS)}")
    values = {name: float(fractions.get(name) or 0) for name in SPLITS}
    total = sum(values.values())
    if min(values.values()) < 0 or abs(total - 1) > 1e-6:
        listed = ", ".join(f"{name} {value:g}" for name, value in values.items())
        raise ConfigError(f"fractions must not be negative and must sum to 1, not {total:g} ({listed})")
    return {name: value for name, value in values.items() if value > 0}


def hash_split(keys: Sequence[str] | pd.Series, fractions: Mapping[str, float], seed: int = 0) -> np.ndarray:
    """The split of each key from its hash alone, so that no other row can change it.

    Formula: u = sha256(seed:key) read as a number in [0, 1); the split is the one whose stretch of the cumulated
    fractions holds u.

    Args:
        keys: (N,) ids or subjects; equal keys share a split.
        fractions: split -> share, sum 1.
        seed: the salt.

    Returns:
        Object array (N,) of split names.

    >>> hash_split(["a", "b", "a"], {"train": 0.5, "test": 0.5}).tolist()
    ['test', 'test', 'test']
    """
    shares = check_fractions(fractions)
    names = list(shares)
    edges = np.cumsum(list(shares.values()))[:-1]
    code, different = pd.factorize(_series(keys))
    units = _units(different, seed)
    return np.array(names, dtype=object)[np.searchsorted(edges, units, side="right")][code]


def stratified_split(
    subjects: Sequence[str] | pd.Series, strata: np.ndarray, fractions: Mapping[str, float], seed: int = 0
) -> np.ndarray:
    """The split of each row: a subject is never divided, and each stratum is divided close to the fractions.

    Rule: walk over the subjects, stratum by stratum (largest first), in it the subjects with most rows first and
    then in hash order; each goes to the split that lacks most rows so far. What a small stratum can't divide evenly
    the next one makes up for.

    Args:
        subjects: (N,) subject of each row.
        strata: (N,) int64, stratum of each row; a subject with rows in several counts for its most frequent one.
        fractions: split -> share of rows, sum 1.
        seed: of the order inside a stratum.

    Returns:
        Object array (N,) of split names; empty for no rows.

    >>> stratified_split(list("aabbccdd"), np.zeros(8, int), {"debias": 0.5, "val": 0.5}).tolist()
    ['val', 'val', 'val', 'val', 'debias', 'debias', 'debias', 'debias']
    """
    shares = check_fractions(fractions)
    places = _walk(subjects, strata, list(shares.values()), seed)
    return np.array(list(shares), dtype=object)[places]


def column_split(values: np.ndarray | pd.Series, names: Mapping[str, str] | None, name_row: Callable[[int], str]) -> np.ndarray:
    """The split of each row from a column of the table; `validation`, `valid`, `training` and the like are understood.

    Args:
        values: (N,) cells of the column; an empty one is in no split.
        names: the table's own names -> train | debias | val | test; goes before the usual ones.
        name_row: row number -> how an error calls the row.

    Returns:
        Object array (N,) of split names, None where the cell is empty.

    Raises:
        DataError: a value that is no split, with its row.

    >>> column_split(np.array(["Valid", None], dtype=object), None, str).tolist()
    ['val', None]
    """
    known = dict(SPLIT_NAMES)
    for name, split in (names or {}).items():
        if split not in SPLITS:
            raise ConfigError(f"split names: '{name}' is mapped to '{split}', which is none of {shown(SPLITS)}")
        known[str(name).strip().lower()] = split
    codes, different = column_codes(pd.Series(values))
    for code, value in enumerate(different):
        if value.lower() not in known:
            raise DataError(
                f"{name_row(int(np.argmax(codes == code)))}: '{value}' is no split{near_names(value, known) or ';'} "
                f"known: {shown(SPLITS)}; map your own name with 'data.split_names={{{value}: debias}}'"
            )
    return np.array([*(known[value.lower()] for value in different), None], dtype=object)[codes]


def divide_splits(
    named: np.ndarray,
    subjects: Sequence[str] | pd.Series,
    strata: np.ndarray,
    divide: Mapping[str, Mapping[str, float]],
    seed: int = 0,
) -> np.ndarray:
    """The splits of a column, some of them cut further: an official training set into train, debias and val.

    Args:
        named: (N,) split of each row, or None.
        subjects: (N,) subject of each row, which is never divided inside the split that is cut.
        strata: (N,) int64, as in `stratified_split`.
        divide: split -> split -> share of its rows, sum 1.

    Returns:
        Object array (N,); a split that `divide` doesn't name is left as it is.

    Raises:
        ConfigError: an unknown split, shares that don't sum to 1.

    >>> named = np.array(["train", "train", "test", None], dtype=object)
    >>> divide_splits(named, list("abcd"), np.zeros(4, int), {"train": {"train": 0.5, "debias": 0.5}}).tolist()
    ['train', 'debias', 'test', None]
    """
    out, keys = named.copy(), _series(subjects)
    for name, shares in divide.items():
        if name not in SPLITS:
            raise ConfigError(f"divide: unknown split {name}; known: {shown(SPLITS)}")
        rows = np.flatnonzero(named == name)
        out[rows] = stratified_split(keys.iloc[rows], strata[rows], shares, seed)
    return out


def fold_split(
    subjects: Sequence[str] | pd.Series,
    strata: np.ndarray | None,
    fractions: Mapping[str, float],
    folds: int,
    fold: int,
    seed: int = 0,
) -> np.ndarray:
    """The split of each row where the test rows are one of k folds: over all folds every row is a test row once.

    Rule: rows are dealt to `folds` folds; the rows outside of `fold` are divided as the other fractions are to each other.

    Args:
        subjects: (N,) subject of each row, which is never divided.
        strata: (N,) int64, kept in proportion as in `stratified_split`; None = by the hash alone, as in `hash_split`.
        fractions: split -> share; that of `test` says no more than that there are test rows.
        folds: k, at least 2.
        fold: 0..k-1, the fold that is tested on.
        seed: of the deal.

    Returns:
        Object array (N,) of split names.

    Raises:
        ConfigError: k < 2, a fold that there is not, no share of test rows or of others. DataError: fewer subjects than folds.

    >>> shares = {"debias": 0.5, "test": 0.5}
    >>> [fold_split(list("aabb"), np.zeros(4, int), shares, 2, fold).tolist() for fold in (0, 1)]
    [['test', 'test', 'debias', 'debias'], ['debias', 'debias', 'test', 'test']]
    """
    shares = check_fractions(fractions)
    if folds < 2:
        raise ConfigError(f"data.folds={folds} must be at least 2")
    if not 0 <= fold < folds:
        raise ConfigError(f"data.fold={fold}: with data.folds={folds} the folds are 0 to {folds - 1}")
    if "test" not in shares or len(shares) < 2:
        raise ConfigError(
            "data.folds makes test rows out of rows that are split by fractions, and here the share of `test` is "
            f"{shares.get('test', 0):g}; where the test set is a file of its own, repeat splits with data.split_seed instead"
        )
    keys = _series(subjects)
    code, different = pd.factorize(keys)
    if (count := len(different)) < folds:
        raise DataError(f"{count} subjects can't make {folds} folds")
    rest = sum(share for name, share in shares.items() if name != "test")
    others = {name: share / rest for name, share in shares.items() if name != "test"}
    if strata is None:
        place = (_units(different, seed, "fold:") * folds).astype(np.int64)[code]
    else:
        place = _walk(keys, strata, [1 / folds] * folds, seed)
    out = np.full(len(keys), "test", dtype=object)
    left = place != fold
    out[left] = (
        hash_split(keys[left], others, seed)
        if strata is None
        else stratified_split(keys[left], strata[left], others, seed)
    )
    return out


def strata_of(labels: Sequence[np.ndarray], count: int) -> np.ndarray:
    """One stratum number for each combination of labels; (N,) int64, all 0 without labels.

    >>> strata_of([np.array([0, 0, 1]), np.array([-1, 2, 2])], 3)
    array([0, 1, 2])
    """
    strata = np.zeros(count, dtype=np.int64)
    for label in labels:
        values = _sizes(label)[0]
        for rows in row_blocks(count):
            strata[rows] = strata[rows] * len(values) + np.searchsorted(values, label[rows])
        values = _sizes(strata)[0]
        for rows in row_blocks(count):
            strata[rows] = np.searchsorted(values, strata[rows])
    return strata


def _walk(subjects: Sequence[str] | pd.Series, strata: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    give_back()
    code, names = pd.factorize(_series(subjects))
    give_back()
    rows, stratum, unit = np.bincount(code, minlength=len(names)), _most_frequent(code, strata), _units(names, seed)
    values, sizes = _sizes(strata)
    order = np.lexsort((unit, -rows, stratum, -sizes[np.searchsorted(values, stratum)]))
    place = np.zeros(len(rows), dtype=np.int64)
    place[order] = _deal(rows[order].tolist(), shares)
    return place[code]


def _series(texts: Sequence[str] | pd.Series) -> pd.Series:
    return texts if isinstance(texts, pd.Series) else pd.Series(list(texts), dtype=object)


def _most_frequent(code: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """The most frequent stratum of each code 0..K-1, the smallest one of those that are equally frequent."""
    values, sizes = _sizes(strata)
    order, ends = np.argsort(strata, kind="stable"), np.cumsum(sizes)
    most = np.zeros(code.max(initial=-1) + 1, dtype=np.int64)
    frequent = np.zeros(len(most), dtype=strata.dtype)
    for value, end, size in zip(values, ends, sizes, strict=True):
        owned = code[order[end - size : end]]
        few = size < len(most) // 8  # then counting all codes would take longer than sorting these
        owners, counts = np.unique(owned, return_counts=True) if few else (slice(None), np.bincount(owned, minlength=len(most)))
        more = counts > most[owners]
        most[owners] = np.where(more, counts, most[owners])
        frequent[owners] = np.where(more, value, frequent[owners])
    return frequent


def _sizes(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different numbers, in rising order, and how often each stands."""
    found = [np.unique(numbers[rows], return_counts=True) for rows in row_blocks(len(numbers))]
    if len(found) == 1:
        return found[0]
    values, place = np.unique(np.concatenate([values for values, _ in found]), return_inverse=True)
    return values, np.bincount(place, weights=np.concatenate([counts for _, counts in found])).astype(np.int64)


def _deal(rows: Sequence[int], shares: Sequence[float]) -> list[int]:
    """Where each goes: to the one that lacks most rows so far, counting these; the first one of equals."""
    filled, seen, places = [0] * len(shares), 0, []
    numbered = list(enumerate(shares))
    for count in rows:
        seen += count
        place, most = 0, -math.inf
        for number, share in numbered:
            lack = share * seen - filled[number]
            if lack > most:
                place, most = number, lack
        filled[place] += count
        places.append(place)
    return places


def _units(keys: Any, seed: int, salt: str = "") -> np.ndarray:
    """The unit of each different key, (K,) float64."""
    units = np.fromiter((_unit(salt + key, seed) for key in texts_of(pd.Series(keys))), dtype=np.float64, count=len(keys))
    give_back()
    return units


def _unit(key: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53  # 53 bits: a double below 1, never rounded up to it
