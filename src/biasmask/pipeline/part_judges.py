"""Judges of models that were made from a run's two: of images by groups on a split, of encoders by sentences and associations."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from biasmask.errors import CheckpointError, ConfigError
from biasmask.metrics.evaluation import compare_predictions, evaluate_predictions, to_json
from biasmask.pipeline import setup
from biasmask.pipeline.bias_map import load_pair
from biasmask.pipeline.checkpoints import load_model
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.eval_run import open_context, threshold_of
from biasmask.pipeline.family import is_text
from biasmask.pipeline.judging import Threshold, judge
from biasmask.pipeline.part_effect import Figures, PartJudge, Weights
from biasmask.pipeline.safe_config import require_known_targets, require_no_interpolation, require_stored_sources

GAPS = ("equalized_odds_mean", "equalized_odds_max", "auroc_gap")


@dataclass
class ImageJudge:
    """Gaps and AUROC on a split, all models at one threshold: the frozen one of the debiased model.

    With thresholds of their own a model's figures would also tell of the other threshold, and not of the weights alone.
    """

    state: ModelState
    context: Context
    split: str
    threshold: Threshold
    metrics: dict[str, Any]
    base: Any = field(default=None, repr=False)  # predictions of the base model, the first that is judged

    @property
    def keys(self) -> list[str]:
        names = [attribute.name for attribute in self.context.attributes]
        return [f"{self.split}/auroc", *(f"{self.split}/{gap}/{name}" for name in names for gap in GAPS)]

    def figures(self, weights: Weights, label: str, intervals: bool) -> tuple[Figures, Figures]:
        model = replace(self.state, weights=weights)
        frame = judge(model, self.context, [self.split], label, self.metrics["threshold_rule"], self.threshold).frames[self.split]
        if self.base is None:
            self.base = frame
        groups = {attribute.name: attribute.group_names for attribute in self.context.attributes}
        settings = {"confidence": self.metrics["confidence"], "seed": self.metrics["seed"]}
        settings["n_bootstrap"] = self.metrics["n_bootstrap"] if intervals else 0
        own = to_json(evaluate_predictions(frame, groups, self.threshold, self.split, **settings)) if intervals else {}
        pair = (self.threshold, self.threshold)
        effect = to_json(compare_predictions(self.base, frame, groups, pair, split=self.split, **settings))
        return {k: own[k] for k in self.keys if k in own}, {k: effect[k] for k in self.keys if k in effect}

    def facts(self) -> dict[str, Any]:
        return {
            "family": "image",
            "split": self.split,
            "n": len(self.context.data.rows(self.split)),
            "threshold": {"value": self.threshold, "of": "debiased"},
            "confidence": self.metrics["confidence"],
            "n_bootstrap": self.metrics["n_bootstrap"],
            "figures": self.keys,
        }


def open_part_judge(path: Path, split: str, sentences: int) -> tuple[Any, Any, PartJudge]:
    """The two models of a run, and what judges others made from them, opened as the run was.

    Args:
        path: the run folder.
        split: rows of an image run.
        sentences: held-out sentences of each kind for an encoder, at most.
    Raises:
        CheckpointError: the run has no two models.
        ConfigError: its configuration is gone.
    """
    if not (path / "config.yaml").is_file():
        raise ConfigError(f"{path} holds no config.yaml: give the folder of a finished run")
    config: DictConfig = OmegaConf.load(path / "config.yaml")  # type: ignore[assignment]
    require_no_interpolation(config, str(path / "config.yaml"))
    require_known_targets(config.trainer, None, str(path / "config.yaml"))  # all of it that is built here
    config.logger = config.callbacks = None
    base, debiased = load_pair(path)
    if base is None or debiased is None:
        raise CheckpointError(f"{path} doesn't give two models (base and debiased): the parts of a change need both")
    setup.set_threads(config.threads, sweep=False)
    config.progress = False  # one bar over all models stands for the bars of each
    if is_text(path):
        from biasmask.pipeline.text_part_judge import open_text_judge

        return base, debiased, open_text_judge(config, path, base, debiased, sentences)
    about = load_model(path / "checkpoints" / "debiased.ckpt")[1]
    config.split = split
    require_stored_sources(about["data"], None, str(path))
    context = open_context(config, OmegaConf.create(about["data"]), setup.attribute_names(about["attribute"]), debiased)
    return base, debiased, ImageJudge(debiased, context, split, threshold_of(about, "debiased"), about["metrics"])
