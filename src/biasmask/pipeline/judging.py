"""Judging a model: predictions on the splits, a threshold frozen on the validation split, figures with intervals."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from biasmask.data.image_data import ImageData
from biasmask.metrics.collapse import collapse_report
from biasmask.metrics.evaluation import MetricValue, compare_predictions, evaluate_predictions, to_json
from biasmask.metrics.levelling import levelling_down
from biasmask.metrics.threshold import select_threshold, select_thresholds
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.decisions import decided
from biasmask.pipeline.predictions import predict_logits, predictions_frame, scores_in

Threshold = float | dict[str, float]


@dataclass(frozen=True)
class Judged:
    """A model's predictions by split, and its threshold; with more than two classes one a class."""

    frames: dict[str, pd.DataFrame]
    threshold: Threshold


def judge(
    state: ModelState, context: Context, splits: list[str], label: str, rule: str, threshold: Threshold | None = None
) -> Judged:
    """Predict the splits; choose the threshold on `val` unless one is given (a frozen one)."""
    frames = {}
    for split in splits:
        rows = context.data.rows(split)
        logits = predict_logits(state, context, rows, f"{label} {split}")
        frames[split] = predictions_frame(context.data, rows, logits)
        if state.decision:
            scores = frames[split]["score"].to_numpy()
            frames[split]["prediction"] = decided(state.decision, context.data, rows, scores)
    if threshold is None:
        threshold = choose_threshold(frames["val"], context.data.table.class_names, rule)
    return Judged(frames, threshold)


def choose_threshold(frame: pd.DataFrame, class_names: tuple[str, ...], rule: str) -> Threshold:
    """The threshold of a predictions frame of the validation split by a rule, with more than two classes one a class.

    A class without a row there has no best threshold: it gets 1 / C, the score of a model that knows nothing.
    """
    scores, target = scores_in(frame), torch.as_tensor(frame["target"].to_numpy())
    if scores.ndim == 1:
        return select_threshold(scores, target, rule)
    return dict(zip(class_names, select_thresholds(scores, target, rule), strict=True))


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
        content["levelling_down"] = levelled(differences)
    return content, differences


def levelled(differences: dict[str, MetricValue]) -> list[dict[str, str]]:
    """The groups that got worse, for each test set (with more than two classes for each class as well)."""
    by_split: dict[str, dict[str, MetricValue]] = {}
    for key, value in differences.items():
        by_split.setdefault(key.partition("/")[0], {})[key] = value
    return [{"split": split, **entry._asdict()} for split, own in by_split.items() for entry in levelling_down(own)]


def collapse_of(base: Judged, debiased: Judged, split: str = "val") -> tuple[bool, str]:
    """Whether debiasing bought its fairness with a model that no longer tells anything, judged on validation rows."""
    before, after = base.frames[split], debiased.frames[split]
    return collapse_report(scores_in(after), scores_in(before), torch.as_tensor(after["target"].to_numpy()))
