"""A comparison of runs as Markdown, CSV, and small JSON for the documentation."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from biasmask.report.run_folder import MetricKey
from biasmask.report.sweep_figures import AGAINST
from biasmask.report.sweep_texts import (
    Content,
    TextTable,
    budget_table,
    difference_table,
    figure_table,
    notes_of,
    selection_table,
)

DIFFERENCE = ("value", "low", "high", "t_low", "t_high", "p", "p_holm", "wins", "losses", "ties", "n_runs", "n_clusters")
PREFIXES = {"base": "vs_base", "reference": "vs_reference", "control": "vs_control"}  # of the columns of a difference
CSV_COLUMNS = (
    "comparison", "test_set", "method", "setting", "role", "metric", "attribute", "group", "mean", "spread", "low", "high",
    "n_runs", "n", "n_positive", "interval", "reason", *(f"{prefix}_{name}" for prefix in PREFIXES for name in DIFFERENCE),
    "reference", "control", "dominated", "collapsed", "kept_base",
)  # fmt: skip
DIGITS = 6
STARRED = "Time is the mean of a run's stages after the baseline; * some of it as measured when the store's copy was made."


def tables_of(comparison: Content, test_set: Content) -> Iterator[TextTable]:
    """The tables of a test set: figures, then differences."""
    yield figure_table(comparison, test_set)
    for which in AGAINST:
        table = difference_table(comparison, test_set, which)
        if table.rows:
            yield table


def markdown(content: Content) -> str:
    """The whole comparison for a reader of text."""
    parts = ["# Comparison of runs", *(f"Note: {note}." for note in content["notes"])]
    for comparison in content["comparisons"]:
        parts.append(f"## {plain_words(comparison['title'])}")
        parts += [plain_words(f"Note: {note}.") for note in comparison["notes"]]
        for test_set in comparison["test_sets"]:
            counted = "" if test_set["n"] is None else f" (n = {test_set['n']:,})"
            parts.append(f"### {plain_words(test_set['key'])}{counted}")
            for table in tables_of(comparison, test_set):
                parts += [f"{plain_words(table.title)}:", markdown_table(table)]
            parts += notes_of(comparison, test_set, content["confidence"])
        parts += [f"### {budget_table(comparison).title}", markdown_table(budget_table(comparison))]
        parts.append(plain_words(STARRED))
        for selection in comparison["selection"]:
            table = selection_table(selection)
            parts += [f"### {plain_words(table.title)}", markdown_table(table), plain_words(f"{selection['reason']}.")]
    if content["skipped"]:
        parts.append("## Left out")
        parts.append("\n".join(plain_words(f"- {entry['folder']}: {entry['why']}") for entry in content["skipped"]))
    return "\n\n".join(parts) + "\n"


def markdown_table(table: TextTable) -> str:
    """A Markdown table, names escaped."""
    lines = [table.header, ["---"] * len(table.header), *table.rows]
    return "\n".join("| " + " | ".join(plain_words(cell) for cell in line) + " |" for line in lines)


def plain_words(text: str) -> str:
    """A text without what Markdown or HTML would take for markup.

    >>> plain_words("a|b <i>")
    'a\\\\|b &lt;i&gt;'
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([|`\[\]*])", r"\\\1", escaped.replace("\n", " "))


def tidy_csv(content: Content) -> str:
    """One row a comparison, test set, method and figure; undefined is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for comparison in content["comparisons"]:
        rows = {row["id"]: row for row in comparison["rows"]}
        for test_set in comparison["test_sets"]:
            for row, figures in test_set["figures"].items():
                for key, figure in figures.items():
                    writer.writerow(csv_row(comparison, test_set, rows[row], key, figure))
    return text.getvalue()


def csv_row(comparison: Content, test_set: Content, row: Content, key: str, figure: Content) -> dict[str, Any]:
    parts = MetricKey.parse(key)
    metric = parts.metric if test_set["key"] != "text" else f"{parts.split}/{parts.metric}"
    cells: dict[str, Any] = {
        "comparison": comparison["id"], "test_set": test_set["key"], "method": row["method"], "setting": row["setting"],
        "role": row["role"], "metric": metric, "attribute": parts.attribute, "group": parts.group,
        **{name: figure[name] for name in ("mean", "spread", "low", "high", "n_runs", "n", "n_positive", "reason")},
        "interval": test_set["interval"], "dominated": row["id"] in test_set["dominated"], "collapsed": row["collapsed"],
        "kept_base": row["kept_base"],
    }  # fmt: skip
    for prefix, which in PREFIXES.items():
        cells |= {f"{prefix}_{name}": (figure[which] or {}).get(name) for name in DIFFERENCE}
    if figure["vs_reference"]:
        cells["reference"] = comparison["reference"]
    if figure["vs_control"]:
        cells["control"] = row["control"]
    return {name: "" if cell is None else cell for name, cell in cells.items()}


def compact(content: Content) -> Content:
    """The content for a repository: the shown figures alone, rounded, without what lies in which folder."""
    comparisons = []
    for comparison in content["comparisons"]:
        rows = [
            {**row, "runs": [{key: run[key] for key in run if key not in ("folder", "reused")} for run in row["runs"]]}
            for row in comparison["rows"]
        ]
        test_sets = []
        for test_set in comparison["test_sets"]:
            shown = {metric["key"] for metric in (*test_set["metrics"], *test_set["group_metrics"])}
            figures = {
                row: {key: figure for key, figure in own.items() if key in shown} for row, own in test_set["figures"].items()
            }
            test_sets.append({**test_set, "figures": figures})
        comparisons.append({**comparison, "rows": rows, "test_sets": test_sets})
    return rounded({**content, "skipped": [], "comparisons": comparisons})


def rounded(value: Any) -> Any:
    """Numbers at six digits after the point, everywhere.

    >>> rounded({"a": [1 / 3, None, 2]})
    {'a': [0.333333, None, 2]}
    """
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return round(value, DIGITS) if isinstance(value, float) else value
