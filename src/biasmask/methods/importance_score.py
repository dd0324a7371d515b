"""How much a parameter matters to the bias and not to the task: two importances, scaled, and put into one score."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]


class ConstantImportanceWarning(UserWarning):
    """Some tensors have one importance throughout, which min-max turns into 0."""


def min_max(importance: Tensors) -> dict[str, Tensor]:
    """Scale each tensor to [0, 1] by itself: (I - min I) / (max I - min I).

    Args:
        importance: name -> float tensor, finite.
    Returns:
        Name -> tensor of the same shape. A constant tensor gives 0, with one warning that names all of them.
    Raises:
        ValueError: a value is not finite.
    Source:
        BMFT (arXiv 2408.06890); there a constant tensor is 0/0 = NaN, which empties the whole mask.

    >>> min_max({"w": torch.tensor([1.0, 2.0, 5.0])})["w"].tolist()
    [0.0, 0.25, 1.0]
    """
    scaled, constant = _min_max(importance)
    _warn_constant(constant)
    return scaled


def importance_ratio(bias: Tensors, task: Tensors, eps: float = 1e-10) -> dict[str, Tensor]:
    """Score of a parameter: how much more it matters to the bias than to the task.

    s = minmax(I_bias) / (minmax(I_task) + eps), min-max over each tensor.

    Args:
        bias: bias importance, name -> float tensor, finite.
        task: task importance, same names and shapes.
        eps: keeps the quotient finite where the task importance is the smallest of its tensor, > 0.
    Returns:
        Name -> score >= 0, of the same shape. Constant tensors count as 0 (one warning for both sides together).
    Raises:
        ValueError: names or shapes differ, or a value is not finite.
    Source:
        BMFT (arXiv 2408.06890), eps as published.

    >>> importance_ratio({"w": torch.tensor([0.0, 4.0, 2.0])}, {"w": torch.tensor([0.0, 1.0, 0.5])})["w"].tolist()
    [0.0, 1.0, 1.0]
    """
    scaled_bias, scaled_task = _scaled_pair(bias, task)
    return {name: scaled_bias[name] / (scaled_task[name] + eps) for name in bias}


def importance_difference(bias: Tensors, task: Tensors) -> dict[str, Tensor]:
    """Score of a parameter: its importance to the bias minus that to the task, a variant of `importance_ratio`.

    s = minmax(I_bias) - minmax(I_task), min-max over each tensor.

    Args:
        bias: bias importance, name -> float tensor, finite.
        task: task importance, same names and shapes.
    Returns:
        Name -> score in [-1, 1], of the same shape. Constant tensors count as 0 (one warning for both sides together).
    Raises:
        ValueError: names or shapes differ, or a value is not finite.
    Source:
        Ours. FairPrune (Wu et al. 2022, MICCAI) subtracts the importances of two groups in the same way.

    >>> importance_difference({"w": torch.tensor([0.0, 4.0, 2.0])}, {"w": torch.tensor([0.0, 1.0, 4.0])})["w"].tolist()
    [0.0, 0.75, -0.5]
    """
    scaled_bias, scaled_task = _scaled_pair(bias, task)
    return {name: scaled_bias[name] - scaled_task[name] for name in bias}


def _scaled_pair(bias: Tensors, task: Tensors) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    if bias.keys() != task.keys() or any(bias[name].shape != task[name].shape for name in bias):
        raise ValueError("bias importance and task importance must have the same parameters with the same shapes")
    scaled_bias, constant_bias = _min_max(bias)
    scaled_task, constant_task = _min_max(task)
    _warn_constant(list(dict.fromkeys(constant_bias + constant_task)))
    return scaled_bias, scaled_task


def _min_max(importance: Tensors) -> tuple[dict[str, Tensor], list[str]]:
    scaled, constant = {}, []
    for name, value in importance.items():
        if value.numel() == 0:
            scaled[name] = value.clone()
            continue
        low, high = torch.aminmax(value)
        if not bool(torch.isfinite(high - low)):
            raise ValueError(f"importance of {name} is not finite: check the loss it came from")
        if bool(high == low):
            constant.append(name)
            scaled[name] = torch.zeros_like(value)
        else:
            scaled[name] = (value - low) / (high - low)
    return scaled, constant


def _warn_constant(names: list[str]) -> None:
    if names:
        some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        warnings.warn(
            f"the same importance throughout in {len(names)} tensor(s), which counts as 0: {some}",
            ConstantImportanceWarning,
            stacklevel=3,
        )
