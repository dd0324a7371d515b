"""Recognise a collapsed model: one whose small gap was bought by saying the same of everyone."""

import math

from torch import Tensor

from biasmask.metrics.overall import overall_auroc, score_spread

SPREAD_SHARE = 0.1
AUROC_FALL = 0.1
AUROC_CHANCE = 0.55


def collapse_report(score: Tensor, base_score: Tensor, target: Tensor) -> tuple[bool, str]:
    """Say whether a model collapsed against its base, and why, in one line.

    Formula: collapsed if a score isn't finite, or std(score) < 0.1 std(base score), or AUROC fell by more than 0.1, or
    fell from 0.55 or more to below 0.55.

    Args:
        score: (N,) float in [0, 1], of the edited model, on the debias or validation split (never on the test split);
            (N, C) for C > 2 classes: then the spread is the mean over the classes and the AUROC that of `macro_auroc`.
        base_score: as score, of the base model on the same rows.
        target: (N,) integer, 0 or 1, or 0..C-1.

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
        return True, f"collapsed: {int((~score.isfinite()).sum())} of {score.numel()} scores are NaN or infinite"
    spread, base_spread = score_spread(score), score_spread(base_score)
    value, base_value = overall_auroc(score, target), overall_auroc(base_score, target)

    causes = collapse_causes(spread, base_spread, value, base_value)
    if causes:
        return True, "collapsed: " + " and ".join(causes)
    ranking = f"AUROC {base_value:.3f} to {value:.3f}"
    if math.isnan(value):
        ranking = "AUROC undefined (one class)"
    elif base_value < AUROC_CHANCE:
        ranking += " (the base model was at chance already)"
    return False, f"not collapsed: score spread {base_spread:.3g} to {spread:.3g}, {ranking}"


def collapse_causes(spread: float, base_spread: float, auroc: float, base_auroc: float) -> list[str]:
    """What says that a model collapsed, from two figures of it and of its base; empty where nothing does.

    Args:
        spread, base_spread: standard deviation of the scores.
        auroc, base_auroc: in [0, 1]. What is NaN in either model isn't judged.

    >>> collapse_causes(0.1, 0.2, 0.7, 0.9), collapse_causes(0.1, 0.2, float("nan"), 0.9)
    (['AUROC fell from 0.900 to 0.700'], [])
    """
    causes = []
    if spread < SPREAD_SHARE * base_spread:
        causes.append(f"score spread fell from {base_spread:.3g} to {spread:.3g}")
    if auroc < base_auroc - AUROC_FALL or auroc < AUROC_CHANCE <= base_auroc:
        causes.append(f"AUROC fell from {base_auroc:.3f} to {auroc:.3f}")
    return causes
