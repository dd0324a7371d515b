"""What it costs to close a gap by moving the scores of groups: the yardstick beside which edits of weights are read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from biasmask.metrics.evaluation import draw_table
from biasmask.metrics.predictions import Predictions
from biasmask.metrics.row_weights import ones_weights
from biasmask.metrics.threshold import select_threshold
from biasmask.metrics.validation_figures import summarised

LIMIT = 1e-9  # scores are kept this far from 0 and 1, where a logit is infinite


@dataclass(frozen=True)
class ShiftPoint:
    """Figures of the shifted scores on validation and test rows, at the threshold of the shifted validation rows."""

    strength: float
    val: dict[str, float]
    test: dict[str, float]


def group_offsets(scores: Tensor, target: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """How far the logits of each group lie above those of the average group, at equal targets.

    Formula: m_g = mean over the classes of the mean logit of group g in that class; offset = m_g - mean over groups of m.

    Args:
        scores: (N,) in [0, 1]. target: (N,) 0 or 1. group: (N,) int64, -1 = missing.
        n_groups: G.
    Returns:
        (G,) float64, in logits.
    Raises:
        ValueError: a group has no row of a class.

    >>> group_offsets(torch.tensor([0.5, 0.5, 0.5, 0.5]), torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1]), 2).tolist()
    [0.0, 0.0]
    """
    logits = scores.double().clamp(LIMIT, 1 - LIMIT).logit()
    means = torch.full((n_groups, 2), torch.nan, dtype=torch.float64)
    for place in range(n_groups):
        for label in (0, 1):
            means[place, label] = logits[(group == place) & (target == label)].mean()
    if means.isnan().any():
        place, label = means.isnan().nonzero()[0].tolist()
        raise ValueError(f"group {place} has no row of class {label}: its offset is undefined")
    return means.mean(1) - means.mean()


def shift_scores(scores: Tensor, group: Tensor, offsets: Tensor, strength: float) -> Tensor:
    """Scores with `strength` times their group's offset taken from the logit; rows without a group stay.

    >>> shift_scores(torch.tensor([0.5]), torch.tensor([0]), torch.tensor([0.0]), 1.0).tolist()
    [0.5]
    """
    own = torch.where(group >= 0, offsets[group.clamp_min(0)], 0.0)
    return (scores.double().clamp(LIMIT, 1 - LIMIT).logit() - strength * own).sigmoid()


def shift_points(
    val: Predictions, test: Predictions, attribute: str, strengths: Sequence[float], threshold_rule: str
) -> list[ShiftPoint]:
    """Shift the scores of a two-class model by more and more of what its groups differ by on validation rows.

    At strength 1 the groups have the same mean logits, class by class, on validation rows. No test row sets anything.

    Args:
        val, test: predictions of one model.
        attribute: its groups are shifted.
        strengths: such as 0, 0.25, 0.5, 1.
        threshold_rule: as for `select_threshold`, applied to the shifted validation rows.
    Returns:
        A point for each strength; figures are those of `summarised`.
    Raises:
        ValueError: more than two classes, or a group without a class on validation rows.
    """
    if val.class_names:
        raise ValueError("scores of more than two classes can't be shifted by group")
    names = val.group_names[attribute]
    offsets = group_offsets(val.score, val.target, val.group[attribute], len(names))
    points = []
    for strength in strengths:
        moved = [replace(one, score=shift_scores(one.score, one.group[attribute], offsets, strength)) for one in (val, test)]
        threshold = select_threshold(moved[0].score, val.target, threshold_rule)
        made = [_figures(one, attribute, threshold) for one in moved]
        points.append(ShiftPoint(float(strength), made[0], made[1]))
    return points


def _figures(predictions: Predictions, attribute: str, threshold: float) -> dict[str, float]:
    table = draw_table(predictions, threshold, "val", ones_weights(len(predictions.target)))
    return summarised(dict(zip(table.counts, table.point.tolist(), strict=True)), (attribute,))
