"""Where the time of a run went, from `times` in run.json and `spent` in stages.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from biasmask.report.formats import duration
from biasmask.report.run_folder import RunFolder, load_run_folder

PARTS = ("data", "training", "judging")


@dataclass(frozen=True)
class TimeRow:
    """A phase or a stage: its time in this run, and of that waiting for data, training and judging."""

    name: str
    time: str
    parts: tuple[str, ...]


def time_rows(run: RunFolder) -> list[TimeRow]:
    """A row a phase, a row a stage, and the whole; nothing for a folder that doesn't tell."""
    times = run.run.get("times") or {}
    if not times:
        return []
    none = ("",) * len(PARTS)
    rows = [TimeRow("reading and checking data", duration(times.get("data")), none)]
    for stage in run.stages:
        name = str(stage.get("stage"))
        taken = (times.get("stages") or {}).get(name)
        reused = bool(stage.get("reused"))
        rows.append(TimeRow(f"{name} (reused)" if reused else name, duration(taken), none if reused else parts_of(stage)))
    rows.append(TimeRow("judging", duration(times.get("judging")), none))
    return [*rows, TimeRow("in all, until the report", duration(times.get("total")), none)]


def parts_of(stage: Mapping[str, Any]) -> tuple[str, ...]:
    """Times of the parts of a stage; empty where they aren't known.

    >>> parts_of({"spent": {"data": 0.25, "training": 61.0, "judging": 0.0}})
    ('0.2 s', '1 min 1 s', '0.0 s')
    """
    spent = stage.get("spent") or {}
    return tuple(duration(spent[part]) if part in spent else "" for part in PARTS)


def print_times(run_dir: Any, console: Console) -> None:
    """Print the table, a line a phase and stage."""
    rows = time_rows(load_run_folder(run_dir))
    if not rows:
        return
    table = Table(title=Text("Where the time went"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("phase")
    for name in ("time", *PARTS):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(Text(row.name), row.time, *row.parts)
    console.print(table)
