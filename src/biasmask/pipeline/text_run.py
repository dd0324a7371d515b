"""A run of the text family from its configuration to its report: encoder, sentences, stages, judging, export."""

import math
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from biasmask.errors import ConfigError
from biasmask.files import write_json
from biasmask.models.text_encoder import find_encoder
from biasmask.pipeline import run_folder, setup
from biasmask.pipeline.bias_map import write_bias_map
from biasmask.pipeline.plan import Plan, Times
from biasmask.pipeline.store import ArtefactStore
from biasmask.pipeline.text_data import open_sentences
from biasmask.pipeline.text_export import write_exports
from biasmask.pipeline.text_held_out import held_out_figures
from biasmask.pipeline.text_judging import TextJudge, entry
from biasmask.pipeline.text_stages import TextContext
from biasmask.pipeline.text_state import TextState, save_masks, save_projection
from biasmask.pipeline.train_run import list_stages
from biasmask.report.model_card import write_model_card
from biasmask.report.tables import write_metrics_csv
from biasmask.report.terminal import tell
from biasmask.report.text_report import write_text_report
from biasmask.report.text_terminal import print_text_summary
from biasmask.report.time_table import print_times


class TextRun:
    """One run; `execute` goes from the sentences to the report."""

    def __init__(self, config: DictConfig, run_dir: Path):
        self.config, self.run_dir = config, run_dir
        self.console, self.times = Console(), Times()
        self.metrics: dict[str, Any] = OmegaConf.to_container(config.metrics, resolve=True)  # type: ignore[assignment]

    def execute(self) -> float:
        """Run it.

        Returns:
            The objective of a hyper-parameter search: debias loss of the held-out sentences, as a share of the original's, plus
            ten times the loss of cosine to the original beyond 0.05. It looks at no benchmark.
        """
        require_text_data(self.config)
        require_no_selection(self.config)
        stages = list_stages(self.config.debias)
        with self.times.of("data"):
            context, judge = self.prepare()
        plan = Plan(stages, "judging", None, context, self.console, self.times)
        state = context.original
        for name in stages:
            state = plan.run(name, state)
        plan.tell()
        return self.finish(context, judge, state, debiased=bool(stages))

    def prepare(self) -> tuple[TextContext, TextJudge]:
        """Load the encoder, extract the sentences, and open the texts of the judge, before anything is trained."""
        config = self.config
        model = config.model
        original = TextState.load(find_encoder(model.model_name, model.package, model.package_folder))
        sentences, report = open_sentences(
            config.data, config.attribute, original, Path(config.paths.cache_dir) / "sentences", config.progress
        )
        write_json(self.run_dir / "checker.json", report)
        for warning in report["notes"]:
            tell(self.console, "data", warning)
        context = self.context(sentences, original)
        device = context.single_trainer("judge").strategy.root_device
        # before any training, so that a table or a SEAT file that can't be read costs no time
        return context, TextJudge(self.metrics, sentences.attribute, device, context.store, context.progress)

    def context(self, sentences: Any, original: TextState) -> TextContext:
        config = self.config
        make_trainer, trainer_key = setup.trainer_factory(config.trainer)
        return TextContext(
            data=None,  # type: ignore[arg-type]
            attribute=None,  # type: ignore[arg-type]
            seed=config.seed,
            make_trainer=make_trainer,
            trainer_key=trainer_key,
            store=ArtefactStore(Path(config.paths.store_dir), on_wait=self.console.print),
            progress=config.progress,
            loggers=setup.logger_factory(config.logger),
            callbacks=lambda: [instantiate(node) for node in (config.callbacks or {}).values()],
            sentences=sentences,
            original=original,
        )

    def finish(self, context: TextContext, judge: TextJudge, final: TextState, debiased: bool) -> float:
        states = {"base": context.original, **({"debiased": final} if debiased else {})}
        with self.times.of("judging"):
            models = {name: judge.judge(state, name, keep=name == "base") for name, state in states.items()}
            content = judge.compare(models)
            losses = self.judged_by()
            if losses:
                for name, state in states.items():
                    held_out = held_out_figures(state, context, losses)
                    content["models"][name] |= {key: entry(value) for key, value in held_out.items()}
        write_json(self.run_dir / "metrics.json", content)
        if debiased:
            write_exports(self.run_dir, final, self.console)
            save_masks(self.run_dir, final)
            save_projection(self.run_dir, final)
        run_folder.write_records(self.run_dir, context.records, context.history)
        write_json(self.run_dir / "run.json", self.about(context, final, debiased))
        write_metrics_csv(self.run_dir)
        if debiased:
            write_bias_map(self.run_dir, context.original, final)
        write_text_report(self.run_dir)
        if debiased:
            write_model_card(self.run_dir)
        self.console.print(f"report: {self.run_dir / 'report.html'}", soft_wrap=True, highlight=False, markup=False)
        print_times(self.run_dir, self.console)
        print_text_summary(self.run_dir, self.console)  # last: its last line is the verdict
        return objective(content["models"])

    def judged_by(self) -> dict[str, Any]:
        """The losses that the held-out sentences are judged by: those of the first stage that has any, else the method's."""
        debias = self.config.debias
        for node in [*(debias[name] for name in debias.stages), debias]:
            if "losses" in node:
                return OmegaConf.to_container(node.losses, resolve=True)  # type: ignore[return-value]
        return {}

    def about(self, context: TextContext, final: TextState, debiased: bool) -> dict[str, Any]:
        config, original = self.config, context.original
        losses, info = self.judged_by(), final.mask_info or {}
        sentences = {part: {kind: len(rows) for kind, rows in kinds.items()} for part, kinds in context.sentences.parts.items()}
        return {
            "family": "text",
            "experiment": config.name,
            "method": config.debias.name,
            "label": config.debias.label,
            "dataset": context.sentences.name,
            "attribute": context.sentences.attribute,
            "group_names": {context.sentences.attribute: list(context.sentences.groups)},
            "model_name": original.name,
            "model_source": {key: config.model[key] for key in ("model_name", "package", "package_folder")},
            "architecture": original.model_class,
            "layers": original.config.get("num_hidden_layers") or original.config.get("n_layers"),
            "heads": original.config.get("num_attention_heads") or original.config.get("n_heads"),
            "hidden_size": original.config.get("hidden_size") or original.config.get("dim"),
            "source_checkpoint": original.key,
            "seed": config.seed,
            "pooling": self.metrics["pooling"],
            **{key: losses.get(key) for key in ("embedding_layer", "debias_mode", "attribute_reduction")},
            "structure": info.get("structure"),
            "block_size": info.get("block_size"),
            "sentences": sentences,
            "metrics": self.metrics,
            "final": "debiased" if debiased else "base",
            "times": self.times.to_dict(),
        }


