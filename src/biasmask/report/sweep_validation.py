"""The runs of an exploration by their validation figures alone: no test row is looked at."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from biasmask.errors import StoreError
from biasmask.metrics.selection_rules import SPLIT
from biasmask.report.formats import number, signed
from biasmask.report.sweep_candidates import Candidate, RunComparison, sort_runs
from biasmask.report.sweep_figures import Side
from biasmask.report.sweep_runs import SweepRun, Unit, read_runs
from biasmask.report.sweep_selection import validation_candidate
from biasmask.report.sweep_texts import TextTable

COLUMNS = (("equalized_odds_mean", "EO gap (mean)"), ("auroc", "AUROC"), ("auroc_worst_group", "worst-group AUROC"))


def validation_tables(folders: Sequence[Path | str]) -> list[TextTable]:
    """A table for each comparison below the folders: the base model, then each method and setting.

    Figures are means over runs (± standard deviation over them) on validation rows, at each run's own threshold, which these rows
    gave. The change is the mean of the differences to the run's base model.

    Raises:
        StoreError: a folder doesn't exist, or a run has no validation predictions.
    """
    comparisons, _ = sort_runs(read_runs(folders)[0])
    return [table_of(comparison) for comparison in comparisons if comparison.candidates]


def table_of(comparison: RunComparison) -> TextTable:
    base = {unit: figures_of(run, True) for unit, run in comparison.base.items()}
    header = ["", "runs", *(label for _, label in COLUMNS), "change of the gap", "change of AUROC", "collapsed"]
    rows = [["base model", str(len(base)), *columns(list(base.values())), "", "", ""]]
    names = [short_name(candidate, comparison.candidates) for candidate in comparison.candidates]
    rows += [candidate_row(name, candidate) for name, candidate in zip(names, comparison.candidates, strict=True)]
    first = comparison.first
    title = f"{first.run.get('dataset')}, {'+'.join(first.attributes)}, {first.run.get('backbone')}: validation rows"
    return TextTable(title, header, rows)


def short_name(candidate: Candidate, all_: Sequence[Candidate]) -> str:
    """A method with what sets it apart: settings that most of its candidates share are left out."""
    own = [set(other.setting.split(", ")) for other in all_ if other.method == candidate.method]
    parts = [part for part in candidate.setting.split(", ") if part and 2 * sum(part in other for other in own) <= len(own)]
    return f"{candidate.label} ({', '.join(parts)})" if parts else candidate.label


def candidate_row(name: str, candidate: Candidate) -> list[str]:
    own = [figures_of(run, False) for run in candidate.runs.values()]
    before = [figures_of(run, True) for run in candidate.runs.values()]
    changes = [
        signed(fmean(after[key] - start[key] for after, start in zip(own, before, strict=True)), 3)
        for key in ("equalized_odds_mean", "auroc")
    ]
    return [name, str(len(own)), *columns(own), *changes, f"{candidate.collapsed} of {len(own)}"]


def columns(runs: list[dict[str, float]]) -> list[str]:
    return [mean_words([run[key] for run in runs]) for key, _ in COLUMNS]


def mean_words(values: Sequence[float]) -> str:
    """Mean over runs, and their standard deviation where there are several.

    >>> mean_words([0.5]), mean_words([0.25, 0.75])
    ('0.500', '0.500 ± 0.354')
    """
    return number(fmean(values), 3) + (f" ± {number(stdev(values), 3)}" if len(values) > 1 else "")


def figures_of(run: SweepRun, is_base: bool) -> dict[str, float]:
    unit: Unit = run.unit
    side = Side({unit: run}, is_base=is_base)
    if side.frames(SPLIT) is None:
        raise StoreError(f"{run.name}: no predictions on validation rows; run it again with this version")
    return dict(validation_candidate(run.name, side).figures)


def table_content(table: TextTable, made_by: str) -> dict[str, Any]:
    """A table as the templates of docs/ take it."""
    return {"schema": 1, "kind": "table", "made_by": made_by, "header": table.header, "rows": table.rows}
