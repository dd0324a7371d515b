"""How well a model ranks and how far its scores spread, as one number each, with two classes and with more."""

from torch import Tensor

from biasmask.metrics import ranking


def overall_auroc(score: Tensor, target: Tensor) -> float:
    """AUROC of a score of the positive class, or the macro AUROC of a score a class.

    Args:
        score: (N,) float in [0, 1], or (N, C).
        target: (N,) integer, 0 or 1, or 0..C-1.

    Returns:
        A number in [0, 1]; NaN where it is undefined: rows of one class only.

    >>> import torch
    >>> overall_auroc(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.875
    """
    if score.ndim == 1:
        return ranking.auroc(score, target).item()
    return ranking.macro_auroc(score, target).item()


def score_spread(score: Tensor) -> float:
    """Standard deviation of the scores over the rows; with a score a class the mean over the classes.

    Args:
        score: (N,) float in [0, 1], or (N, C), N >= 1.

    >>> import torch
    >>> score_spread(torch.tensor([0.25, 0.75])), score_spread(torch.tensor([[0.25, 0.75], [0.75, 0.25]]))
    (0.25, 0.25)
    """
    return score.double().std(0, correction=0).mean().item()
