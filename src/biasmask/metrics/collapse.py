"""Recognise a collapsed model: one whose small gap was bought by saying the same of everyone."""

import math

from torch import Tensor

from biasmask.metrics.ranking import auroc

SPREAD_SHARE = 0.1
AUROC_FALL = 0.1
AUROC_CHANCE = 0.55


def collapse_report(score: Tensor, base_score: Tensor, target: Tensor) -> tuple[bool, str]:
    """Say whether a model collapsed against its base, and why, in one line.

    Formula: collapsed if a score isn't finite, or std(score) < 0.1 std(base score), or AUROC fell by more than 0.1, or
    fell from 0.55 or more to below 0.55.

    Args:
        score: (N,) float in [0, 1], of the edited model, on the debias or validation split (never on the test split).
        base_score: (N,) float in [0, 1], of the base model on the same rows.
        target: (N,) integer, 0 or 1.

    Returns:
        (collapsed, text). With one class, or fewer than two rows, AUROC is undefined and only the spread is judged.

    Raises:
        ValueError: shapes that differ, no rows, a base score that is NaN.

    Source: own; a constant predictor is the trivial optimum of every bias loss.

    >>> import torch
    >>> collapse_report(torch.tensor([0.5, 0.5]), torch.tensor([0.1, 0.9]), torch.tensor([0, 1]))[0]
    True
    """
    if len(target) == 0 or score.shape != base_score.shape:
        raise ValueError(
            f"collapse check needs scores of the same rows, got {tuple(score.shape)} and base "
            f"{tuple(base_score.shape)} for {len(target)} targets"
        )
    if not score.isfinite().all():
        return True, f"collapsed: {int((~score.isfinite()).sum())} of {len(score)} scores are NaN or infinite"
    spread = score.double().std(correction=0).item()
    base_spread = base_score.double().std(correction=0).item()
    value, base_value = auroc(score, target).item(), auroc(base_score, target).item()

    causes = []
    if spread < SPREAD_SHARE * base_spread:
        causes.append(f"score spread fell from {base_spread:.3g} to {spread:.3g}")
    if value < base_value - AUROC_FALL or value < AUROC_CHANCE <= base_value:
        causes.append(f"AUROC fell from {base_value:.3f} to {value:.3f}")
    if causes:
        return True, "collapsed: " + " and ".join(causes)
    ranking = f"AUROC {base_value:.3f} to {value:.3f}"
    if math.isnan(value):
        ranking = "AUROC undefined (one class)"
    elif base_value < AUROC_CHANCE:
        ranking += " (the base model was at chance already)"
    return False, f"not collapsed: score spread {base_spread:.3g} to {spread:.3g}, {ranking}"
