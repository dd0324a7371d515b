"""Weights of a DINOv2-shaped ViT from an ONNX file, by the names of timm; needs the package onnx (the extra `onnx`).

An export keeps the names of most tensors. The matrices of Linear layers lose theirs and are stored transposed: a matrix is
named here after the node that multiplies by it, whose name has the module's path in it.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from biasmask.errors import CheckpointError, ConfigError
from biasmask.models.image_classifier import head_of

BACKBONE = "backbone."  # before the names of the backbone; tensors of other parts (a decoder) are not read
OUTSIDE = {
    "cls_token": "embeddings.cls_token",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
IN_LAYER = {
    "norm1": ("norm1",),
    "attn.qkv": ("attention.attention.query", "attention.attention.key", "attention.attention.value"),
    "attn.proj": ("attention.output.dense",),
    "norm2": ("norm2",),
    "mlp.fc1": ("mlp.fc1",),
    "mlp.fc2": ("mlp.fc2",),
}
SCALES = {"ls1.gamma": "layer_scale1.lambda1", "ls2.gamma": "layer_scale2.lambda1"}


def onnx_installed() -> bool:
    """Whether the package that reads ONNX files is there."""
    return importlib.util.find_spec("onnx") is not None


def load_onnx_vit(net: nn.Module, path: Path) -> None:
    """Load the backbone of a timm ViT from an ONNX file; the head stays as it was initialised.

    The position embedding is interpolated where the net has another image size.

    Args:
        net: a timm ViT with a class token and layer scale, such as `vit_small_patch14_dinov2`.
        path: an ONNX file with the same backbone, its names those of transformers' Dinov2.
    Raises:
        ConfigError: the package onnx isn't installed.
        CheckpointError: the file can't be read, or a tensor is missing, left over or of another shape.
    """
    own = net.state_dict()
    head = head_of(net)[0]
    wanted = {name: tensor.shape for name, tensor in own.items() if not name.startswith(f"{head}.")}
    grid = getattr(getattr(net, "patch_embed", None), "grid_size", None)
    found = timm_names(read_onnx(path), path)
    if grid is not None and "pos_embed" in found:
        found["pos_embed"] = resample_abs_pos_embed(found["pos_embed"], list(grid), num_prefix_tokens=1)
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    shapes = [name for name, shape in wanted.items() if name in found and found[name].shape != shape]
    if missing or extra or shapes:
        parts = [
            f"{len(names)} {what} (first: {names[0]})"
            for what, names in (("missing", missing), ("not in the model", extra), ("of another shape", shapes))
            if names
        ]
        raise CheckpointError(
            f"weights {path} don't fit {type(net).__name__}: {', '.join(parts)} of {len(wanted)} tensors; name the architecture "
            "that the file holds, as in model.backbone=vit_small_patch14_dinov2"
        )
    net.load_state_dict({**own, **found})


def read_onnx(path: Path) -> dict[str, Tensor]:
    """Tensors of an ONNX file by name; a matrix without a name gets that of the node it is used in, as (out, in).

    Raises:
        ConfigError: the package onnx isn't installed.
        CheckpointError: not an ONNX file, or a cut one.
    """
    if not onnx_installed():
        raise ConfigError(f"reading {path} needs the package onnx: python -m pip install 'biasmask[onnx]'")
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.numpy_helper import to_array

    try:
        graph = onnx.load(path).graph
    except (DecodeError, OSError) as error:
        raise CheckpointError(f"weights {path} can't be read as ONNX: {str(error).splitlines()[0]}") from error
    tensors = {tensor.name: torch.from_numpy(to_array(tensor).copy()) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in tensors and node.name.endswith("/MatMul"):
            module = node.name.removeprefix("/").removesuffix("/MatMul").replace("/", ".")
            tensors[f"{module}.weight"] = tensors.pop(node.input[1]).T.contiguous()
    return tensors


def timm_names(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors of a Dinov2 backbone under timm's names: query, key and value as one matrix, positions as one tensor.

    Args:
        tensors: as `read_onnx` gives them.
        path: of the file, for the message.
    Returns:
        Name -> tensor, for what was found.
    Raises:
        CheckpointError: a tensor of the backbone has no place in a timm ViT, or the positions weren't found.
    """
    left = {name.removeprefix(BACKBONE): tensor for name, tensor in tensors.items() if name.startswith(BACKBONE)}
    depth = len({name.split(".")[2] for name in left if name.startswith("encoder.layer.")})
    names: dict[str, tuple[str, ...]] = {name: (source,) for name, source in OUTSIDE.items()}
    for layer in range(depth):
        at = f"encoder.layer.{layer}"
        for part in ("weight", "bias"):
            names |= {f"blocks.{layer}.{n}.{part}": tuple(f"{at}.{s}.{part}" for s in own) for n, own in IN_LAYER.items()}
        names |= {f"blocks.{layer}.{n}": (f"{at}.{source}",) for n, source in SCALES.items()}
    found = {}
    for name, sources in names.items():
        if all(source in left for source in sources):
            found[name] = torch.cat([left.pop(source) for source in sources])
    positions = left.pop("embeddings.position_embeddings", None)
    found["pos_embed"] = _positions(tensors, path) if positions is None else positions
    if left:
        raise CheckpointError(f"weights {path}: {len(left)} tensors of the backbone have no place (first: {min(left)})")
    return found


def _positions(tensors: Mapping[str, Tensor], path: Path) -> Tensor:
    """The position embedding, which an export that interpolates it splits into the class token's and the patches'."""
    nameless = [tensor for name, tensor in tensors.items() if name.startswith("onnx::") and tensor.ndim == 3]
    first = [tensor for tensor in nameless if tensor.shape[1] == 1]
    patches = [tensor for tensor in nameless if tensor.shape[1] > 1]
    if len(first) != 1 or len(patches) != 1 or first[0].shape[2] != patches[0].shape[2]:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in nameless) or "none"
        raise CheckpointError(
            f"weights {path}: no position embedding found (tensors of three dimensions without a name: {shapes})"
        )
    return torch.cat([first[0], patches[0]], dim=1)
