"""Task loss, soft rates of the groups, and the bias losses made of them.

Letters: N samples, C classes, G groups of a sensitive attribute, P pairs of groups; z logits, p scores (sigmoid(z), with more
than two classes softmax(z)), y in {0, 1} or 0..C-1 targets. The task loss of more than two classes stands in `task_loss.py`.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

ClassBalance = Literal["dataset", "batch", "none"]
Criterion = Literal["demographic_parity", "equal_opportunity", "equalized_odds"]
Aggregate = Literal["max_min", "mean_pairwise"]
Reduce = Literal["mean", "max", "signed"]
Inputs = Literal["logits", "scores", "raw"]
Classes = Literal["mean", "max"]

# Rows of the (3, G) matrix of rates (TPR, FPR, PPR) whose gaps make up a criterion.
_RATES_OF = {"demographic_parity": [2], "equal_opportunity": [0], "equalized_odds": [0, 1]}


class SoftRates(NamedTuple):
    """Mean score per group, each (G,): over its positives (TPR), its negatives (FPR), all its samples (PPR)."""

    tpr: Tensor
    fpr: Tensor
    ppr: Tensor


class BiasLoss(NamedTuple):
    """A bias loss (scalar) and whether the batch defined it; an undefined one is a zero that trains nothing."""

    value: Tensor
    defined: bool


def class_balanced_bce(
    logits: Tensor,
    target: Tensor,
    class_balance: ClassBalance = "dataset",
    n_positive: int | None = None,
    n_negative: int | None = None,
) -> Tensor:
    """Binary cross-entropy in which both classes weigh the same in total.

    With P positives and M negatives: mean over the batch of w * BCE(sigmoid(z), y), where w = M / (P + M) for a
    positive and P / (P + M) for a negative.

    Args:
        logits: float (N,), any real number.
        target: int, bool or float (N,), 0 or 1.
        class_balance: where P and M come from: `dataset` (n_positive, n_negative), `batch` (a batch of one class then
            has loss 0, and so has every single sample), `none` (w = 1).
        n_positive: P of the training split, at least 1; only for `dataset`.
        n_negative: M of the training split, at least 1; only for `dataset`.
    Returns:
        A scalar, in float32 at least.
    Raises:
        ValueError: shapes differ, the batch is empty, a target is not 0 or 1, or P, M are missing or below 1.
    Source:
        BMFT (arXiv 2408.06890), task loss; its published code takes P and M from the batch, not the default here.

    >>> z, y = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([1, 0, 0])
    >>> round(float(class_balanced_bce(z, y, "dataset", n_positive=1, n_negative=2)), 4)
    0.3081
    """
    _check_batch(logits, target)
    if logits.numel() == 0:
        raise ValueError("the task loss got an empty batch: give it at least one sample")
    z, y = _at_least_float32(logits), target.to(logits.device)
    positive = y == 1
    if class_balance == "none":
        weight = torch.ones_like(z)
    elif class_balance == "batch":
        share = positive.to(z.dtype).mean()
        weight = torch.where(positive, 1 - share, share)
    elif class_balance == "dataset":
        if n_positive is None or n_negative is None or n_positive < 1 or n_negative < 1:
            raise ValueError(
                f"class_balance=dataset needs n_positive and n_negative of the training split, each at least 1, "
                f"got {n_positive} and {n_negative}: count them, or use class_balance=none"
            )
        total = n_positive + n_negative
        weight = torch.where(positive, n_negative / total, n_positive / total).to(z.dtype)
    else:
        raise ValueError(f"class_balance is {class_balance!r}: use dataset, batch or none")
    return F.binary_cross_entropy_with_logits(z, y.to(z.dtype), weight=weight)


def soft_rates(values: Tensor, target: Tensor, group: Tensor, n_groups: int) -> SoftRates:
    """Differentiable rates: the mean value over each cell of group and target.

    TPR_g = mean over samples of group g with target 1; FPR_g the same with target 0; PPR_g over all of group g.

    Args:
        values: float (N,), scores in [0, 1] (any real number works).
        target: int, bool or float (N,), 0 or 1.
        group: int64 (N,), in -1..G-1; -1 means missing, such a row is left out.
        n_groups: G, at least 1.
    Returns:
        SoftRates of three (G,) tensors; NaN where a cell has no sample (it gives no gradient).
    Raises:
        ValueError: shapes differ, a target is not 0 or 1, or a group index is out of range.
    Source:
        Soft rates; in BMFT's published code an empty cell has rate 0.

    >>> rates = soft_rates(torch.tensor([0.2, 0.8, 0.4]), torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), n_groups=2)
    >>> [round(v, 2) for v in rates.tpr.tolist()], [round(v, 2) for v in rates.fpr.tolist()]
    ([0.8, 0.4], [0.2, nan])
    """
    mean, present = _rates(values, target, group, n_groups)
    return SoftRates(*torch.where(present, mean, torch.nan))


def bias_loss(
    logits: Tensor,
    target: Tensor,
    group: Tensor,
    n_groups: int,
    criterion: Criterion = "demographic_parity",
    aggregate: Aggregate = "max_min",
    reduce: Reduce = "mean",
    inputs: Inputs = "logits",
    classes: Classes = "mean",
    temperature: float = 1.0,
) -> BiasLoss:
    """How far the soft rates of the groups lie apart.

    The gap of a rate is its largest minus its smallest value over the groups (`max_min`), or its mean absolute
    difference over all pairs of groups (`mean_pairwise`). `demographic_parity` = gap(PPR);
    `equal_opportunity` = gap(TPR); `equalized_odds` = mean (or `reduce=max`: larger) of gap(TPR) and gap(FPR).
    `reduce=signed` takes, for each pair of groups, |mean of dTPR and dFPR|: gaps of opposite sign cancel; it is kept
    for comparison with the reference only.
    A group with an empty cell is left out of that gap; a gap with fewer than two groups left is left out altogether.
    With C > 2 classes each class is judged against the rest (its score, y = c or not), and the criterion's values of the
    classes that define one become one by `classes`. Two columns are the binary case: z = z1 - z0.

    Args:
        logits: float (N,) or (N, C), C >= 2; what they are is told by `inputs`.
        target: int, bool or float (N,), 0 or 1; with (N, C) 0..C-1.
        group: int64 (N,), in -1..G-1; rows with -1 are left out.
        n_groups: G, at least 2.
        criterion: which rates are compared.
        aggregate: how more than two groups make one gap (with two groups both are the same).
        reduce: how the two gaps of equalized odds become one.
        inputs: `logits` (sigmoid or softmax is taken here), `scores` (in [0, 1]), `raw` (taken as they are; with logits this
            is BMFT's published code, unbounded).
        classes: `mean` over the classes, or the `max`: the class with the largest gap alone.
        temperature: > 0; logits are divided by it. Below 1 the soft rates come near to the rates of decisions at a score of
            one half (a confident score counts as a decision, and moving it further gains nothing); only for `inputs=logits`.
    Returns:
        BiasLoss(value, defined). Nothing left to compare: value is a zero connected to the graph, defined is False.
    Raises:
        ValueError: shapes differ, values out of range, G < 2, or an unknown choice.
    Source:
        BMFT (arXiv 2408.06890) and SWiFT (MELBA 2025:015), G = 2 there; an empty cell counts as rate 0 in their code.
        More than two classes and the temperature are ours.

    >>> y, a = torch.tensor([1, 0, 1, 0]), torch.tensor([0, 0, 1, 1])
    >>> float(bias_loss(torch.tensor([0.75, 0.5, 0.25, 0.25]), y, a, 2, "equalized_odds", inputs="scores").value)
    0.375
    """
    if n_groups < 2:
        raise ValueError(f"a bias loss compares at least 2 groups, n_groups is {n_groups}")
    _check_choice("criterion", criterion, tuple(_RATES_OF))
    _check_choice("aggregate", aggregate, ("max_min", "mean_pairwise"))
    _check_choice("reduce", reduce, ("mean", "max", "signed"))
    _check_choice("classes", classes, ("mean", "max"))
    if not temperature > 0 or (temperature != 1 and inputs != "logits"):
        raise ValueError(f"temperature is {temperature}: give a number above 0, and another than 1 only with inputs=logits")
    values = _to_values(logits / temperature, inputs)
    if values.ndim == 1:
        return _gap(values, target, group, n_groups, criterion, aggregate, reduce)
    _check_classes(values, target)
    against_rest = [(values[:, c], (target == c).long()) for c in range(values.shape[1])]
    losses = [_gap(score, own, group, n_groups, criterion, aggregate, reduce) for score, own in against_rest]
    defined = [loss.value for loss in losses if loss.defined]
    if not defined:
        return BiasLoss(values[:0].sum(), False)
    return BiasLoss(torch.stack(defined).max() if classes == "max" else torch.stack(defined).mean(), True)


def _gap(values: Tensor, target: Tensor, group: Tensor, n_groups: int, criterion: str, aggregate: str, reduce: str) -> BiasLoss:
    """The criterion of one score (N,) with targets 0 or 1."""
    mean, present = _rates(values, target, group, n_groups)
    mean, present = mean[_RATES_OF[criterion]], present[_RATES_OF[criterion]]
    first, second = torch.triu_indices(n_groups, n_groups, 1, device=values.device)
    comparable = present[:, first] & present[:, second]  # (rates, P)
    difference = (mean[:, first] - mean[:, second]) * comparable
    if reduce == "signed":
        n_rates = comparable.sum(0, keepdim=True)
        difference = difference.sum(0, keepdim=True) / n_rates.clamp(min=1)
        comparable = n_rates > 0
    apart = [gap.abs()[ok] for gap, ok in zip(difference, comparable, strict=True) if bool(ok.any())]
    if not apart:
        return BiasLoss(values[:0].sum(), False)
    gaps = torch.stack([pairs.max() if aggregate == "max_min" else pairs.mean() for pairs in apart])
    return BiasLoss(gaps.max() if reduce == "max" else gaps.mean(), True)


def anchor_loss(logits: Tensor, base_logits: Tensor) -> Tensor:
    """How far the scores moved away from those of the base model.

    Mean over samples of KL(Bernoulli(q) || Bernoulli(p)) = q log(q/p) + (1-q) log((1-q)/(1-p)), with q the base score
    and p the score; with more than two classes KL of the softmax scores, the sum over classes of q log(q/p). Computed from
    logits, so that a score of 0 or 1 is no problem. Unlike that of a squared difference of scores, its gradient does not
    fade where the model saturates.

    Args:
        logits: float (N,) or (N, C), any real number.
        base_logits: float, of the same shape, of the unedited model on the same rows; no gradient goes into it.
    Returns:
        A scalar >= 0; 0 if and only if the scores agree.
    Raises:
        ValueError: shapes differ or the batch is empty.
    Source:
        Ours (an anchor against the collapse that a bias loss alone invites).

    >>> z = torch.tensor([-1.0, 2.0])
    >>> float(anchor_loss(z, z)), round(float(anchor_loss(z + 1, z)), 4)
    (0.0, 0.0759)
    """
    if logits.ndim not in (1, 2) or logits.shape != base_logits.shape or logits.numel() == 0:
        raise ValueError(
            f"logits {tuple(logits.shape)} and base_logits {tuple(base_logits.shape)} must have one shape (N,) or (N, C), N >= 1"
        )
    z, base = _at_least_float32(logits), _at_least_float32(base_logits.detach())
    if z.ndim == 2:
        log_q = F.log_softmax(base, 1)
        return (log_q.exp() * (log_q - F.log_softmax(z, 1))).sum(1).mean()
    q = torch.sigmoid(base)
    positive = q * (F.logsigmoid(base) - F.logsigmoid(z))
    negative = torch.sigmoid(-base) * (F.logsigmoid(-base) - F.logsigmoid(-z))
    return (positive + negative).mean()


def _rates(values: Tensor, target: Tensor, group: Tensor, n_groups: int) -> tuple[Tensor, Tensor]:
    """(3, G) means and which cells have samples; an empty cell is 0 here: NaN would poison its neighbours' gradient."""
    _check_batch(values, target)
    if group.shape != values.shape:
        raise ValueError(f"group has shape {tuple(group.shape)}, expected {tuple(values.shape)}")
    if group.numel() and (int(group.min()) < -1 or int(group.max()) >= n_groups):
        raise ValueError(
            f"group indices run from {int(group.min())} to {int(group.max())}, expected -1 (missing) to {n_groups - 1}"
        )
    values, target, group = _at_least_float32(values), target.to(values.device), group.to(values.device)
    of_group = group[None] == torch.arange(n_groups, device=values.device)[:, None]  # (G, N)
    member = torch.stack([of_group & (target == 1), of_group & (target == 0), of_group])  # (3, G, N)
    count = member.sum(-1)
    # where, not a product: a NaN of one group must not reach the others.
    total = torch.where(member, values, 0).sum(-1)
    return total / count.clamp(min=1), count > 0


def _to_values(logits: Tensor, inputs: str) -> Tensor:
    _check_choice("inputs", inputs, ("logits", "scores", "raw"))
    values = _at_least_float32(logits)
    if inputs == "scores" and values.numel() and bool(((values < 0) | (values > 1)).any()):
        raise ValueError("inputs=scores got values outside [0, 1]: give probabilities, or use inputs=logits")
    if values.ndim == 2 and values.shape[1] == 2:
        values = values[:, 1] if inputs == "scores" else values[:, 1] - values[:, 0]
    if inputs != "logits":
        return values
    return torch.sigmoid(values) if values.ndim == 1 else torch.softmax(values, 1)


def _at_least_float32(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _check_batch(values: Tensor, target: Tensor) -> None:
    if values.ndim != 1 or target.shape != values.shape:
        raise ValueError(f"values have shape {tuple(values.shape)} and targets {tuple(target.shape)}, both must be (N,): flatten")
    if not bool(((target == 0) | (target == 1)).all()):
        raise ValueError("a target is neither 0 nor 1: binary targets only")


def _check_classes(values: Tensor, target: Tensor) -> None:
    if values.ndim != 2 or values.shape[1] < 2 or target.shape != values.shape[:1]:
        raise ValueError(f"values {tuple(values.shape)} and targets {tuple(target.shape)} must be (N, C) and (N,), C >= 2")
    if target.numel() and not bool(((target >= 0) & (target < values.shape[1]) & (target == target.long())).all()):
        raise ValueError(f"a target is no class index from 0 to {values.shape[1] - 1}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}: use one of {', '.join(choices)}")
