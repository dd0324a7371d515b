"""Finished runs below a sweep's folders: read, checked, and what each one answers."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from pyarrow import ArrowException
from pyarrow.parquet import read_metadata

from biasmask.errors import StoreError
from biasmask.files import yaml_content
from biasmask.metrics.attribute_means import mean_keys
from biasmask.report.run_folder import Estimate, RunFolder, first_line, load_run_folder, read_json
from biasmask.report.run_settings import flatten, is_free, split_number, without_paths
from biasmask.report.text_folder import TextRun
from biasmask.report.text_verdict import find_collapse

Unit = tuple[int | None, int | None]  # (seed, seed of the split): what methods are compared over


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


def debiased(about: Mapping[str, Any]) -> tuple[str, ...]:
    """The debiased attributes of run.json."""
    return tuple(str(name) for name in about.get("attributes") or [about.get("attribute")] if name)


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
        config = flatten(without_paths(yaml_content(folder.texts["config.yaml"]) or {}))
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
