"""The stages of the text family that train: `prune` (only scores learn), and fine-tuning on the same losses."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
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
from biasmask.pipeline.text_stages import TextContext, TextStage
from biasmask.pipeline.text_state import TextState


@dataclass
class Structure:
    """What a score switches off; the node `structure` of a stage, and of `block_mask.json`.

    Args:
        kind: `block` (squares of `block_size`) or `head`.
        block_size: side of a block; not looked at for heads.
        attention, feed_forward: whether attention matrices and intermediate neurons have scores.
        trainable: `all`, or `values_only` (only the value matrices have scores).
        shared: one score matrix for query, key and value of a layer.
        min_kept: share of the blocks of a matrix that stays, whatever its scores.
    """

    kind: str
    block_size: int | None
    attention: bool
    feed_forward: bool
    trainable: str
    shared: bool
    min_kept: float

    def attach(self, net: nn.Module) -> Pruner:
        """Put scores on a network."""
        return Pruner(
            net, self.kind, self.block_size if self.kind == "block" else None, self.attention, self.feed_forward,
            self.min_kept, self.trainable, self.shared,
        )  # fmt: skip


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
        scores = {key: score.detach().cpu().clone() for key, score in pruner.scores.items()} if pruner else {}
        after = folded(state, net, pruner)
        facts = weight_facts(state, after, frozen=self.weights_lr is None)
        return Outcome(after, self._label(after), epochs_done(trainer, folder), facts, self._notes(after, scores))  # type: ignore[arg-type]

    def _loaders(self, context: TextContext) -> tuple[DataLoader[Any], DataLoader[Any]]:
        sentences = context.sentences
        train = PairedBatches(sentences.table, sentences.parts["train"], self.batch_size, context.seed)
        held_out = ordered_loader(sentences.table, sentences.rows("held_out"), sentences.tokens_per_batch)
        return sentence_loader(sentences.table, train), held_out

    def _label(self, after: TextState) -> str:
        what = f"{self.losses['attribute_reduction']}, layer {self.losses['embedding_layer']}, {self.losses['debias_mode']}"
        if after.mask_info is None:
            return f"all weights, {what}"
        info = after.mask_info
        return f"{info['kept']:,} of {info['total']:,} {info['structure']}s kept, {what}"

    def _notes(self, after: TextState, scores: dict[str, Tensor]) -> tuple[str, ...]:
        if after.mask_info is None:
            return ()
        notes = list(after.mask_info["warnings"])
        lowest = min(float(score.min()) for score in scores.values())
        final = Schedule(**self.schedule).final
        if after.mask_info["kept"] == after.mask_info["total"]:
            limit = float(torch.logit(torch.tensor(final)))
            notes.append(
                f"the lowest score reached {lowest:.2f}; a block goes below {limit:.2f}: train longer or raise optimizer.lr"
            )
        return tuple(notes)


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
        label = f"{info['kept']:,} of {info['total']:,} {info['structure']}s kept, at random"
        facts = weight_facts(context.original, after, frozen=True)
        return Outcome(after, label, None, facts, tuple(info["warnings"]))  # type: ignore[arg-type]


def folded(before: TextState, net: nn.Module, pruner: Pruner | None) -> TextState:
    """The state after training: zeroed weights in plain layers, and the mask."""
    if pruner is None:
        return before.with_weights(net)
    masks = {name: mask.cpu().clone() for name, mask in pruner.masks().items()}
    info = pruner.describe()
    pruner.fold()
    return replace(before.with_weights(net), masks=masks, mask_info=info)


def weight_facts(before: TextState, after: TextState, frozen: bool) -> dict[str, Any]:
    """What changed, bit for bit; under frozen weights nothing may change but by becoming 0, and what did is counted."""
    edited, outside, largest, total = 0, 0, 0.0, 0
    for name, old in before.weights.items():
        new = after.weights[name]
        changed = old != new
        total += old.numel()
        edited += int(changed.sum())
        if changed.any():
            outside += int((changed & (new != 0)).sum())
            largest = max(largest, float((new - old).abs().max()))
    facts = {"edited": edited, "parameters": total, "largest_change": largest}
    return {**facts, "changed_outside": outside if frozen else None}
