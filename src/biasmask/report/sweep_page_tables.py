"""The tables of a sweep's page as cells: what is shown, and the number by which a column is sorted."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from biasmask.report.formats import count, duration, interval, number, percent, signed
from biasmask.report.plot_pareto import ROLE_WORDS, row_name, short_name
from biasmask.report.run_folder import Estimate
from biasmask.report.sweep_texts import epochs_of

Row = Mapping[str, Any]
ELSEWHERE = re.compile(r"^\s*[a-zA-Z][\w+.-]*:|^\s*[/\\]")
BUDGET_COLUMNS = (
    "Epochs", "Seconds", "Debias data", "Parameters edited", "Needs the attribute", "Levelling down", "Reports of the runs",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Text, small lines below it, the number to sort by (None: undefined, always last), a class, links."""

    text: str
    lines: list[str] = field(default_factory=list)
    sort: float | None = None
    class_: str = ""
    links: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class TableRow:
    """A method's name, remarks on it, a class, and its cells."""

    name: str
    notes: list[str]
    class_: str
    cells: list[Cell]


@dataclass(frozen=True)
class SortableTable:
    """A table that a reader can sort; `notes` are what its cells mean by `note 1`."""

    caption: str
    columns: list[str]
    rows: list[TableRow]
    notes: list[str] = field(default_factory=list)


def figure_table(comparison: Mapping[str, Any], test_set: Mapping[str, Any]) -> SortableTable:
    """Mean and spread over runs with the interval, a column for each figure."""
    rows: list[TableRow] = []
    notes: list[str] = []
    for row in ordered(comparison, test_set):
        found = test_set["figures"].get(row["id"]) or {}
        cells = [figure_cell(found.get(metric["key"]), notes) for metric in test_set["metrics"]]
        rows.append(table_row(row, test_set, [*cells, run_cell(row), failure_cell(row.get("collapsed"))]))
    caption = f"Figures on {set_name(test_set)}: mean \N{PLUS-MINUS SIGN} standard deviation over runs, interval below"
    columns = column_names(test_set["metrics"])
    return SortableTable(caption, [*columns, "Runs", "Collapsed"], rows, notes)


def difference_table(
    comparison: Mapping[str, Any], test_set: Mapping[str, Any], against: str, other: str
) -> SortableTable | None:
    """Paired differences from another row; None where no row has any.

    Args:
        comparison: One of compare.json.
        test_set: One of its test sets.
        against: `vs_base`, `vs_reference` or `vs_control`.
        other: Name of that row; each row's control stands beside its name.
    """
    figures = test_set["figures"]
    metrics = [m for m in test_set["metrics"] if any((found.get(m["key"]) or {}).get(against) for found in figures.values())]
    rows: list[TableRow] = []
    notes: list[str] = []
    for row in ordered(comparison, test_set):
        compared = [((figures.get(row["id"]) or {}).get(metric["key"]) or {}).get(against) for metric in metrics]
        if any(compared):
            pairs = zip(metrics, compared, strict=True)
            made = table_row(row, test_set, [difference_cell(row, metric, one, notes) for metric, one in pairs])
            control = name_of(comparison["rows"], row.get("control")) if against == "vs_control" else None
            rows.append(replace(made, notes=[*made.notes, *([f"against {control}"] if control else [])]))
    if not rows:
        return None
    caption = f"Difference from {other} on {set_name(test_set)}: paired mean, interval, p of the sign-flip test (Holm), wins"
    return SortableTable(f"{caption} and losses", column_names(metrics), rows, notes)


def budget_table(comparison: Mapping[str, Any], links: Mapping[str, str]) -> SortableTable:
    """What each method cost, what it needs, and the way to its runs."""
    rows = [
        TableRow(plain_label(row), setting_notes(row), "failed" if row.get("collapsed") else "", budget_cells(row, links))
        for row in comparison["rows"]
    ]
    caption = "Budget after the base model: epochs (done / allowed) over the debias split, mean seconds, entries edited"
    return SortableTable(caption, list(BUDGET_COLUMNS), rows)


