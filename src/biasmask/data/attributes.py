"""Sensitive attributes: columns of the table into group indices, by value groups, bins or crossing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from biasmask.data.large_table import row_blocks
from biasmask.data.values import column_codes, require_column, shown, value_list
from biasmask.errors import ConfigError, DataError, is_control, near_names

if TYPE_CHECKING:
    from biasmask.data.table import Table

RAW = "raw:"
KEYS = ("column", "groups", "bins", "labels", "missing", "unknown")
MOST_NUMBERS = 10  # a numeric column with more values is a measurement, not a category
MOST_GROUPS = 50  # more values than this are names or ids


@dataclass(frozen=True)
class EncodedAttribute:
    """An attribute of N rows: `index` (N,) int64 in 0..G-1, -1 = missing; `missing` counts the rows by reason."""

    name: str
    group_names: tuple[str, ...]
    index: np.ndarray
    missing: dict[str, int]


def encode_attribute(name: str, definitions: Mapping[str, Any] | None, table: Table) -> EncodedAttribute:
    """The group of each row of the table for one sensitive attribute.

    Rule: `groups` maps values to groups; `bins` cuts numbers at right-open edges (60 belongs to 60_and_over); with
    neither each value is a group. "sex+age" crosses two attributes: "female & below_60".

    Args:
        name: a defined attribute, a column of the source, or several of these joined by "+".
        definitions: name -> {column, groups | bins, labels, missing, unknown: error | exclude}.
        table: the rows.

    Returns:
        EncodedAttribute; groups stand in the order of `groups` or `labels`, else sorted by name. A defined group with
        no row keeps its place.

    Raises:
        DataError: unknown attribute or column, a value in no group (with its row), fewer than two groups with rows.
        ConfigError: a definition that contradicts itself.

    >>> import types
    >>> rows = pd.DataFrame({"id": ["a", "b", "c"], "raw:age": [59, 60, None]})
    >>> encode_attribute("age", {"age": {"bins": [60]}}, types.SimpleNamespace(frame=rows, name="t")).index
    array([ 0,  1, -1])
    """
    if "=" in name:  # figures are named attribute=group
        raise ConfigError(f"attribute '{name}': a name can't hold '='; give it another: ++data.attributes.<name>.column='{name}'")
    encoded = encode_values(name, definitions, table.frame, table.name)
    present = np.unique(encoded.index[encoded.index >= 0])
    if len(present) < 2:
        found = f"only the group '{encoded.group_names[present[0]]}'" if len(present) else "no row with a known group"
        missing = "".join(f"; {count} rows: {reason}" for reason, count in encoded.missing.items())
        raise DataError(
            f"{table.name}: attribute '{name}' has {found} among {len(encoded.index)} rows{missing}; "
            "bias needs two groups to compare"
        )
    return encoded


def encode_values(
    name: str, definitions: Mapping[str, Any] | None, frame: pd.DataFrame, where: str
) -> EncodedAttribute:
    """`encode_attribute` on a frame with an `id` and `raw:` columns, without the demand for two groups.

    >>> encode_values("sex", {}, pd.DataFrame({"id": ["a", "b"], "raw:sex": ["m", "f"]}), "t").group_names
    ('f', 'm')
    """
    definitions = definitions or {}
    if name in definitions or RAW + name in frame:
        return _encode_one(name, dict(definitions.get(name) or {}), frame, where)
    parts = [part.strip() for part in name.split("+")]
    if len(parts) > 1:
        if len(set(parts)) < len(parts) or "" in parts:
            raise ConfigError(f"attribute '{name}': cross two or more different attributes, such as sex+age")
        return reduce(_cross, [encode_values(part, definitions, frame, where) for part in parts])
    columns = [c[len(RAW) :] for c in frame.columns if c.startswith(RAW)]
    near = near_names(name, [*definitions, *columns])
    raise DataError(
        f"{where} has no attribute '{name}'{near or ';'} defined: {shown(definitions) or 'none'}; "
        f"columns: {shown(columns)}"
    )


def _encode_one(name: str, definition: dict[str, Any], frame: pd.DataFrame, where: str) -> EncodedAttribute:
    unknown = set(definition) - set(KEYS)
    if unknown:
        raise ConfigError(f"attribute '{name}': unknown key {shown(sorted(unknown))}; known: {shown(KEYS)}")
    if definition.get("groups") and definition.get("bins") is not None:
        raise ConfigError(f"attribute '{name}': give `groups` or `bins`, not both")
    if definition.get("unknown", "error") not in ("error", "exclude"):
        raise ConfigError(f"attribute '{name}': unknown={definition['unknown']} must be error or exclude")
    column = str(definition.get("column") or name)
    columns = [c[len(RAW) :] for c in frame.columns if c.startswith(RAW)]
    require_column(columns, column, where, f"for the attribute '{name}'")
    codes, texts = column_codes(frame[RAW + column])
    missing = set(value_list(definition.get("missing")))
    values = [v for v in texts if v not in missing]
    if definition.get("groups"):
        names, group_of = _by_groups(name, definition["groups"])
    elif definition.get("bins") is not None:
        names, group_of = _by_bins(name, definition["bins"], definition.get("labels"), values)
    else:
        names, group_of = _by_value(name, column, values, frame[RAW + column])
    _require_readable(name, column, names, where)
    stray = [v for v in values if v not in group_of]
    if stray and definition.get("unknown", "error") == "error":
        row = int(np.argmax(codes == texts.index(stray[0])))
        raise DataError(
            f"{where} row {row} (id {frame['id'].iloc[row]}): column '{column}' holds '{stray[0]}', which is in "
            f"no group of '{name}'; known: {shown(_known(names, group_of))}; "
            f"missing: {shown(sorted(missing)) or 'none'}; add it to a group or to `missing`, or set unknown: exclude"
        )
    why = {v: f"{column} is '{v}', in no group" for v in stray} | {v: f"{column} is '{v}'" for v in missing}
    place = np.array([*(-1 if v in why else group_of[v] for v in texts), -1], dtype=np.int64)
    return EncodedAttribute(name, names, place[codes], _reasons(codes, texts, why, f"{column} is empty"))


def _require_readable(name: str, column: str, names: tuple[str, ...], where: str) -> None:
    """Refuse a group whose name holds control characters: it would stand in terminals and reports."""
    unreadable = [group for group in names if any(map(is_control, group))]
    if unreadable:
        raise DataError(
            f"{where}: column '{column}' holds {unreadable[0]!r}, with control characters: clean the column, or name the groups: "
            f"'++data.attributes.{name}={{column: {column}, groups: {{a: [...], b: [...]}}}}'"
        )


def _reasons(codes: np.ndarray, texts: list[str], why: Mapping[str, str], empty: str) -> dict[str, int]:
    """Rows without a group, by reason, in the order in which the reasons come first."""
    counts, first = np.zeros(len(texts) + 1, dtype=np.int64), np.zeros(len(texts) + 1, dtype=np.int64)  # the last: empty cells
    for rows in reversed(row_blocks(len(codes))):
        counts += np.bincount(codes[rows] % len(counts), minlength=len(counts))
        first[codes[rows][::-1]] = np.arange(rows.start, rows.stop)[::-1]
    reasons = [*(why.get(text) for text in texts), empty]
    found = [(row, reason, count) for row, reason, count in zip(first.tolist(), reasons, counts.tolist(), strict=True) if reason]
    return {reason: count for _, reason, count in sorted(found) if count}


def _known(names: tuple[str, ...], group_of: dict[str, int]) -> list[str]:
    return sorted(group_of) if group_of else list(names)


def _by_groups(name: str, groups: Mapping[Any, Any]) -> tuple[tuple[str, ...], dict[str, int]]:
    names = tuple(str(group) for group in groups)
    group_of: dict[str, int] = {}
    for number, values in enumerate(groups.values()):
        for value in value_list(values):
            if group_of.setdefault(value, number) != number:
                raise ConfigError(f"attribute '{name}': the value '{value}' stands in two groups")
    if len(names) < 2:
        raise ConfigError(f"attribute '{name}': `groups` must name two or more groups")
    return names, group_of


def _by_bins(name: str, bins: Any, labels: Any, values: list[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    edge_texts = value_list(bins)
    numbers = {v: number for v in [*edge_texts, *values] if (number := _number(v)) is not None}
    edges = [numbers.get(e, np.nan) for e in edge_texts]
    if not edges or np.isnan(edges).any() or np.any(np.diff(edges) <= 0):
        raise ConfigError(f"attribute '{name}': bins={bins} must be numbers that increase")
    inner = [f"{low}_to_{high}" for low, high in zip(edge_texts, edge_texts[1:], strict=False)]
    names = tuple(str(label) for label in labels or (f"below_{edge_texts[0]}", *inner, f"{edge_texts[-1]}_and_over"))
    if len(names) != len(edge_texts) + 1 or len(set(names)) < len(names):
        raise ConfigError(
            f"attribute '{name}': {len(edge_texts)} bin edges make {len(edge_texts) + 1} groups, "
            f"which need as many different labels, not {shown(names)}"
        )
    return names, {v: int(np.searchsorted(edges, numbers[v], side="right")) for v in values if v in numbers}


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if np.isnan(number) else number


def _by_value(name: str, column: str, values: list[str], raw: pd.Series) -> tuple[tuple[str, ...], dict[str, int]]:
    numeric = pd.api.types.is_numeric_dtype(raw) and not pd.api.types.is_bool_dtype(raw)
    if numeric and len(values) > MOST_NUMBERS:
        middle = f"{float(raw.median()):g}"
        raise DataError(
            f"attribute '{name}': the numeric column '{column}' has {len(values)} values; cut it into groups: "
            f"'++data.attributes.{name}={{column: {column}, bins: [{middle}]}}'"
        )
    if len(values) > MOST_GROUPS:
        raise DataError(
            f"attribute '{name}': column '{column}' has {len(values)} different values, too many groups; name them: "
            f"'++data.attributes.{name}={{column: {column}, groups: {{a: [...], b: [...]}}}}'"
        )
    names = sorted(values, key=lambda v: (_number(v) or 0.0, v) if numeric else (0.0, v))
    return tuple(names), {v: number for number, v in enumerate(names)}


def _cross(left: EncodedAttribute, right: EncodedAttribute) -> EncodedAttribute:
    """All pairs of groups, the left one slowest; a row is missing when either part is, and counted once."""
    names = tuple(f"{a} & {b}" for a in left.group_names for b in right.group_names)
    known = (left.index >= 0) & (right.index >= 0)
    index = np.where(known, left.index * len(right.group_names) + right.index, -1)
    missing = dict(left.missing)
    only_right = int(((left.index >= 0) & (right.index < 0)).sum())
    if only_right:
        reason = " or ".join(right.missing)
        missing[reason] = missing.get(reason, 0) + only_right
    return EncodedAttribute(f"{left.name}+{right.name}", names, index, missing)
