"""A run folder as the report sees it: files read once, every missing file an empty value."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from biasmask.errors import StoreError

TRAINING_SPLITS = ("train", "debias", "val")
FIGURES = ("value", "low", "high")
TEXT_FILES = ("config.yaml", "overrides.txt", "command.txt", "environment.txt")


@dataclass(frozen=True)
class MetricKey:
    """The parts of `split/metric[/attribute[=group]]`; a group name may hold any character."""

    split: str
    metric: str
    attribute: str | None = None
    group: str | None = None

    @classmethod
    def parse(cls, key: str) -> "MetricKey":
        """Read a key.

        >>> MetricKey.parse("test/tpr/skin=V/VI")
        MetricKey(split='test', metric='tpr', attribute='skin', group='V/VI')
        >>> MetricKey.parse("test/auroc").attribute is None
        True
        """
        split, _, rest = key.partition("/")
        metric, _, cell = rest.partition("/")
        attribute, separator, group = cell.partition("=")
        return cls(split, metric, attribute or None, group if separator else None)

    def __str__(self) -> str:
        cell = "" if self.attribute is None else f"/{self.attribute}"
        return f"{self.split}/{self.metric}{cell}" + ("" if self.group is None else f"={self.group}")


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval and sample counts; NaN with a reason where it is undefined."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int | None = None
    n_positive: int | None = None
    reason: str | None = None

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> "Estimate":
        value, low, high = (math.nan if entry.get(name) is None else float(entry[name]) for name in FIGURES)
        return cls(value, low, high, entry.get("n"), entry.get("n_positive"), entry.get("reason"))

    @property
    def defined(self) -> bool:
        return math.isfinite(self.value)

    @property
    def has_interval(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class RunFolder:
    """What the report reads of a run folder, and nothing else."""

    path: Path
    run: dict[str, Any]
    estimates: dict[str, dict[str, Estimate]]  # model -> key -> figure; the base model first, the final one last
    differences: dict[str, Estimate]  # final minus base
    threshold: dict[str, Any]
    collapse: dict[str, Any] | None  # what the run found on the validation split
    confidence: float
    n_bootstrap: int | None
    mask: dict[str, Any] | None
    history: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    checker: dict[str, Any] | None
    texts: dict[str, str]
    blocks: dict[str, Any] | None = None  # block_mask.json
    selection: dict[str, Any] | None = None  # selection.json

    @property
    def models(self) -> list[str]:
        return list(self.estimates)

    @property
    def base(self) -> str:
        return self.models[0]

    @property
    def final(self) -> str:
        return self.models[-1]

    @property
    def compares(self) -> bool:
        """Whether there is a model before and one after."""
        return len(self.models) > 1

    @property
    def keys(self) -> list[MetricKey]:
        names = dict.fromkeys(name for entries in self.estimates.values() for name in entries)
        return [MetricKey.parse(name) for name in names]

    @property
    def test_sets(self) -> list[str]:
        """Test sets in the order of the file, the split `test` first; splits used in training only if nothing else."""
        splits = [split for split in self._splits if not self._is_class(split)]
        tests = [split for split in splits if split not in TRAINING_SPLITS] or splits
        return sorted(tests, key=lambda split: split != "test")

    @property
    def _splits(self) -> list[str]:
        return list(dict.fromkeys(key.split for key in self.keys))

    def _is_class(self, split: str) -> bool:
        """Whether a split is a class of another one, such as `test:melanoma` beside `test`."""
        whole, colon, _ = split.partition(":")
        return bool(colon) and whole in self._splits

    def class_sets(self, test_set: str) -> list[tuple[str, str]]:
        """With more than two classes: first part of the keys of each class on a test set, and its name; else empty."""
        head = f"{test_set}:"
        return [(split, split.removeprefix(head)) for split in self._splits if split.startswith(head) and self._is_class(split)]

    @property
    def attributes(self) -> list[str]:
        """Attributes that have figures, the debiased ones first."""
        found = dict.fromkeys(key.attribute for key in self.keys if key.attribute is not None)
        order = self.debiased
        return sorted(found, key=lambda attribute: order.index(attribute) if attribute in order else len(order))

    @property
    def debiased(self) -> list[str]:
        """The attributes that were debiased; in most runs the one."""
        named = self.run.get("attributes")
        if named:
            return [str(name) for name in named]
        return [self.attribute] if self.attribute else []

    @property
    def attribute(self) -> str | None:
        """The attribute that was debiased; in an evaluation that names none, the first one that has figures."""
        named = self.run.get("attribute")
        if named:
            return str(named)
        return next((key.attribute for key in self.keys if key.attribute is not None), None)

    def groups(self, attribute: str) -> list[str]:
        """Names of the groups of an attribute, in the run's order, then any other that has figures."""
        named = (self.run.get("group_names") or {}).get(attribute) or []
        found = [key.group for key in self.keys if key.attribute == attribute and key.group is not None]
        return list(dict.fromkeys([*map(str, named), *found]))

    def estimate(self, model: str, key: MetricKey | str) -> Estimate | None:
        return self.estimates[model].get(str(key))

    def difference(self, key: MetricKey | str) -> Estimate | None:
        return self.differences.get(str(key)) if self.compares else None

    def threshold_of(self, model: str, test_set: str = "") -> float:
        """The frozen threshold of a model; with more than two classes that of the class in `test:<class>`, else NaN."""
        value = self.threshold.get(model)
        if isinstance(value, dict):
            value = value.get(test_set.partition(":")[2])
        return math.nan if value is None else float(value)

    def predictions(self, model: str, test_set: str) -> pd.DataFrame | None:
        """The stored predictions of a model on a test set, or None where there are none.

        Of `test:<class>` as those of two classes: score and target of the class against the rest.
        """
        whole, _, class_name = test_set.partition(":")
        file = self.path / "predictions" / f"{model}_{whole}.parquet"
        if not file.is_file():
            return None
        try:
            frame = pd.read_parquet(file)
        except Exception as error:  # pyarrow raises its own classes for a file that is cut off
            why = f"{file}: can't be read as Parquet ({first_line(error)}); run the evaluation again"
            raise StoreError(why) from error
        columns = [name for name in frame if name.startswith("score:")]
        if class_name and f"score:{class_name}" in columns:
            own = columns.index(f"score:{class_name}")
            return frame.assign(score=frame[columns[own]], target=(frame["target"] == own).astype("int64"))
        return frame


