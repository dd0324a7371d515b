"""Decisions by a threshold for each group, with a mixture of two where one alone can't equalise the rates.

A rule is plain numbers: {group: {p0, operation0, threshold0, p1, operation1, threshold1, p_ignore, constant}} for each group,
and under -1 for rows whose group is not known.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Rule = Mapping[str, Any]
KEYS = {"p0", "operation0", "threshold0", "p1", "operation1", "threshold1", "p_ignore", "constant"}


def positive_probability(scores: Tensor, rule: Rule) -> Tensor:
    """The probability with which a rule predicts positive.

    p = p_ignore * constant + (1 - p_ignore) * (p0 * [score op0 t0] + p1 * [score op1 t1]), with op one of > and <.

    Args:
        scores: float (N,), in [0, 1].
        rule: the numbers of one group, see above.
    Returns:
        float64 (N,), in [0, 1]; 0 or 1 throughout where the rule is one threshold.
    Raises:
        ValueError: a key that is missing, or an operation other than > and <.
    Source:
        Hardt et al. 2016, in the form of fairlearn's interpolated thresholds.

    >>> rule = {"p0": 0.25, "operation0": ">", "threshold0": 0.5, "p1": 0.75, "operation1": ">", "threshold1": 0.2}
    >>> positive_probability(torch.tensor([0.1, 0.3, 0.9]), {**rule, "p_ignore": 0.0, "constant": 0.0}).tolist()
    [0.0, 0.75, 1.0]
    """
    if missing := sorted(KEYS - rule.keys()):
        raise ValueError(f"a threshold rule lacks {missing[0]}")
    values = scores.double()
    mixed = torch.zeros_like(values)
    for which in ("0", "1"):
        operation, threshold = rule[f"operation{which}"], float(rule[f"threshold{which}"])
        if operation not in (">", "<"):
            raise ValueError(f"operation{which} is {operation!r}: use > or <")
        passed = values > threshold if operation == ">" else values < threshold
        mixed = mixed + float(rule[f"p{which}"]) * passed
    ignored = float(rule["p_ignore"])
    return (ignored * float(rule["constant"]) + (1 - ignored) * mixed).clamp(0, 1)


def decide(scores: Tensor, group: Tensor, rules: Mapping[int, Rule], draws: Tensor) -> Tensor:
    """Predictions of a rule for each group; a row whose group has none takes the rule of -1.

    A row is predicted positive if its draw lies below its probability, so that a rule without a mixture never looks at it.

    Args:
        scores: float (N,), in [0, 1].
        group: int64 (N,), -1 where not known.
        rules: group -> rule, with one for -1.
        draws: float64 (N,), in [0, 1), one for each row.
    Returns:
        int64 (N,), 0 or 1.
    Raises:
        ValueError: lengths differ, no rule for -1, or as `positive_probability`.

    >>> one = lambda t: {"p0": 1, "operation0": ">", "threshold0": t, "p1": 0, "operation1": ">", "threshold1": t} | {
    ...     "p_ignore": 0, "constant": 0}
    >>> scores, group = torch.tensor([0.4, 0.4, 0.4]), torch.tensor([0, 1, -1])
    >>> decide(scores, group, {0: one(0.5), 1: one(0.3), -1: one(0.45)}, torch.zeros(3, dtype=torch.float64)).tolist()
    [0, 1, 0]
    """
    if not scores.shape == group.shape == draws.shape or scores.ndim != 1:
        raise ValueError(f"scores {tuple(scores.shape)}, groups {tuple(group.shape)} and draws must be (N,)")
    if -1 not in rules:
        raise ValueError("there is no rule for rows without a group: give one under -1")
    probability = positive_probability(scores, rules[-1])
    for index, rule in rules.items():
        if index >= 0:
            probability = torch.where(group == index, positive_probability(scores, rule), probability)
    return (draws < probability).long()