def budget_cells(row: Row, links: Mapping[str, str]) -> list[Cell]:
    edited, parameters, seconds = (known(row.get(name)) for name in ("edited", "parameters", "seconds"))
    epochs, share = known(row.get("epochs")), known(row.get("debias_share"))
    needs = row.get("needs_attribute")
    levelled = [value for value in row.get("levelling_down") or [] if value is not None]
    runs = [(run_name(run), safe_link(links.get(str(run.get("folder")))) or "") for run in row.get("runs") or []]
    return [
        Cell(epochs_of(row), filled(str(row.get("epochs_reason") or "")), epochs),
        Cell(duration(seconds), ["some reused"] if row.get("reused") else [], seconds),
        Cell(or_dash(share, percent), sort=share),
        Cell(count(edited), [percent(edited / parameters, 2)] if edited is not None and parameters else [], edited),
        Cell("–" if needs is None else "yes" if needs else "no", sort=None if needs is None else float(needs)),
        Cell(", ".join(map(str, levelled)) or "–", sort=float(sum(levelled)) / len(levelled) if levelled else None),
        Cell("" if runs else "–", sort=float(len(runs)), links=runs),
    ]


def candidate_table(selection: Mapping[str, Any]) -> SortableTable:
    """All candidates of a method with their validation figures; the base model first."""
    base = selection.get("base") or {}
    names = list(dict.fromkeys([*base, *(name for one in selection["candidates"] for name in one["figures"])]))
    rows = []
    if base:
        cells = [number_cell(base.get(name)) for name in names]
        rows.append(TableRow(ROLE_WORDS["base"], [], "", [*cells, Cell("–"), Cell("–"), Cell("–")]))
    for one in selection["candidates"]:
        chosen = bool(one.get("chosen"))
        cells = [number_cell(one["figures"].get(name)) for name in names]
        cells += [Cell(count(known(one.get("n_runs"))), sort=known(one.get("n_runs"))), failure_cell(one.get("collapsed"))]
        why = filled(str(one.get("refused") or ""))
        cells.append(Cell("chosen" if chosen else "–", why, float(chosen), "better" if chosen else ""))
        rows.append(TableRow(str(one.get("setting") or one["id"]), [], "failed" if one.get("collapsed") else "", cells))
    caption = f"Candidates of {selection.get('label') or selection['method']} on validation rows, rule {selection.get('rule')}"
    return SortableTable(caption, [*(name.replace("_", " ") for name in names), "Runs", "Collapsed", "Choice"], rows)


def ordered(comparison: Mapping[str, Any], test_set: Mapping[str, Any]) -> list[Row]:
    rows = {row["id"]: row for row in comparison["rows"]}
    return [rows[row] for row in test_set["order"]]


def set_name(test_set: Mapping[str, Any]) -> str:
    of_class = test_set.get("class")
    return str(test_set["name"]) + (f", class {of_class} against the others" if of_class is not None else "")


