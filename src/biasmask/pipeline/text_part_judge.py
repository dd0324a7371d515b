"""The judge of encoders made from a run's two: losses on held-out sentences, and the association tests."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from biasmask.errors import ConfigError
from biasmask.metrics.association import association
from biasmask.metrics.effect_interval import mean_abs_effect_size, mean_effect_size_difference, mean_lean
from biasmask.pipeline.part_effect import Figures, Weights
from biasmask.pipeline.text_data import open_sentences
from biasmask.pipeline.text_held_out import held_out_figures
from biasmask.pipeline.text_judging import TextJudge, entry
from biasmask.pipeline.text_run import TextRun
from biasmask.pipeline.text_stages import Sentences, TextContext
from biasmask.pipeline.text_state import TextState

Associations = dict[str, tuple[Tensor, Tensor]]


@dataclass
class EncoderJudge:
    """Debias loss and distance of the held-out sentences; mean |d| and mean |lean| over the association tests, by one pooling."""

    state: TextState
    context: TextContext
    judge: TextJudge
    losses: dict[str, Any]
    pooling: str
    base: Figures = field(default_factory=dict, repr=False)  # held-out losses of the base model, the first that is judged
    base_tests: Associations = field(default_factory=dict, repr=False)

    @property
    def seat(self) -> str:
        return f"seat_{self.pooling}/mean_abs_effect_size/{self.judge.attribute}"

    @property
    def lean(self) -> str:
        return f"lean_{self.pooling}/mean_abs_lean/{self.judge.attribute}"

    def figures(self, weights: Weights, label: str, intervals: bool) -> tuple[Figures, Figures]:
        model = replace(self.state, weights=weights)
        own = {key: entry(value) for key, value in held_out_figures(model, self.context, self.losses).items()}
        tests = self.associations(model, label)
        if not self.base:
            self.base, self.base_tests = own, tests
        effect = {key: difference(value, self.base[key]) for key, value in own.items()}
        draws = self.judge.draws if intervals else {**self.judge.draws, "n_draws": 0}
        effect[self.seat] = entry(mean_effect_size_difference(self.base_tests, tests, **draws))
        effect[self.lean] = entry(mean_lean(tests, self.base_tests, **draws))
        if intervals:
            own[self.seat] = entry(mean_abs_effect_size(tests, **draws))
            own[self.lean] = entry(mean_lean(tests, **draws))
        return own, effect

    def associations(self, model: TextState, label: str) -> Associations:
        """Each association test -> (s_x, s_y)."""
        tests = self.judge.tests
        texts = sorted({text for test in tests.values() for part in (test.x, test.y, test.a, test.b) for text in part})
        place = {text: i for i, text in enumerate(texts)}
        found = self.judge.embeddings(model, texts, label, keep=False)[self.pooling]
        made = {}
        for name, test in tests.items():
            x, y, a, b = (found[[place[text] for text in part]] for part in (test.x, test.y, test.a, test.b))
            made[name] = association(x, a, b), association(y, a, b)
        return made

    def facts(self) -> dict[str, Any]:
        return {
            "family": "text",
            "split": "held_out",
            "n": len(self.context.sentences.rows("held_out")),
            "threshold": None,
            "confidence": self.judge.settings["confidence"],
            "n_bootstrap": self.judge.settings["n_bootstrap"],
            "figures": ["held_out/debias_loss", "held_out/distance", self.seat, self.lean],
        }


def difference(value: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """A loss minus that of the base model; a mean over all sentences has no interval.

    >>> difference({"value": 1.0, "n": 5}, {"value": 4.0, "n": 5})["value"]
    -3.0
    """
    known = value["value"] is not None and base["value"] is not None
    reason = None if known else "undefined for one of the two models"
    return {
        **{"value": value["value"] - base["value"] if known else None, "low": None, "high": None},
        **{"n": value["n"], "reason": reason},
    }


def thinned(sentences: Sentences, most: int) -> Sentences:
    """The same sentences with at most so many held-out ones of each kind, evenly spaced."""
    held_out = {
        kind: rows[np.linspace(0, len(rows) - 1, most).astype(int)] if len(rows) > most else rows
        for kind, rows in sentences.parts["held_out"].items()
    }
    return replace(sentences, parts={**sentences.parts, "held_out": held_out})


def open_text_judge(config: DictConfig, path: Path, base: TextState, debiased: TextState, most: int) -> EncoderJudge:
    """The judge of a text run's encoders, from the run's configuration.

    Args:
        most: held-out sentences of each kind to look at.
    Raises:
        ConfigError: the run has no losses to judge by.
        DataError: its sentences are gone.
    """
    run = TextRun(config, path)
    losses = run.judged_by()
    if not losses:
        raise ConfigError(f"{path}: the run's method has no debias loss, which its parts would be judged by")
    cache = Path(config.paths.cache_dir) / "sentences"
    sentences, _ = open_sentences(config.data, config.attribute, base, cache, False)
    context = run.context(thinned(sentences, most), base)
    settings: dict[str, Any] = OmegaConf.to_container(config.metrics, resolve=True)  # type: ignore[assignment]
    device = context.single_trainer("judge").strategy.root_device
    judge = TextJudge({**settings, "benchmarks": False, "probes": []}, sentences.attribute, device, context.store, False)
    return EncoderJudge(debiased, context, judge, losses, settings["pooling"])
