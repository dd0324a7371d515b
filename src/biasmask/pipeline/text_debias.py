"""The stages of the text family that train: `prune` (only scores learn), and fine-tuning on the same losses."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from torch import Tensor, nn
from torch.utils.data import DataLoader

from biasmask.data.token_batches import PairedBatches, ordered_loader, sentence_loader
from biasmask.errors import ConfigError
from biasmask.methods.block_mask import shuffled
from biasmask.methods.threshold_schedule import Schedule
from biasmask.models.pruner import Pruner
from biasmask.models.text_encoder import base_of
from biasmask.modules.text_debias import TextDebiasModule, TextLosses
from biasmask.pipeline.stages import Outcome, epochs_done, expected_warnings
from biasmask.pipeline.structure import Structure, fold_masks, kept_label, pruning_notes, weight_facts
from biasmask.pipeline.text_stages import TextContext, TextStage
from biasmask.pipeline.text_state import TextState


@dataclass
class TextDebias(TextStage):
    """Train pruning scores on frozen weights, or with them, or the weights alone.

    Args:
        structure: keyword arguments of `Structure`, or null: no scores.
        weights_lr: learning rate of the weights, or null: frozen.
        losses: keyword arguments of `modules.text_debias.TextLosses`.
        schedule: keyword arguments of `methods.threshold_schedule.Schedule`.
        optimizer: partial `_target_` node; its lr is that of the scores.
        epochs: passes over the training sentences.
        batch_size: sentences a step, of all kinds together.
        gradient_clip_val: largest norm of the gradient, or null.
        dropout: whether dropout is active in training.
        cache_limit_gb: memory for the original's embeddings.
    """

    structure: dict[str, Any] | None
    weights_lr: float | None
    losses: dict[str, Any]
    schedule: dict[str, Any]
    optimizer: dict[str, Any]
    epochs: int
    batch_size: int
    gradient_clip_val: float | None
    dropout: bool
    cache_limit_gb: float

    def __post_init__(self) -> None:
        TextLosses(**self.losses)  # a wrong word is told before anything is loaded
        if self.structure is None and self.weights_lr is None:
            raise ConfigError("a stage with structure=null and weights_lr=null trains nothing: give one of the two")

    def inputs(self, state: TextState | None, context: TextContext) -> dict[str, Any]:  # type: ignore[override]
        return {"trainer": context.stage_key, "sentences": context.sentences.key()}

    def work(self, name: str, state: TextState | None, context: TextContext, folder: Path) -> Outcome:  # type: ignore[override]
        assert state is not None
        net = state.network()
        pruner = Structure(**self.structure).attach(base_of(net)) if self.structure else None
        sentences = context.sentences
        module = TextDebiasModule(
            net,
            len(sentences.groups),
            TextLosses(**self.losses),
            instantiate(self.optimizer),
            self.weights_lr,
            pruner,
            Schedule(**self.schedule) if pruner else None,
            self.dropout,
            sentences.batches("train", sentences.groups),
            sentences.batches("held_out", sentences.groups),
            int(self.cache_limit_gb * 2**30),
        )
        trainer = context.trainer(
            name, folder / "history.jsonl", max_epochs=self.epochs, gradient_clip_val=self.gradient_clip_val
        )
        with expected_warnings():
            trainer.fit(module, *self._loaders(context))
        module.finish()
        scores = {key: score.detach().cpu().clone() for key, score in pruner.scores.items()} if pruner else {}
        after = folded(state, net, pruner)
        facts = weight_facts(state.weights, after.weights, frozen=self.weights_lr is None)
        return Outcome(after, self._label(after), epochs_done(trainer, folder), facts, self._notes(after, scores))  # type: ignore[arg-type]

    def _loaders(self, context: TextContext) -> tuple[DataLoader[Any], DataLoader[Any]]:
        sentences = context.sentences
        train = PairedBatches(sentences.table, sentences.parts["train"], self.batch_size, context.seed, even=True)
        train.deal(True)
        held_out = ordered_loader(sentences.table, sentences.rows("held_out"), sentences.tokens_per_batch)
        return sentence_loader(sentences.table, train), held_out

    def _label(self, after: TextState) -> str:
        what = f"{self.losses['attribute_reduction']}, layer {self.losses['embedding_layer']}, {self.losses['debias_mode']}"
        if after.mask_info is None:
            return f"all weights, {what}"
        return f"{kept_label(after.mask_info)}, {what}"

    def _notes(self, after: TextState, scores: dict[str, Tensor]) -> tuple[str, ...]:
        if after.mask_info is None:
            return ()
        return pruning_notes(after.mask_info, scores, Schedule(**self.schedule))


@dataclass
class RandomBlocks(TextStage):
    """Control: as many blocks as the stage before cut, at random places, on the weights that it started from.

    Args:
        within: `matrix` (each matrix loses as many as before) or `network`.
    """

    within: str
    structure: dict[str, Any]

    def inputs(self, state: TextState | None, context: TextContext) -> dict[str, Any]:  # type: ignore[override]
        return {"original": context.original.key}

    def work(self, name: str, state: TextState | None, context: TextContext, folder: Path) -> Outcome:  # type: ignore[override]
        if state is None or state.masks is None:
            raise ConfigError(f"stage {name} needs the mask of a stage before: put `prune` before it")
        net = context.original.network()
        pruner = Structure(**self.structure).attach(base_of(net))
        pruner.set_masks(shuffled(state.masks, context.seed, self.within))
        after = folded(context.original, net, pruner)
        info = after.mask_info or {}
        label = f"{kept_label(info)}, at random"
        facts = weight_facts(context.original.weights, after.weights, frozen=True)
        return Outcome(after, label, None, facts, tuple(info["warnings"]))  # type: ignore[arg-type]


def folded(before: TextState, net: nn.Module, pruner: Pruner | None) -> TextState:
    """The state after training: zeroed weights in plain layers, and the mask."""
    if pruner is None:
        return before.with_weights(net)
    masks, info = fold_masks(pruner)
    return replace(before.with_weights(net), masks=masks, mask_info=info)
