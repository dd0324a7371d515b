"""The checkpoint file: a Lightning checkpoint of `ClassifierModule` with what eval needs beside the weights.

Hyper-parameters and everything under `biasmask` are primitives, so that it reloads with `weights_only=True` and through
`ClassifierModule.load_from_checkpoint`.
"""

import io
from pathlib import Path
from typing import Any

import lightning
import torch

from biasmask import __version__
from biasmask.errors import CheckpointError
from biasmask.files import write_atomically
from biasmask.models.image_classifier import create_network
from biasmask.models.stored_model import is_own, own_state_dict, stored_about, stored_hyper
from biasmask.models.weights import load_matching, read_checkpoint
from biasmask.pipeline.context import ModelState


def save_model(path: Path, state: ModelState, about: dict[str, Any]) -> None:
    """Write a model as a checkpoint, atomically.

    Args:
        path: the file to write.
        state: hyper-parameters and weights, and its decision where it has one.
        about: primitives kept under the key `biasmask`: stage, threshold, attribute, the data config.
    """
    decision = {"decision": state.decision} if state.decision else {}
    content = {
        "state_dict": {f"net.{name}": tensor for name, tensor in state.weights.items()},
        "hyper_parameters": state.hyper,
        "pytorch-lightning_version": lightning.__version__,
        "biasmask": {"version": __version__, **about, **decision},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def load_model(path: Path) -> tuple[ModelState, dict[str, Any]]:
    """Read a checkpoint of ours.

    Returns:
        The model, and what stood under `biasmask` (empty for a checkpoint that Lightning wrote during the training).
    Raises:
        CheckpointError: damaged, foreign, or weights that don't fit the hyper-parameters inside.
    """
    content = read_checkpoint(path)
    if not is_own(content):
        raise CheckpointError(
            f"{path} isn't a checkpoint of biasmask (its hyper_parameters aren't a classifier's); to use a plain state dict, "
            "give it to src/train.py as model.ckpt_path with its model.backbone"
        )
    hyper = stored_hyper(content, path)
    weights = own_state_dict(content, path)
    net = create_network(hyper["backbone"], hyper["num_outputs"], hyper["image_size"], **(hyper["model_args"] or {}))
    load_matching(net, weights, path, hyper["backbone"])
    about = stored_about(content, path)
    return ModelState(hyper=hyper, weights=weights, decision=about.get("decision")), about
