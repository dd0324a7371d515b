"""Further test sets: a run's models on other data, at the thresholds that were frozen on the run's own validation split."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from biasmask.data.checker import CheckReport
from biasmask.data.image_data import SPLITS, ImageData
from biasmask.errors import ConfigError, DataError
from biasmask.files import write_json
from biasmask.pipeline import setup
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.judging import Judged, compare, judge, levelled
from biasmask.pipeline.safe_config import allowed_targets, require_known_targets

KEYS = ("data", "name", "split", "attribute", "with")


@dataclass(frozen=True)
class ExtraTest:
    """Another data set that is open and ready to be judged on.

    Args:
        name: first part of its keys in metrics.json.
        split: whose rows are judged.
        data: its images.
        attributes: names of the attributes that it is judged by first.
    """

    name: str
    split: str
    data: ImageData
    attributes: tuple[str, ...]

    def check(self) -> CheckReport:
        """The checker's report on the data set."""
        return self.data.check(list(self.data.attributes.values()), max(1, len(self.attributes)))


def open_extra_tests(
    wanted: Sequence[Any] | None, config: DictConfig, attributes: Sequence[str], image_size: int, class_names: Sequence[str]
) -> list[ExtraTest]:
    """Open each test set of `data.extra_tests`, so that a missing one is told before anything is trained.

    Args:
        wanted: names of files in configs/data, or mappings {data: such a name, name: what to call it, split: test,
            attribute: one of its own, with: {key: value of the data config}}.
        config: the run, whose paths are used.
        attributes: those that the run debiases; where a data set defines one of them, that one is looked at, else its own.
        image_size: of the run's models.
        class_names: of the run.
    Raises:
        ConfigError: an unknown name or key, a name twice.
        DataError: the data aren't there, other classes (with more than two), no row in the split.
    """
    tests: list[ExtraTest] = []
    for entry in wanted or []:
        asked: dict[str, Any] = {"data": entry} if isinstance(entry, str) else dict(entry)
        if unknown := [str(key) for key in asked if key not in KEYS]:
            raise ConfigError(f"data.extra_tests: unknown key {', '.join(unknown)}; there are {', '.join(KEYS)}")
        node = data_node(str(asked.get("data")), asked.get("with") or {}, config)
        name, split = str(asked.get("name") or node.name), str(asked.get("split") or "test")
        if name in SPLITS or name in [test.name for test in tests] or re.search(r"[/:=]", name):
            raise ConfigError(
                f"data.extra_tests: the name {name} is taken, or holds one of / : =; give another as {{data: ..., name: ...}}"
            )
        names = looked_at(asked.get("attribute"), node, attributes)
        require_known_targets(node, allowed_targets(config), "data.extra_tests")
        data = setup.open_data(node, names, image_size, config.paths.cache_dir, config.progress, debiases=False)
        data.require(split)
        require_same_classes(name, data.table.class_names, class_names)
        tests.append(ExtraTest(name, split, data, names))
    return tests


