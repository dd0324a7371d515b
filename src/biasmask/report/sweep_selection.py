"""One candidate of each method, chosen by a rule on validation rows: no test row is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd
import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from biasmask.errors import ConfigError
from biasmask.metrics.evaluation import evaluate_predictions
from biasmask.metrics.selection_rules import SPLIT, Candidate, SelectionRule
from biasmask.report.run_folder import MetricKey
from biasmask.report.sweep_figures import Side, plain
from biasmask.report.sweep_runs import Candidate as MethodRuns
from biasmask.report.sweep_runs import RunComparison, SweepRun, Unit
from biasmask.report.sweep_table import budget_of

PER = ("method", "run")


@dataclass(frozen=True)
class NamedRule:
    """A rule of `configs/selection/` with its numbers, and what one choice is for: a method, or each of its runs."""

    name: str
    settings: dict[str, Any]
    choose: SelectionRule
    per: str = PER[0]


def load_rule(folder: Path, name: str, per: str = PER[0]) -> NamedRule:
    """Read a rule.

    Args:
        folder: of the YAML files.
        name: file name without ending.
        per: `method`: one candidate for all runs, by the mean over them; `run`: one for each seed and fold.

    Raises:
        ConfigError: no such rule, or it can't be made.
    """
    file = folder / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise ConfigError(f"no selection rule `{name}`: choose from {known}")
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    try:
        rule = instantiate(settings)
    except (InstantiationException, TypeError) as error:
        raise ConfigError(f"{file.name} can't be made: {' '.join(str(error).split())}") from error
    if not isinstance(rule, SelectionRule):
        raise ConfigError(f"`{name}` is no rule that chooses among runs: its _target_ is {settings.get('_target_')}")
    return NamedRule(name, {key: value for key, value in settings.items() if key != "_target_"}, rule, per)


def select(comparison: RunComparison, rule: NamedRule) -> tuple[RunComparison, list[dict[str, Any]]]:
    """Keep one candidate of each method and budget.

    A budget is a share of the debias split and a number of epochs: more of it is no setting to choose. A candidate of which a run
    collapsed, or with fewer runs than another one, can't be chosen.

    Returns:
        The comparison with the chosen candidates, and for each choice all candidates with their validation figures.
    """
    if any(Side(candidate.runs).frames(SPLIT) is None for candidate in comparison.candidates):
        note = f"nothing chosen by {rule.name}: a run has no validation predictions"
        return replace(comparison, notes=(*comparison.notes, note)), []
    groups: dict[tuple[str, str], list[MethodRuns]] = {}
    for candidate in comparison.candidates:
        groups.setdefault((candidate.method, repr(budget_of(candidate))), []).append(candidate)
    kept: list[MethodRuns] = []
    selections, notes = [], list(comparison.notes)
    for own in groups.values():
        if len(own) == 1:
            kept += own
            continue
        choices = [choose(own, rule, units) for units in unit_sets(own, rule.per)]
        selections += [content for content, _ in choices]
        found = [chosen for _, chosen in choices if chosen is not None]
        if not found:
            notes.append(f"{own[0].label}: {rule.name} keeps the base model, and the method has no row")
        elif rule.per == PER[0]:
            kept.append(found[0])
        else:
            runs = {unit: run for chosen in found for unit, run in chosen.runs.items()}
            kept.append(replace(found[0], id=own[0].method, setting="chosen run by run", runs=runs))
    return replace(comparison, candidates=tuple(kept), notes=tuple(notes)), selections


def unit_sets(candidates: Sequence[MethodRuns], per: str) -> list[list[Unit]]:
    """The units that each choice is made on."""
    units = list(dict.fromkeys(unit for candidate in candidates for unit in candidate.runs))
    return [units] if per == PER[0] else [[unit] for unit in units]


def choose(candidates: Sequence[MethodRuns], rule: NamedRule, units: Sequence[Unit]) -> tuple[dict[str, Any], MethodRuns | None]:
    """One choice: its record, and the candidate with these units alone; None where the base model is kept."""
    own = [replace(c, runs={unit: run for unit, run in c.runs.items() if unit in units}) for c in candidates]
    own = [candidate for candidate in own if candidate.runs]
    most = max(len(candidate.runs) for candidate in own)
    able = [candidate for candidate in own if not candidate.collapsed and len(candidate.runs) == most]
    figures = {candidate.id: mean_figures(Side(candidate.runs)) for candidate in own}
    base = mean_figures(Side(own[0].runs, is_base=True))
    choice = rule.choose([Candidate(c.id, figures[c.id]) for c in able], Candidate("base", base)) if able else None
    chosen = able[choice.index] if choice is not None and choice.index is not None else None
    reason = choice.reason if choice is not None else "every candidate collapsed in a run: the base model is kept"
    refused = choice.refused if choice is not None else {}
    record = {
        "method": own[0].method, "label": own[0].label, "rule": rule.name, "reason": reason,
        "units": [{"seed": unit[0], "split_seed": unit[1]} for unit in units], "chosen": None if chosen is None else chosen.id,
        "front": list(choice.front) if choice is not None else [],
        "candidates": [
            {
                "id": c.id, "setting": c.setting, "figures": {key: plain(value) for key, value in figures[c.id].items()},
                "n_runs": len(c.runs), "collapsed": c.collapsed, "chosen": c is chosen,
                "refused": refused.get(c.id) or why_not(c, most),
            }
            for c in own
        ],
        "base": {key: plain(value) for key, value in base.items()},
    }  # fmt: skip
    return record, chosen


def why_not(candidate: MethodRuns, most: int) -> str | None:
    if candidate.collapsed:
        return f"collapsed: {candidate.collapsed} of {len(candidate.runs)} runs"
    return f"{len(candidate.runs)} of {most} runs" if len(candidate.runs) < most else None


def mean_figures(side: Side) -> dict[str, float]:
    """Figures of the validation rows, the mean over runs; gaps are the mean over the debiased attributes."""
    found = [
        val_figures(run, frame, threshold, side.groups)
        for run, frame, threshold in zip(side.runs.values(), side.frames(SPLIT) or [], side.thresholds, strict=True)
    ]
    return {key: mean(own[key] for own in found) for key in found[0] if all(key in own for own in found)}


def val_figures(run: SweepRun, frame: pd.DataFrame, threshold: Any, groups: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """What rules look at: figures of the whole split, gaps, and the spread of the scores (for collapse)."""
    values: dict[str, list[float]] = {}
    for key, entry in evaluate_predictions(frame, groups, threshold, SPLIT, n_bootstrap=0).items():
        parts = MetricKey.parse(key)
        if parts.split == SPLIT and parts.group is None and parts.attribute in (None, *run.attributes):
            values.setdefault(parts.metric, []).append(entry.value)
    scores = frame[[column for column in frame if column == "score" or str(column).startswith("score:")]]
    return {name: mean(own) for name, own in values.items()} | {"score_std": float(scores.std(ddof=0).mean())}
