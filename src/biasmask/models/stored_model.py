"""What a checkpoint of ours tells about its network: it may be somebody else's, so that it is looked at before it is used."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from biasmask.errors import CheckpointError
from biasmask.models.weights import plain_state_dict

# Hyper-parameter -> its types; all are there in a checkpoint of ours.
TYPES: dict[str, tuple[type, ...]] = {
    "backbone": (str,), "image_size": (int,), "mean": (list, tuple), "std": (list, tuple), "num_outputs": (int,),
    "model_args": (dict, type(None)), "channels_last": (bool,),
}  # fmt: skip
# What stands beside the weights -> its types; each may be missing.
ABOUT: dict[str, tuple[type, ...]] = {
    "threshold": (int, float, dict), "attribute": (str, list, type(None)), "class_names": (list,), "data": (dict,),
    "metrics": (dict,), "decision": (dict,),
}  # fmt: skip
DECISION: dict[str, tuple[type, ...]] = {"attribute": (str,), "seed": (int,), "groups": (dict,), "pooled": (dict,)}
LARGEST = {"image_size": 10_000, "num_outputs": 100_000}
# Arguments of `timm.create_model` that read files or ask a network: weights are loaded by biasmask alone.
LOADING = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "pretrained_strict")


def is_own(content: Mapping[str, Any]) -> bool:
    """Whether the content of a checkpoint says that it is one of ours: all hyper-parameters of a classifier are there."""
    hyper = content.get("hyper_parameters")
    return isinstance(hyper, dict) and hyper.keys() >= TYPES.keys()


def stored_hyper(content: Mapping[str, Any], source: Any) -> dict[str, Any]:
    """The hyper-parameters of a classifier out of a checkpoint that `is_own`.

    Raises:
        CheckpointError: one has another type or range, or would make timm load something.

    >>> plain = {"backbone": "resnet18", "image_size": 64, "mean": [0.5] * 3, "std": [0.5] * 3, "num_outputs": 1}
    >>> hyper = {**plain, "model_args": {"checkpoint_path": "x.pth"}, "channels_last": False}
    >>> stored_hyper({"hyper_parameters": hyper}, "a.ckpt")
    Traceback (most recent call last):
    ...
    biasmask.errors.CheckpointError: checkpoint a.ckpt: hyper_parameters.model_args.checkpoint_path would make timm load ...
    """
    hyper: dict[str, Any] = content["hyper_parameters"]
    for name, types in TYPES.items():
        value, fits = hyper[name], isinstance(hyper[name], types) and (bool in types or not isinstance(hyper[name], bool))
        if name in LARGEST:
            fits = fits and 1 <= value <= LARGEST[name]
        if name in ("mean", "std"):
            fits = fits and len(value) == 3 and all(isinstance(v, int | float) and abs(v) < 1e6 for v in value)
        if not fits:
            raise CheckpointError(f"checkpoint {source}: hyper_parameters.{name} is {str(value)[:60]!r}: the file was changed")
    for name in hyper["model_args"] or {}:
        if name in LOADING or not isinstance(name, str):
            raise CheckpointError(
                f"checkpoint {source}: hyper_parameters.model_args.{name} would make timm load something: take it out"
            )
    return hyper


def own_state_dict(content: Mapping[str, Any], source: Any) -> dict[str, Tensor]:
    """The weights of the network out of a checkpoint that `is_own`, without `net.` before each name.

    Raises:
        CheckpointError: there are none.
    """
    state = content.get("state_dict")
    if not isinstance(state, dict):
        raise CheckpointError(f"checkpoint {source} holds no state_dict: the file was changed")
    return plain_state_dict({"state_dict": {key: value for key, value in state.items() if str(key).startswith("net.")}}, source)


def stored_about(content: Mapping[str, Any], source: Any) -> dict[str, Any]:
    """What stands under `biasmask` in a checkpoint: thresholds, attribute, data and metric settings; {} where nothing does.

    Raises:
        CheckpointError: one has another type.
    """
    about = content.get("biasmask", {})
    _require_types({"biasmask": about}, {"biasmask": (dict,)}, source)
    _require_types(about, ABOUT, f"{source}: biasmask")
    for name in ("attribute", "class_names"):
        if isinstance(names := about.get(name), list):
            _require_types(dict(enumerate(names)), dict.fromkeys(range(len(names)), (str,)), f"{source}: biasmask.{name}")
    if isinstance(about.get("threshold"), dict):
        _require_types(about["threshold"], dict.fromkeys(about["threshold"], (int, float)), f"{source}: biasmask.threshold")
    if "decision" in about:
        lacking = [name for name in DECISION if name not in about["decision"]]
        if lacking:
            raise CheckpointError(f"checkpoint {source}: biasmask.decision lacks {lacking[0]}: the file was changed")
        _require_types(about["decision"], DECISION, f"{source}: biasmask.decision")
    return about


def _require_types(node: Mapping[Any, Any], types: Mapping[Any, tuple[type, ...]], source: Any) -> None:
    for name, allowed in types.items():
        if name in node and not isinstance(node[name], allowed):
            raise CheckpointError(f"checkpoint {source}: {name} is {str(node[name])[:60]!r}: the file was changed")
