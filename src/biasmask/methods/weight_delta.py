"""The difference between two sets of weights, exact to the bit and valid in both directions.

For each entry that differs, delta = bits(base) XOR bits(edited). XOR undoes itself: base ^ delta = edited, edited ^ delta = base.
A float difference would not do: base + (edited - base) is rounded.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

INTEGER_OF_WIDTH = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(INTEGER_OF_WIDTH[tensor.element_size()])


def different_bits(first: Tensor, second: Tensor) -> Tensor:
    """Where two tensors of one shape and dtype differ in their bits: bool, of that shape.

    >>> different_bits(torch.tensor([0.0, 1.0]), torch.tensor([-0.0, 1.0])).tolist()
    [True, False]
    """
    return (_bits(first) != _bits(second)).reshape(first.shape)


def weight_delta(base: Mapping[str, Tensor], edited: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sparse XOR difference of two state dicts.

    Args:
        base, edited: tensors by name, the same names, shapes and dtypes.
    Returns:
        For each tensor that differs two entries: `<name>:index` (K,) int64 flat positions and `<name>:bits` (K,) integers.
    Raises:
        ValueError: names, shapes or dtypes differ.

    >>> delta = weight_delta({"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([1.0, 2.5])})
    >>> delta["w:index"].tolist()
    [1]
    """
    if base.keys() != edited.keys():
        raise ValueError(f"weights of two models: {sorted(base.keys() ^ edited.keys())[:3]} stand in one of them only")
    delta = {}
    for name, before in base.items():
        after = edited[name]
        if before.shape != after.shape or before.dtype != after.dtype:
            raise ValueError(f"tensor {name}: {before.shape} {before.dtype} against {after.shape} {after.dtype}")
        bits = _bits(before) ^ _bits(after)
        index = bits.nonzero().flatten()
        if len(index):
            delta[f"{name}:index"] = index.cpu()
            delta[f"{name}:bits"] = bits[index].cpu()
    return delta


def apply_delta(weights: Mapping[str, Tensor], delta: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn base into edited, or edited into base: the operation is its own inverse.

    Args:
        weights: tensors by name.
        delta: what `weight_delta` returned.
    Returns:
        New tensors; the given ones stay as they are.
    Raises:
        ValueError: the delta names a tensor or a position that the weights don't have.

    >>> base, edited = {"w": torch.tensor([0.1, 2.0])}, {"w": torch.tensor([0.3, 2.0])}
    >>> apply_delta(edited, weight_delta(base, edited))["w"].equal(base["w"])
    True
    """
    result = {name: tensor.clone() for name, tensor in weights.items()}
    for key, index in delta.items():
        if not key.endswith(":index"):
            continue
        name = key.removesuffix(":index")
        if name not in result or (len(index) and int(index.max()) >= result[name].numel()):
            raise ValueError(f"the delta edits {name}, which these weights don't have in that size")
        tensor = result[name].contiguous()
        flat = _bits(tensor)
        flat[index] ^= delta[f"{name}:bits"]
        result[name] = flat.view(tensor.dtype).reshape(tensor.shape)
    return result
