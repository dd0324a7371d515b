"""A run from its configuration to its report: baseline, the stages of the method, judging, artefacts."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.text import Text
from safetensors.torch import save

from biasmask.errors import ConfigError
from biasmask.files import write_atomically, write_json
from biasmask.models.image_classifier import outputs_for
from biasmask.models.weights import require_outputs
from biasmask.pipeline import run_folder, setup
from biasmask.pipeline.baseline import Baseline, ModelConfig, load_users_checkpoint
from biasmask.pipeline.bias_map import write_bias_map
from biasmask.pipeline.checkpoints import save_model
from biasmask.pipeline.context import Context, ModelState, StageRecord
from biasmask.pipeline.export import write_delta, write_timm_weights
from biasmask.pipeline.extra_tests import ExtraTest, judge_extra_tests, open_extra_tests, write_checks
from biasmask.pipeline.judging import Judged, collapse_of, compare, judge
from biasmask.pipeline.plan import Plan, Times
from biasmask.pipeline.predictions import write_predictions
from biasmask.pipeline.safe_config import allowed_targets, require_known_targets
from biasmask.pipeline.search import objective
from biasmask.pipeline.stages import StoredStage
from biasmask.pipeline.store import ArtefactStore
from biasmask.pipeline.structure import write_block_mask
from biasmask.report.html import write_report
from biasmask.report.model_card import write_model_card
from biasmask.report.tables import write_metrics_csv
from biasmask.report.terminal import print_summary, tell
from biasmask.report.time_table import print_times


def train(config: DictConfig) -> float:
    """Run everything that the configuration says, and print the summary.

    Returns:
        The objective of a hyper-parameter search: the equalized-odds gap (mean) of the final model on the validation
        split (the mean of several attributes' gaps), plus ten times the AUROC or the balanced accuracy lost there beyond 0.01
        (the larger loss: a model that says the same of everyone keeps no balanced accuracy). It never looks at a
        test split.
    """
    require_known_targets(config, allowed_targets(config))
    hydra = HydraConfig.get()
    in_sweep = hydra.mode == RunMode.MULTIRUN
    setup.set_threads(config.threads, sweep=in_sweep)
    run_dir = Path(hydra.runtime.output_dir)
    with run_folder.claimed(run_dir, run_folder.config_text(config)):
        if in_sweep and (before := run_folder.finished_objective(run_dir)) is not None:
            print(f"already finished: {run_dir}")
            return before
        run_folder.write_provenance(run_dir, list(hydra.overrides.task), "src/train.py")
        objective: float = get_class(config.family._target_)(config, run_dir).execute()
        run_folder.write_finished(run_dir, objective)
        return objective


def list_stages(debias: DictConfig) -> dict[str, Any]:
    """The stages of the `debias` node in their order.

    Raises:
        ConfigError: the list names a stage that has no node.
    """
    stages = {}
    for name in debias.stages:
        if name not in debias:
            raise ConfigError(f"debias.stages names `{name}`, and there is no node debias.{name}")
        stages[name] = instantiate(debias[name], _recursive_=False, _convert_="all")
    return stages


class Run:
    """One run; `execute` goes from the table to the report."""

    def __init__(self, config: DictConfig, run_dir: Path):
        self.config, self.run_dir = config, run_dir
        self.console, self.times = Console(), Times()
        self.names = setup.attribute_names(config.attribute)
        self.extra: list[ExtraTest] = []
        self.metrics: dict[str, Any] = OmegaConf.to_container(config.metrics, resolve=True)  # type: ignore[assignment]

    def execute(self) -> float:
        with self.times.of("data"):
            context, users, stages = self.prepare()
        plan = Plan(
            {"baseline": None if users else self.baseline(), **stages},
            "judging on val, test" + "".join(f", {test.name}" for test in self.extra),
            context.trainer_key.get("max_epochs"),
            context,
            self.console,
            self.times,
        )
        base = final = self.users_model(context, users) if users else plan.run("baseline", None)
        context.base = base
        for name in stages:
            final = plan.run(name, final)
        plan.tell()
        return self.finish(context, base, final, debiased=bool(stages))

    def prepare(self) -> tuple[Context, ModelState | None, dict[str, Any]]:
        """Open and check all that is needed, before anything is trained: the context, the user's model or None, the stages."""
        model = ModelConfig(**OmegaConf.to_container(self.config.model, resolve=True))  # type: ignore[arg-type]
        users = load_users_checkpoint(model) if model.ckpt_path else None
        hyper = users.hyper if users else model.hyper()
        context = self.context(hyper["image_size"])
        if users:
            names = context.data.table.class_names
            require_outputs(hyper["num_outputs"], names, self.config.model.ckpt_path, context.data.table.name)
        else:
            hyper = {**hyper, "num_outputs": outputs_for(model.num_outputs, context.data.n_classes)}
        report = context.data.check(list(context.data.attributes.values()), max(1, len(self.names)))
        write_json(self.run_dir / "checker.json", report.to_dict())
        for warning in report.warnings:
            tell(self.console, "data", warning)
        report.raise_if_fatal()
        stages = list_stages(self.config.debias)
        for stage in stages.values():
            if isinstance(stage, StoredStage):
                stage.require(hyper)
        if context.selection is not None:
            self.tell_unselected(stages)
        for split in [*(() if users else ("train",)), "val", "test", *(("debias",) if stages else ())]:
            context.data.require(split)
        names = context.data.table.class_names
        self.extra = open_extra_tests(self.config.data.get("extra_tests"), self.config, self.names, hyper["image_size"], names)
        for warning in write_checks(self.run_dir, self.extra):
            tell(self.console, "data", warning)
        return context, users, stages

    def tell_unselected(self, stages: dict[str, Any]) -> None:
        """Say which stages with epochs don't leave their choice to the selection rule."""
        for name, stage in stages.items():
            if hasattr(stage, "epochs") and not getattr(stage, "selects", False):
                text = f"stage {name} ends with its last epoch: its earlier ones aren't finished models"
                tell(self.console, "selection", text)

    def context(self, image_size: int) -> Context:
        config = self.config
        make_trainer, trainer_key = setup.trainer_factory(config.trainer)
        needed = bool(config.debias.stages)
        data = setup.open_data(config.data, self.names, image_size, config.paths.cache_dir, config.progress, debiases=needed)
        attribute = data.groups.get(setup.crossed_name(self.names) if needed else self.names[0]) if self.names else None
        return Context(
            data=data,
            attribute=attribute,  # type: ignore[arg-type]
            seed=config.seed,
            make_trainer=make_trainer,
            trainer_key=trainer_key,
            store=ArtefactStore(Path(config.paths.store_dir), on_wait=self.console.print),
            progress=config.progress,
            loggers=setup.logger_factory(config.logger),
            callbacks_key={
                name: {key: str(value) for key, value in node.items() if key != "dirpath"}
                for name, node in (config.callbacks or {}).items()
            },
            callbacks=lambda: [instantiate(node) for node in (config.callbacks or {}).values()],
            attributes=tuple(data.attributes[name] for name in self.names),
            selection=setup.selection_of(config),
        )

    def baseline(self) -> Baseline:
        stage: Baseline = instantiate(self.config.baseline, _recursive_=False, _convert_="all")
        return stage

    def users_model(self, context: Context, users: ModelState) -> ModelState:
        label = f"{users.hyper['backbone']} from {Path(self.config.model.ckpt_path).name}"
        context.records.append(StageRecord("baseline", label, 0.0, reused=True, notes=["your checkpoint"]))
        return users

    def finish(self, context: Context, base: ModelState, final: ModelState, debiased: bool) -> float:
        rule = self.metrics["threshold_rule"]
        states = {"base": base, **({"debiased": final} if debiased else {})}
        with self.times.of("judging"):
            models = {name: judge(state, context, ["val", "test"], name, rule) for name, state in states.items()}
            content, _ = compare(models, context.data, ["test"], self.metrics)
            judge_extra_tests(self.extra, states, models, context, self.metrics, content)
        verdict = None
        if debiased:
            collapsed, words = collapse_of(models["base"], models["debiased"])
            content["collapse"] = {"collapsed": collapsed, "text": words, "split": "val"}
            verdict = words if collapsed else None
        self.write_artefacts(context, states, models, content, verdict)
        print_times(self.run_dir, self.console)
        print_summary(self.run_dir, self.console)
        self.console.print(f"report: {self.run_dir / 'report.html'}", soft_wrap=True, highlight=False, markup=False)
        blocks = final.block_info
        if blocks and blocks["kept"] == blocks["total"]:
            self.console.print(Text(blocks["warnings"][0], style="yellow"), soft_wrap=True)
        return self.objective(context, models)

    def write_artefacts(
        self,
        context: Context,
        states: dict[str, ModelState],
        models: dict[str, Judged],
        content: dict[str, Any],
        verdict: str | None,
    ) -> None:
        run_dir, config = self.run_dir, self.config
        for name, judged in models.items():
            about = {
                "model": name,
                "threshold": judged.threshold,
                "attribute": self.names[0] if len(self.names) == 1 else list(self.names) or None,
                "class_names": list(context.data.table.class_names),
                "data": OmegaConf.to_container(config.data, resolve=True),
                "metrics": self.metrics,
            }
            save_model(run_dir / "checkpoints" / f"{name}.ckpt", states[name], about)
            for split, frame in judged.frames.items():
                write_predictions(run_dir / "predictions" / f"{name}_{split}.parquet", frame)
        final = states.get("debiased")
        if final is not None:
            write_timm_weights(run_dir / "debiased_timm.pt", final)
            write_delta(run_dir / "delta.safetensors", states["base"], final)
            if final.mask is not None:
                write_atomically(run_dir / "mask.safetensors", save(final.mask))
                write_json(run_dir / "mask.json", final.mask_info)
            write_block_mask(run_dir, final.block_masks, final.block_info)
        run_folder.write_records(run_dir, context.records, context.history, context.selections)
        write_json(run_dir / "metrics.json", content)
        write_json(run_dir / "run.json", self.about(context, states, verdict))
        write_metrics_csv(run_dir)
        if final is not None:
            write_bias_map(run_dir, states["base"], final)
        write_report(run_dir)
        if final is not None:
            write_model_card(run_dir)

    def about(self, context: Context, states: dict[str, ModelState], verdict: str | None) -> dict[str, Any]:
        config, base = self.config, states["base"]
        blocks = list(states.values())[-1].block_info
        pruned = {}
        if blocks:
            pruned = {"structure": blocks["structure"], "block_size": blocks["block_size"], "source_checkpoint": base.key}
        return {
            "experiment": config.name,
            "method": config.debias.name,
            "label": config.debias.label,
            "dataset": context.data.table.name,
            "attribute": self.names[0] if self.names else None,
            "attributes": list(self.names),
            "group_names": {name: list(a.group_names) for name, a in context.data.attributes.items()},
            "class_names": list(context.data.table.class_names),
            "backbone": base.hyper["backbone"],
            "image_size": base.hyper["image_size"],
            "seed": config.seed,
            "extra_tests": [test.name for test in self.extra],
            "debias_share": config.data.get("debias_share", 1.0),
            "debias_rows": len(context.data.rows("debias")),
            "collapsed": verdict,
            "needs_attribute": list(states.values())[-1].decision is not None,
            **pruned,
            "final": list(states)[-1],
            "times": self.times.to_dict(),
        }

    def objective(self, context: Context, models: dict[str, Judged]) -> float:
        quick = {**self.metrics, "n_bootstrap": 0}
        content, _ = compare(models, context.data, ["val"], quick)
        return objective(content["models"]["base"], content["models"][list(models)[-1]], self.names)
