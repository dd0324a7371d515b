"""The before/after table in the terminal."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from biasmask.errors import one_line
from biasmask.report.block_section import kept_words
from biasmask.report.formats import count, interval, number, percent, signed
from biasmask.report.run_folder import Estimate, MetricKey, RunFolder, load_run_folder
from biasmask.report.tables import Row, compare, make_row
from biasmask.report.verdict import judge

STYLES = {"better": "green", "worse": "bold red", "changed": "yellow"}
VERDICT_STYLES = {"fell": "bold green", "rose": "bold red", "collapsed": "bold red"}


def print_summary(run_dir: Path | str, console: Console | None = None) -> None:
    """Print a run's figures before and after, the verdict last.

    For each test set: gaps of the debiased attribute, rates by group, overall performance. With one model there is no
    difference column. Undefined figures read `undefined`; their reasons stand below the table.

    Args:
        run_dir: Run folder or evaluation folder with `metrics.json`.
        console: Where to print; the standard output by default.

    Raises:
        StoreError: The folder has no figures.
    """
    run = load_run_folder(run_dir)
    console = console or Console()
    wide = console.width >= 96
    for test_set in run.test_sets:
        table = Table(
            title=Text(f"Test set: {test_set}"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False,
            padding=(0, 1) if wide else (0, 1, 0, 0),
        )  # fmt: skip
        table.add_column("metric", overflow="fold")
        for model in run.models:
            table.add_column(Text(model), justify="right", no_wrap=True)
        if run.compares:
            table.add_column(f"difference ({percent(run.confidence, 0)} interval)", justify="right", no_wrap=True)
        table.add_column("n (positive)" if wide else "n", justify="right", no_wrap=True)
        reasons: dict[str, None] = {}
        sections = compare(run, test_set)
        shown = [section for section in sections if section.rows[0].key.attribute in (None, *run.debiased)]
        for section in shown:
            table.add_row(Text(section.title, style="bold"))
            for row in section.rows:
                table.add_row(*row_cells(row, run.compares, wide))
                if row.reason:
                    reasons[row.reason] = None
            table.add_section()
        console.print(table)
        for reason in reasons:
            console.print(Text(f"  note: {reason}", style="dim"))
        if any(row.small for section in shown for row in section.rows):
            console.print(Text("  * rests on fewer than 30 samples", style="dim"))
        for attribute in run.debiased if run.class_sets(test_set) else []:
            console.print(class_table(run, test_set, attribute))
    if run.blocks:
        console.print(Text(kept_words(run.blocks)))
        for warning in run.blocks.get("warnings") or []:
            console.print(Text(f"  warning: {warning}", style="yellow"))
    for test_set in run.test_sets:
        for attribute in run.debiased or [None]:
            verdict = judge(run, test_set, attribute)
            words = [test_set] * (len(run.test_sets) > 1) + [str(attribute)] * (len(run.debiased) > 1)
            prefix = f"{', '.join(words)}: " if words else ""
            console.print(Text(prefix + verdict.sentence, style=VERDICT_STYLES.get(verdict.state, "bold")))


def tell(console: Console, label: str, text: str) -> None:
    """A line of what a person should know; the text may hold names out of a table, and is never markup.

    >>> tell(Console(width=80), "data", "sex=[/] has 3 rows")
    data: sex=[/] has 3 rows
    """
    console.print(Text.assemble((f"{label}:", "yellow"), f" {one_line(text)}"))


def class_table(run: RunFolder, test_set: str, attribute: str) -> Table:
    """With more than two classes: the verdict's gap of each class against the rest."""
    title = Text(f"Class by class on {test_set}: equalized-odds gap (mean) by {attribute}")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class", overflow="fold")
    for model in run.models:
        table.add_column(Text(model), justify="right", no_wrap=True)
    if run.compares:
        table.add_column("difference", justify="right", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    for split, name in run.class_sets(test_set):
        row = make_row(run, MetricKey(split, "equalized_odds_mean", attribute))
        table.add_row(Text(name), *row_cells(row, run.compares, wide=False)[1:])
    return table


def row_cells(row: Row, compares: bool, wide: bool) -> list[Text]:
    """A row as texts, never as markup: names come from the user's table."""
    cells = [Text(f" {row.brief}"), *(Text(value_text(estimate)) for estimate in row.estimates)]
    if compares:
        cells.append(Text(difference_text(row.difference), style=STYLES.get(row.change or "", "")))
    positive = "" if row.n_positive is None or not wide else f" ({count(row.n_positive)})"
    cells.append(Text(count(row.n) + positive + ("*" if row.small else " ")))
    return cells


def value_text(estimate: Estimate | None) -> str:
    return "–" if estimate is None else number(estimate.value)


def difference_text(difference: Estimate | None) -> str:
    if difference is None:
        return "–"
    shown = interval(difference.low, difference.high, plus=True)
    return signed(difference.value) + (f" ({shown})" if shown else "")
