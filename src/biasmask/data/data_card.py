"""The data card of a prepared data set: source, terms, counts per group and target, exclusions, limits; Markdown and JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from biasmask.data.table import Exclusion

SMALL = 10  # a cell with fewer rows is marked: no rate of it means much


def count_cells(frame: pd.DataFrame, groups: Mapping[str, Sequence[str | None]], minimum: int = SMALL) -> list[dict[str, Any]]:
    """Rows per split, attribute, group and target.

    Args:
        frame: (N) rows; `target` and `split` are used where they are there.
        groups: attribute -> the group of each row, None = unknown.

    Returns:
        One dict a cell: split, attribute, group, target, rows, small (fewer than `minimum`); empty cells are not listed.
    """
    count = len(frame)
    base = pd.DataFrame(
        {
            "split": frame["split"].astype(object) if "split" in frame else ["all"] * count,
            "target": frame["target"].astype(str) if "target" in frame else ["(none)"] * count,
        }
    )
    cells: list[dict[str, Any]] = []
    for attribute, values in groups.items():
        named = base.assign(group=[value if value is not None else "(unknown)" for value in values])
        for (split, group, target), rows in named.groupby(["split", "group", "target"], dropna=False).size().items():
            place = {"split": split, "attribute": attribute, "group": group, "target": target}
            cells.append({**place, "rows": int(rows), "small": bool(rows < minimum)})
    return cells


def make_card(
    about: Mapping[str, Any], frame: pd.DataFrame, cells: Sequence[Mapping[str, Any]], exclusions: Sequence[Exclusion],
    notes: Sequence[str], made: Mapping[str, Any], findings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The card as plain values.

    Args:
        about: of the data set's configuration: name, title, homepage, terms, cite, limits.
        frame: the table as it is written.
        cells: of `count_cells`.
        made: when, by which version, from which settings.
        findings: name -> what an optional check found (near duplicates, skin tone by ITA).
    """
    columns = [{"name": str(c), "filled": int(frame[c].notna().sum()), "values": int(frame[c].nunique())} for c in frame.columns]
    return {
        "schema": 1,
        **{key: about.get(key) for key in ("name", "title", "homepage", "terms", "cite")},
        "rows": len(frame),
        "columns": columns,
        "cells": [dict(cell) for cell in cells],
        "exclusions": [{"reason": e.reason, "count": e.count} for e in exclusions],
        "notes": list(notes),
        "limits": list(about.get("limits") or ()),
        "findings": dict(findings or {}),
        "made": dict(made),
    }


def card_markdown(card: Mapping[str, Any]) -> str:
    """The card as Markdown that a person reads."""
    lines = [f"# {_cell(card['title'])}", "", "| | |", "| --- | --- |"]
    for label, key in (("where", "homepage"), ("terms", "terms"), ("cite", "cite"), ("rows", "rows")):
        lines.append(f"| {label} | {_cell(card[key])} |")
    lines += [f"| {_cell(key)} | {_cell(value)} |" for key, value in card["made"].items()]
    lines += ["", "## Rows per group and target", ""]
    lines += ["| split | attribute | group | target | rows |", "| --- | --- | --- | --- | --- |"]
    for cell in card["cells"]:
        mark = " (small)" if cell["small"] else ""
        named = " | ".join(_cell(cell[key]) for key in ("split", "attribute", "group", "target"))
        lines.append(f"| {named} | {cell['rows']:,}{mark} |")
    lines += ["", f"Small: fewer than {SMALL} rows; a rate of such a cell says little.", "", "## Left out", ""]
    lines += [f"- {e['count']:,} rows: {_cell(e['reason'])}" for e in card["exclusions"]] or ["Nothing."]
    for name, value in card["findings"].items():
        lines += ["", f"## {_cell(name)}", "", *[f"- {_cell(line)}" for line in value.get("lines", ())]]
    for title, key in (("Decisions", "notes"), ("Limits", "limits")):
        if card[key]:
            lines += ["", f"## {title}", "", *[f"- {_cell(line)}" for line in card[key]]]
    lines += ["", "## Columns", "", "| column | filled | values |", "| --- | --- | --- |"]
    lines += [f"| {_cell(c['name'])} | {c['filled']:,} | {_values(c['values'])} |" for c in card["columns"]]
    return "\n".join(lines) + "\n"


def _values(number: int | None) -> str:
    return "not counted" if number is None else f"{number:,}"


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())
