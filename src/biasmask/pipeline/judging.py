"""Judging a model: predictions on the splits, a threshold frozen on the validation split, figures with intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from biasmask.data.image_data import ImageData
from biasmask.metrics.collapse import collapse_report
from biasmask.metrics.evaluation import MetricValue, compare_predictions, evaluate_predictions, to_json
from biasmask.metrics.levelling import levelling_down
from biasmask.metrics.threshold import select_threshold
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.predictions import predict_logits, predictions_frame


@dataclass(frozen=True)
class Judged:
    """A model's predictions by split, and its threshold."""

    frames: dict[str, pd.DataFrame]
    threshold: float


def judge(
    state: ModelState, context: Context, splits: list[str], label: str, rule: str, threshold: float | None = None
) -> Judged:
    """Predict the splits; choose the threshold on `val` unless one is given (a frozen one)."""
    frames = {}
    for split in splits:
        rows = context.data.rows(split)
        logits = predict_logits(state, context, rows, f"{label} {split}")
        frames[split] = predictions_frame(context.data, rows, logits)
    if threshold is None:
        val = frames["val"]
        threshold = select_threshold(_tensor(val["score"]), torch.as_tensor(val["target"].to_numpy()), rule)
    return Judged(frames, float(threshold))


def _tensor(column: pd.Series) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(column.to_numpy(), dtype=np.float64))


def compare(
    models: dict[str, Judged], data: ImageData, splits: list[str], metrics: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, MetricValue]]:
    """All figures of one or two models on the given test splits, in the form of metrics.json.

    Returns:
        The content of metrics.json, and the paired differences (empty for one model).
    """
    groups = {name: attribute.group_names for name, attribute in data.attributes.items()}
    settings = {"n_bootstrap": metrics["n_bootstrap"], "confidence": metrics["confidence"], "seed": metrics["seed"]}
    content: dict[str, Any] = {
        "schema": 1,
        "threshold": {
            **{name: judged.threshold for name, judged in models.items()},
            "rule": metrics["threshold_rule"],
            "split": "val",
        },
        "confidence": metrics["confidence"],
        "n_bootstrap": metrics["n_bootstrap"],
        "models": {},
        "difference": {},
    }
    differences: dict[str, MetricValue] = {}
    for name, judged in models.items():
        values: dict[str, MetricValue] = {}
        for split in splits:
            values |= evaluate_predictions(judged.frames[split], groups, judged.threshold, split, **settings)
        content["models"][name] = to_json(values)
    if set(models) == {"base", "debiased"}:
        base, debiased = models["base"], models["debiased"]
        for split in splits:
            differences |= compare_predictions(
                base.frames[split],
                debiased.frames[split],
                groups,
                (base.threshold, debiased.threshold),
                split=split,
                **settings,
            )
        content["difference"] = to_json(differences)
        content["levelling_down"] = [entry._asdict() for entry in levelling_down(differences)]
    return content, differences


def collapse_of(base: Judged, debiased: Judged, split: str = "val") -> tuple[bool, str]:
    """Whether debiasing bought its fairness with a model that no longer tells anything, judged on validation rows."""
    before, after = base.frames[split], debiased.frames[split]
    return collapse_report(_tensor(after["score"]), _tensor(before["score"]), torch.as_tensor(after["target"].to_numpy()))
