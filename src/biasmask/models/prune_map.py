"""The map of a pruned encoder: kept density of each matrix and head, counts, and what looks wrong about it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from biasmask.methods.slimming import whole_heads
from biasmask.models.encoder_layers import ATTENTION_ROLES, EncoderLayer, Matrix

NEURONS = "intermediate"  # the role whose name the one mask of a layer's neurons has
NEURON_ROLES = ("intermediate", "feed_forward_output")


def describe(
    layers: Sequence[EncoderLayer], masks: Mapping[str, Tensor], structure: str, block_size: int | None, threshold: float
) -> dict[str, Any]:
    """What masks keep of an encoder, as plain values for JSON.

    Args:
        layers: the layers as discovered.
        masks: `layer.role` -> bool grid of blocks (R, C); `layer.intermediate` -> bool vector of neurons. Matrices without
            a mask are left out of the list, and their densities of heads are none.
        structure: `block` or `head`.
        block_size: edge of a block, or none.
        threshold: tau at which the masks were taken.
    Returns:
        Counts (blocks and neurons once each; weights of all masked matrices), `matrices`, `heads`, `neurons`,
        `whole_heads` and `warnings`.
    """
    masks = {name: mask.cpu() for name, mask in masks.items()}
    matrices = [_matrix(matrix, grid) for layer in layers for matrix, grid in _grids(layer, masks)]
    heads = [head for layer in layers for head in _heads(layer, masks)]
    neurons = [
        {"layer": layer.index, "kept": int(mask.sum()), "total": mask.numel()}
        for layer in layers
        if (mask := masks.get(f"{layer.index}.{NEURONS}")) is not None
    ]
    kept, total = sum(int(mask.sum()) for mask in masks.values()), sum(mask.numel() for mask in masks.values())
    return {
        "structure": structure,
        "block_size": block_size,
        "threshold": threshold,
        "kept": kept,
        "total": total,
        "kept_share": kept / total,
        "weights_pruned": sum(matrix["weights_pruned"] for matrix in matrices),
        "weights_total": sum(matrix["weights"] for matrix in matrices),
        "matrices": matrices,
        "heads": heads,
        "neurons": neurons,
        "whole_heads": [[head["layer"], head["head"]] for head in heads if head["whole"]],
        "warnings": _warnings(kept, total, matrices, heads, neurons),
    }


def grid_of(mask: Tensor, role: str) -> Tensor:
    """A mask as a grid (R, C): a vector of neurons is rows of the first and columns of the second feed-forward matrix."""
    if mask.ndim == 2:
        return mask
    return mask[:, None] if role == NEURONS else mask[None]


def _grids(layer: EncoderLayer, masks: Mapping[str, Tensor]) -> list[tuple[Matrix, Tensor]]:
    found = []
    for role, matrix in layer.matrices.items():
        mask = masks.get(f"{layer.index}.{NEURONS}" if role in NEURON_ROLES else matrix.name)
        if mask is not None:
            found.append((matrix, grid_of(mask, role)))
    return found


def _matrix(matrix: Matrix, grid: Tensor) -> dict[str, Any]:
    kept, total = int(grid.sum()), grid.numel()
    weights = matrix.shape[0] * matrix.shape[1]
    return {
        "name": matrix.name,
        "layer": matrix.layer,
        "role": matrix.role,
        "module": matrix.module,
        "grid": list(grid.shape),
        "kept": kept,
        "total": total,
        "density": kept / total,
        "weights": weights,
        "weights_pruned": weights // total * (total - kept),
    }


def _heads(layer: EncoderLayer, masks: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    width = layer.heads * layer.head_dim
    densities: dict[str, list[float] | list[None]] = {}
    masked = {"value": torch.zeros(width, dtype=torch.bool), "output": torch.zeros(width, dtype=torch.bool)}
    for role in ATTENTION_ROLES:
        mask = masks.get(f"{layer.index}.{role}")
        if mask is None:
            densities[role] = [None] * layer.heads
            continue
        lines = (mask.T if role == "output" else mask).double().mean(1)
        lines = lines.repeat_interleave(width // len(lines))
        densities[role] = lines.view(layer.heads, -1).mean(1).tolist()
        if role in masked:
            masked[role] = lines == 0
    if all(values[0] is None for values in densities.values()):
        return []
    whole = whole_heads(masked["value"], masked["output"], layer.heads).tolist()
    return [
        {"layer": layer.index, "head": head, **{role: densities[role][head] for role in ATTENTION_ROLES}, "whole": whole[head]}
        for head in range(layer.heads)
    ]


def _warnings(
    kept: int, total: int, matrices: list[dict[str, Any]], heads: list[dict[str, Any]], neurons: list[dict[str, Any]]
) -> list[str]:
    if kept == total:
        return ["nothing pruned: no score has passed the threshold; train longer, at a higher rate, or with a stronger penalty"]
    if kept == 0:
        return ["everything pruned: no block is left in any masked matrix; a weaker penalty or min_kept keeps some"]
    found = []
    for layer in dict.fromkeys(head["layer"] for head in heads):
        if all(head["whole"] for head in heads if head["layer"] == layer):
            found.append(f"layer {layer}: all heads pruned, its attention adds only a constant")
    empty = [matrix["name"] for matrix in matrices if matrix["kept"] == 0 and matrix["role"] in ATTENTION_ROLES]
    empty += [f"{entry['layer']}.{NEURONS}" for entry in neurons if entry["kept"] == 0]
    return found + [f"{name}: pruned entirely" for name in empty]
