"""Writes the content of a comparison (compare.json) from drawn figures: no runs.

Six methods and the base model over three seeds: one method of a long name, one that collapsed, one with a single run, and
an undefined figure of a group without positives. Two test sets, the second with three classes; budget curves; a choice among
candidates.
"""

from typing import Any

import numpy as np

METHODS = (  # id, role, label, setting, gap, AUROC
    ("base", "base", "base model", "", 0.31, 0.86),
    ("bmft", "ours", "BMFT", "edit_fraction=0.01", 0.08, 0.87),
    ("last_layer", "rival", "last layer alone", "", 0.09, 0.85),
    ("full_ft", "rival", "full fine-tuning", "", 0.12, 0.88),
    ("random_mask", "control", "random mask", "", 0.27, 0.86),
    ("block[a]", "ours", "block pruning, frozen", "prune.optimizer.lr=0.1, embedding_layer=last, prune_block_size=32", 0.2, 0.84),
    ("published", "rival", "BMFT as published", "", 0.02, 0.52),
)
GROUPS = ("I-II", "III-IV", "V-VI")
SEEDS = (1, 2, 3)


def fake_sweep(hostile: bool = False, chance: bool = False) -> dict[str, Any]:
    """Content of compare.json; `hostile` puts markup into all names, `chance` makes all methods alike."""
    rng = np.random.default_rng(0)
    names = {"attribute": "skin", "groups": list(GROUPS), "label": None, "class": "mel"}
    if hostile:
        names = {
            "attribute": "<b>skin</b>",
            "groups": ["<script>alert(1)</script>", '"><img src=x>', "{{ 7 }}"],
            "label": "</svg><script>alert(2)</script>",
            "class": "<i>mel</i>",
        }
    rows = [row(method, names["label"]) for method in METHODS]
    tests = [test_set("test", None, names, rng, chance), test_set("other", None, names, rng, chance)]
    tests += [test_set("other", name, names, rng, chance) for name in (names["class"], "nv", "bcc")]
    comparison = {
        "id": "ham-skin", "title": "ham10000, skin, test_resnet", "family": "image", "dataset": "ham10000",
        "class_names": ["benign", "malignant"], "attributes": [names["attribute"]],
        "group_names": {names["attribute"]: names["groups"]}, "backbone": "test_resnet", "image_size": 64,
        "units": [{"seed": seed, "split_seed": 0} for seed in SEEDS], "reference": "full_ft",
        "notes": ["last layer alone: 1 of 3 runs"], "rows": rows, "test_sets": tests,
        "selection": [selection()], "curves": curves(),
    }  # fmt: skip
    return {
        "schema": 1, "made_by": "scripts/compare_runs.py", "confidence": 0.95, "n_bootstrap": 1000,
        "selection_rule": {"name": "smallest_gap", "settings": {"auroc_tolerance": 0.01}},
        "skipped": [{"folder": "9", "why": "no run.json: not finished"}], "notes": [], "comparisons": [comparison],
    }  # fmt: skip


def row(method: tuple[Any, ...], label: str | None) -> dict[str, Any]:
    id_, role, name, setting = method[:4]
    seeds = SEEDS[:1] if id_ == "last_layer" else SEEDS
    collapsed = id_ == "published"
    runs = [
        {"seed": seed, "split_seed": 0, "folder": f"{id_}-{seed}", "collapsed": collapsed,
         "collapse": "collapsed: AUROC fell" if collapsed else None, "seconds": 40.0 + seed,
         "reused": [], "levelling_down": seed % 2}
        for seed in seeds
    ]  # fmt: skip
    base = role == "base"
    return {
        "id": id_, "role": role, "method": id_, "label": label if label and id_ == "bmft" else name, "setting": setting,
        "runs": runs, "n_runs": len(seeds), "n_units": 3, "missing": [], "collapsed": 3 if collapsed else 0,
        "control": "random_mask" if id_ == "bmft" else None,
        "needs_attribute": False, "epochs": None if base else 20, "seconds": None if base else 41.5, "reused": False,
        "debias_share": 1.0, "edited": None if base else 34991.0, "parameters": 3366128,
        "levelling_down": [run["levelling_down"] for run in runs],
    }  # fmt: skip


