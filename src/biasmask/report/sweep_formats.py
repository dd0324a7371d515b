"""A comparison of runs as Markdown, LaTeX, CSV, and small JSON for the documentation."""

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
TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$",
    "†": r"$\dagger$", "\N{MINUS SIGN}": "$-$", "–": "--", "|": r"\textbar{}",
}  # fmt: skip
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


def latex(content: Content) -> str:
    """Tables for the packages booktabs and graphicx, each with the notes that it needs."""
    parts = ["% Made by scripts/compare_runs.py; needs \\usepackage{booktabs,graphicx}."]
    for comparison in content["comparisons"]:
        own = [f"Note: {note}." for note in comparison["notes"]]
        for test_set in comparison["test_sets"]:
            notes = notes_of(comparison, test_set, content["confidence"])
            for place, table in enumerate(tables_of(comparison, test_set)):
                caption = f"{comparison['title']}; {test_set['key']}: {table.title}."
                label = f"tab:{comparison['id']}-{test_set['key']}-{place}"
                parts.append(latex_table(table, caption, label, [*notes, *(own if place == 0 else [])]))
        caption, label = f"{comparison['title']}: budget.", f"tab:{comparison['id']}-budget"
        parts.append(latex_table(budget_table(comparison), caption, label, [STARRED]))
    left_out = [f"{entry['folder']}: {entry['why']}" for entry in content["skipped"]]
    if left_out:
        parts.append(f"{{\\footnotesize Left out: {tex('; '.join(left_out))}.\\par}}")
    return "\n\n".join(parts) + "\n"


def latex_table(table: TextTable, caption: str, label: str, notes: list[str]) -> str:
    """A table as wide as the page at most: brackets go into a second line, and what is still too wide shrinks."""
    name = re.sub("[^a-z0-9:_-]", "-", label.lower())
    lines = [
        "\\begin{table}", "\\centering\\small", f"\\caption{{{tex(caption)}}}", f"\\label{{{name}}}",
        "\\resizebox{\\ifdim\\width>\\textwidth\\textwidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}", "\\toprule", tex_row(table.header), "\\midrule",
        *(line for row in table.rows for line in two_lines(row)), "\\bottomrule", "\\end{tabular}}", "\\par\\smallskip",
        *(f"{{\\footnotesize {tex(note)}\\par}}" for note in notes), "\\end{table}",
    ]  # fmt: skip
    return "\n".join(lines)


def two_lines(row: list[str]) -> list[str]:
    """A row, and its brackets (intervals, Holm's p) in a row of their own below it; the first cell is a name and stays whole.

    >>> two_lines(["a (b)", "0.5 (0.4 to 0.6)"])
    ['a (b) & 0.5 \\\\\\\\', ' & (0.4 to 0.6) \\\\\\\\']
    """
    first, *rest = row
    parts = [cell.partition(" (") for cell in rest]
    below = [f"({end}" if mark else "" for _, mark, end in parts]
    return [tex_row([first, *(start for start, _, _ in parts)]), *([tex_row(["", *below])] if any(below) else [])]


def tex_row(cells: list[str]) -> str:
    return " & ".join(map(tex, cells)) + r" \\"


def tex(text: str) -> str:
    r"""A text with what LaTeX would take for commands escaped.

    >>> tex("50 % of a_b")
    '50 \\% of a\\_b'
    """
    return "".join(TEX.get(letter, letter) for letter in text.replace("\N{NO-BREAK SPACE}", " "))


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
