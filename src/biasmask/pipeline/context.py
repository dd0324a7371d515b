"""What the stages of a run share: the data, the way to a Trainer, the store, and the model that goes from stage to stage."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from biasmask.data.attributes import EncodedAttribute
from biasmask.data.image_data import ImageData
from biasmask.models.image_classifier import create_network
from biasmask.modules.callbacks import HistoryWriter, StageProgress
from biasmask.modules.classifier import ClassifierModule, Learning
from biasmask.modules.clock import Clock, TimeKeeper
from biasmask.pipeline.store import ArtefactStore


@dataclass(frozen=True)
class StageRecord:
    """What a stage did, for the report: see `stages.json`."""

    stage: str
    label: str
    seconds: float
    reused: bool
    epochs: int | None = None
    edited: int | None = None
    parameters: int | None = None
    largest_change: float | None = None
    changed_outside: int | None = None
    notes: list[str] = field(default_factory=list)
    spent: dict[str, float] | None = None


@dataclass(frozen=True)
class ModelState:
    """A model between two stages, with what the stages before found out about it.

    Args:
        hyper: hyper-parameters of `ClassifierModule`, primitives only.
        weights: state dict of the network, on the CPU.
        mask: name -> bool tensor over the backbone, or None before a mask was made; a soft mask: floats over all parameters.
        mask_info: the content of `mask.json`.
        block_masks: `{layer}.{role}` -> bool grid of what pruning kept, or None before any.
        block_info: the content of `block_mask.json`.
        decision: how scores become predictions where no single threshold does it (see `pipeline.decisions`), or None.
    """

    hyper: dict[str, Any]
    weights: dict[str, Tensor]
    mask: dict[str, Tensor] | None = None
    mask_info: dict[str, Any] | None = None
    block_masks: dict[str, Tensor] | None = None
    block_info: dict[str, Any] | None = None
    decision: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        """SHA-256 over hyper-parameters, weights and masks: two equal keys are the same model, wherever it came from."""
        digest = hashlib.sha256(repr(sorted(self.hyper.items())).encode())
        for name, tensor in [*self.weights.items(), *(self.mask or {}).items(), *(self.block_masks or {}).items()]:
            digest.update(name.encode())
            digest.update(tensor.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        if self.decision:
            digest.update(repr(self.decision).encode())
        return digest.hexdigest()

    def network(self) -> torch.nn.Module:
        net = create_network(
            self.hyper["backbone"], self.hyper["num_outputs"], self.hyper["image_size"], **(self.hyper["model_args"] or {})
        )
        net.load_state_dict(self.weights)
        return net

    def classifier(self, learning: Learning | None = None) -> ClassifierModule:
        return ClassifierModule(**self.hyper, network=self.network(), learning=learning)

    def with_weights(self, net: torch.nn.Module) -> "ModelState":
        weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in net.state_dict().items()}
        return replace(self, weights=weights)


@dataclass
class Context:
    """The surroundings of a stage.

    Args:
        data: the images, targets and groups of the run.
        attribute: the sensitive attribute that is debiased; of several at once the crossed one, which samplers look at.
        seed: of weights, batches and masks.
        make_trainer: makes a Trainer from keyword arguments that override the config's.
        trainer_key: the Trainer settings that determine a result (epochs, precision, clipping).
        store: where finished stages are kept.
        progress: whether to draw a bar for each stage.
        loggers: makes the loggers of a stage.
        callbacks: makes the configured callbacks of the baseline.
        callbacks_key: their settings, which determine a result where one of them stops the training.
        base: the model before all stages.
        attributes: all that are debiased; by default `attribute` alone.
        selection: the `selection` node under `rule`, and the `threshold_rule` of the gaps it looks at; None = the stages' own
            guards choose epochs.
        selections: what each stage chose its epoch from: see `selection.json`.
        clock: seconds of all stages by part: waiting for data, training, judging.
    """

    data: ImageData
    attribute: EncodedAttribute
    seed: int
    make_trainer: Callable[..., lightning.Trainer]
    trainer_key: dict[str, Any]
    store: ArtefactStore
    progress: bool = True
    loggers: Callable[[str], Any] = lambda _stage: False
    callbacks: Callable[[], list[Any]] = list
    callbacks_key: dict[str, Any] = field(default_factory=dict)
    base: ModelState | None = None
    attributes: tuple[EncodedAttribute, ...] = ()
    selection: dict[str, Any] | None = None
    selections: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: list[StageRecord] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        if not self.attributes and self.attribute is not None:
            self.attributes = (self.attribute,)

    @property
    def debiased(self) -> dict[str, int]:
        """Name of each attribute that is debiased -> number of its groups."""
        return {attribute.name: len(attribute.group_names) for attribute in self.attributes}

    def fingerprint(self, *splits: str) -> str:
        """Hash of pixels, targets and the groups of all debiased attributes on some splits: for the key of a stage."""
        return self.data.fingerprint(splits, self.debiased)

    @property
    def stage_key(self) -> dict[str, Any]:
        """The Trainer settings that determine a debias stage, which has its own epochs and no clipping."""
        own = ("max_epochs", "gradient_clip_val", "overfit_batches")
        return {name: value for name, value in self.trainer_key.items() if name not in own}

    @property
    def walk_key(self) -> dict[str, Any]:
        """As `stage_key`, for an importance walk, whose result doesn't depend on the number of processes."""
        return {name: value for name, value in self.stage_key.items() if name not in ("devices", "num_nodes")}

    @property
    def selection_key(self) -> dict[str, Any]:
        """What determines which epoch a stage keeps, beside the stage's own settings: the rule, and the model it refers to."""
        if self.selection is None:
            return {}
        return {"selection": self.selection, "base": self.base.key if self.base else None}

    def trainer(
        self, stage: str, history: Path | None = None, extra: list[Any] | None = None, **overrides: Any
    ) -> lightning.Trainer:
        """A Trainer for one walk of a stage, with its progress bar and its history file."""
        callbacks = [TimeKeeper(self.clock), *(extra or []), StageProgress(stage, self.progress)]
        if history is not None:
            callbacks.append(HistoryWriter(stage, history))
        if any(isinstance(callback, Checkpoint) for callback in callbacks):
            overrides["enable_checkpointing"] = True
        logger = overrides.pop("logger", None)
        return self.make_trainer(callbacks=callbacks, logger=self.loggers(stage) if logger is None else logger, **overrides)

    def spent_since(self, before: dict[str, float]) -> dict[str, float] | None:
        """Seconds by part since `clock.now()` gave `before`; None where other processes train: their clocks aren't seen."""
        return self.clock.since(before) if {"devices", "num_nodes"}.isdisjoint(self.trainer_key) else None

    def single_trainer(self, stage: str) -> lightning.Trainer:
        """A Trainer on one device for predictions, so that no figure depends on the number of processes."""
        return self.trainer(stage, devices=1, num_nodes=1, strategy="auto", logger=False)
