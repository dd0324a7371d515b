"""From folders of runs to the content of compare.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biasmask.report.sweep_candidates import sort_runs
from biasmask.report.sweep_figures import Draws
from biasmask.report.sweep_runs import SweepRun, read_runs
from biasmask.report.sweep_selection import NamedRule, select
from biasmask.report.sweep_table import SCHEMA, build_comparison

MOST_CANDIDATES = (
    40  # with more, as in a search of hyper-parameters, rows are not resampled: minutes, and nobody compares them all
)


def compare_folders(
    folders: Sequence[Path | str],
    reference: str | None = None,
    rule: NamedRule | None = None,
    metrics: Sequence[str] = (),
    n_bootstrap: int | None = None,
) -> dict[str, Any]:
    """Compare all finished runs below some folders.

    Args:
        folders: run or sweep folders.
        reference: method that the others are compared with beside the base model; None = full fine-tuning where it ran.
        rule: picks one candidate of each method on validation rows; None = all are shown.
        metrics: names of the figures to show, as `auroc`; empty = the usual ones.
        n_bootstrap: draws of rows and runs; None = as many as the runs had, 0 = intervals over runs alone.

    Returns:
        The content of compare.json: plain JSON values.

    Raises:
        StoreError: a folder doesn't exist, or predictions can't be read.
    """
    runs, skipped = read_runs(folders)
    comparisons, twice = sort_runs(runs)
    draws = Draws(most_draws(runs) if n_bootstrap is None else n_bootstrap, confidence_of(runs))
    found, notes = [], []
    for comparison in comparisons:
        if not comparison.candidates:
            continue
        selections: list[dict[str, Any]] = []
        if rule is not None:
            comparison, selections = select(comparison, rule)
        own = draws
        if len(comparison.candidates) > MOST_CANDIDATES:
            own = Draws(0, draws.confidence)
            notes.append(f"{len(comparison.candidates)} candidates: intervals are over runs alone, rows are not resampled")
        found.append({**build_comparison(comparison, own, reference, metrics), "selection": selections})
    for place, content in enumerate(found):
        if any(content["id"] == other["id"] for other in found[:place]):  # runs that differ in groups or input size
            content["id"] += f"-{place + 1}"
    said = None if rule is None else {"name": rule.name, "settings": rule.settings, "per": rule.per}
    return {
        "schema": SCHEMA, "made_by": "scripts/compare_runs.py", "confidence": draws.confidence, "n_bootstrap": draws.n_bootstrap,
        "selection_rule": said, "skipped": skipped + twice,
        "notes": notes, "comparisons": found,
    }  # fmt: skip


def most_draws(runs: Sequence[SweepRun]) -> int:
    return max((run.folder.n_bootstrap or 0 for run in runs), default=0)


def confidence_of(runs: Sequence[SweepRun]) -> float:
    return runs[0].folder.confidence if runs else 0.95
