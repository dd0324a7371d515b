"""Runs sorted into comparisons: same question, several methods and settings, each over several runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biasmask.report.setting_words import setting_words
from biasmask.report.sweep_runs import SweepRun, Unit


@dataclass(frozen=True)
class Candidate:
    """One method with one setting, over runs."""

    id: str
    method: str
    label: str
    setting: str
    runs: Mapping[Unit, SweepRun]

    @property
    def first(self) -> SweepRun:
        return next(iter(self.runs.values()))

    @property
    def collapsed(self) -> int:
        return sum(run.collapse is not None for run in self.runs.values())

    @property
    def kept_base(self) -> int:
        return sum(run.kept_base for run in self.runs.values())


@dataclass(frozen=True)
class RunComparison:
    """Candidates that answer one question, the units they ran on, and the run that shows each unit's base model."""

    candidates: tuple[Candidate, ...]
    base: Mapping[Unit, SweepRun]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> SweepRun:
        return next(iter(self.base.values()))

    @property
    def units(self) -> list[Unit]:
        return list(self.base)


def sort_runs(runs: Iterable[SweepRun]) -> tuple[list[RunComparison], list[dict[str, str]]]:
    """Sort runs into comparisons, and inside into candidates: same method and settings but for the seeds.

    Returns:
        Comparisons in the order of their first run, and the runs left out because another one is the same.
    """
    questions: dict[tuple[Any, ...], list[SweepRun]] = {}
    for run in runs:
        questions.setdefault(run.question, []).append(run)
    comparisons, twice = [], []
    for own in questions.values():
        base: dict[Unit, SweepRun] = {}
        groups: dict[tuple[str, str], dict[Unit, SweepRun]] = {}
        for run in own:
            base.setdefault(run.unit, run)
            if not run.folder.compares:
                continue
            same = groups.setdefault((str(run.run.get("method")), repr(sorted(run.settings.items()))), {})
            if run.unit in same:
                twice.append({"folder": run.name, "why": f"same method, settings and seeds as {same[run.unit].name}"})
            same.setdefault(run.unit, run)
        units = {unit: base[unit] for unit in sorted(base, key=lambda unit: [-1 if part is None else part for part in unit])}
        candidates = name_candidates([(method, in_order(same, units)) for (method, _), same in groups.items()])
        comparisons.append(RunComparison(tuple(candidates), units, tuple(base_notes(own, units))))
    return comparisons, twice


def in_order(runs: Mapping[Unit, SweepRun], units: Iterable[Unit]) -> dict[Unit, SweepRun]:
    return {unit: runs[unit] for unit in units if unit in runs}


def base_notes(runs: Sequence[SweepRun], base: Mapping[Unit, SweepRun]) -> list[str]:
    """A warning where runs of one unit start from different base models."""
    other = [run.name for run in runs if base_figures(run) != base_figures(base[run.unit])]
    if not other:
        return []
    shown = ", ".join(other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else "")
    return [f"runs {shown} start from another base model than the one shown for their seeds; each is compared with its own"]


def base_figures(run: SweepRun) -> dict[str, float]:
    """Figures of the base model that tell it from another one and rest on no setting of the method."""
    figures = run.folder.estimates[run.folder.base]
    return {key: figures[key].value for key in ("test/auroc", "probe/accuracy") if key in figures and figures[key].defined}


def name_candidates(groups: Sequence[tuple[str, Mapping[Unit, SweepRun]]]) -> list[Candidate]:
    """Give each candidate an id and, where its method has several, a label made of the settings that differ."""
    found = []
    for method in dict.fromkeys(method for method, _ in groups):
        own = [runs for other, runs in groups if other == method]
        firsts = [next(iter(runs.values())) for runs in own]
        settings = setting_words([run.settings for run in firsts], {key for run in firsts for key in run.typed})
        for runs, setting in zip(own, settings, strict=True):
            label = str(next(iter(runs.values())).run.get("label") or method)
            found.append(Candidate(f"{method}[{setting}]" if setting else method, method, label, setting, runs))
    return found