def data_node(name: str, changes: Mapping[str, Any], config: DictConfig) -> DictConfig:
    """A file of configs/data as the command line would give it, with the paths of the run.

    Raises:
        ConfigError: no such file, an unknown key, a data set without images.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise ConfigError(f"data.extra_tests: {name!r} names no file of configs/data")
    try:
        with _composing() as more:
            composed = compose("eval", [f"data={name}", "ckpt_path=none", *more])
        for key, value in config.paths.items_ex(resolve=False):
            OmegaConf.update(composed, f"paths.{key}", value)
        for key, value in changes.items():
            OmegaConf.update(composed.data, str(key), value)
        plain = OmegaConf.to_container(composed.data, resolve=True)
    except HydraException as error:
        raise ConfigError(f"data.extra_tests: {str(error).splitlines()[0]}") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"data.extra_tests, data={name}: {str(error).splitlines()[0]}") from error
    node = OmegaConf.create(plain)
    if "source" not in node:
        raise ConfigError(f"data.extra_tests: data={name} holds no images")
    return node  # type: ignore[return-value]


@contextmanager
def _composing() -> Iterator[list[str]]:
    """Compose beside the running application, from the folders that its own configuration came from."""
    hydra, running = HydraConfig.get(), GlobalHydra.instance().hydra
    folders = [(source.provider, source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    main = next(path for provider, path in folders if provider == "main")
    others = ",".join(f"file://{path}" for _, path in folders if path != main)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(main, job_name=hydra.job.name or "app", version_base="1.3"):
            yield [f"hydra.searchpath=[{others}]"] if others else []
    finally:
        GlobalHydra.instance().clear()
        if running is not None:
            GlobalHydra.instance().initialize(running)


def looked_at(asked: Any, node: DictConfig, attributes: Sequence[str]) -> tuple[str, ...]:
    """The attributes to look at: those asked for, else the run's that the data set defines, else its own.

    >>> node = OmegaConf.create({"attribute": "tone", "attributes": {"tone": {}, "sex": {}}})
    >>> looked_at(None, node, ["sex", "age"]), looked_at(None, node, ["age"]), looked_at("sex", node, ["age"])
    (('sex',), ('tone',), ('sex',))
    """
    if asked is not None:
        return setup.attribute_names(asked)
    defined = node.get("attributes") or {}
    there = tuple(name for name in attributes if all(part in defined for part in name.split("+")))
    if there or node.get("attribute"):
        return there or setup.attribute_names(node.attribute)
    return tuple(attributes)  # a table of the user's, whose columns are attributes


def require_same_classes(name: str, own: Sequence[str], trained: Sequence[str]) -> None:
    """Refuse a data set with other classes; the names of two classes may differ, since the second one is always the positive.

    Raises:
        DataError: another number of classes, or more than two with other names or in another order.

    >>> require_same_classes("x", ("benign", "malignant"), ("no", "yes"))
    """
    if len(own) != len(trained) or (len(own) > 2 and list(own) != list(trained)):
        raise DataError(
            f"data.extra_tests: {name} has the classes {', '.join(own)}, and the run tells {', '.join(trained)}: give its "
            "target the same classes in the same order"
        )


def judge_extra_tests(
    tests: Sequence[ExtraTest],
    states: Mapping[str, ModelState],
    models: Mapping[str, Judged],
    context: Context,
    metrics: dict[str, Any],
    content: dict[str, Any],
) -> None:
    """Predict each test set with the frozen thresholds; its predictions and figures are added to those of the run.

    Args:
        tests: the test sets.
        states: the models by name.
        models: their predictions and thresholds; `frames` gets an entry for each test set.
        context: the run.
        metrics: the `metrics` node.
        content: of metrics.json, to which figures, differences and groups that got worse are added.
    """
    for test in tests:
        encoded = tuple(test.data.attributes[name] for name in test.attributes)
        own = replace(context, data=test.data, attribute=encoded[0] if encoded else None, attributes=encoded)  # type: ignore[arg-type]
        for name, judged in models.items():
            label, rule = f"{name} {test.name}", metrics["threshold_rule"]
            found = judge(states[name], own, [test.split], label, rule, judged.threshold)
            judged.frames[test.name] = found.frames[test.split]
        more, differences = compare(dict(models), test.data, [test.name], metrics)
        for name, figures in more["models"].items():
            content["models"][name] |= figures
        content["difference"] |= more["difference"]
        if "levelling_down" in content:
            content["levelling_down"] += levelled(differences)


def write_checks(run_dir: Path, tests: Sequence[ExtraTest]) -> list[str]:
    """Write `checker_<name>.json` of each test set.

    Returns:
        The warnings that concern the split that is judged, each with the name of its test set.
    """
    warnings = []
    for test in tests:
        report = test.check()
        write_json(run_dir / f"checker_{test.name}.json", report.to_dict())
        others = tuple(f"{split}:" for split in SPLITS if split != test.split)
        warnings += [f"{test.name}: {warning}" for warning in report.warnings if not warning.startswith(others)]
    return warnings
