"""How much a parameter matters to the bias and not to the task: two importances, scaled, and put into one score."""

import warnings
from collections.abc import Callable, Mapping

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
    constant: list[str] = []
    scaled = {name: _scaled(name, value, constant) for name, value in importance.items()}
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
    return _of_scaled(bias, task, lambda b, t: b / (t + eps))


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
    return _of_scaled(bias, task, lambda b, t: b - t)


def _of_scaled(bias: Tensors, task: Tensors, score: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Tensor]:
    """`score` of both importances scaled, tensor by tensor: no scaled copy of a whole model is held."""
    if bias.keys() != task.keys() or any(bias[name].shape != task[name].shape for name in bias):
        raise ValueError("bias importance and task importance must have the same parameters with the same shapes")
    constant: tuple[list[str], list[str]] = [], []
    found = {name: score(_scaled(name, bias[name], constant[0]), _scaled(name, task[name], constant[1])) for name in bias}
    _warn_constant(list(dict.fromkeys(constant[0] + constant[1])))
    return found


def _scaled(name: str, value: Tensor, constant: list[str]) -> Tensor:
    """Min-max of one tensor; the name of a constant one, which gives 0, is added to the list."""
    if value.numel() == 0:
        return value.clone()
    low, high = torch.aminmax(value)
    if not bool(torch.isfinite(high - low)):
        raise ValueError(f"importance of {name} is not finite: check the loss it came from")
    if bool(high == low):
        constant.append(name)
        return torch.zeros_like(value)
    return (value - low) / (high - low)


def _warn_constant(names: list[str]) -> None:
    if names:
        some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        warnings.warn(
            f"the same importance throughout in {len(names)} tensor(s), which counts as 0: {some}",
            ConstantImportanceWarning,
            stacklevel=3,
        )
