"""Judging text encoders: association tests by two poolings, other bias benchmarks, and what debiasing cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from biasmask.data.seat import SeatTest, seat_tests
from biasmask.files import write_atomically
from biasmask.metrics.association import association
from biasmask.metrics.effect_interval import (
    effect_size_difference,
    effect_size_interval,
    mean_abs_effect_size,
    mean_effect_size_difference,
    mean_lean,
)
from biasmask.metrics.measurement import Measurement
from biasmask.metrics.permutation import permutation_p_value
from biasmask.metrics.probe import ProbeResult, cosine_to_original, linear_probe_accuracy, probe_difference
from biasmask.models.text_encoder import embed_texts
from biasmask.pipeline.setup import progress_bar
from biasmask.pipeline.store import ArtefactStore, hash_of
from biasmask.pipeline.text_benchmarks import Benchmarks, Findings
from biasmask.pipeline.text_probe import ProbeTexts, probe_texts
from biasmask.pipeline.text_state import TextState
from biasmask.pipeline.text_tasks import TaskResult, TextTasks

POOLINGS = ("mean", "cls")
Embeddings = dict[str, Tensor]
Entry = dict[str, Any]


@dataclass(frozen=True)
class JudgedText:
    """What was found out about one model.

    Args:
        associations: pooling -> test -> (s_x, s_y).
        probe_embeddings: pooling -> (n, D), of the probe's texts.
        probe: of the probe on mean-pooled embeddings; None without a table.
        benchmarks: what the other benchmarks found.
        tasks: key of metrics.json -> what a further probe found.
    """

    associations: dict[str, dict[str, tuple[Tensor, Tensor]]]
    probe_embeddings: Embeddings
    probe: ProbeResult | None
    benchmarks: Findings
    tasks: dict[str, TaskResult]


class TextJudge:
    """Judges the models of one run by the same texts.

    Args:
        settings: the `metrics` node of a text run.
        attribute: name of the attribute, the last part of the keys.
        device: where the models run.
        store: where embeddings of the original are kept, for the other runs of a sweep.
        progress: whether to draw bars.
    """

    def __init__(self, settings: dict[str, Any], attribute: str, device: torch.device, store: ArtefactStore, progress: bool):
        self.settings, self.attribute, self.device, self.store, self.progress = settings, attribute, device, store, progress
        self.tests: dict[str, SeatTest] = seat_tests(tuple(settings["seat_tests"]), existing(settings["seat_folder"]))
        self.probe: ProbeTexts = probe_texts(existing(settings["probe_table"]), settings["probe_rows"], settings["seed"])
        self.draws = {"n_draws": settings["n_bootstrap"], "confidence": settings["confidence"], "seed": settings["seed"]}
        self.tasks = TextTasks(settings, self.draws)
        folder = settings["benchmark_folder"] if settings["benchmarks"] else None
        self.benchmarks = Benchmarks(settings["benchmark_rows"], self.draws, device, progress, folder)

    def judge(self, state: TextState, label: str, keep: bool = False) -> JudgedText:
        """All that is measured on one model.

        Args:
            label: of the progress bars.
            keep: whether its embeddings go into the store.
        """
        texts = sorted({text for test in self.tests.values() for part in (test.x, test.y, test.a, test.b) for text in part})
        place = {text: i for i, text in enumerate(texts)}
        found = self.embeddings(state, texts, f"{label}: SEAT", keep)
        associations: dict[str, dict[str, tuple[Tensor, Tensor]]] = {pooling: {} for pooling in POOLINGS}
        for pooling in POOLINGS:
            for name, test in self.tests.items():
                x, y, a, b = (found[pooling][[place[t] for t in part]] for part in (test.x, test.y, test.a, test.b))
                associations[pooling][name] = association(x, a, b), association(y, a, b)
        embeddings = self.embeddings(state, self.probe.texts, f"{label}: probe", keep)
        return JudgedText(
            associations,
            embeddings,
            self.probe_result(embeddings["mean"]),
            self.benchmarks.measure(state, self.attribute, self.probe.texts) if self.settings["benchmarks"] else Findings(),
            self.tasks.judge(lambda texts, name: self.embeddings(state, texts, f"{label}: {name}", keep)["mean"]),
        )

    def probe_result(self, embeddings: Tensor) -> ProbeResult | None:
        """A probe trained on one half of the rows, tested on the other."""
        train, test, target = self.probe.train, self.probe.test, torch.as_tensor(self.probe.target)
        if not len(test):
            return None
        return linear_probe_accuracy(embeddings[train], target[train], embeddings[test], target[test], **self.draws)

    def embeddings(self, state: TextState, texts: Any, label: str, keep: bool) -> Embeddings:
        """Sentence embeddings, from the store where they are kept."""

        def make(folder: Path | None) -> Embeddings:
            with progress_bar(label, self.progress) as update:
                found = embed_texts(
                    state.network(), state.tokenizer, texts, device=self.device, progress=update, projection=state.projection
                )
            if folder is not None:
                write_atomically(folder / "embeddings.safetensors", save(found))
            return found

        if not keep:
            return make(None)
        inputs = {
            "model": state.key,
            "texts": hash_of(list(texts)),
            "device": self.device.type,
            "threads": torch.get_num_threads(),
        }
        folder, _ = self.store.obtain("embeddings", hash_of(inputs), lambda folder: make(folder), inputs)  # type: ignore[arg-type, return-value]
        return load_file(folder / "embeddings.safetensors")

    # --- metrics.json ---

    def compare(self, models: Mapping[str, JudgedText]) -> dict[str, Any]:
        """All figures of one or two models, in the form of metrics.json."""
        content: dict[str, Any] = {
            "schema": 1,
            "confidence": self.settings["confidence"],
            "n_bootstrap": self.settings["n_bootstrap"],
            "models": {name: self.figures(judged) for name, judged in models.items()},
            "difference": {},
        }
        if set(models) == {"base", "debiased"}:
            base, debiased = models["base"], models["debiased"]
            for pooling in POOLINGS:
                cosine = cosine_to_original(base.probe_embeddings[pooling], debiased.probe_embeddings[pooling], **self.draws)
                content["models"]["debiased"][f"cost/cosine_{pooling}"] = entry(cosine)
            content["difference"] = {key: entry(value) for key, value in self.differences(base, debiased).items()}
        return content

    def figures(self, judged: JudgedText) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for pooling in POOLINGS:
            tests = judged.associations[pooling]
            for name, (s_x, s_y) in tests.items():
                p = permutation_p_value(s_x, s_y, self.settings["n_draws"], self.settings["seed"])
                key = f"seat{name}_{pooling}/effect_size/{self.attribute}"
                found[key] = entry(effect_size_interval(s_x, s_y, **self.draws))
                found[key] |= {"p_value": none_if_nan(p.value), "exact": p.exact}
                found[f"lean_{pooling}/seat{name}/{self.attribute}"] = entry(mean_lean({name: (s_x, s_y)}, **self.draws))
            found[f"seat_{pooling}/mean_abs_effect_size/{self.attribute}"] = entry(mean_abs_effect_size(tests, **self.draws))
            found[f"lean_{pooling}/mean_abs_lean/{self.attribute}"] = entry(mean_lean(tests, **self.draws))
        if judged.probe is not None:
            found["probe/accuracy"] = entry(judged.probe.accuracy)
        found |= {key: entry(self.tasks.figure(result)) for key, result in judged.tasks.items()}
        return {**found, **{key: entry(value) for key, value in judged.benchmarks.figures.items()}}

    def differences(self, base: JudgedText, debiased: JudgedText) -> dict[str, Measurement]:
        found: dict[str, Measurement] = {}
        for pooling in POOLINGS:
            before, after = base.associations[pooling], debiased.associations[pooling]
            for name in before:
                key = f"seat{name}_{pooling}/effect_size/{self.attribute}"
                found[key] = effect_size_difference(before[name], after[name], **self.draws)
                lean = mean_lean({name: after[name]}, {name: before[name]}, **self.draws)
                found[f"lean_{pooling}/seat{name}/{self.attribute}"] = lean
            key = f"seat_{pooling}/mean_abs_effect_size/{self.attribute}"
            found[key] = mean_effect_size_difference(before, after, **self.draws)
            found[f"lean_{pooling}/mean_abs_lean/{self.attribute}"] = mean_lean(after, before, **self.draws)
        if base.probe is not None and debiased.probe is not None:
            found["probe/accuracy"] = probe_difference(base.probe, debiased.probe, **self.draws)
        found |= {key: self.tasks.difference(base.tasks[key], result) for key, result in debiased.tasks.items()}
        found |= debiased.benchmarks.differences(base.benchmarks, **self.draws)
        return found


def existing(path: str | None) -> Path | None:
    """A path that exists, or None: then what biasmask brings takes its place."""
    return Path(path) if path is not None and Path(path).exists() else None


def entry(value: Measurement) -> Entry:
    """A figure as metrics.json writes it."""
    return {
        "value": none_if_nan(value.value),
        "low": none_if_nan(value.low),
        "high": none_if_nan(value.high),
        "n": value.n,
        "reason": value.reason,
    }


def none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
