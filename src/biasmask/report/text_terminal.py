"""The table of a text run in the terminal: SEAT before and after, the cost beside it, the verdict as the last line."""

from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from biasmask.report.block_section import kept_words
from biasmask.report.formats import interval, percent, signed
from biasmask.report.tables import Row, Section
from biasmask.report.text_folder import TextRun, load_text_run
from biasmask.report.text_tables import cost_section, digits_of, seat_sections, value_words
from biasmask.report.text_verdict import judge_text

STYLES = {"better": "green", "worse": "bold red", "turned": "yellow", "changed": "yellow"}
VERDICT_STYLES = {"fell": "bold green", "rose": "bold red", "collapsed": "bold red", "nothing": "bold red"}


def print_text_summary(run_dir: Path | str, console: Console | None = None) -> None:
    """Print effect sizes and cost before and after, what was kept, and the verdict last.

    All tests of the verdict's pooling, the mean |d| of every other one. Undefined figures read `undefined`; their reasons
    stand below the table. Where nothing was pruned, the last line says so.

    Args:
        run_dir: Run folder or evaluation folder with `metrics.json`.
        console: Where to print; the standard output by default.

    Raises:
        StoreError: The folder has no figures.
    """
    run = load_text_run(run_dir)
    console = console or Console()
    wide = console.width >= 96
    folder = run.folder
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1) if wide else (0, 1, 0, 0))
    table.add_column("figure", overflow="fold")
    for model in folder.models:
        table.add_column(Text(model), justify="right", no_wrap=True)
    if folder.compares:
        table.add_column(f"difference ({percent(folder.confidence, 0)} interval)", justify="right", no_wrap=True)
    reasons: dict[str, None] = {}
    for section in shown_sections(run):
        table.add_row(Text(section.title, style="bold"))
        for row in section.rows:
            table.add_row(*text_cells(row, run))
            if row.reason:
                reasons[f"{row.label}: {row.reason}"] = None
        table.add_section()
    console.print(table)
    for reason in reasons:
        console.print(Text(f"  note: {reason}", style="dim"))
    if run.blocks:
        console.print(Text(kept_words(run.blocks)))
        for warning in run.blocks.get("warnings") or []:
            console.print(Text(f"  warning: {warning}", style="yellow"))
    verdict = judge_text(run)
    # One line however long: what reads the last line of a log must find the verdict there.
    console.print(Text(verdict.sentence, style=VERDICT_STYLES.get(verdict.state, "bold")), soft_wrap=True)


def shown_sections(run: TextRun) -> list[Section]:
    """SEAT of the verdict's pooling, the mean of every other pooling below it, then the cost."""
    first, *others = seat_sections(run) or [Section("", [])]
    means = [
        replace(row, label=f"{row.label}, {section.title}")
        for section in others
        for row in section.rows
        if row.key.metric == "mean_abs_effect_size"
    ]
    return [section for section in (Section(first.title, first.rows + means), cost_section(run)) if section.rows]


def text_cells(row: Row, run: TextRun) -> list[Text]:
    """A row as texts, never as markup."""
    digits = digits_of(row)
    cells = [Text(f" {row.label}"), *(Text(value_words(estimate, digits)) for estimate in row.estimates)]
    if run.folder.compares:
        difference = row.difference
        text = "–" if difference is None else signed(difference.value, digits)
        bounds = "" if difference is None else interval(difference.low, difference.high, digits, plus=True)
        cells.append(Text(text + (f" ({bounds})" if bounds else ""), style=STYLES.get(row.change or "", "")))
    return cells