def load_run_folder(run_dir: Path | str) -> RunFolder:
    """Read a run folder or an evaluation folder.

    Args:
        run_dir: Folder with at least `metrics.json`; any other file may be missing.

    Returns:
        The folder's content; models ordered base first, final last.

    Raises:
        StoreError: No `metrics.json`, a JSON file that can't be parsed, or no model in it.
    """
    path = Path(run_dir)
    metrics = read_json(path / "metrics.json")
    if not isinstance(metrics, dict) or not metrics.get("models"):
        raise StoreError(f"{path / 'metrics.json'}: no figures of any model; finish the run or evaluate it first")
    run = read_json(path / "run.json") or {}
    models = {
        model: {key: Estimate.from_json(entry) for key, entry in entries.items()}
        for model, entries in metrics["models"].items()
    }
    return RunFolder(
        path=path,
        run=run,
        estimates={model: models[model] for model in order_models(models, run.get("final"))},
        differences={key: Estimate.from_json(entry) for key, entry in (metrics.get("difference") or {}).items()},
        threshold=metrics.get("threshold") or {},
        collapse=metrics.get("collapse"),
        confidence=float(metrics.get("confidence") or 0.95),
        n_bootstrap=metrics.get("n_bootstrap"),
        mask=read_json(path / "mask.json"),
        history=read_json(path / "history.json") or [],
        stages=read_json(path / "stages.json") or [],
        checker=read_json(path / "checker.json"),
        texts={name: read_text(path / name) for name in TEXT_FILES},
        blocks=read_json(path / "block_mask.json"),
        selection=read_json(path / "selection.json"),
    )


def order_models(models: Iterable[str], final: str | None) -> list[str]:
    """Put the base model first and the final one last, the others between them in their order.

    >>> order_models(["debiased", "base", "impair"], "debiased")
    ['base', 'impair', 'debiased']
    """
    last = final if final is not None else "debiased"
    return sorted(models, key=lambda model: (model == last, model != "base"))


def read_json(file: Path) -> Any:
    """Read a JSON file; None where it doesn't exist."""
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{file}: is not valid JSON ({first_line(error)}); run the evaluation again") from error


def read_text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").strip("\n") if file.is_file() else ""


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
