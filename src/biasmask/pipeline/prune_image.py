"""The stages that prune an image classifier: scores learn by the bias losses on frozen weights; a random control."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate

from biasmask.errors import ConfigError
from biasmask.methods.block_mask import shuffled
from biasmask.methods.threshold_schedule import Schedule
from biasmask.metrics.overall import overall_auroc, score_spread
from biasmask.models.image_classifier import create_network, scores_of
from biasmask.models.pruner import Pruner
from biasmask.modules.bmft import Editing
from biasmask.modules.classifier import Learning
from biasmask.modules.image_pruning import ImagePruningModule, Pruning
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.predictions import logits_by_row, predict_logits
from biasmask.pipeline.stages import Outcome, StoredStage, epochs_done, expected_warnings
from biasmask.pipeline.structure import Structure, fold_masks, kept_label, pruning_notes, weight_facts


class PruningStage(StoredStage):
    """A stage that needs a transformer; says so before anything is trained."""

    structure: dict[str, Any]

    def require(self, hyper: dict[str, Any]) -> None:
        """Try the structure on a bare network of the run's architecture.

        Raises:
            ConfigError: no transformer, or blocks that don't divide its matrices.
        """
        args = hyper["model_args"] or {}
        Structure(**self.structure).attach(create_network(hyper["backbone"], hyper["num_outputs"], hyper["image_size"], **args))


@dataclass
class PruneImage(PruningStage):
    """Train pruning scores on the debias split; the weights are frozen, and what is cut becomes 0.

    Args:
        structure: keyword arguments of `Structure`.
        epochs, batch_size: length and images a step.
        optimizer: partial `_target_` node; its lr is that of the scores.
        gradient_clip_val: largest norm of the gradient, or null.
        task_weight, bias_weight, anchor_weight: factors of the three losses.
        penalty, penalty_schedule: factor of the regulariser of the scores, see `modules.image_pruning.Pruning`.
        schedule: keyword arguments of `methods.threshold_schedule.Schedule`.
        bias_loss: keyword arguments of `methods.losses.bias_loss`.
        class_balance: of the task loss.
        batches: `sequential`, `shuffled`, `group_target`, `balanced` or `equal_cells`.
        augment: arguments of `biasmask.data.augment.Augment`.
        dropout: whether dropout is active.
        max_auroc_drop: AUROC on the validation split may fall by so much before a note warns of it.
        split: the rows to train on.
    """

    structure: dict[str, Any]
    epochs: int
    batch_size: int
    optimizer: dict[str, Any]
    gradient_clip_val: float | None
    task_weight: float
    bias_weight: float
    anchor_weight: float
    penalty: float
    penalty_schedule: str
    schedule: dict[str, Any]
    bias_loss: dict[str, Any]
    class_balance: str
    batches: str
    augment: dict[str, Any]
    dropout: bool
    max_auroc_drop: float
    split: str = "debias"

    def __post_init__(self) -> None:
        try:
            self.pruning()
        except ValueError as error:  # a wrong number is told before anything is loaded
            raise ConfigError(f"debias.prune.schedule: {error}") from None

    def pruning(self) -> Pruning:
        return Pruning(Schedule(**self.schedule), self.penalty, self.penalty_schedule)

    def inputs(self, state: ModelState | None, context: Context) -> dict[str, Any]:
        return {
            "trainer": context.stage_key,
            "data": context.fingerprint(self.split, "val"),
        }

    def work(self, name: str, state: ModelState | None, context: Context, folder: Path) -> Outcome:
        if state is None:
            raise ConfigError(f"stage {name} needs a model: the baseline comes first")
        data = context.data
        rows = data.rows(self.split)
        net = state.network()
        pruner = Structure(**self.structure).attach(net)
        counts = data.seen_per_class(rows, self.batches, context.attribute)
        learning = Learning(instantiate(self.optimizer), None, self.augment, self.class_balance, counts, context.seed)
        module = ImagePruningModule(state.hyper, net, learning, self._editing(name, state, context), pruner, self.pruning())
        loaders = (
            data.loader(rows, self.batches, self.batch_size, context.seed, attribute=context.attribute),
            data.loader(data.rows("val"), "sequential"),
        )
        trainer = context.trainer(
            name, folder / "history.jsonl", max_epochs=self.epochs, gradient_clip_val=self.gradient_clip_val
        )
        with expected_warnings():
            trainer.fit(module, *loaders)
        module.finish()
        scores = {key: score.detach().cpu().clone() for key, score in pruner.scores.items()}
        after = folded(state, pruner)
        facts = weight_facts(state.weights, after.weights, frozen=True)
        notes = [*pruning_notes(after.block_info or {}, scores, self.pruning().schedule)]
        undefined = int(module.undefined_batches)  # type: ignore[arg-type]
        if undefined:
            notes.append(f"{undefined} batches had no defined bias loss and gave no gradient of it")
        notes.append(self._cost_note(name, state, after, context))
        return Outcome(after, self._label(after), epochs_done(trainer, folder), facts, tuple(notes))

    def _editing(self, name: str, state: ModelState, context: Context) -> Editing:
        attribute = context.attribute
        editing = Editing(
            "scores",
            attribute.name,
            len(attribute.group_names),
            self.task_weight,
            self.bias_weight,
            self.anchor_weight,
            self.bias_loss,
            "frozen",
            self.dropout,
            attributes=context.debiased,
        )
        if self.anchor_weight:
            rows = context.data.rows(self.split)
            editing.base_logits = logits_by_row(state, context, rows, f"{name}: base scores")
        return editing

    def _label(self, after: ModelState) -> str:
        losses = (("task loss", self.task_weight), ("bias loss", self.bias_weight), ("anchor", self.anchor_weight))
        used = " + ".join(f"{weight:g} {name}" for name, weight in losses if weight) or "no loss"
        return f"{kept_label(after.block_info or {})}, {used} + {self.penalty:g} penalty"

    def _cost_note(self, name: str, before: ModelState, after: ModelState, context: Context) -> str:
        """What it cost on the validation split: a gap that fell with the spread of the scores alone is no gain."""
        rows = context.data.rows("val")
        target = torch.as_tensor(context.data.target[rows])
        scores = [scores_of(predict_logits(state, context, rows, f"{name}: cost")) for state in (before, after)]
        old, new = (overall_auroc(score, target) for score in scores)
        wide, narrow = (score_spread(score) for score in scores)
        text = f"on the validation split: AUROC {old:.3f} to {new:.3f}, spread of scores {wide:.3f} to {narrow:.3f}"
        if old - new > self.max_auroc_drop:
            text += f"; AUROC fell by more than {self.max_auroc_drop:g}: a weaker penalty or min_kept cuts less"
        return text


@dataclass
class RandomImageBlocks(PruningStage):
    """Control: as many blocks as the stage before cut, at random places, on the model that the stages started from.

    Args:
        within: `matrix` (each matrix loses as many as before) or `network`.
        structure: that of the stage before.
    """

    within: str
    structure: dict[str, Any]

    def inputs(self, state: ModelState | None, context: Context) -> dict[str, Any]:
        return {"base": context.base.key if context.base else None}

    def work(self, name: str, state: ModelState | None, context: Context, folder: Path) -> Outcome:
        base = context.base
        if base is None or state is None or state.block_masks is None:
            raise ConfigError(f"stage {name} needs the block mask of a stage before: put `prune` before it")
        pruner = Structure(**self.structure).attach(base.network())
        drawn = shuffled(state.block_masks, context.seed, self.within, pruner.block_weights())  # type: ignore[arg-type]
        pruner.set_masks(drawn)
        after = folded(base, pruner)
        info = after.block_info or {}
        facts = weight_facts(base.weights, after.weights, frozen=True)
        return Outcome(after, f"{kept_label(info)}, at random", None, facts, tuple(info["warnings"]))


def folded(before: ModelState, pruner: Pruner) -> ModelState:
    """The model with its masked weights at 0, in plain layers, and the mask."""
    net = pruner.net
    masks, info = fold_masks(pruner)
    return replace(before.with_weights(net), block_masks=masks, block_info=info)
