"""Decisions that look at the sensitive attribute: applied to the scores of a model wherever it is judged.

A decision is kept with its model as primitives: {kind, attribute, seed, groups: {group name: rule}, pooled: rule}, with the
rules of `methods.group_thresholds`. Rows whose group isn't known take the pooled rule.
"""

import warnings
from typing import Any

import numpy as np
import torch

from biasmask.data.image_data import ImageData
from biasmask.methods.group_thresholds import decide


def decided(decision: dict[str, Any], data: ImageData, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The prediction (0 or 1) of each row.

    Where a rule mixes two thresholds, the draw of a row depends on the decision's seed and the row alone.

    Args:
        decision: see above.
        data: tells the groups of the rows; where it doesn't know the attribute, all rows take the pooled rule.
        rows: (n,) table rows.
        scores: (n,) float64, in [0, 1].
    Returns:
        int64 (n,).
    """
    names = list(decision["groups"])
    rules = {index: decision["groups"][name] for index, name in enumerate(names)} | {-1: decision["pooled"]}
    place = {name: index for index, name in enumerate(names)}
    group = np.array([place.get(label, -1) for label in group_labels(data, decision["attribute"])[rows]], dtype=np.int64)
    if len(group) and bool((group < 0).all()):
        warnings.warn(
            f"{data.table.name}: no row has a known group of {decision['attribute']} ({', '.join(names)}), so that all "
            "predictions take the threshold that is pooled over the groups",
            stacklevel=2,
        )
    draws = np.random.default_rng(decision["seed"]).random(len(data.table.frame))[rows]
    return decide(torch.as_tensor(scores), torch.as_tensor(group), rules, torch.as_tensor(draws)).numpy()


def group_labels(data: ImageData, attribute: str) -> np.ndarray:
    """The group name of each table row, None where it isn't known; crossed attributes are put together from their parts."""
    if attribute in data.groups:
        encoded = data.groups[attribute]
        return np.array([*encoded.group_names, None], dtype=object)[encoded.index]
    parts = attribute.split("+")
    if len(parts) == 1 or any(part not in data.groups for part in parts):
        return np.full(len(data.table.frame), None, dtype=object)
    columns = [group_labels(data, part) for part in parts]
    crossed = [" & ".join(labels) if None not in labels else None for labels in zip(*columns, strict=True)]
    return np.array(crossed, dtype=object)
