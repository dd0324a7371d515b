"""The stages `impair` and `repair`, and the rivals at the same budget: fine-tuning of a part by a mix of losses."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from hydra.utils import instantiate
from torch import Tensor

from biasmask.data.features import FeatureDataset, dihedral
from biasmask.errors import ConfigError, MethodError
from biasmask.methods.attribute_mean import mean_bias_loss
from biasmask.metrics.overall import overall_auroc, score_spread
from biasmask.models.image_classifier import captured_features, reset_head, scores_of
from biasmask.modules.bmft import BMFTModule, Editing
from biasmask.modules.classifier import ClassifierModule, Learning
from biasmask.modules.kept_epoch import CollapseGuard, EpochSelection, KeptEpoch, selection_note
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.predictions import logits_by_row, predict_logits
from biasmask.pipeline.selection import epoch_selection
from biasmask.pipeline.stages import Outcome, StoredStage, epochs_done, expected_warnings

PARTS = ("mask", "mask_and_head", "backbone", "head", "all", "none")


@dataclass
class FineTune(StoredStage):
    """Fine-tune a part of a trained model on the debias split.

    Args:
        part: what may change: `mask`, `mask_and_head`, `backbone`, `head`, `all`, or `none` (norm statistics alone).
        epochs, batch_size: length and images a step.
        optimizer: partial `_target_` node.
        gradient_clip_val: largest norm of the (masked) gradient, or null.
        task_weight, bias_weight, anchor_weight: factors of the three losses.
        bias_loss: keyword arguments of `methods.losses.bias_loss`.
        class_balance: of the task loss.
        batches: `sequential`, `shuffled`, `group_target`, `balanced` (per target, groups of equal size) or `equal_cells`.
        augment: arguments of `biasmask.data.augment.Augment`.
        norm_statistics: `frozen` or `adapt`.
        dropout: whether dropout is active.
        reset_head: start from a head of zeros.
        views: for `part=head`: features of this many flips of each image, computed once; 0: forward in every epoch.
        guard: limits against collapse (`max_auroc_drop`, `min_spread`, `keep`, `patience`), or null for none; where the run has
            a selection rule, that one chooses the epoch, and the guard isn't looked at.
        split: the rows to train on.
    """

    selects: ClassVar[bool] = True

    part: str
    epochs: int
    batch_size: int
    optimizer: dict[str, Any]
    gradient_clip_val: float | None
    task_weight: float
    bias_weight: float
    anchor_weight: float
    bias_loss: dict[str, Any]
    class_balance: str
    batches: str
    augment: dict[str, Any]
    norm_statistics: str
    dropout: bool
    reset_head: bool
    views: int
    guard: dict[str, Any] | None
    split: str = "debias"

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ConfigError(f"part={self.part}: choose one of {', '.join(PARTS)}")
        if self.norm_statistics not in ("frozen", "adapt"):
            raise ConfigError(f"norm_statistics={self.norm_statistics}: choose frozen or adapt")
        if not 0 <= self.views <= 8 or (self.views and self.part != "head"):
            raise ConfigError(f"views={self.views}: between 0 and 8, and above 0 only for part=head")

    def inputs(self, state: ModelState | None, context: Context) -> dict[str, Any]:
        return {
            "trainer": context.stage_key,
            "data": context.fingerprint(self.split, "val"),
            **context.selection_key,
        }

    def work(self, name: str, state: ModelState | None, context: Context, folder: Path) -> Outcome:
        if state is None:
            raise ConfigError(f"stage {name} needs a model: the baseline comes first")
        if self.part.startswith("mask") and state.mask is None:
            raise ConfigError(f"stage {name} edits a mask, and no stage before it made one: put `locate` before it")
        data, attribute = context.data, context.attribute
        rows = data.rows(self.split)
        counts = data.seen_per_class(rows, self.batches, attribute)
        learning = Learning(instantiate(self.optimizer), None, self.augment, self.class_balance, counts, context.seed)
        editing = Editing(
            self.part,
            attribute.name,
            len(attribute.group_names),
            self.task_weight,
            self.bias_weight,
            self.anchor_weight,
            self.bias_loss,
            self.norm_statistics,
            self.dropout,
            state.mask,
            attributes=context.debiased,
        )
        if self.anchor_weight:
            editing.base_logits = logits_by_row(state, context, rows, f"{name}: base scores")
        net = state.network()
        if self.reset_head:
            reset_head(net)
        module = self.module(state, net, learning, editing, context)
        if self.views:
            loaders = self._feature_loaders(name, state, context, rows)
        else:
            train = data.loader(rows, self.batches, self.batch_size, context.seed, attribute=attribute)
            loaders = (train, data.loader(data.rows("val"), "sequential"))
        guard = self._guard(name, state, context, folder)
        trainer = context.trainer(
            name,
            folder / "history.jsonl",
            extra=[guard] if guard else None,
            max_epochs=self.epochs,
            gradient_clip_val=None if self.part == "none" else self.gradient_clip_val,  # nothing has a gradient there
        )
        with expected_warnings():
            trainer.fit(module, *loaders)
        after = state.with_weights(module.net)
        facts = edit_facts(state, after, module.editable())
        return Outcome(after, self._label(), epochs_done(trainer, folder), facts, self._notes(module, guard))

    def module(
        self, state: ModelState, net: torch.nn.Module, learning: Learning, editing: Editing, context: Context
    ) -> BMFTModule:
        """The LightningModule that trains; a rival with a loss or parts of its own gives a subclass of BMFTModule here."""
        return BMFTModule(state.hyper, net, learning, editing)

    def _label(self) -> str:
        losses = (("task loss", self.task_weight), ("bias loss", self.bias_weight), ("anchor", self.anchor_weight))
        used = " + ".join(f"{weight:g} {name}" for name, weight in losses if weight) or "no loss"
        words = {"mask": "masked weights", "mask_and_head": "masked weights and head", "none": "norm statistics only"}
        what = {**words, "all": "all weights"}.get(self.part, self.part)
        return f"{what}, {used}"

    def _notes(self, module: BMFTModule, guard: KeptEpoch | None) -> tuple[str, ...]:
        notes = []
        if int(module.undefined_batches):
            notes.append(f"{int(module.undefined_batches)} batches had no defined bias loss and gave no gradient of it")
        if isinstance(guard, EpochSelection):
            stopped = int(module.stopped_epoch)
            notes.append(selection_note(guard.path, None if stopped < 0 else f"epoch {stopped + 1}"))  # type: ignore[arg-type]
            return tuple(notes)
        if guard is not None and int(module.kept_epoch) < 0:
            notes.append("kept the weights as they were: no epoch had a smaller gap within the allowed loss of AUROC")
        elif guard is not None:
            notes.append(f"kept epoch {int(module.kept_epoch) + 1} of {self.epochs}")
        if int(module.stopped_epoch) >= 0:
            notes.append(f"stopped in epoch {int(module.stopped_epoch) + 1}: AUROC or score spread fell below the guard")
        return tuple(notes)

    def _guard(self, name: str, state: ModelState, context: Context, folder: Path) -> KeptEpoch | None:
        path = folder / "selection.json"
        if context.selection is not None:
            return epoch_selection(name, state, context, self.bias_loss, path)
        if not self.guard:
            return None
        rows = context.data.rows("val")
        logits = predict_logits(state, context, rows, f"{name}: guard")
        target = torch.as_tensor(context.data.target[rows])
        groups = {attribute.name: torch.as_tensor(attribute.index[rows]) for attribute in context.attributes}
        gap = mean_bias_loss(logits, target, groups, context.debiased, **self.bias_loss)
        scores = scores_of(logits)
        return CollapseGuard(
            base_auroc=overall_auroc(scores, target),
            base_score_std=score_spread(scores),
            base_bias=float(gap.value) if gap.defined else float("inf"),
            **self.guard,
            weights=state.weights,
            path=path,
        )

    def _feature_loaders(self, name: str, state: ModelState, context: Context, rows: np.ndarray) -> tuple[Any, Any]:
        data, attribute = context.data, context.attribute
        val = data.rows("val")
        cached = features_of(state, context, rows, range(self.views), f"{name}: features")
        groups = {name: encoded.index for name, encoded in data.groups.items()}
        train_set = FeatureDataset(cached, rows, data.target, groups, context.seed)
        val_set = FeatureDataset(
            features_of(state, context, val, range(1), f"{name}: features"), val, data.target, groups, context.seed
        )
        return (
            data.loader(rows, self.batches, self.batch_size, context.seed, attribute=attribute, dataset=train_set),
            data.loader(val, "sequential", dataset=val_set),
        )


def features_of(state: ModelState, context: Context, rows: np.ndarray, views: range, label: str) -> Tensor:
    """What enters the head, for each view of each row: (V, n, F) float32 on the CPU."""

    class FeatureModule(ClassifierModule):
        def predict_step(self, batch: dict[str, Any], _index: int) -> Tensor:  # type: ignore[override]
            with captured_features(self.net) as found:
                for view in views:
                    self(dihedral(batch["image"], view))
            return torch.stack(found).float().cpu()

    module = FeatureModule(**state.hyper, network=state.network())
    trainer = context.single_trainer(label)
    with expected_warnings():
        parts = trainer.predict(module, context.data.loader(rows, "sequential"))
    features = torch.cat(parts, dim=1)  # type: ignore[arg-type]
    if features.ndim != 3 or not torch.isfinite(features).all():
        raise MethodError(f"features of shape {tuple(features.shape)} can't be cached: set debias.repair.views=0")
    return features


def edit_facts(before: ModelState, after: ModelState, editable: dict[str, Tensor]) -> dict[str, Any]:
    """Count what changed, inside and outside of what may change, by comparing the two sets of weights bit for bit."""
    edited, outside, largest, total = 0, 0, 0.0, 0
    for name, mask in editable.items():
        old, new = before.weights[name], after.weights[name]
        changed = old != new
        edited += int(changed.sum())
        outside += int((changed & ~mask.cpu()).sum())
        total += old.numel()
        if changed.any():
            largest = max(largest, float((new - old).abs().max()))
    return {"edited": edited, "parameters": total, "largest_change": largest, "changed_outside": outside}
