"""One candidate of each method, chosen by a rule on validation rows: no test row is read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from biasmask.errors import ConfigError
from biasmask.metrics.evaluation import evaluate_predictions
from biasmask.metrics.overall import score_spread
from biasmask.metrics.selection_rules import SPLIT, Candidate, SelectionRule
from biasmask.metrics.validation_figures import summarised
from biasmask.report.sweep_budget import budget_of, budget_words
from biasmask.report.sweep_candidates import Candidate as MethodRuns
from biasmask.report.sweep_candidates import RunComparison
from biasmask.report.sweep_figures import Side, plain
from biasmask.report.sweep_runs import Unit

PER = ("method", "run")
KEPT_BASE = "kept the base model"


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
        per: `method`: one candidate for all runs, by the mean over them; `run`: one for each seed and split.

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

    A budget is a share of the debias split and the epochs that are configured: more of it is no setting to choose. A candidate of
    which a run collapsed, or without a run that another one has, can't be chosen. Where the rule keeps the base model, its own
    predictions stand for the method's: leaving such runs out would leave the method's lucky ones.

    Returns:
        The comparison with the chosen candidates, and for each choice all candidates with their validation figures.
    """
    if any(Side(candidate.runs).frames(SPLIT) is None for candidate in comparison.candidates):
        note = f"nothing chosen by {rule.name}: a run has no validation predictions"
        return replace(comparison, notes=(*comparison.notes, note)), []
    groups: dict[tuple[str, str], list[MethodRuns]] = {}
    for candidate in comparison.candidates:
        groups.setdefault((candidate.method, repr(budget_of(candidate))), []).append(candidate)
    methods = [method for method, _ in groups]
    kept: list[MethodRuns] = []
    selections, notes = [], list(comparison.notes)
    for (method, _), own in groups.items():
        if len(own) == 1:
            kept += own
            continue
        choices = [choose(own, rule, units) for units in unit_sets(own, rule.per)]
        selections += [content for content, _ in choices]
        found = [chosen for _, chosen in choices if chosen is not None]
        if len(found) < len(choices):
            notes.append(f"{own[0].label}: nothing chosen by {rule.name}: no run is common to all candidates")
            kept += own
            continue
        row = joined(found, comparison.units, budget_words(own[0]) if methods.count(method) > 1 else "", rule.per)
        kept.append(row)
        if row.kept_base:
            of = f"in {row.kept_base} of {len(row.runs)} runs" if row.kept_base < len(row.runs) else "in all runs"
            notes.append(f"{row.label}: {rule.name} keeps the base model {of}, and its figures stand there")
    return replace(comparison, candidates=tuple(kept), notes=tuple(notes)), selections


def joined(found: Sequence[MethodRuns], units: Sequence[Unit], budget: str, per: str) -> MethodRuns:
    """The row that choices make: the chosen candidate; run by run, or where it is the base model, under the method's own name."""
    if per == PER[0] and not found[0].kept_base:
        return found[0]
    runs = {unit: run for chosen in found for unit, run in chosen.runs.items()}
    setting = ", ".join(part for part in (budget, KEPT_BASE if per == PER[0] else "chosen run by run") if part)
    id_ = f"{found[0].method}[{budget}]" if budget else found[0].method
    return replace(found[0], id=id_, setting=setting, runs={unit: runs[unit] for unit in units if unit in runs})


def unit_sets(candidates: Sequence[MethodRuns], per: str) -> list[list[Unit]]:
    """The units that each choice is made on."""
    units = list(dict.fromkeys(unit for candidate in candidates for unit in candidate.runs))
    return [units] if per == PER[0] else [[unit] for unit in units]


def compared_units(candidates: Sequence[MethodRuns], units: Sequence[Unit]) -> list[Unit]:
    """The units that candidates are compared on: all where a candidate has them all, else those that every one has."""
    if any(set(units) <= set(candidate.runs) for candidate in candidates):
        return list(units)
    return [unit for unit in units if all(unit in candidate.runs for candidate in candidates)]


def choose(candidates: Sequence[MethodRuns], rule: NamedRule, units: Sequence[Unit]) -> tuple[dict[str, Any], MethodRuns | None]:
    """One choice: its record, and the candidate with these units alone, or the base model of them.

    Returns:
        None for the candidate where there is no unit to compare them on.
    """
    own = [replace(c, runs={unit: run for unit, run in c.runs.items() if unit in units}) for c in candidates]
    own = [candidate for candidate in own if candidate.runs]
    compared = compared_units(own, units)
    one_each = {unit: run for candidate in reversed(own) for unit, run in candidate.runs.items()}
    base = validation_candidate("base", Side({unit: one_each[unit] for unit in compared}, is_base=True))
    seen = {c.id: validation_candidate(c.id, Side({u: c.runs[u] for u in compared if u in c.runs})) for c in own}
    able = [c for c in own if why_not(c, compared) is None and compared]
    choice = rule.choose([seen[c.id] for c in able], base) if able else None
    chosen = able[choice.index] if choice is not None and choice.index is not None else None
    reason = choice.reason if choice is not None else "every candidate collapsed or lacks a run: the base model is kept"
    refused = choice.refused if choice is not None else {}
    record = {
        "method": own[0].method, "label": own[0].label, "rule": rule.name,
        "reason": reason if compared else "no run is common to all candidates",
        "units": [{"seed": unit[0], "split_seed": unit[1]} for unit in compared], "chosen": None if chosen is None else chosen.id,
        "front": list(choice.front) if choice is not None else [],
        "candidates": [
            {
                "id": c.id, "setting": c.setting, "figures": {key: plain(value) for key, value in seen[c.id].figures.items()},
                "n_runs": len(c.runs), "collapsed": c.collapsed, "chosen": c is chosen,
                "refused": refused.get(c.id) or why_not(c, compared),
            }
            for c in own
        ],
        "base": {key: plain(value) for key, value in base.figures.items()},
    }  # fmt: skip
    if not compared:
        return record, None
    kept = {unit: replace(run, kept_base=True, collapse=None, levelling_down=0) for unit, run in one_each.items()}
    return record, chosen or replace(own[0], runs=kept)


def why_not(candidate: MethodRuns, units: Sequence[Unit]) -> str | None:
    """Why a candidate can't be chosen whatever its figures are."""
    if candidate.collapsed:
        return f"collapsed: {candidate.collapsed} of {len(candidate.runs)} runs"
    lost = [unit for unit in units if unit not in candidate.runs]
    words = [f"seed {seed}" + ("" if split is None else f", split {split}") for seed, split in lost]
    return f"no run of {'; '.join(words)}" if lost else None


def validation_candidate(name: str, side: Side) -> Candidate:
    """A candidate with its figures on the validation rows, the mean over runs: those of `summarised`, and the scores' spread.

    A figure that is undefined in one run is undefined: a mean over the other runs would be one over other runs than its rivals'.
    """
    split = SPLIT  # names the frames, begins the keys, and is what the candidate carries
    found = []
    for run, frame, threshold in zip(side.runs.values(), side.frames(split) or [], side.thresholds, strict=True):
        entries = evaluate_predictions(frame, side.groups(split), threshold, split, n_bootstrap=0)
        figures = summarised({key: entry.value for key, entry in entries.items()}, run.attributes, split)
        columns = [column for column in frame if column == "score" or str(column).startswith("score:")]
        found.append({**figures, "score_std": score_spread(torch.tensor(frame[columns].to_numpy()).squeeze(1))})
    keys = found[0] if found else {}
    return Candidate(name, {key: fmean(own[key] for own in found) for key in keys}, split)
