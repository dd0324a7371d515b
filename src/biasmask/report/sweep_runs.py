"""Finished runs below a sweep's folders, sorted into comparisons: same question, several methods, each over several runs."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from pyarrow import ArrowException
from pyarrow.parquet import read_metadata

from biasmask.errors import StoreError
from biasmask.metrics.attribute_means import mean_keys
from biasmask.report.run_folder import Estimate, RunFolder, first_line, load_run_folder, read_json
from biasmask.report.setting_words import setting_words
from biasmask.report.text_folder import TextRun
from biasmask.report.text_verdict import find_collapse

Unit = tuple[int | None, int | None]  # (seed, seed of the split): what methods are compared over
UNIT_KEYS = (
    "seed", "data.split_seed", "data.source.split.seed", "data.source.split_seed",
    *(f"data.{part}{key}" for part in ("", "source.", "source.split.") for key in ("folds", "fold")),
)  # fmt: skip
# Settings that change no result, or none but which test sets and draws there are.
NO_SETTING = {
    "name", "paths", "hydra", "logger", "progress", "threads", "experiment", "data.extra_tests", "data.num_workers",
    "data.pin_memory", "data.eval_batch_size", "data.report_attributes", "data.processes", "trainer.accelerator",
    "trainer.devices", "trainer.strategy", "metrics.n_bootstrap", "metrics.confidence", "metrics.seed", "metrics.n_draws",
    "metrics.benchmarks", "metrics.benchmark_rows", "debias.label",
}  # fmt: skip


@dataclass(frozen=True)
class SweepRun:
    """A finished run: its folder, where it lies below the sweep, and what was set."""

    name: str
    folder: RunFolder
    config: Mapping[str, Any]  # dotted key -> value
    typed: tuple[str, ...]  # keys on the command line
    levelling_down: int  # on the run's own test set, over the debiased attributes
    collapse: str | None
    kept_base: bool = False  # a selection rule kept the base model: its figures stand for the run's

    @property
    def run(self) -> dict[str, Any]:
        return self.folder.run

    @property
    def unit(self) -> Unit:
        return self.run.get("seed"), split_number(self.config)

    @property
    def family(self) -> str:
        return str(self.run.get("family") or "image")

    @property
    def attributes(self) -> tuple[str, ...]:
        """The debiased attributes, the main one first."""
        return debiased(self.run)

    @property
    def question(self) -> tuple[Any, ...]:
        """What runs must share to be compared: family, data, classes, attributes with their groups, network, input."""
        groups = self.run.get("group_names") or {}
        network = self.run.get("backbone") or self.run.get("model_name")
        return (
            self.family, str(self.run.get("dataset")), tuple(self.run.get("class_names") or ()), self.attributes,
            tuple(tuple(groups.get(name) or ()) for name in self.attributes), str(network),
            self.run.get("image_size") if self.family == "image" else self.run.get("pooling"),
        )  # fmt: skip

    @property
    def settings(self) -> dict[str, Any]:
        """All that was set, without seeds and without what changes no result; null is the same as not there."""
        return {key: value for key, value in self.config.items() if value is not None and not is_free(key)}

    @property
    def stages(self) -> list[dict[str, Any]]:
        """Stages after the baseline."""
        return [stage for stage in self.folder.stages if stage.get("stage") != "baseline"]


def split_number(config: Mapping[str, Any]) -> int | None:
    """Which split a run had: its seed; with k folds the number of the fold, k more for each seed.

    >>> split_number({"data.split_seed": 3}), split_number({"data.split_seed": 1, "data.folds": 5, "data.fold": 2})
    (3, 7)
    """
    seed, folds = config.get("data.split_seed"), config.get("data.folds")
    return seed if folds is None else (seed or 0) * folds + (config.get("data.fold") or 0)


def debiased(about: Mapping[str, Any]) -> tuple[str, ...]:
    """The debiased attributes of run.json."""
    return tuple(str(name) for name in about.get("attributes") or [about.get("attribute")] if name)


def is_free(key: str) -> bool:
    """Whether runs of one candidate may differ in a setting."""
    parts = key.split(".")
    return key in UNIT_KEYS or any(".".join(parts[:depth]) in NO_SETTING for depth in range(1, len(parts) + 1))


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


def read_runs(folders: Sequence[Path | str]) -> tuple[list[SweepRun], list[dict[str, str]]]:
    """Read every finished training run in or below the folders.

    Args:
        folders: run or sweep folders.

    Returns:
        The runs by path, and for each folder that is left out `{"folder": name, "why": reason}`: unfinished, failed or
        damaged. Evaluations of a checkpoint are no runs of a method and are passed over.

    Raises:
        StoreError: a folder doesn't exist.
    """
    paths: dict[Path, None] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise StoreError(f"{folder}: no such folder; name the folder of a sweep, as in logs/sweeps/bmft_ham10000")
        found = [file.parent for name in ("run.json", "config.yaml") for file in folder.rglob(name)]
        paths |= dict.fromkeys(sorted(found, key=natural))
    root = common_root(folders)
    runs, skipped = [], []
    for path in paths:
        name = os.path.relpath(os.path.abspath(path), root)
        try:
            run = read_run(path, name)
        except StoreError as error:
            skipped.append({"folder": name, "why": str(error).replace(str(path), name)})
            continue
        if run is not None:
            runs.append(run)
    return runs, skipped


def common_root(folders: Sequence[Path | str]) -> Path:
    """The folder that the names of runs start from."""
    return Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))


def natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sorting key under which job 10 comes after job 9, and words after numbers.

    >>> [path.name for path in sorted([Path("a"), Path("10"), Path("9")], key=natural)]
    ['9', '10', 'a']
    """
    return [(False, int(part), "") if part.isdigit() else (True, 0, part) for part in path.parts]


