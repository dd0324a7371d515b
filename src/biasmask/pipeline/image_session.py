"""The image side for a notebook: the stages, the judge and the comparison of the pipeline, one call each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from omegaconf import DictConfig, OmegaConf

from biasmask.errors import ConfigError
from biasmask.models.weights import require_outputs
from biasmask.pipeline import setup
from biasmask.pipeline.baseline import ModelConfig
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.image_model import ImageModel, Mask
from biasmask.pipeline.judging import compare, judge
from biasmask.pipeline.memory import tidy_up
from biasmask.pipeline.results import figures_table
from biasmask.pipeline.train_run import Run, list_stages
from biasmask.pipeline.workspace import Workspace, changed, method_file
from biasmask.report.figures import Picture, samples_figure

TABLES = (".csv", ".tsv", ".parquet", ".pq")


@dataclass
class Images:
    """A table of images with targets and sensitive attributes; made by `load_images`."""

    workspace: Workspace
    choices: dict[str, str]
    changes: dict[str, Any]
    warnings: tuple[str, ...] = ()
    opened: dict[int, Context] = field(default_factory=dict, repr=False)

    def config(
        self,
        method: str,
        keys: Mapping[str, Any] | None = None,
        nodes: tuple[str, ...] = ("debias",),
        selection: str | None = None,
    ) -> DictConfig:
        """The configuration of a method on these images, with changed keys."""
        choices = {**self.choices, "debias": method, **({"selection": selection} if selection else {})}
        return changed(self.workspace.compose(choices, self.changes), keys or {}, nodes)

    def context(self, size: int, config: DictConfig | None = None) -> Context:
        """The surroundings of a stage, with images of this size."""
        if size not in self.opened:
            context = Run(self.config("bmft"), Path(".")).context(size)
            report = context.data.check(list(context.data.attributes.values()))
            report.raise_if_fatal()
            self.warnings = tuple(report.warnings)
            self.opened[size] = context
        seed = self.workspace.seed if config is None else config.seed
        rule = None if config is None else setup.selection_of(config)
        own: dict[str, Any] = {"records": [], "history": [], "selections": {}}
        return replace(self.opened[size], seed=seed, base=None, selection=rule, **own)

    @property
    def image_size(self) -> int | None:
        """Pixels that were asked for, or the data set's own; None: the model decides."""
        return self.config("bmft").data.image_size

    def for_model(self, state: ModelState, splits: tuple[str, ...], config: DictConfig | None = None) -> Context:
        """The context in which a model works, once its outputs fit the classes and the splits have rows."""
        context = self.context(state.hyper["image_size"], config)
        table = context.data.table
        for split in splits:
            context.data.require(split)
        context.base = state
        require_outputs(state.hyper["num_outputs"], table.class_names, "the model", table.name)
        return context

    def show(self, split: str = "debias", most: int = 4) -> Picture:
        """The first pictures of each group and target, as the model gets them (before normalisation).

        Raises:
            ConfigError: no size was given, and no model has been used on them.
        """
        if not self.opened:
            raise ConfigError("these images have no size yet: load_images(..., image_size=64)")
        data = next(iter(self.opened.values())).data
        attribute, target, cells = next(iter(data.attributes.values())), data.target, {}
        for group, name in enumerate(attribute.group_names):
            for number, class_name in enumerate(data.table.class_names):
                rows = [row for row in data.rows(split) if attribute.index[row] == group and target[row] == number][:most]
                cells[f"{name}, {class_name}"] = data.store.images[rows]
        return samples_figure(cells)

    def __repr__(self) -> str:
        if not self.opened:
            return f"images of {self.choices['data']}, not opened yet (their size is the model's)"
        data = next(iter(self.opened.values())).data
        splits = ", ".join(f"{split} {n:,}" for split, n in data.table.frame["split"].value_counts(sort=False).items())
        groups = "; ".join(f"{name}: {', '.join(a.group_names)}" for name, a in data.attributes.items())
        return f"{data.table.name}: {splits}; target {' / '.join(data.table.class_names)}; {groups}"

    def _repr_html_(self) -> str:
        notes = Markup("").join(Markup("<li>{}</li>").format(warning) for warning in self.warnings)
        return Markup("<p>{}</p>").format(repr(self)) + (Markup("<ul>{}</ul>").format(notes) if notes else "")


def load_images(
    table: str | Path,
    target: str | None = None,
    attribute: str | list[str] | None = None,
    image_size: int | None = None,
    workspace: Workspace | None = None,
    **data: Any,
) -> Images:
    """Images of a table of yours, or of a data set that configs/data knows.

    Args:
        table: a CSV or Parquet file with one row an image, or a name such as `rendered` or `ham10000`.
        target: column of the target; for a table alone.
        attribute: sensitive attribute to debias; a list: several at once.
        image_size: pixels; None: the data set's or the model's own.
        workspace: store, seed, threads, progress; None: the defaults.
        data: further keys of the `data` node: positive=["mel"], split="fold", attributes={"age": {"column": "y", "bins": [60]}}.
    Raises:
        ConfigError: an unknown name or key.
        DataError: whatever is wrong with the table or its images.
    """
    own = str(table).lower().endswith(TABLES)
    changes: dict[str, Any] = {"data": {**data}}
    if own:
        changes["data"]["table"] = str(table)
        changes["data"] |= {} if target is None else {"target": target}
    elif target is not None:
        raise ConfigError(f"target={target}: the data set {table} says itself what its target is")
    if image_size is not None:
        changes["data"]["image_size"] = image_size
    if attribute is not None:
        changes["attribute"] = attribute
    images = Images(workspace or Workspace(), {"data": "csv" if own else str(table)}, changes)
    size = images.image_size
    if size is not None:
        with images.workspace.contained():
            images.context(size)
    return images


