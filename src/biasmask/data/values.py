"""How a cell of a table is compared with a value of a config: as one text, and what to say when a name is unknown."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from biasmask.errors import DataError, near_names

TEXT = pd.Series(["a"]).dtype  # how this pandas keeps text: packed (3), or as Python strings (2)


def value_text(value: Any) -> str | None:
    """The text under which a table cell and a config value are the same: 1, 1.0 and "1" are "1"; an empty cell is None.

    Args:
        value: any scalar of a table or a config.

    Returns:
        The text without outer blanks, or None for None, NaN, NA and blank strings.

    >>> [value_text(v) for v in (3.0, " male ", True, "007", float("nan"), "")]
    ['3', 'male', 'true', '007', None, None]
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value).strip() or None


def column_text(column: pd.Series) -> np.ndarray:
    """`value_text` of each cell.

    Returns:
        Object array (N,) of str or None; an empty column gives an empty array.

    >>> column_text(pd.Series([1.0, None, 2.5])).tolist()
    ['1', None, '2.5']
    """
    codes, texts = column_codes(column)
    return np.array([*texts, None], dtype=object)[codes]


def column_codes(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """`value_text` of each cell as its place in the list of different texts, so that a long column needs few strings.

    Returns:
        (N,) int64, -1 for an empty cell, and the texts in the order in which they come first.

    >>> column_codes(pd.Series([1.0, None, 2.5, 1.0]))
    (array([ 0, -1,  1,  0]), ['1', '2.5'])
    """
    try:
        # factorize treats 1 and True as one value; a mixed object column is rare enough to go cell by cell
        if column.dtype == object:
            raise TypeError
        codes, uniques = pd.factorize(column)
    except TypeError:
        codes, uniques = pd.factorize(np.array([value_text(v) for v in column], dtype=object))
    # tolist: a loop over a packed column takes ten times as long
    texts = [v.strip() or None if type(v) is str else value_text(v) for v in uniques.tolist()]
    places = {text: place for place, text in enumerate(dict.fromkeys(text for text in texts if text is not None))}
    place = np.array([*(-1 if text is None else places[text] for text in texts), -1], dtype=np.int64)
    return place[codes], list(places)


def value_list(values: Any) -> list[str]:
    """Texts of a config entry that may be one value or a list of them."""
    if values is None:
        return []
    if isinstance(values, str) or not isinstance(values, Iterable):
        values = [values]
    return [text for text in (value_text(v) for v in values) if text is not None]


def shown(names: Iterable[str], limit: int = 40) -> str:
    """Names as one comma-separated text, cut after `limit`."""
    listed = list(names)
    rest = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + rest


def require_column(columns: Iterable[str], column: str, where: str, use: str) -> None:
    """Raises a DataError that lists near names and all columns unless `column` is one of `columns`."""
    columns = [str(c) for c in columns]
    if column not in columns:
        near = near_names(column, columns)
        raise DataError(f"{where} has no column '{column}' ({use}){near or ';'} columns: {shown(columns)}")
