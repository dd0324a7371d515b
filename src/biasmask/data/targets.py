"""Targets: a column of the source into 0 / 1, or out, with the reason."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from biasmask.data.values import column_text, shown, value_list
from biasmask.errors import ConfigError, DataError

KEYS = ("column", "positive", "negative", "names")
YES = frozenset({"1", "true", "yes"})
NO = frozenset({"0", "false", "no"})


@dataclass(frozen=True)
class EncodedTarget:
    """`index` (N,) int64: 1 positive, 0 negative, -1 not used; `reasons` (N,) says why a row is not used, else None."""

    index: np.ndarray
    reasons: np.ndarray
    class_names: tuple[str, str]


def encode_target(column: pd.Series, definition: dict[str, Any]) -> EncodedTarget:
    """Maps a column to a binary target.

    Rule: a value in `positive` is 1, one in `negative` is 0, any other is left out with its reason; with `positive`
    alone every other value is 0; with no list the column must hold 0/1, true/false or yes/no.

    Args:
        column: (N,) any type.
        definition: `column`, and perhaps `positive`, `negative` (a value or a list) and `names` [negative, positive].

    Returns:
        EncodedTarget; an empty column gives empty arrays.

    Raises:
        ConfigError: a value in both lists, an unknown key, `negative` without `positive`.
        DataError: no lists, and values other than 0/1, true/false, yes/no.

    >>> encode_target(pd.Series(["mel", "nv", "?"]), {"column": "dx", "positive": "mel", "negative": "nv"}).index
    array([ 1,  0, -1])
    >>> encode_target(pd.Series([True, False]), {"column": "malignant"}).index
    array([1, 0])
    """
    name = definition["column"]
    unknown = set(definition) - set(KEYS)
    if unknown:
        raise ConfigError(f"target '{name}': unknown key {shown(sorted(unknown))}; known: {shown(KEYS)}")
    positive, negative = value_list(definition.get("positive")), value_list(definition.get("negative"))
    texts = column_text(column)
    if negative and not positive:
        raise ConfigError(f"target '{name}': `negative` is given without `positive`")
    both = set(positive) & set(negative)
    if both:
        raise ConfigError(f"target '{name}': {shown(sorted(both))} stands in `positive` and in `negative`")
    values = [v for v in pd.unique(texts) if v is not None]
    if not positive:
        mapping = _yes_or_no(name, values)
    elif negative:
        mapping = {**dict.fromkeys(negative, 0), **dict.fromkeys(positive, 1)}
    else:
        mapping = {v: int(v in positive) for v in values}
    index = np.array([mapping.get(t, -1) for t in texts], dtype=np.int64)
    why = {v: f"target {name} is '{v}', neither positive nor negative" for v in values if v not in mapping}
    why[None] = f"target {name} is empty"
    reasons = np.array([why.get(t) for t in texts], dtype=object)
    return EncodedTarget(index, reasons, _class_names(definition, positive, negative))


def _yes_or_no(name: str, values: list[str]) -> dict[str, int]:
    mapping = {v: int(v.lower() in YES) for v in values if v.lower() in YES | NO}
    if len(mapping) != len(values):
        raise DataError(
            f"target '{name}' holds {len(values)} values ({shown(sorted(values), 12)}), not 0/1, true/false or yes/no; "
            f"say which are positive and which negative: target: {{column: {name}, positive: [...], negative: [...]}} "
            "(with data=csv: data.positive=[...] data.negative=[...])"
        )
    return mapping


def _class_names(definition: dict[str, Any], positive: list[str], negative: list[str]) -> tuple[str, str]:
    names = definition.get("names")
    if names:
        if len(names) != 2 or str(names[0]) == str(names[1]):
            raise ConfigError(f"target '{definition['column']}': `names` must be two names, [negative, positive]")
        return str(names[0]), str(names[1])
    high = positive[0] if len(positive) == 1 else "positive"
    low = negative[0] if len(negative) == 1 else f"not {high}" if len(positive) == 1 else "negative"
    return low, high


def require_two_classes(index: np.ndarray, class_names: tuple[str, str], where: str) -> None:
    """Raises a DataError unless both classes occur in `index` (N,) of 0 / 1.

    >>> require_two_classes(np.array([0, 1]), ("benign", "malignant"), "mine.csv")
    """
    counts = Counter(index.tolist())
    if len(counts) < 2:
        only, other = (class_names[0], class_names[1]) if counts.get(0) else (class_names[1], class_names[0])
        raise DataError(
            f"{where}: all {len(index)} usable rows have the target '{only}' and none '{other}'; "
            "two classes are needed: check the target's column and its lists"
        )
