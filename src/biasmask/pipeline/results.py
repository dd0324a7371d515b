"""Figures of metrics.json as a data frame, and the steps of a model as a table for a notebook."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from biasmask.pipeline.context import StageRecord

COLUMNS = ("value", "low", "high", "n", "reason")
DIFFERENCE = ("value", "low", "high", "reason")


def figures_table(first: str, contents: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Put figures of several comparisons with one base model side by side.

    Args:
        first: name of the base model.
        contents: name of the other model -> content of metrics.json with the models `base` and `debiased`; for one model alone
            its name and a content with `base`.
    Returns:
        A row a figure; columns (model, value | low | high | n | reason), then (`other - first`, value | low | high | reason).

    >>> entry = {"value": 0.5, "low": 0.4, "high": None, "n": 9, "reason": None}
    >>> content = {"models": {"base": {"test/auroc": entry}}, "difference": {}}
    >>> figures_table("before", {"before": content})["before"]["value"].item()
    0.5
    """
    models: dict[str, Mapping[str, Any]] = {first: next(iter(contents.values()))["models"]["base"]}
    models |= {name: content["models"]["debiased"] for name, content in contents.items() if "debiased" in content["models"]}
    parts = {name: frame_of(entries, COLUMNS) for name, entries in models.items()}
    for name in list(models)[1:]:
        parts[f"{name} - {first}"] = frame_of(contents[name]["difference"], DIFFERENCE)
    table = pd.concat(parts, axis=1)
    table.index.name = "figure"
    return table


def frame_of(entries: Mapping[str, Mapping[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    """Entries of metrics.json as rows; what isn't defined is NaN."""
    frame = pd.DataFrame({key: {name: entry.get(name) for name in columns} for key, entry in entries.items()}).T
    frame = frame.reindex(columns=list(columns))
    return frame.astype({name: "float64" for name in columns if name not in ("n", "reason")})


def records_html(title: str, records: Iterable[StageRecord]) -> str:
    """The steps of a model as an HTML table; every string is escaped."""
    rows = Markup("").join(
        Markup("<tr><td>{}</td><td style='text-align:left'>{}</td><td>{}</td></tr>").format(
            record.stage,
            "; ".join([record.label, *record.notes]),
            "" if record.changed_outside is None else f"{record.changed_outside:,}",
        )
        for record in records
    )
    head = Markup("<tr><th>step</th><th style='text-align:left'>what it did</th><th>changed outside</th></tr>")
    return Markup("<p>{}</p><table>{}{}</table>").format(title, head, rows)