def train(data: Images, backbone: str = "efficientnet_lite0", epochs: int | None = None, **keys: Any) -> ImageModel:
    """A baseline on the rows of the split `train`, as `python src/train.py debias=none` trains it.

    Args:
        data: the images.
        backbone: a file of configs/backbone, or a timm name (then with random weights unless `weights` says others).
        epochs: None: as configs/trainer says.
        keys: keys of the nodes `baseline`, `model` and `trainer`: batch_size=32, weights="timm", precision="bf16-mixed".
    """
    named = method_file("backbone", backbone)
    config = data.workspace.compose({**data.choices, **({"backbone": backbone} if named else {})}, data.changes)
    if not named:
        keys = {"weights": "none", **keys, "backbone": backbone}
    config = changed(config, keys if epochs is None else {**keys, "max_epochs": epochs}, ("baseline", "model", "trainer"))
    with data.workspace.contained():
        hyper = ModelConfig(**OmegaConf.to_container(config.model, resolve=True)).hyper()  # type: ignore[arg-type]
        make_trainer, trainer_key = setup.trainer_factory(config.trainer)
        context = replace(data.context(hyper["image_size"], config), make_trainer=make_trainer, trainer_key=trainer_key)
        state = Run(config, Path(".")).baseline().run("baseline", None, context)
    return ImageModel(state, tuple(context.records), tuple(context.history))


def locate(model: ImageModel, data: Images, method: str = "bmft", **keys: Any) -> Mask:
    """Find the parameters that carry the bias.

    Args:
        method: a file of configs/debias whose stages begin with `locate`.
        keys: keys of that stage or of the method: edit_fraction=0.05, source="random", granularity="channel".
    """
    config, model = data.config(method, keys, ("debias", "debias.locate")), model.at_size(data.image_size)
    with data.workspace.contained():
        context = data.for_model(model.state, ("debias",), config)
        state = only(list_stages(config.debias), "locate", method).run("locate", model.state, context)
    assert state.mask is not None and state.mask_info is not None
    return Mask(state.mask, state.mask_info, context.records[-1])


def repair(
    model: ImageModel, data: Images, mask: Mask | None = None, method: str = "bmft", selection: str | None = None, **keys: Any
) -> ImageModel:
    """Edit only what a mask allows: the stages of a method after `locate`; without a mask all of them.

    Args:
        method: a file of configs/debias.
        selection: a file of configs/selection, the rule that chooses each stage's epoch on `val`; None: what the stages say.
        keys: keys of the method, those of a stage as a dict: impair={"epochs": 3, "optimizer": {"lr": 0.0003}}.
    """
    config, model = data.config(method, keys, selection=selection), model.at_size(data.image_size)
    stages, state = list_stages(config.debias), model.state
    if mask is not None:
        only(stages, "locate", method)
        state = replace(state, mask=mask.tensors, mask_info=mask.info)
        stages = {name: stage for name, stage in stages.items() if name != "locate"}
    with data.workspace.contained():
        context = data.for_model(model.state, ("debias", "val"), config)
        for stage in stages.values():
            if hasattr(stage, "require"):
                stage.require(state.hyper)
        for name, stage in stages.items():
            state = stage.run(name, state, context)
            tidy_up(state)
    before = () if mask is None else (mask.record,)
    records, history = (*model.records, *before, *context.records), (*model.history, *context.history)
    return ImageModel(state, records, history, context.selections)


def evaluate(models: Mapping[str, ImageModel], data: Images, split: str = "test", **keys: Any) -> pd.DataFrame:
    """Figures with intervals of one or more models, and paired differences of each from the first.

    Args:
        models: name -> model; thresholds are chosen on `val` for each and frozen.
        split: the rows that are judged.
        keys: keys of the node `metrics`: n_bootstrap=200, threshold_rule="fixed:0.5".
    Returns:
        A row for each figure (`test/auroc`, `test/tpr/sex=female`); columns (model, value | low | high | n | reason), and for
        each model but the first (`model - first`, value | low | high | reason). Undefined is NaN with its reason.
    """
    if not models:
        raise ConfigError("evaluate needs a model: evaluate({'before': model}, data)")
    config, size = data.config("bmft", keys, ("metrics",)), data.image_size
    models = {name: model.at_size(size) for name, model in models.items()}
    metrics: dict[str, Any] = OmegaConf.to_container(config.metrics, resolve=True)  # type: ignore[assignment]
    with data.workspace.contained():
        splits, rule = list(dict.fromkeys(["val", split])), metrics["threshold_rule"]
        contexts = {name: data.for_model(model.state, tuple(splits), config) for name, model in models.items()}
        judged = {name: judge(model.state, contexts[name], splits, name, rule) for name, model in models.items()}
        first, *others = models
        images = contexts[first].data
        contents = {first: compare({"base": judged[first]}, images, [split], metrics)[0]} if not others else {}
        for name in others:
            contents[name] = compare({"base": judged[first], "debiased": judged[name]}, images, [split], metrics)[0]
    return figures_table(first, contents)


def predict(model: ImageModel, data: Images, split: str = "test") -> pd.DataFrame:
    """Scores of a model on the rows of a split, with target and groups; the columns of predictions/*.parquet."""
    model = model.at_size(data.image_size)
    with data.workspace.contained():
        context = data.for_model(model.state, (split,))
        return judge(model.state, context, [split], split, "", threshold=0.5).frames[split]


def only(stages: dict[str, Any], name: str, method: str) -> Any:
    """A stage of a method.

    Raises:
        ConfigError: it has none of this name.
    """
    if name not in stages:
        raise ConfigError(f"method {method} has no stage `{name}`; its stages are {', '.join(stages) or 'none'}")
    return stages[name]
