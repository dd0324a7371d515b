"""What a run hands to others: the debiased weights as a plain timm state dict, and the delta between base and debiased."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
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
    hashes = {"base": hash_of_weights(base.weights), "debiased": hash_of_weights(debiased.weights)}
    write_atomically(path, with_sorted_metadata(save(delta, {**hashes, "format": "biasmask xor delta 1"})))


def with_sorted_metadata(content: bytes) -> bytes:
    """A safetensors file whose metadata stand in the order of their names: the library gives each process another order.

    >>> with_sorted_metadata(save({}, {"b": "2", "a": "1"}))[8:].rstrip()
    b'{"__metadata__":{"a":"1","b":"2"}}'
    """
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)  # the tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def hash_of_weights(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names and bytes of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def apply_delta_file(weights: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """Turn base weights into debiased ones, or back.

    Raises:
        CheckpointError: not a delta of ours, or one that was made for other weights.
    """
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
        if hash_of_weights(weights) not in (about.get("base"), about.get("debiased")):
            raise CheckpointError(
                f"delta {path} was made for other weights: give the base or the debiased weights of the run that wrote it"
            )
        return apply_delta(weights, load_file(path))
    except (ValueError, OSError, SafetensorError) as error:
        raise CheckpointError(f"delta {path}: {error}") from error
