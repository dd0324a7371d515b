"""Reading weights: a package, a file, a checkpoint of ours or a plain timm state dict. No code is ever unpickled."""

import importlib.util
import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from biasmask.errors import CheckpointError
from biasmask.models.image_classifier import create_network, head_of

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
PREFIXES = ("module.", "net.", "model.", "_orig_mod.", "backbone.")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a `.ckpt`, `.pt`, `.pth` or `.safetensors` file into memory on the CPU, without running code in it.

    Raises:
        CheckpointError: the file is absent, damaged, or a pickle that would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} doesn't exist; give the path of a .ckpt, .pt, .pth or .safetensors file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with warnings.catch_warnings():  # a foreign pickle is an error below; torch's remark on its protocol helps nobody
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"checkpoint {path} isn't plain tensors: it is damaged or holds Python objects that would run code on loading; "
            "save `model.state_dict()` instead"
        ) from error
    except Exception as error:  # torch's reader raises struct.error, IndexError, AttributeError and more for a damaged file
        detail = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"checkpoint {path} can't be read, it may be cut off: {detail}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"checkpoint {path} holds a {type(content).__name__}, not a state dict")
    return content


def plain_state_dict(content: Mapping[str, Any], path: str | Path = "") -> dict[str, Tensor]:
    """Unwrap `{"state_dict": ...}` and the prefixes that training frameworks put before every key."""
    for key in WRAPPERS:
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    state = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(f"checkpoint {path} holds no tensors under its keys {[str(key)[:60] for key in content][:6]}")
    stripped = True
    while stripped:
        stripped = False
        for prefix in PREFIXES:
            if all(key.startswith(prefix) for key in state):
                state = {key.removeprefix(prefix): value for key, value in state.items()}
                stripped = True
    return state


def load_matching(net: nn.Module, state: Mapping[str, Tensor], source: str | Path, backbone: str) -> None:
    """Load a state dict that must fit exactly.

    Raises:
        CheckpointError: tensors are missing, too many, of another shape, or not finite; the first of each is named.
    """
    own = net.state_dict()
    missing = [key for key in own if key not in state]
    extra = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or extra or shapes:
        parts = [
            f"{len(keys)} {what} (first: {keys[0]})"
            for what, keys in (("missing", missing), ("not in the model", extra), ("of another shape", shapes))
            if keys
        ]
        raise CheckpointError(
            f"checkpoint {source} doesn't fit backbone {backbone}: {', '.join(parts)} of {len(own)} tensors; "
            "name the architecture it was trained with, as in model.backbone=resnet18"
        )
    bad = [key for key, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(f"checkpoint {source}: tensor {bad[0]} holds NaN or infinite values ({len(bad)} such tensors)")
    net.load_state_dict(dict(state))


def outputs_in(state: Mapping[str, Tensor], backbone: str, source: str | Path) -> int:
    """How many outputs the head of a state dict has, by the name that the architecture's head bears."""
    name = head_of(create_network(backbone))[0]
    weight = state.get(f"{name}.weight")
    if weight is None:
        raise CheckpointError(
            f"checkpoint {source} doesn't fit backbone {backbone}: it has no head `{name}.weight`; "
            "name the architecture it was trained with, as in model.backbone=resnet18"
        )
    return int(weight.shape[0])


def require_outputs(num_outputs: int, class_names: Sequence[str], source: str | Path, dataset: str) -> None:
    """Refuse a trained head that doesn't fit the classes of the data set.

    Raises:
        CheckpointError: with both numbers; two classes take 1 or 2 outputs, C > 2 classes take C in the table's order.
    """
    count = len(class_names)
    if num_outputs not in ((1, 2) if count == 2 else (count,)):
        needed = "a binary classifier has 1 or 2" if count == 2 else f"{count} are needed, in this order"
        raise CheckpointError(
            f"checkpoint {source}: its head has {num_outputs} outputs, and data set {dataset} has {count} classes "
            f"({', '.join(class_names)}); {needed}"
        )


def package_file(package: str, file: str) -> Path | None:
    """Path of a file inside an installed package, without importing it; None when the package isn't installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / file
    return path if path.is_file() else None


def load_by_position(net: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Load pretrained backbone weights whose names differ but whose tensors stand in the same order.

    The head is left as it was initialised. Every shape is checked.
    """
    head = head_of(net)[0]
    names = [key for key in net.state_dict() if not key.startswith(f"{head}.")]
    values = list(state.values())[: len(names)]
    own = net.state_dict()
    wrong = [n for n, v in zip(names, values, strict=False) if own[n].shape != v.shape]
    if len(values) != len(names) or wrong:
        first = wrong[0] if wrong else f"{len(values)} tensors for {len(names)}"
        raise CheckpointError(f"weights {source} don't stand in the order of {type(net).__name__}: {first}")
    net.load_state_dict({**own, **dict(zip(names, values, strict=True))})
