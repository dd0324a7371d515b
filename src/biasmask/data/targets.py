"""Targets: a column of the source into class indices, or out, with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from biasmask.data.values import column_codes, shown, value_list
from biasmask.errors import ConfigError, DataError

KEYS = ("column", "positive", "negative", "names", "classes")
YES = frozenset({"1", "true", "yes"})
NO = frozenset({"0", "false", "no"})


@dataclass(frozen=True)
class EncodedTarget:
    """`index` (N,) int64: 0..C-1 (1 positive, 0 negative), -1 not used; `reasons` (N,) says why a row isn't used, else None."""

    index: np.ndarray
    reasons: np.ndarray
    class_names: tuple[str, ...]


def encode_target(column: pd.Series, definition: dict[str, Any]) -> EncodedTarget:
    """Maps a column to class indices, of two classes or of more.

    Rule: with `classes` a value belongs to the class that lists it, any other is left out with its reason. Without, the
    target is binary: a value in `positive` is 1, one in `negative` is 0, any other is left out with its reason; with
    `positive` alone every other value is 0; with no list the column must hold 0/1, true/false or yes/no.

    Args:
        column: (N,) any type.
        definition: `column`, and perhaps `positive`, `negative` (a value or a list) and `names` [negative, positive], or
            `classes`: a list of values, or name -> value or list of values.

    Returns:
        EncodedTarget; an empty column gives empty arrays.

    Raises:
        ConfigError: a value in two lists, an unknown key, `negative` without `positive`, `classes` beside these, or fewer
            than two classes.
        DataError: no lists, and values other than 0/1, true/false, yes/no.

    >>> encode_target(pd.Series(["mel", "nv", "?"]), {"column": "dx", "positive": "mel", "negative": "nv"}).index
    array([ 1,  0, -1])
    >>> classes = {"nevus": "nv", "cancer": ["mel", "bcc"], "other": "df"}
    >>> encode_target(pd.Series(["nv", "bcc", "mel"]), {"column": "dx", "classes": classes}).index
    array([0, 1, 1])
    """
    name = definition["column"]
    unknown = set(definition) - set(KEYS)
    if unknown:
        raise ConfigError(f"target '{name}': unknown key {shown(sorted(unknown))}; known: {shown(KEYS)}")
    positive, negative = value_list(definition.get("positive")), value_list(definition.get("negative"))
    codes, values = column_codes(column)
    if definition.get("classes") is not None:
        return _encode_classes(name, definition, codes, values)
    if negative and not positive:
        raise ConfigError(f"target '{name}': `negative` is given without `positive`")
    both = set(positive) & set(negative)
    if both:
        raise ConfigError(f"target '{name}': {shown(sorted(both))} stands in `positive` and in `negative`")
    if not positive:
        mapping = _yes_or_no(name, values)
    elif negative:
        mapping = {**dict.fromkeys(negative, 0), **dict.fromkeys(positive, 1)}
    else:
        mapping = {v: int(v in positive) for v in values}
    class_names = _class_names(definition, positive, negative)
    return _encoded(name, codes, values, mapping, class_names, "neither positive nor negative")


def _encoded(
    name: str, codes: np.ndarray, values: list[str], mapping: dict[str, int], class_names: tuple[str, ...], outside: str
) -> EncodedTarget:
    index = np.array([*(mapping.get(v, -1) for v in values), -1], dtype=np.int64)
    why = [None if v in mapping else f"target {name} is '{v}', {outside}" for v in values]
    return EncodedTarget(index[codes], np.array([*why, f"target {name} is empty"], dtype=object)[codes], class_names)


def _encode_classes(name: str, definition: dict[str, Any], codes: np.ndarray, values: list[str]) -> EncodedTarget:
    """The target of listed classes; a class index is the place of the class in the list."""
    beside = [key for key in ("positive", "negative", "names") if definition.get(key)]
    if beside:
        raise ConfigError(f"target '{name}': give `classes` or {shown(beside)}, not both")
    given = definition["classes"]
    lists = given if isinstance(given, Mapping) else {value: value for value in value_list(given)}
    class_names = tuple(str(key) for key in lists)
    if len(class_names) < 2 or len(set(class_names)) < len(class_names) or any("/" in n for n in class_names):
        raise ConfigError(
            f"target '{name}': `classes` ({shown(class_names) or 'none'}) must be two or more different names without '/'; "
            "a name of your own is written as {name: value}"
        )
    mapping: dict[str, int] = {}
    for number, listed in enumerate(lists.values()):
        for value in value_list(listed):
            if mapping.setdefault(value, number) != number:
                raise ConfigError(f"target '{name}': the value '{value}' stands in two of `classes`")
    return _encoded(name, codes, values, mapping, class_names, "in none of the classes")


def _yes_or_no(name: str, values: list[str]) -> dict[str, int]:
    mapping = {v: int(v.lower() in YES) for v in values if v.lower() in YES | NO}
    if len(mapping) != len(values):
        raise DataError(
            f"target '{name}' holds {len(values)} values ({shown(sorted(values), 12)}), not 0/1, true/false or yes/no; "
            f"say which are positive and which negative: target: {{column: {name}, positive: [...], negative: [...]}} "
            "(with data=csv: data.positive=[...] data.negative=[...]), or list all classes as data.classes=[...]"
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


def require_two_classes(index: np.ndarray, class_names: tuple[str, ...], where: str) -> None:
    """Raises a DataError unless two classes or more occur in `index` (N,) of class indices.

    >>> require_two_classes(np.array([0, 1]), ("benign", "malignant"), "mine.csv")
    """
    found = np.unique(index)
    if len(found) < 2:
        only = class_names[int(found[0]) if len(found) else 0]
        other = "' or '".join(name for name in class_names if name != only)
        raise DataError(
            f"{where}: all {len(index)} usable rows have the target '{only}' and none '{other}'; "
            "two classes are needed: check the target's column and its lists"
        )
