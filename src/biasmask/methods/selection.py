"""Picking the highest scores out of many tensors: order statistics, ties, and units larger than one weight.

NumPy stands here for one thing only: np.partition finds the k-th of 90 million values several times faster than
torch.kthvalue or np.percentile.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]


def check_scores(scores: Tensors) -> dict[str, Tensor]:
    """The scores in one dtype that NumPy knows, so that a threshold means the same in each tensor."""
    if not any(score.numel() for score in scores.values()):
        raise ValueError("there are no scores to rank: the model has no parameters to choose from")
    double = any(score.dtype == torch.float64 for score in scores.values())
    checked = {name: score.detach().to(torch.float64 if double else torch.float32) for name, score in scores.items()}
    for name, score in checked.items():
        # The sum is several times cheaper than a look at each entry, and rarely not finite by itself.
        if not bool(torch.isfinite(score.sum())) and not bool(torch.isfinite(score).all()):
            raise ValueError(f"scores of {name} are not finite: check the importances they came from")
    return checked


def flatten(scores: Tensors) -> np.ndarray:
    """All scores in one new vector, free to be reordered in place."""
    return torch.cat([score.flatten().cpu() for score in scores.values()]).numpy()


def above(score: Tensor, threshold: float) -> Tensor:
    """score > threshold, exactly: the threshold is rounded down to the tensor's precision before it is compared."""
    bound = torch.tensor(threshold, dtype=score.dtype)
    if float(bound) > threshold:
        bound = torch.nextafter(bound, torch.tensor(-torch.inf, dtype=score.dtype))
    return score > bound.to(score.device)


def top(scores: Tensors, flat: np.ndarray, count: int) -> dict[str, Tensor]:
    """Bool tensors that select exactly the `count` highest scores; ties go to the earlier name, then flat index."""
    place = len(flat) - count
    flat.partition(place)
    threshold = float(flat[place])
    mask = {name: (score > threshold).contiguous() for name, score in scores.items()}
    missing = count - sum(int(torch.count_nonzero(part)) for part in mask.values())
    for name, score in scores.items():
        if missing == 0:
            break
        ties = torch.nonzero((score == threshold).flatten()).flatten()[:missing]
        mask[name].view(-1)[ties] = True
        missing -= len(ties)
    return mask


def _layer_of(name: str) -> str:
    # A parameter that lies directly in the model (a class token) is a layer of its own.
    return name.rpartition(".")[0] or name


def _n_rows(tensor: Tensor) -> int:
    return tensor.shape[0] if tensor.ndim else 1


def units(scores: Tensors, granularity: str) -> tuple[Tensor, Tensor]:
    """Mean score (float64) and number of parameters of each channel or layer, in parameter order, on the CPU."""
    if granularity == "channel":
        rows = [score.reshape(_n_rows(score), -1) for score in scores.values() if score.numel()]
        means = torch.cat([row.double().mean(1).cpu() for row in rows])
        return means, torch.cat([torch.full((len(row),), row.shape[1]) for row in rows])
    totals: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for name, score in scores.items():
        if score.numel():
            totals[_layer_of(name)] = totals.get(_layer_of(name), 0.0) + float(score.double().sum())
            sizes[_layer_of(name)] = sizes.get(_layer_of(name), 0) + score.numel()
    size = torch.tensor(list(sizes.values()))
    return torch.tensor(list(totals.values()), dtype=torch.float64) / size, size


def spread(per_unit: Tensor, like: Tensors, granularity: str) -> dict[str, Tensor]:
    """One value a unit, written to all parameters of the unit. The order is that of `units`."""
    spread, layers = {}, dict[str, int]()
    row = 0
    for name, tensor in like.items():
        if tensor.numel() == 0:
            spread[name] = torch.zeros(tensor.shape, dtype=per_unit.dtype, device=tensor.device)
            continue
        if granularity == "channel":
            values = per_unit[row : row + _n_rows(tensor)]
            row += len(values)
        else:
            values = per_unit[layers.setdefault(_layer_of(name), len(layers))]
        shape = [-1] + [1] * (tensor.ndim - 1) if tensor.ndim else []
        spread[name] = values.reshape(shape).expand(tensor.shape).contiguous().to(tensor.device)
    return spread
