"""Levelling down: a gap that closes because a group got worse, not because one got better."""

from collections.abc import Mapping
from typing import NamedTuple

from biasmask.metrics.evaluation import MetricValue

# Metric -> the sign of a change for the worse.
WORSE = {"tpr": -1, "balanced_accuracy": -1, "auroc": -1, "fpr": 1}


class LevelledGroup(NamedTuple):
    """A group that got worse by a metric."""

    attribute: str
    group: str
    metric: str


def levelling_down(differences: Mapping[str, MetricValue]) -> list[LevelledGroup]:
    """Groups that got worse: those with an interval of debiased minus base that excludes 0 on the bad side.

    Formula: TPR, balanced accuracy and AUROC are worse when the interval's upper end is below 0, FPR when its lower end
    is above 0. Many groups and metrics are looked at, each with its own interval: about 1 in 40 unchanged figures shows
    up by chance at 95 %.

    Args:
        differences: as `compare_predictions` returns them.

    Returns:
        (attribute, group, metric) in the order of `differences`; an undefined interval never appears (that isn't a
        clearance: see its reason).

    Source: Mittelstadt et al. 2023, levelling down.

    >>> levelling_down({"test/tpr/sex=f": MetricValue(-0.2, -0.3, -0.1, 50, 20)})
    [LevelledGroup(attribute='sex', group='f', metric='tpr')]
    """
    found = []
    for key, value in differences.items():
        _, metric, *rest = key.split("/", 2)
        if metric not in WORSE or not rest or "=" not in rest[0]:
            continue
        attribute, _, group = rest[0].partition("=")
        if (value.high < 0) if WORSE[metric] < 0 else (value.low > 0):
            found.append(LevelledGroup(attribute, group, metric))
    return found
