"""The decision threshold: chosen once on the validation split, then frozen for every test set."""

import torch
from torch import Tensor

from biasmask.metrics.row_weights import check_classes, check_rows, check_target

RULES = ("balanced_accuracy", "youden", "f1", "fixed:<number>")


def predict(score: Tensor, threshold: float) -> Tensor:
    """Prediction of a score: 1 if score >= threshold, else 0; int64 of the same shape.

    >>> predict(torch.tensor([0.4, 0.5]), 0.5).tolist()
    [0, 1]
    """
    return (score.to(torch.float64) >= threshold).long()


def _fixed(rule: str) -> float:
    text = rule.removeprefix("fixed:")
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"threshold rule '{rule}': '{text}' is no number; write for example fixed:0.5") from None
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"threshold rule '{rule}': {text} is outside [0, 1], the range of the scores")
    return value


def select_threshold(score: Tensor, target: Tensor, rule: str = "balanced_accuracy") -> float:
    """Threshold that is best on these rows by `rule`; predict positive when score >= threshold.

    Formula: candidates are one below all scores (all positive) and one midway between each two neighbouring distinct
    scores; the best value of the rule wins, and of equally good ones the nearest to 0.5, then the lower.

    Args:
        score: (N,) float in [0, 1], of the validation split.
        target: (N,) integer, 0 or 1.
        rule: balanced_accuracy | youden (TPR - FPR, whose best threshold is the same: it's 2 x balanced accuracy - 1) |
            f1 | fixed:<number>, which looks at no data.

    Returns:
        The threshold, a float in [0, 1].

    Raises:
        ValueError: an unknown rule; for a rule that searches, rows of one class only, a NaN score, shapes that differ.

    Source: Youden 1950; the frozen threshold of the evaluation protocol.

    >>> select_threshold(torch.tensor([0.125, 0.25, 0.5, 0.75]), torch.tensor([0, 0, 1, 1]))
    0.375
    >>> select_threshold(torch.tensor([0.1]), torch.tensor([0]), rule="fixed:0.3")
    0.3
    """
    if rule.startswith("fixed:"):
        return _fixed(rule)
    if rule not in RULES:
        raise ValueError(f"threshold rule '{rule}' is unknown, choose one of {', '.join(RULES)}")
    check_rows(len(target), score=score, target=target)
    check_target(target)
    score = score.to(torch.float64)
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError("score holds a value outside [0, 1] or NaN: no threshold can be chosen on it")
    n_positive = int(target.sum())
    n_negative = len(target) - n_positive
    if not n_positive or not n_negative:
        kind = "positive" if n_positive else "negative"
        raise ValueError(f"all {len(target)} rows are of one class ({kind}): no threshold can be chosen by {rule}, use fixed:0.5")

    distinct, place = score.unique(return_inverse=True)
    positives = torch.bincount(place[target == 1], minlength=len(distinct))
    negatives = torch.bincount(place[target == 0], minlength=len(distinct))
    # Candidate i predicts positive from distinct score i upwards.
    false_negative = positives.cumsum(0) - positives
    true_negative = negatives.cumsum(0) - negatives
    true_positive = n_positive - false_negative
    if rule == "f1":
        quality = 2 * true_positive / (n_positive + true_positive + n_negative - true_negative).to(torch.float64)
    else:
        # Whole numbers (TPR + TNR times both class sizes), so that equally good candidates are found equal.
        quality = true_positive * n_negative + true_negative * n_positive
    below = torch.cat([distinct.new_zeros(1), distinct[:-1]])
    # Between two neighbouring floats there is no middle, and rounding may give the lower one: then take the upper.
    middle = (below + distinct) / 2
    threshold = torch.where(middle > below, middle, distinct)
    best = threshold[quality == quality.max()]
    return float(best[(best - 0.5).abs().argmin()])


def select_thresholds(scores: Tensor, target: Tensor, rule: str = "balanced_accuracy") -> list[float]:
    """A threshold for each of more than two classes, each chosen as `select_threshold` does, the class against the rest.

    Args:
        scores: (N, C) float in [0, 1], of the validation split.
        target: (N,) integer, 0..C-1.
        rule: as for `select_threshold`.

    Returns:
        C thresholds in [0, 1], in the order of the columns; 1 / C, the score of a model that knows nothing, for a class
        without a row, on which no rule can be tried.

    Raises:
        ValueError: as `select_threshold`; a target outside 0..C-1.

    Source: one-vs-rest; own.

    >>> select_thresholds(torch.eye(4)[:3], torch.arange(3))
    [0.5, 0.5, 0.5, 0.25]
    """
    n_classes = len(check_classes(scores, target))
    return [
        select_threshold(scores[:, index], (target == index).long(), rule)
        if rule.startswith("fixed:") or (target == index).any()
        else 1 / n_classes
        for index in range(n_classes)
    ]
