"""What a run hands to others: the debiased weights as a plain timm state dict, and the delta between base and debiased."""

import io
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from biasmask.errors import CheckpointError
from biasmask.files import write_atomically
from biasmask.methods.weight_delta import apply_delta, weight_delta
from biasmask.pipeline.context import ModelState


def write_timm_weights(path: Path, state: ModelState) -> None:
    """A state dict that `timm.create_model(backbone, num_classes=outputs).load_state_dict(torch.load(path))` takes."""
    buffer = io.BytesIO()
    torch.save(dict(state.weights), buffer)
    write_atomically(path, buffer.getvalue())


def write_delta(path: Path, base: ModelState, debiased: ModelState) -> None:
    """The entries that differ, as XOR of their bits: applied to base it gives debiased, applied to debiased it gives base."""
    delta = weight_delta(base.weights, debiased.weights)
    keys = {name: replace(state, mask=None).key for name, state in (("base", base), ("debiased", debiased))}
    write_atomically(path, save(delta, {**keys, "format": "biasmask xor delta 1"}))


def apply_delta_file(weights: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """Turn base weights into debiased ones, or back.

    Raises:
        CheckpointError: the delta was made for other weights.
    """
    try:
        return apply_delta(weights, load_file(path))
    except ValueError as error:
        raise CheckpointError(f"delta {path}: {error}") from error
