"""An image classifier and a mask in a notebook: loading, saving, and what they look like."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from omegaconf import OmegaConf
from torch import Tensor

from biasmask.errors import CheckpointError, ConfigError
from biasmask.pipeline.baseline import ModelConfig, load_users_checkpoint
from biasmask.pipeline.checkpoints import load_model as read_checkpoint
from biasmask.pipeline.checkpoints import save_model
from biasmask.pipeline.context import ModelState, StageRecord
from biasmask.pipeline.export import write_timm_weights
from biasmask.pipeline.results import records_html
from biasmask.pipeline.workspace import Workspace, method_file

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of norm layers: counted by data, not learned


@dataclass(frozen=True)
class ImageModel:
    """An image classifier, with what the steps that made it did.

    Args:
        state: hyper-parameters and weights.
        records: one for each step.
        history: training curves, a row an epoch and figure.
        selections: stage -> rule, all candidates with their validation figures, and the choice (docs/selection.md).
        source: file, backbone and further keys of a model without a size of its own: the images decide.
    """

    state: ModelState
    records: tuple[StageRecord, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    selections: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)
    source: tuple[Path, str, dict[str, Any]] | None = field(default=None, repr=False, compare=False)

    def at_size(self, size: int | None) -> "ImageModel":
        """The model for images of a size, where its file doesn't tell its own and none was given when it was loaded."""
        if self.source is None or size is None:
            return self
        path, backbone, model = self.source
        return load_model(path, backbone, size, **model)

    def network(self) -> torch.nn.Module:
        """A plain timm network with the weights, in eval mode."""
        return self.state.network().eval()

    def save(self, path: str | Path) -> Path:
        """Write the model: `.pt` or `.pth` as a timm state dict for anywhere, `.ckpt` as a checkpoint that knows its backbone.

        Raises:
            ConfigError: another ending.
        """
        file = Path(path)
        if file.suffix == ".ckpt":
            save_model(file, self.state, {"stage": self.records[-1].stage if self.records else "model"})
        elif file.suffix in (".pt", ".pth"):
            write_timm_weights(file, self.state)
        else:
            raise ConfigError(f"{file}: end the name in .pt (timm state dict) or .ckpt (checkpoint of biasmask)")
        return file

    def __repr__(self) -> str:
        hyper = self.state.hyper
        parameters = sum(tensor.numel() for name, tensor in self.state.weights.items() if not name.endswith(STATISTICS))
        steps = ", ".join(record.stage for record in self.records) or "as loaded"
        return f"{hyper['backbone']}, {parameters:,} parameters, {hyper['image_size']} px ({steps})"

    def _repr_html_(self) -> str:
        return records_html(repr(self), self.records)


@dataclass(frozen=True)
class Mask:
    """Which parameters carry the bias.

    Args:
        tensors: name of each backbone parameter -> bool tensor, True = may be edited.
        info: the content of `mask.json`: counts, density of each tensor, how it was found.
        record: of the step.
    """

    tensors: dict[str, Tensor]
    info: dict[str, Any]
    record: StageRecord

    def __repr__(self) -> str:
        return f"mask: {self.record.label}"

    def _repr_html_(self) -> str:
        largest = sorted(self.info["tensors"], key=lambda tensor: -(tensor["density"] or 0))[:5]
        rows = Markup("").join(
            Markup("<tr><td>{}</td><td>{:,.0f}</td><td>{:,}</td><td>{:.1%}</td></tr>").format(
                tensor["name"], tensor["selected"], tensor["parameters"], tensor["density"]
            )
            for tensor in largest
        )
        head = Markup("<tr><th>densest tensors</th><th>selected</th><th>of</th><th>density</th></tr>")
        return Markup("<p>{}</p><table>{}{}</table>").format(repr(self), head, rows)


def load_model(path: str | Path, backbone: str | None = None, image_size: int | None = None, **model: Any) -> ImageModel:
    """A trained classifier from a file or a run.

    Args:
        path: a timm state dict (then `backbone` is needed), a checkpoint of biasmask, or a run folder: its debiased model, of a
            run without one its base model.
        backbone: timm name, or a file of configs/backbone.
        image_size: pixels of the input; None: the checkpoint's own, of a state dict that of the images that it is used on.
        model: further keys of the `model` node, such as channels_last=True.
    Raises:
        CheckpointError: unreadable, or of another architecture.
    """
    file = Path(path)
    if file.is_dir():
        found = [file / "checkpoints" / f"{name}.ckpt" for name in ("debiased", "base")]
        file = next((candidate for candidate in found if candidate.is_file()), found[-1])
    if not file.is_file():
        raise CheckpointError(f"{path}: no such file, and no run folder with checkpoints/base.ckpt")
    workspace, note = Workspace(), "your checkpoint"
    with workspace.contained():
        if backbone is not None:
            changes = {**model, "ckpt_path": str(file), "image_size": image_size}
            state = load_users_checkpoint(model_node(workspace, backbone, changes))
        elif file.suffix == ".ckpt":
            state, about = read_checkpoint(file)
            note = str(about.get("model") or about.get("stage") or "checkpoint")
        else:
            raise ConfigError(f"{file.name} is a plain state dict: say its backbone, such as backbone='resnet50'")
    label = f"{state.hyper['backbone']} from {file.name}"
    source = (file, backbone, model) if backbone is not None and image_size is None else None
    return ImageModel(state, (StageRecord("baseline", label, 0.0, reused=True, notes=[note]),), source=source)


def model_node(workspace: Workspace, backbone: str, changes: dict[str, Any]) -> ModelConfig:
    """The `model` node of a backbone that has a file in configs, or of any other of timm."""
    named = method_file("backbone", backbone)
    choices = {"backbone": backbone} if named else {}
    model = changes if named else {"backbone": backbone, "weights": "none", **changes}
    config = workspace.compose(choices, {"model": model})
    return ModelConfig(**OmegaConf.to_container(config.model, resolve=True))  # type: ignore[arg-type]
