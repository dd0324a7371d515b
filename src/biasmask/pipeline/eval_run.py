"""Evaluate a checkpoint or a whole run on any data set, with the thresholds that the run froze."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from biasmask.errors import CheckpointError, ConfigError
from biasmask.files import write_json
from biasmask.models.weights import require_outputs
from biasmask.pipeline import run_folder, setup
from biasmask.pipeline.checkpoints import load_model
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.extra_tests import ExtraTest, judge_extra_tests, looked_at, open_extra_tests, write_checks
from biasmask.pipeline.family import is_text
from biasmask.pipeline.judging import Threshold, compare, judge
from biasmask.pipeline.predictions import write_predictions
from biasmask.pipeline.safe_config import allowed_targets, require_known_targets, require_stored_sources
from biasmask.pipeline.store import ArtefactStore
from biasmask.report.html import write_report
from biasmask.report.tables import write_metrics_csv
from biasmask.report.terminal import print_summary

MODELS = ("base", "debiased")


def find_checkpoints(path: Path) -> dict[str, Path]:
    """The checkpoints of a run folder by model name, or the one file that was named.

    Raises:
        CheckpointError: there is nothing of the kind.
    """
    if path.is_dir():
        found = {name: path / "checkpoints" / f"{name}.ckpt" for name in MODELS}
        found = {name: file for name, file in found.items() if file.is_file()}
        if not found:
            raise CheckpointError(f"{path} is no finished run: it holds no checkpoints/base.ckpt or checkpoints/debiased.ckpt")
        return found
    if not path.is_file():
        raise CheckpointError(f"ckpt_path={path} doesn't exist: give a run folder (logs/runs/...) or a checkpoint in it")
    return {path.stem if path.stem in MODELS else "base": path}


def evaluate(config: DictConfig) -> None:
    """Predict, judge and report; no model config is needed, the checkpoint knows its own."""
    require_known_targets(config, allowed_targets(config))
    if is_text(Path(config.ckpt_path)):
        from biasmask.pipeline.text_eval import evaluate_text  # transformers takes seconds to import

        return evaluate_text(config)
    hydra = HydraConfig.get()
    setup.set_threads(config.threads, sweep=False)
    run_dir = Path(hydra.runtime.output_dir)
    loaded = {name: load_model(file) for name, file in find_checkpoints(Path(config.ckpt_path)).items()}
    about = next(iter(loaded.values()))[1]
    data_node, attributes, metrics = settings_of(config, about)
    with run_folder.claimed(run_dir, run_folder.config_text(config)):
        run_folder.write_provenance(run_dir, list(hydra.overrides.task), "src/eval.py")
        context = open_context(config, data_node, attributes, next(iter(loaded.values()))[0])
        for state, info in loaded.values():
            require_classes(context, state, info, config.ckpt_path)
        extra = extra_tests(config, data_node, attributes, context)
        models = {
            name: judge(state, context, [config.split], name, metrics["threshold_rule"], threshold_of(info, name))
            for name, (state, info) in loaded.items()
        }
        content, _ = compare(models, context.data, [config.split], metrics)
        judge_extra_tests(extra, {name: state for name, (state, _) in loaded.items()}, models, context, metrics, content)
        for name, judged in models.items():
            for split, frame in judged.frames.items():
                write_predictions(run_dir / "predictions" / f"{name}_{split}.parquet", frame)
        write_checks(run_dir, extra)
        checked = context.data.check(list(context.data.attributes.values()), max(1, len(attributes)))
        write_json(run_dir / "checker.json", checked.to_dict())
        write_json(run_dir / "metrics.json", content)
        write_json(run_dir / "run.json", describe(context, loaded, attributes, extra))
        write_metrics_csv(run_dir)
        write_report(run_dir)
        console = Console()
        print_summary(run_dir, console)
        console.print(f"report: {run_dir / 'report.html'}", soft_wrap=True, highlight=False, markup=False)


def settings_of(config: DictConfig, about: dict[str, Any]) -> tuple[DictConfig, tuple[str, ...], dict[str, Any]]:
    """The data node, the attributes and the metric settings: those of the command line, else those of the run."""
    stored = about.get("data")
    chosen = config.get("data")  # without `data=` on the command line the key isn't there
    if chosen is None:
        require_stored_sources(stored, allowed_targets(config), f"the checkpoint of {config.ckpt_path}")
    data_node = chosen if chosen is not None else (OmegaConf.create(stored) if stored else None)
    if data_node is None:
        raise ConfigError("this checkpoint doesn't tell its data set: name one, as in data=ham10000")
    attributes = setup.attribute_names(config.attribute)
    if not attributes:
        attributes = setup.attribute_names(about.get("attribute"))
        if chosen is not None:
            attributes = looked_at(None, data_node, attributes)
    metrics: dict[str, Any] = OmegaConf.to_container(config.metrics, resolve=True)  # type: ignore[assignment]
    overrides = HydraConfig.get().overrides.task
    typed = {name: metrics[name] for name in metrics if any(o.lstrip("+").startswith(f"metrics.{name}=") for o in overrides)}
    return data_node, attributes, {**metrics, **about.get("metrics", {}), **typed}


def threshold_of(about: dict[str, Any], name: str) -> Threshold:
    threshold = about.get("threshold")
    if threshold is None:
        raise CheckpointError(
            f"the checkpoint of {name} holds no frozen threshold: use checkpoints/base.ckpt or checkpoints/debiased.ckpt of a run"
        )
    return threshold if isinstance(threshold, dict) else float(threshold)


def open_context(config: DictConfig, data_node: DictConfig, attributes: tuple[str, ...], state: ModelState) -> Context:
    make_trainer, trainer_key = setup.trainer_factory(config.trainer)
    with open_dict(data_node):
        data_node.image_size = state.hyper["image_size"]
    size = state.hyper["image_size"]
    data = setup.open_data(data_node, attributes, size, config.paths.cache_dir, config.progress, debiases=False)
    data.require(config.split)
    encoded = tuple(data.attributes[name] for name in attributes)
    return Context(
        data=data,
        attribute=encoded[0] if encoded else None,  # type: ignore[arg-type]
        seed=0,
        make_trainer=make_trainer,
        trainer_key=trainer_key,
        store=ArtefactStore(Path(config.paths.store_dir)),
        progress=config.progress,
        attributes=encoded,
    )


def require_classes(context: Context, state: ModelState, about: dict[str, Any], source: str) -> None:
    """Refuse a data set whose classes aren't those of the model.

    Raises:
        CheckpointError: another number of classes, or with more than two others by name: each output stands for one.
    """
    own = context.data.table.class_names
    require_outputs(state.hyper["num_outputs"], own, source, context.data.table.name)
    trained = about.get("class_names")
    if len(own) > 2 and trained and list(own) != list(trained):
        raise CheckpointError(
            f"checkpoint {source} tells the classes {', '.join(trained)}, and data set {context.data.table.name} has "
            f"{', '.join(own)}: give the target the same classes in the same order"
        )


def extra_tests(config: DictConfig, data_node: DictConfig, attributes: tuple[str, ...], context: Context) -> list[ExtraTest]:
    """The further test sets that were asked for, else those of the data node where its test split is evaluated."""
    wanted = config.get("extra_tests")
    if wanted is None and config.split == "test":
        wanted = data_node.get("extra_tests")
    return open_extra_tests(wanted, config, attributes, data_node.image_size, context.data.table.class_names)


def describe(context: Context, loaded: dict[str, Any], attributes: tuple[str, ...], extra: list[ExtraTest]) -> dict[str, Any]:
    state: ModelState = next(iter(loaded.values()))[0]
    return {
        "experiment": "eval",
        "method": "evaluation",
        "dataset": context.data.table.name,
        "attribute": attributes[0] if attributes else None,
        "attributes": list(attributes),
        "group_names": {name: list(a.group_names) for name, a in context.data.attributes.items()},
        "class_names": list(context.data.table.class_names),
        "backbone": state.hyper["backbone"],
        "image_size": state.hyper["image_size"],
        "seed": None,
        "extra_tests": [test.name for test in extra],
        "needs_attribute": any(state.decision is not None for state, _ in loaded.values()),
        "final": list(loaded)[-1],
    }
