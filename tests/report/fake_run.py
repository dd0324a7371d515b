"""Writes a realistic run folder from drawn scores: real metrics and intervals, no training.

Two attributes (`age` with two groups, `skin_tone` with three of which one has no positive), models base and debiased.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

AGE = ("below_60", "60_and_over")
SKIN = ("I-II", "III-IV", "V-VI")
RATES = ("tpr", "fpr", "ppv", "auroc", "ece", "mean_score")
CONFIG = "data:\n  name: ham10000\nattribute: age\ndebias:\n  method: bmft\n  edit_fraction: 0.5\nseed: 1\n"

Arrays = dict[str, np.ndarray]


def write_fake_run(
    folder: Path, test_sets: tuple[str, ...] = ("test",), hostile: bool = False, collapsed: bool = False, n: int = 900
) -> Path:
    """Write every file of a finished run; `hostile` puts markup into all names."""
    names = {"age": AGE, "skin_tone": SKIN}
    if hostile:
        names = {"age": ("<script>alert(1)</script>", '"><img src=x>'), "skin_tone": ("[red]a/b=c", "{{ 7 }}", "&amp;")}
    predictions = folder / "predictions"
    predictions.mkdir(parents=True)
    metrics: dict = {
        "schema": 1,
        "threshold": {"base": 0.41, "debiased": 0.38, "rule": "balanced_accuracy", "split": "val"},
        "confidence": 0.95,
        "n_bootstrap": 60,
        "models": {"base": {}, "debiased": {}},
        "difference": {},
    }
    for place, test_set in enumerate(test_sets):
        rng = np.random.default_rng(place)
        samples = draw_samples(rng, n, collapsed)
        for model in ("base", "debiased"):
            frame = prediction_frame(samples, samples[model], names)
            frame.to_parquet(predictions / f"{model}_{test_set}.parquet", index=False)
        add_metrics(metrics, samples, names, test_set, rng)
    run = {
        "experiment": "bmft_ham10000", "method": "bmft", "dataset": "ham10000", "attribute": "age",
        "group_names": {name: list(groups) for name, groups in names.items()}, "class_names": ["benign", "malignant"],
        "backbone": "tf_efficientnet_lite0", "image_size": 96, "seed": 1, "verdict": "", "final": "debiased",
    }  # fmt: skip
    documents = {
        "metrics": metrics, "run": run, "mask": mask(hostile), "history": history(), "stages": stages(),
        "checker": checker(names),
    }  # fmt: skip
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    texts = {
        "config.yaml": CONFIG + ("note: <script>alert(2)</script>\n" if hostile else ""),
        "overrides.txt": "experiment=bmft_ham10000\nattribute=age\nseed=1\n",
        "command.txt": "python src/train.py experiment=bmft_ham10000 attribute=age seed=1\n",
        "environment.txt": "python 3.11\ntorch 2.14\ntimm 1.0\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def draw_samples(rng: np.random.Generator, n: int, collapsed: bool) -> Arrays:
    """Scores in which the base model leans on age: higher for the older, whatever the target."""
    age = rng.choice(2, n, p=[0.55, 0.45])
    age[rng.random(n) < 0.02] = -1
    skin = rng.choice(3, n, p=[0.7, 0.28, 0.02])
    target = (rng.random(n) < np.where(age == 1, 0.3, 0.15)).astype(np.int64)
    target[skin == 2] = 0
    signal = 2.4 * target - 1.4 + rng.normal(0, 1.1, n)
    base = signal + 1.1 * (age == 1)
    debiased = 0.9 * signal + 0.25 * (age == 1) + rng.normal(0, 0.25, n)
    if collapsed:
        debiased = -0.4 + rng.normal(0, 0.01, n)
    return {"age": age, "skin_tone": skin, "target": target, "base": base, "debiased": debiased}


def prediction_frame(samples: Arrays, logit: np.ndarray, names: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    rows = np.arange(len(logit))
    columns: dict = {
        "row": rows, "id": [f"img_{row:05d}" for row in rows], "score": sigmoid(logit), "logit": logit,
        "target": samples["target"],
    }  # fmt: skip
    for name, groups in names.items():
        columns[f"attribute:{name}"] = [None if index < 0 else groups[index] for index in samples[name]]
    return pd.DataFrame(columns)


def add_metrics(metrics: dict, samples: Arrays, names: dict, test_set: str, rng: np.random.Generator) -> None:
    """Figures of both models, percentile intervals from shared bootstrap draws, and their paired difference."""
    thresholds = [metrics["threshold"]["base"], metrics["threshold"]["debiased"]]
    n = len(samples["target"])
    draws: dict[str, list[list[float]]] = {}
    for draw in range(metrics["n_bootstrap"] + 1):
        rows = np.arange(n) if draw == 0 else rng.integers(0, n, n)
        for model, threshold in zip(("base", "debiased"), thresholds, strict=True):
            values = figures(samples, sigmoid(samples[model][rows]), rows, threshold, names, test_set)
            for key, (value, n_all, n_positive) in values.items():
                draws.setdefault(key, []).append([value, n_all, n_positive])
    for key, pairs in draws.items():
        table = np.array(pairs).reshape(-1, 2, 3)
        group = key.rpartition("=")[2]
        for place, model in enumerate(("base", "debiased")):
            first, boot = table[0, place], table[1:, place, 0]
            metrics["models"][model][key] = entry(first[0], boot, group) | {
                "n": int(first[1]), "n_positive": int(first[2])
            }  # fmt: skip
        difference = table[:, 1, 0] - table[:, 0, 0]
        metrics["difference"][key] = entry(difference[0], difference[1:], group)


def entry(value: float, boot: np.ndarray, group: str) -> dict:
    if np.isnan(value):
        return {"value": None, "low": None, "high": None, "reason": f"no positive sample in {group}"}
    low, high = np.nanpercentile(boot, [2.5, 97.5])
    return {"value": float(value), "low": float(low), "high": float(high), "reason": None}


def figures(
    samples: Arrays, score: np.ndarray, rows: np.ndarray, threshold: float, names: dict, test_set: str
) -> dict[str, tuple[float, int, int]]:
    target = samples["target"][rows]
    cell = rates(score, target, threshold)
    found = {
        f"{test_set}/{name}": (value, len(target), int(target.sum()))
        for name, value in (cell | overall(score, target, threshold)).items()
        if name not in ("tpr", "fpr", "ppv", "mean_score", "ppr")
    }
    for attribute, groups in names.items():
        index = samples[attribute][rows]
        cells = [rates(score[index == g], target[index == g], threshold) for g in range(len(groups))]
        for group, name in enumerate(groups):
            inside = target[index == group]
            for rate in RATES:
                key = f"{test_set}/{rate}/{attribute}={name}"
                found[key] = (cells[group][rate], len(inside), int(inside.sum()))
        gap = {rate: np.nanmax(v) - np.nanmin(v) for rate in cells[0] for v in [[c[rate] for c in cells]]}
        gaps = {
            "demographic_parity": gap["ppr"], "equal_opportunity": gap["tpr"], "fpr_gap": gap["fpr"],
            "equalized_odds_mean": (gap["tpr"] + gap["fpr"]) / 2, "equalized_odds_max": max(gap["tpr"], gap["fpr"]),
            "auroc_gap": gap["auroc"], "auroc_worst_group": np.nanmin([c["auroc"] for c in cells]),
        }  # fmt: skip
        known = index >= 0
        for name, value in gaps.items():
            found[f"{test_set}/{name}/{attribute}"] = (float(value), int(known.sum()), int(target[known].sum()))
    return found


def rates(score: np.ndarray, target: np.ndarray, threshold: float) -> dict[str, float]:
    said = score >= threshold
    positive, negative = target == 1, target == 0
    edges = np.clip((score * 10).astype(int), 0, 9)
    ece = sum(abs(score[edges == b].sum() - target[edges == b].sum()) for b in range(10)) / max(len(score), 1)
    return {
        "tpr": mean(said[positive]), "fpr": mean(said[negative]), "ppr": mean(said), "ppv": mean(positive[said]),
        "auroc": auroc(score, target), "ece": float(ece), "mean_score": mean(score),
    }  # fmt: skip


def overall(score: np.ndarray, target: np.ndarray, threshold: float) -> dict[str, float]:
    said = score >= threshold
    sensitivity, false_alarms = mean(said[target == 1]), mean(said[target == 0])
    hits = int((said & (target == 1)).sum())
    return {
        "accuracy": mean(said == (target == 1)), "balanced_accuracy": (sensitivity + 1 - false_alarms) / 2,
        "f1": 2 * hits / max(int(said.sum() + target.sum()), 1), "brier": mean((score - target) ** 2),
    }  # fmt: skip


def auroc(score: np.ndarray, target: np.ndarray) -> float:
    positive = int(target.sum())
    negative = len(target) - positive
    if positive == 0 or negative == 0:
        return float("nan")
    rank = np.empty(len(score))
    rank[np.argsort(score, kind="stable")] = np.arange(1, len(score) + 1)
    return float((rank[target == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def mask(hostile: bool) -> dict:
    """A mask over 69 tensors of an inverted-residual net, denser in the middle blocks."""
    rng = np.random.default_rng(5)
    shapes = [("conv_stem.weight", [32, 3, 3, 3]), ("bn1.weight", [32]), ("bn1.bias", [32])]
    width = 32
    for block in range(7):
        out = 16 * (block + 1)
        for name, shape in (
            ("conv_dw.weight", [width, 1, 3, 3]), ("bn1.weight", [width]), ("bn1.bias", [width]),
            ("conv_pw.weight", [out, width, 1, 1]), ("bn2.weight", [out]), ("bn2.bias", [out]),
            ("conv_pwl.weight", [out, out, 1, 1]), ("bn3.weight", [out]), ("bn3.bias", [out]),
        ):  # fmt: skip
            shapes.append((f"blocks.{block}.0.{name}", shape))
        width = out
    shapes += [("conv_head.weight", [1280, width, 1, 1]), ("bn2.weight", [1280]), ("bn2.bias", [1280])]
    if hostile:
        shapes[0] = ("</svg><script>alert(3)</script>", [32, 3, 3, 3])
    tensors = []
    for place, (name, shape) in enumerate(shapes):
        parameters = int(np.prod(shape))
        hump = 0.35 + 0.4 * np.exp(-(((place - 30) / 14) ** 2))
        selected = int(rng.binomial(parameters, float(np.clip(hump + rng.normal(0, 0.08), 0.02, 0.98))))
        tensors.append(
            {"name": name, "shape": shape, "parameters": parameters, "selected": selected,
             "density": selected / parameters}
        )  # fmt: skip
    total, selected = (sum(tensor[name] for tensor in tensors) for name in ("parameters", "selected"))
    return {
        "kind": "hard", "source": "ratio", "edit_fraction": 0.5, "granularity": "weight", "selected": selected,
        "parameters": total, "threshold": 1.2,
        "importance": {"kind": "squared_gradient", "batch_size": 64, "per_sample": False, "bias_loss": "equalized_odds",
                       "task_loss": "class_balanced_bce", "split": "debias", "n": 1200, "batches": 19,
                       "batches_without_bias_loss": 0},
        "tensors": tensors, "source_checkpoint": "9f2c" * 16,
    }  # fmt: skip


def history() -> list[dict]:
    rng = np.random.default_rng(3)
    rows = []
    for stage, epochs, start in (("baseline", 12, 0.7), ("impair", 10, 0.3), ("repair", 10, 0.6)):
        for epoch in range(epochs):
            for split, lift in (("train", 0.0), ("val", 0.05)):
                loss = start * (0.4 + 0.6 * 0.8**epoch) + lift + rng.normal(0, 0.01)
                rows.append({"stage": stage, "epoch": epoch, "split": split, "metric": "loss", "value": float(loss)})
            value = 0.87 - 0.25 * 0.7**epoch + rng.normal(0, 0.006)
            rows.append({"stage": stage, "epoch": epoch, "split": "val", "metric": "auroc", "value": float(value)})
    rows[5]["value"] = None
    return rows


def stages() -> list[dict]:
    blank = {"edited": None, "parameters": None, "largest_change": None, "changed_outside": None, "notes": []}
    return [
        {"stage": "baseline", "label": "Train the base model", "seconds": 412.7, "reused": True, "epochs": 12} | blank,
        {"stage": "locate", "label": "Find the parameters that carry the bias", "seconds": 31.2, "reused": False,
         "epochs": None} | blank,
        {"stage": "impair", "label": "Edit them", "seconds": 88.4, "reused": False, "epochs": 10, "edited": 142_310,
         "parameters": 289_000, "largest_change": 0.0137, "changed_outside": 0, "notes": ["stopped early at epoch 7"]},
        {"stage": "repair", "label": "Train the head anew", "seconds": 12.9, "reused": False, "epochs": 10,
         "edited": 1281, "parameters": 1281, "largest_change": 0.41, "changed_outside": 0, "notes": []},
    ]  # fmt: skip


def checker(names: dict[str, tuple[str, ...]]) -> dict:
    rng = np.random.default_rng(7)
    splits = (("train", 5000), ("debias", 1200), ("val", 900), ("test", 1500))
    counts = {
        split: {
            attribute: {
                group: {"benign": int(rng.integers(20, size)), "malignant": int(rng.integers(2, size // 4))}
                for group in (*groups, "(missing)")
            }
            for attribute, groups in names.items()
        }
        for split, size in splits
    }
    empty = names["skin_tone"][2]
    counts["test"]["skin_tone"][empty]["malignant"] = 0
    warning = f"test: skin_tone={empty} has 0 rows with target 'malignant' (fewer than 10): its rates are undefined"
    nothing = {"count": 0, "examples": []}
    return {
        "table": "ham10000", "rows": 8600, "class_names": ["benign", "malignant"],
        "splits": {split: {"rows": size, "subjects": size, "target": {}} for split, size in splits},
        "counts": counts, "missing_attributes": {"age": {"empty": 57}, "skin_tone": {"empty": 3, "value -1": 12}},
        "exclusions": [{"reason": "image file not found", "count": 3, "examples": ["ISIC_1", "ISIC_2", "ISIC_3"]}],
        "missing_images": {"count": 3, "examples": ["ISIC_1", "ISIC_2", "ISIC_3"]},
        "unreadable": {"count": 1, "reasons": {"truncated": 1}, "examples": ["ISIC_9: truncated"]},
        "duplicate_rows": nothing | {"with_two_targets": 0}, "duplicate_files": nothing,
        "subjects_in_two_splits": nothing, "minimum_cell": 10,
        "small_cells": [{"split": "test", "attribute": "skin_tone", "group": empty, "target": "malignant", "count": 0}],
        "warnings": [warning], "errors": [],
    }  # fmt: skip
