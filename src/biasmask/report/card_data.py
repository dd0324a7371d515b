"""The data of a model card: rows of each split by group and target, what was left out, and under what terms the data stands."""

from collections.abc import Mapping
from typing import Any

import yaml

from biasmask.files import yaml_content
from biasmask.report.provenance import MINIMUM_CELL
from biasmask.report.run_folder import TRAINING_SPLITS, RunFolder


def training_data(run: RunFolder) -> dict[str, Any]:
    """Name, terms, and counts of what the model was trained, debiased and selected on; of images, never their names."""
    checker = run.checker or {}
    exclusions = checker.get("exclusions") or []
    return {
        "data_set": run.run.get("dataset"),
        "licence": config_of(run).get("licence"),
        "splits": counts_of(run, training=True),
        "sentences": run.run.get("sentences"),
        "debias_share": run.run.get("debias_share", config_of(run).get("debias_share")),
        "debias_rows": run.run.get("debias_rows"),
        "excluded": [
            *({"reason": str(entry.get("reason")), "count": entry.get("count")} for entry in exclusions),
            *({"reason": entry.get("what"), "count": entry.get("count")} for entry in (checker.get("excluded") or {}).values()),
        ],
        "missing_attributes": checker.get("missing_attributes") or {},
    }


def evaluation_data(run: RunFolder, text: bool) -> dict[str, Any]:
    """Counts of the splits that no training saw; further test sets by name."""
    extra = run.run.get("extra_tests") or []
    benchmarks = list(dict.fromkeys(key.split for key in run.keys)) if text else []
    return {"splits": counts_of(run, training=False), "extra_tests": [str(name) for name in extra], "benchmarks": benchmarks}


def counts_of(run: RunFolder, training: bool) -> list[dict[str, Any]]:
    """Rows, subjects and group x target counts of each split; cells below the checker's minimum are named."""
    checker = run.checker or {}
    counts, splits = checker.get("counts") or {}, checker.get("splits")
    if not isinstance(splits, Mapping):
        return []  # a text run counts sentences instead
    minimum = int(checker.get("minimum_cell") or MINIMUM_CELL)
    small = checker.get("small_cells") or []
    return [
        {
            "split": split,
            "rows": about.get("rows"),
            "subjects": about.get("subjects"),
            "counts": counts.get(split) or {},
            "minimum_cell": minimum,
            "small_cells": [{k: v for k, v in cell.items() if k != "split"} for cell in small if cell.get("split") == split],
        }
        for split, about in splits.items()
        if (split in TRAINING_SPLITS) == training
    ]


def config_of(run: RunFolder, node: str = "data") -> dict[str, Any]:
    """A node of the run's resolved configuration; empty where there is none."""
    try:
        content = yaml_content(run.texts["config.yaml"]) or {}
    except yaml.YAMLError:
        return {}
    found = content.get(node) if isinstance(content, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}
