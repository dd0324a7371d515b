"""Writes the run folders of a sweep from drawn scores: real figures of the metrics room, no training."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from biasmask.metrics.evaluation import compare_predictions, evaluate_predictions, to_json

GROUPS = {"age": ("below_60", "60_and_over"), "sex": ("female", "male")}
LABELS = {"bmft": "BMFT", "full_ft": "full fine-tuning", "random_mask": "random mask"}
LEAN = {"base": 1.6, "bmft": 0.2, "full_ft": 0.5, "random_mask": 1.4}  # how much a model's scores lean on age
SIGNAL = {"base": 1.0, "bmft": 1.1, "full_ft": 1.5, "random_mask": 0.9}
EDITED = {"bmft": (3000, 1281), "full_ft": (99_000, 0), "random_mask": (2900, 1281)}
CLASSES = ("mel", "nv", "bkl")


def write_sweep(
    folder: Path, methods: Sequence[str] = ("full_ft", "bmft", "random_mask"), seeds: Sequence[int] = (1, 2, 3), **more: Any
) -> Path:
    """Write a run folder for each method and seed, numbered as Hydra does."""
    for number, (method, seed) in enumerate((method, seed) for method in methods for seed in seeds):
        write_run(folder / str(number), method, seed, **more)
    return folder


def write_run(
    folder: Path,
    method: str = "bmft",
    seed: int = 1,
    split_seed: int = 0,
    overrides: dict[str, Any] | None = None,
    collapsed: bool = False,
    test_sets: Sequence[str] = ("test",),
    lean: float | None = None,
    classes: Sequence[str] = ("benign", "malignant"),
    done: int | None = 10,
    **about: Any,
) -> Path:
    """Write what a finished run leaves.

    `overrides` are dotted keys that were typed, `done` the epochs of each stage (10 are configured; None = it counts none), and
    `about` goes into run.json.
    """
    predictions = folder / "predictions"
    predictions.mkdir(parents=True)
    frames = {
        (model, split): frame(model, split, seed, collapsed and model != "base", lean, classes)
        for model in ("base", method) for split in ("val", *test_sets)
    }  # fmt: skip
    threshold: Any = 0.5 if len(classes) == 2 else dict.fromkeys(classes, 0.4)
    metrics: dict[str, Any] = {
        "schema": 1, "threshold": {"base": threshold, "debiased": threshold, "rule": "balanced_accuracy", "split": "val"},
        "confidence": 0.95, "n_bootstrap": 60, "models": {"base": {}, "debiased": {}}, "difference": {},
        "levelling_down": [{"attribute": "age", "group": "below_60", "metric": "tpr"}] if method == "full_ft" else [],
    }  # fmt: skip
    for split in test_sets:
        before, after, change = figures(method, split, seed, collapsed, lean, tuple(classes))
        metrics["models"]["base"] |= before
        metrics["models"]["debiased"] |= after
        metrics["difference"] |= change
    for (model, split), own in frames.items():
        own.to_parquet(predictions / f"{'base' if model == 'base' else 'debiased'}_{split}.parquet", index=False)
    run = {
        "experiment": "rivals", "method": method, "label": LABELS.get(method, method), "dataset": "ham10000", "attribute": "age",
        "group_names": {name: list(groups) for name, groups in GROUPS.items()}, "class_names": list(classes),
        "backbone": "test_resnet", "image_size": 64, "seed": seed, "final": "debiased",
        "collapsed": "collapsed: score spread fell from 0.3 to 0.01" if collapsed else None, **about,
    }  # fmt: skip
    nothing = {"edited": None, "parameters": None}
    stages = [
        {"stage": "baseline", "label": "baseline", "seconds": 400.0, "reused": True, "epochs": 5, **nothing},
        *(
            {"stage": f"step{place}", "label": "step", "seconds": 10.0 * place, "reused": place == 1, "epochs": done,
             "edited": edited, "parameters": 100_000}
            for place, edited in enumerate(EDITED.get(method, (5, 5)), start=1)
        ),
    ]  # fmt: skip
    for name, document in {"metrics": metrics, "run": run, "stages": stages}.items():
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    lengths = {f"debias.{stage['stage']}.epochs": 10 for stage in stages[1:] if done is not None}
    write_settings(folder, method, seed, split_seed, overrides or {}, lengths)
    (folder / "report.html").write_text("<title>run</title>", encoding="utf-8")
    return folder


@cache
def figures(
    method: str, split: str, seed: int, collapsed: bool, lean: float | None, classes: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Figures of the base model and of the debiased one, and their differences; sweeps of the tests repeat the same runs."""
    threshold: Any = 0.5 if len(classes) == 2 else dict.fromkeys(classes, 0.4)
    pair = frame("base", split, seed, False, lean, classes), frame(method, split, seed, collapsed, lean, classes)
    before, after = (to_json(evaluate_predictions(own, GROUPS, threshold, split, n_bootstrap=0)) for own in pair)
    return before, after, to_json(compare_predictions(*pair, GROUPS, (threshold, threshold), split, n_bootstrap=0))


def write_settings(
    folder: Path, method: str, seed: int, split_seed: int, overrides: dict[str, Any], lengths: dict[str, int]
) -> None:
    config: dict[str, Any] = {
        "seed": seed, "data": {"name": "ham10000", "split_seed": split_seed}, "paths": {"log_dir": "/home/me/logs"},
        "debias": {"name": method, "edit_fraction": 0.01},
    }  # fmt: skip
    for key, value in {**lengths, **overrides}.items():
        node = config
        for part in key.split(".")[:-1]:
            node = node.setdefault(part, {})
        node[key.split(".")[-1]] = value
    typed = {"debias": method, "seed": seed, **overrides}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "overrides.txt").write_text("\n".join(f"{key}={value}" for key, value in typed.items()) + "\n", encoding="utf-8")


def frame(
    model: str, split: str, seed: int, collapsed: bool, lean: float | None, classes: Sequence[str], n: int = 160
) -> pd.DataFrame:
    """Predictions: the same rows, targets and groups for every model and seed, scores of their own."""
    rows = np.random.default_rng(len(split))
    age, sex = rows.integers(0, 2, n), rows.integers(0, 2, n)
    target = (rows.random(n) < 0.4).astype(np.int64) if len(classes) == 2 else rows.integers(0, len(classes), n)
    luck = rows.normal(0, 1, (n, len(classes)))
    own = np.random.default_rng([seed, *model.encode(), *split.encode()])
    strength = LEAN.get(model, 1.0) if lean is None or model == "base" else lean
    truth = np.eye(len(classes))[target]
    logits = SIGNAL.get(model, 1.0) * 2 * truth + luck + own.normal(0, 0.4, luck.shape)
    logits[:, -1] += strength * (age - 0.5)
    if collapsed:
        logits = own.normal(0, 0.01, luck.shape)
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    binary = {"score": scores[:, 1], "logit": logits[:, 1] - logits[:, 0]}
    columns = binary if len(classes) == 2 else {f"score:{name}": scores[:, place] for place, name in enumerate(classes)}
    groups = {f"attribute:{a}": np.array(GROUPS[a])[i] for a, i in (("age", age), ("sex", sex))}
    ids = [f"patient_{row}" for row in range(n)]
    return pd.DataFrame({"row": np.arange(n), "id": ids, **columns, "target": target, **groups})