def test_set(name: str, class_: str | None, names: dict[str, Any], rng: np.random.Generator, chance: bool) -> dict[str, Any]:
    key = name if class_ is None else f"{name}:{class_}"
    attribute = names["attribute"]
    gap, auroc = f"{key}/equalized_odds_mean/{attribute}", f"{key}/auroc"
    cells = [
        {"key": f"{key}/{metric}/{attribute}={group}", "metric": metric, "attribute": attribute, "group": group,
         "label": f"{metric}, {group}", "direction": -1 if metric == "fpr" else 1}
        for metric in ("tpr", "fpr", "auroc")
        for group in names["groups"]
    ]  # fmt: skip
    figures: dict[str, dict[str, Any]] = {}
    for id_, role, _, _, gap_mean, auroc_mean in METHODS:
        runs = 1 if id_ == "last_layer" else 3
        if chance:
            gap_mean = 0.3
        found = {gap: figure(gap_mean, 0.03, runs, rng), auroc: figure(auroc_mean, 0.01, runs, rng)}
        for cell in cells:
            empty = cell["metric"] != "fpr" and cell["group"] == names["groups"][2]
            value = {"tpr": 0.8, "fpr": 0.2, "auroc": auroc_mean}[cell["metric"]]
            found[cell["key"]] = undefined("no positive sample") if empty else figure(value, 0.05, runs, rng)
            found[cell["key"]] |= {"n": 7 if cell["group"] == names["groups"][2] else 400, "n_positive": 0 if empty else 3}
        if role != "base":
            add_differences(found[gap], gap_mean - (0.3 if chance else 0.31), 0.05, better=-1, reference=-0.19)
            add_differences(found[auroc], auroc_mean - 0.86, 0.02, better=1, reference=0.02)
        figures[id_] = found
    for found in figures["bmft"].values():
        found["vs_control"] = found["vs_reference"]
    return {
        "key": key, "name": name, "class": class_, "n": 1512, "n_positive": 307, "interval": "bootstrap",
        "gap": gap, "quality": auroc,
        "metrics": [{"key": auroc, "label": "AUROC", "brief": "AUROC", "direction": 1},
                    {"key": gap, "label": "Equalized-odds gap (mean)", "brief": "EO gap", "direction": -1}],
        "group_metrics": cells,
        "order": ["base", "bmft", "last_layer", "full_ft", "block[a]", "random_mask", "published"],
        "dominated": ["random_mask", "block[a]", "last_layer"], "front": ["bmft", "full_ft"], "figures": figures,
    }  # fmt: skip


def figure(mean: float, half: float, runs: int, rng: np.random.Generator) -> dict[str, Any]:
    values = (mean + rng.normal(0, half / 3, runs)).tolist()
    return {"mean": mean, "spread": None if runs == 1 else half / 3, "low": mean - half, "high": mean + half, "n_runs": runs,
            "values": values, "n": 1512, "n_positive": 307, "reason": None, "vs_base": None, "vs_reference": None}  # fmt: skip


def undefined(reason: str) -> dict[str, Any]:
    blank = dict.fromkeys(("mean", "spread", "low", "high", "vs_base", "vs_reference"))
    return {**blank, "n_runs": 0, "values": [None] * 3, "reason": reason}


def add_differences(found: dict[str, Any], value: float, half: float, better: int, reference: float) -> None:
    won = 3 if value * better > 0 else 0
    compared = {"value": value, "low": value - half, "high": value + half, "t_low": None, "t_high": None, "p": 0.25,
                "p_holm": 1.0, "wins": won, "losses": 3 - won, "ties": 0, "n_runs": found["n_runs"], "reason": None}  # fmt: skip
    found["vs_base"] = compared
    value -= reference
    found["vs_reference"] = {**compared, "value": value, "low": value - half, "high": value + half}


def selection() -> dict[str, Any]:
    settings = [("edit_fraction=0.01", 0.1, True), ("edit_fraction=0.05", None, False)]
    candidates = [
        {"id": f"bmft[{setting}]", "setting": setting, "figures": {"auroc": 0.87, "equalized_odds_mean": gap}, "n_runs": 3,
         "collapsed": 0, "chosen": chosen, "refused": None if chosen else "no gap on validation rows"}
        for setting, gap, chosen in settings
    ]  # fmt: skip
    return {
        "method": "bmft", "label": "BMFT", "rule": "smallest_gap", "reason": "smallest gap with AUROC kept",
        "chosen": "bmft[edit_fraction=0.01]", "candidates": candidates, "base": {"auroc": 0.86, "equalized_odds_mean": 0.3},
    }  # fmt: skip


def curves() -> list[dict[str, Any]]:
    points = [{"x": 0.1, "row": "random_mask"}, {"x": 0.5, "row": "bmft"}, {"x": 1.0, "row": "full_ft"}]
    about = {"x": "debias_share", "label": "share of the debias split", "points": points}
    return [{**about, "method": "bmft", "name": "BMFT"}, {**about, "method": "full_ft", "name": "full fine-tuning"}]