def column_names(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Labels; where two are alike, each with the first part of its key, such as the pooling of a text test."""
    labels = [str(metric["label"]) for metric in metrics]
    parts = [str(metric["key"]).partition("/")[0].replace("_", " ") for metric in metrics]
    return [f"{name} ({part})" if labels.count(name) > 1 else name for name, part in zip(labels, parts, strict=True)]


def table_row(row: Row, test_set: Mapping[str, Any], cells: list[Cell]) -> TableRow:
    dominated = row["id"] in test_set.get("dominated", []) and row.get("role") != "base"
    some = 0 < (row.get("kept_base") or 0) < row["n_runs"]  # where it is all of them, the setting says so
    kept = [f"kept the base model: {row['kept_base']} of {row['n_runs']}"] if some else []
    marks = [word for word, holds in (("control", row.get("role") == "control"), ("dominated", dominated)) if holds]
    notes = [*setting_notes(row), *kept, *marks]
    class_ = "failed" if row.get("collapsed") else "dominated-row" if dominated else ""
    return TableRow(plain_label(row), notes, class_, cells)


def plain_label(row: Row) -> str:
    return str(row.get("label") or row.get("method") or row["id"])


def setting_notes(row: Row) -> list[str]:
    """What sets a row apart from others of its method, and its short name in plots and sentences, where it has one."""
    cut = short_name(row) != row_name(row)
    return [*([str(row["setting"])] if row.get("setting") else []), *([f"in plots: {short_name(row)}"] if cut else [])]


def note_of(reason: str | None, notes: list[str]) -> str:
    """What is to know of a defined figure goes once below the table; the cell names its number."""
    if not reason:
        return ""
    if reason not in notes:
        notes.append(reason)
    return f"note {notes.index(reason) + 1}"


def figure_cell(figure: Mapping[str, Any] | None, notes: list[str]) -> Cell:
    if figure is None:
        return Cell("–")
    found = Estimate.from_json({**figure, "value": figure.get("mean")})
    if not found.defined:
        return Cell("undefined", [str(found.reason or "no reason stored")], class_="undefined")
    spread = known(figure.get("spread"))
    text = number(found.value) + (f" \N{PLUS-MINUS SIGN} {number(spread)}" if spread is not None else "")
    return Cell(text, filled(interval(found.low, found.high), note_of(found.reason, notes)), found.value)


def difference_cell(row: Row, metric: Mapping[str, Any], compared: Mapping[str, Any] | None, notes: list[str]) -> Cell:
    if compared is None:
        return Cell("–")
    found = Estimate.from_json(dict(compared))
    if not found.defined:
        return Cell("undefined", [str(found.reason or "no reason stored")], class_="undefined")
    p, wins, losses = (compared.get(name) for name in ("p_holm", "wins", "losses"))
    lines = filled(
        interval(found.low, found.high, plus=True),
        "" if p is None else f"p {number(float(p))}",
        "" if wins is None or losses is None else f"{wins} won, {losses} lost",
        note_of(found.reason, notes),
    )
    failed = row.get("collapsed") or compared.get("collapsed")  # a failure gets no credit, nor what is better than one
    class_ = "" if failed else told(metric.get("direction") or 0, found)
    return Cell(signed(found.value), lines, found.value, class_)


def told(direction: int, found: Estimate) -> str:
    """Whether an interval leaves out zero on the good or on the bad side; empty where it doesn't or there is no better side.

    >>> told(-1, Estimate(-0.1, -0.2, -0.05)), told(1, Estimate(-0.1, -0.2, 0.05))
    ('better', '')
    """
    if not direction or not found.has_interval or found.low <= 0 <= found.high:
        return ""
    return "better" if (found.low > 0) == (direction > 0) else "worse"


def run_cell(row: Row) -> Cell:
    runs, units = row.get("n_runs"), row.get("n_units")
    short = units is not None and runs is not None and runs < units
    return Cell(f"{runs} of {units}" if short else count(known(runs)), sort=known(runs), class_="worse" if short else "")


def failure_cell(failed: int | None) -> Cell:
    return Cell(count(known(failed)), sort=known(failed), class_="worse" if failed else "")


def number_cell(value: float | None) -> Cell:
    return Cell("undefined", class_="undefined") if value is None else Cell(number(float(value)), sort=float(value))


def run_name(run: Mapping[str, Any]) -> str:
    """Seed and split of a run, in words.

    >>> run_name({"seed": 2, "split_seed": 0, "folder": "3"}), run_name({"folder": "3", "kept_base": True})
    ('seed 2, split 0', 'run 3 (kept the base model)')
    """
    parts = [f"{word} {run[key]}" for key, word in (("seed", "seed"), ("split_seed", "split")) if run.get(key) is not None]
    return (", ".join(parts) or f"run {run.get('folder')}") + (" (kept the base model)" if run.get("kept_base") else "")


def safe_link(href: str | None) -> str | None:
    """A relative address; anything with a scheme or a root of its own is dropped.

    >>> safe_link("0/report.html"), safe_link("javascript:alert(1)"), safe_link("//host/x")
    ('0/report.html', None, None)
    """
    return None if href is None or ELSEWHERE.match(href) else href


def filled(*lines: str) -> list[str]:
    return [line for line in lines if line]


def known(value: Any) -> float | None:
    return None if value is None or not math.isfinite(float(value)) else float(value)


def or_dash(value: float | None, write: Callable[[float], str]) -> str:
    return "–" if value is None else write(value)


def name_of(rows: Sequence[Row], row_id: str | None) -> str | None:
    """Name of a row by its id."""
    return next((short_name(row) for row in rows if row["id"] == row_id), None)