def objective(models: dict[str, Any]) -> float:
    """Held-out debias loss as a share of the base model's, plus ten times the cosine to it that is missing beyond 0.05.

    >>> base = {"held_out/debias_loss": {"value": 4.0}}
    >>> final = {"held_out/debias_loss": {"value": 1.0}, "cost/cosine_mean": {"value": 0.9}}
    >>> round(objective({"base": base, "debiased": final}), 6)
    0.75
    """
    loss = {name: figures.get("held_out/debias_loss", {}).get("value") for name, figures in models.items()}
    final = list(models)[-1]
    if not loss["base"] or loss[final] is None:  # without sentences, or with all outputs alike
        return math.nan
    cosine = models[final].get("cost/cosine_mean", {}).get("value")
    lost = 0.0 if final == "base" else 1 - (cosine if cosine is not None else 0.0)
    return float(loss[final] / loss["base"] + 10 * max(0.0, lost - 0.05))


def require_no_selection(config: DictConfig) -> None:
    """Refuse a rule that would look at groups and targets, which sentences don't have.

    Raises:
        ConfigError: there is one.
    """
    if config.get("selection"):
        raise ConfigError("selection=... chooses epochs by targets and groups, which sentences don't have: leave it out")


def require_text_data(config: DictConfig) -> None:
    """Refuse an image data set under a text method.

    Raises:
        ConfigError: the data node has no sentences.
    """
    if "tokens_per_batch" not in config.data:
        raise ConfigError(f"data={config.data.get('name')} holds no sentences: use data=text_corpus with data.files=...")
