"""A comparison of runs in the terminal: one table a test set, in 100 columns."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from biasmask.report.formats import interval, number, signed
from biasmask.report.sweep_texts import Content, figure, name_of, nan, notes_of, p_text, rows_of, score_text, units_words

WIDTH = 100


def print_comparison(content: Content, console: Console | None = None) -> None:
    """Print each comparison: quality and gap, and the change of the gap against the base model with interval and p.

    Macro figures stand for a target of several classes, and the budget isn't shown; the files have both.
    """
    console = console or (Console() if sys.stdout.isatty() else Console(width=WIDTH))
    for comparison in content["comparisons"]:
        console.print(Text(comparison["title"], style="bold"))
        for test_set in comparison["test_sets"]:
            if test_set["class"] is None:
                console.print(comparison_table(comparison, test_set))
                for note in notes_of(comparison, test_set, content["confidence"]):
                    console.print(Text(f"  {note}", style="dim"))
        for note in comparison["notes"]:
            console.print(Text(f"  note: {note}", style="dim"))
        for selection in comparison["selection"]:
            which = f"{selection['label']}{units_words(selection)}"
            console.print(Text(f"  {which}: {selection['rule']} on validation rows: {selection['reason']}"))
    for entry in content["skipped"]:
        console.print(Text(f"  left out: {entry['folder']}: {entry['why']}", style="yellow"))


def comparison_table(comparison: Content, test_set: Content) -> Table:
    """A test set's rows; names are texts, never markup."""
    names = {metric["key"]: metric["brief"] for metric in test_set["metrics"]}
    gap, quality = (str(names.get(test_set[axis], test_set[axis])) for axis in ("gap", "quality"))
    title = Text(f"Test set: {test_set['key']}")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", overflow="fold", min_width=18)
    for name in ("runs", quality, gap, "change of the gap", "p (Holm)", "w : l"):
        table.add_column(Text(name), justify="right", overflow="fold", no_wrap=name in ("runs", "p (Holm)", "w : l"))
    for row in rows_of(comparison, test_set):
        table.add_row(*(Text(cell) for cell in cells(test_set, row)))
    return table


def cells(test_set: Content, row: Content) -> list[str]:
    """Name, runs, quality, gap, change of the gap against the base model, its test over runs, wins and losses."""
    shown = []
    for key in (test_set["quality"], test_set["gap"]):
        found = figure(test_set, row, key)
        spread = f" ± {number(found['spread'])[1:]}" if found.get("spread") is not None else ""
        shown.append(number(nan(found.get("mean"))) + spread)
    change = figure(test_set, row, test_set["gap"]).get("vs_base")
    if change is None:
        return [name_of(row, test_set), str(row["n_runs"]), *shown, "", "", ""]
    bounds = interval(nan(change["low"]), nan(change["high"]), plus=True)
    words = signed(nan(change["value"])) + (f" ({bounds})" if bounds else "")
    return [name_of(row, test_set), str(row["n_runs"]), *shown, words, p_text(change), score_text(change)]
