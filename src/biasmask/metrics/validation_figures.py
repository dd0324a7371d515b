"""The figures of one model on validation rows that a selection rule looks at."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from biasmask.metrics.evaluation import draw_table
from biasmask.metrics.metric_draws import GAPS
from biasmask.metrics.overall import score_spread
from biasmask.metrics.predictions import Predictions
from biasmask.metrics.row_weights import ones_weights
from biasmask.metrics.threshold import select_threshold, select_thresholds

OVERALL = ("auroc", "balanced_accuracy")


def validation_figures(
    scores: Tensor, target: Tensor, groups: Mapping[str, Tensor], n_groups: Mapping[str, int], threshold_rule: str
) -> dict[str, float]:
    """Ranking, spread and gaps at the threshold that these rows themselves give.

    Args:
        scores: (N,) float in [0, 1] of the validation split; (N, C) for C > 2 classes, then figures are macro.
        target: (N,) integer, 0 or 1, or 0..C-1.
        groups: attribute -> (N,) integer, -1 = missing.
        n_groups: attribute -> number of its groups; those that are debiased.
        threshold_rule: as for `select_threshold`.
    Returns:
        Name -> value: auroc, balanced_accuracy, score_std, and of the attributes those of `summarised`.
    Raises:
        ValueError: as `select_threshold`.

    >>> sex = {"sex": torch.tensor([0, 0, 1, 1])}
    >>> found = validation_figures(torch.tensor([0.1, 0.9, 0.2, 0.8]), torch.tensor([0, 1, 0, 1]), sex, {"sex": 2}, "youden")
    >>> found["auroc"], found["equalized_odds_mean"]
    (1.0, 0.0)
    """
    scores, target = scores.to(torch.float64), target.long()
    names = tuple(str(c) for c in range(scores.shape[1])) if scores.ndim == 2 else ()
    threshold = (
        dict(zip(names, select_thresholds(scores, target, threshold_rule), strict=True))
        if names
        else select_threshold(scores, target, threshold_rule)
    )
    group_names = {name: tuple(map(str, range(count))) for name, count in n_groups.items()}
    group = {name: groups[name].long() for name in n_groups}
    rows = Predictions(torch.arange(len(target)), scores, target, group, group_names, None, names)
    made = draw_table(rows, threshold, "val", ones_weights(len(target)))
    values = dict(zip(made.counts, made.point.tolist(), strict=True))
    return {**summarised(values, tuple(n_groups)), "score_std": score_spread(scores)}


def summarised(values: Mapping[str, float], attributes: Sequence[str], split: str = "val") -> dict[str, float]:
    """The overall figures and those over the groups, without the names of split and attribute.

    Formula: of several attributes a gap is the mean over those in which it is defined, the worst-group AUROC the smallest.

    Args:
        values: `split/metric[/attribute[=group]]` -> value, as in metrics.json; NaN or absent = undefined.
        attributes: those that are debiased.
        split: first part of the keys.
    Returns:
        metric -> value, NaN = undefined.

    >>> summarised({"val/auroc": 0.9, "val/fpr_gap/sex": 0.1, "val/fpr_gap/age": 0.2}, ["sex", "age"])["fpr_gap"]
    0.15000000000000002
    """
    found = {name: values.get(f"{split}/{name}", math.nan) for name in OVERALL}
    for name in GAPS:
        known = [
            value for attribute in attributes if not math.isnan(value := values.get(f"{split}/{name}/{attribute}", math.nan))
        ]
        if name == "auroc_worst_group":
            found[name] = min(known, default=math.nan)
        else:
            found[name] = sum(known) / len(known) if known else math.nan
    return found