def read_run(path: Path, name: str) -> SweepRun | None:
    """One run; None for an evaluation.

    Raises:
        StoreError: the run isn't finished, or a file of it is damaged.
    """
    if not (path / "run.json").is_file() or not (path / "metrics.json").is_file():
        raise StoreError("not finished: run.json or metrics.json is missing; the same command goes on from there")
    try:
        about = read_json(path / "run.json")
        if about.get("method") in (None, "evaluation"):
            return None
        folder = load_run_folder(path)
        for file in (path / "predictions").glob("*.parquet"):
            read_metadata(file)  # of a file that was cut off it fails
        config = flatten(without_paths(yaml.safe_load(folder.texts["config.yaml"]) or {}))
        lost = levelled(read_json(path / "metrics.json").get("levelling_down") or [], debiased(about))
        add_means(folder, debiased(about))
        collapse = find_collapse(TextRun(folder, {}, folder.blocks)) if about.get("family") == "text" else about.get("collapsed")
        if "ckpt_path" in config:
            return None
    except (yaml.YAMLError, ArrowException, OSError, AttributeError, TypeError, ValueError, KeyError) as error:
        raise StoreError(f"damaged: {first_line(error)}; run it again") from error
    typed = [line.lstrip("+~").partition("=")[0] for line in folder.texts["overrides.txt"].splitlines() if "=" in line]
    return SweepRun(name, folder, config, tuple(typed), lost, str(collapse) if collapse else None)


def levelled(entries: Sequence[Mapping[str, Any]], attributes: Sequence[str]) -> int:
    """How many rates of debiased attributes' groups got worse on the run's own test set, without its classes one by one.

    >>> levelled([{"split": "test", "attribute": "age"}, {"split": "clinic", "attribute": "age"}], ["age"])
    1
    """
    return sum(entry.get("split", "test") == "test" and entry.get("attribute") in attributes for entry in entries)


def add_means(folder: RunFolder, attributes: Sequence[str]) -> None:
    """Give a run that debiases several attributes the mean of their gaps; it is undefined where one of them is."""
    for figures in folder.estimates.values():
        for key, parts in mean_keys(figures, attributes).items():
            own = [figures[part] for part in parts]
            reason = next((one.reason for one in own if one.reason), None)
            value = fmean(one.value for one in own) if all(one.defined for one in own) else math.nan
            figures[key] = Estimate(value, n=own[0].n, n_positive=own[0].n_positive, reason=reason)


def without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the place where it ran: values below one of its paths begin with the path's name instead."""
    places = {str(value): name for name, value in (config.get("paths") or {}).items() if value}
    places = dict(sorted(places.items(), key=lambda place: -len(place[0])))

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [replaced(entry) for entry in value]
        inside = (place for place in places if isinstance(value, str) and f"{value}/".startswith(f"{place}/"))
        place = next(inside, None)
        return value if place is None else f"<{places[place]}>{value[len(place) :]}"

    return {key: value if key == "paths" else replaced(value) for key, value in config.items()}


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys.

    >>> flatten({"debias": {"edit_fraction": 0.1, "stages": ["locate"]}})
    {'debias.edit_fraction': 0.1, 'debias.stages': "['locate']"}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + str(key)] = value if isinstance(value, str | int | float | None) else str(value)
    return flat


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
