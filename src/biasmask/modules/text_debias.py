"""Debiasing of a text encoder as one LightningModule: only pruning scores learn, or (without a pruner) the weights.

Letters: L layers (0 is the embedding output), B sentences, T tokens, D dimensions, K groups of the attribute.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from biasmask.errors import ConfigError, MethodError
from biasmask.methods.orthogonality import debias_loss, distance_loss, sums_by_group
from biasmask.methods.threshold_schedule import Schedule
from biasmask.models.pruner import Pruner
from biasmask.models.text_encoder import hidden_states
from biasmask.modules.original import OriginalEmbeddings, in_float32, keywords_of

EMBEDDING_LAYERS = ("first", "last", "intermediate", "all")
DEBIAS_MODES = ("sentence", "token")
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class TextLosses:
    """What a step charges; primitives only.

    Args:
        embedding_layer: outputs whose target vectors are charged: `first` (the embedding output), `last`, `intermediate` (layers
            1 to 4) or `all`.
        debias_mode: target vectors: `sentence` (all tokens but padding) or `token` (mean of the keyword's sub-tokens).
        attribute_reduction: see `methods.orthogonality.debias_loss`.
        static_vectors: for several layers: `each` layer its own, or their mean (`averaged`, the published code).
        debias_weight, distance_weight: factors of the two losses.
        distance_reduce: see `methods.orthogonality.distance_loss`.
        penalty: factor of the regulariser of the scores (lambda).
        penalty_schedule: `constant`, or `threshold`: grows as the threshold does.
    """

    embedding_layer: str
    debias_mode: str
    attribute_reduction: str
    static_vectors: str
    debias_weight: float
    distance_weight: float
    distance_reduce: str
    penalty: float
    penalty_schedule: str

    def __post_init__(self) -> None:
        for key, choices in (
            ("embedding_layer", EMBEDDING_LAYERS),
            ("debias_mode", DEBIAS_MODES),
            ("static_vectors", ("each", "averaged")),
            ("penalty_schedule", ("constant", "threshold")),
        ):
            if getattr(self, key) not in choices:
                raise ConfigError(f"{key}={getattr(self, key)}: choose one of {', '.join(choices)}")


def layers_of(embedding_layer: str, n_outputs: int) -> list[int]:
    """Indices of the outputs that are charged, of `n_outputs` (the embedding output is 0).

    >>> layers_of("intermediate", 7), layers_of("last", 7), layers_of("intermediate", 3)
    ([1, 2, 3, 4], [6], [1, 2])
    """
    whole = list(range(n_outputs))
    chosen = {"first": whole[:1], "last": whole[-1:], "intermediate": whole[1:5], "all": whole}
    return chosen[embedding_layer]


class TextDebiasModule(lightning.LightningModule):
    """Makes target words orthogonal to the attribute's words, and holds the attribute's words where the original had them.

    Args:
        net: the encoder; its weights are frozen unless `weights_lr` is given.
        n_groups: K; kinds 0..K-1 of a batch are attribute sentences, kind K is the targets.
        losses: what is charged.
        optimizer: makes an optimizer of parameter groups.
        weights_lr: learning rate of the weights; None: frozen.
        pruner: pruning scores attached to `net`; None: the weights are fine-tuned.
        schedule: of the pruning threshold.
        dropout: whether dropout is active in training.
        attribute_batches: gives the attribute sentences of the training part, for the static vectors.
        cache_limit: bytes that the original's embeddings may take; above, it is run in every step.
    """

    static: Tensor

    def __init__(
        self,
        net: nn.Module,
        n_groups: int,
        losses: TextLosses,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None,
        weights_lr: float | None = None,
        pruner: Pruner | None = None,
        schedule: Schedule | None = None,
        dropout: bool = False,
        attribute_batches: Callable[[], Iterable[Batch]] | None = None,
        held_out_batches: Callable[[], Iterable[Batch]] | None = None,
        cache_limit: int = 2**31,
    ):
        super().__init__()
        self.save_hyperparameters({"n_groups": n_groups, "dropout": dropout, "weights_lr": weights_lr, **vars(losses)})
        self.net, self.pruner, self.losses, self.n_groups = net, pruner, losses, n_groups
        self.optimizer, self.weights_lr, self.schedule, self.dropout = optimizer, weights_lr, schedule, dropout
        self.attribute_batches, self.held_out_batches = attribute_batches, held_out_batches
        self.original = OriginalEmbeddings(cache_limit)
        if weights_lr is None:
            net.requires_grad_(False)
        self._sums: dict[str, list[float]] = {}

    def outputs(self, batch: Batch) -> list[Tensor]:
        """Outputs of each layer, (B, T, D) in float32; apart, as a stack would copy them all, and their gradients."""
        return [h.float() for h in hidden_states(self.net, batch["input_ids"], batch["attention_mask"])]

    def charged_layers(self, n_outputs: int) -> list[int]:
        return layers_of(self.losses.embedding_layer, n_outputs)

    # --- losses ---

    def debias(self, outputs: list[Tensor], batch: Batch) -> Tensor:
        """L_debias of the targets in a batch."""
        target = batch["kind"] == self.n_groups
        charged = [outputs[layer][target] for layer in self.charged_layers(len(outputs))]
        weight = None
        if self.losses.debias_mode == "token":
            vectors = keywords_of(charged, batch["keyword_mask"][target])
        else:
            vectors, weight = torch.stack(charged), batch["attention_mask"][target]
        static = self.static if self.losses.static_vectors == "each" else self.static.mean(0)
        with in_float32(vectors):
            return debias_loss(vectors, static, self.losses.attribute_reduction, weight)  # type: ignore[arg-type]

    def distance(self, outputs: list[Tensor], batch: Batch) -> Tensor:
        """L_reg of the attribute sentences in a batch."""
        attribute = batch["kind"] < self.n_groups
        found = keywords_of([h[attribute] for h in outputs], batch["keyword_mask"][attribute])
        before = self.original(self, {name: tensor[attribute] for name, tensor in batch.items()})
        return distance_loss(found, before, self.losses.distance_reduce)  # type: ignore[arg-type]

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        outputs = self.outputs(batch)
        debias, distance = self.debias(outputs, batch), self.distance(outputs, batch)
        loss = self.losses.debias_weight * debias + self.losses.distance_weight * distance
        figures = {"debias_loss": debias, "distance": distance}
        if self.pruner is not None and self.schedule is not None:
            penalty = self.pruner.regulariser()
            factor = self.schedule.penalty(self.global_step, self.total_steps, self.losses.penalty, self.losses.penalty_schedule)
            loss = loss + factor * penalty
            figures |= {"penalty": penalty, "threshold": torch.tensor(self.pruner.threshold)}
        if not torch.isfinite(loss):
            raise MethodError(
                f"the loss is {float(loss.detach())} in epoch {self.current_epoch}: lower the learning rate of this stage "
                "(debias.prune.optimizer.lr, or debias.finetune.weights_lr)"
            )
        size = len(batch["kind"])
        for name, value in {"loss": loss, **figures}.items():
            self.log(f"train/{name}", value.detach().float(), on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return loss

    # --- the walk ---

    @property
    def total_steps(self) -> int:
        return int(self.trainer.estimated_stepping_batches)

    def on_fit_start(self) -> None:
        """Ask the original before anything has moved: at a threshold of 0 every block is kept, whatever the scores."""
        if self.pruner is not None:
            self.pruner.threshold = 0.0
        self.net.eval()
        with torch.no_grad(), self.trainer.precision_plugin.forward_context():
            self.original.prepare(self, self.attribute_batches, self.held_out_batches)

    def on_train_epoch_start(self) -> None:
        self.net.eval()
        self.static = self.static_vectors()
        self.net.train(self.dropout)

    @torch.no_grad()
    def static_vectors(self) -> Tensor:
        """v_1..v_K of each charged layer, (L, K, D), from the attribute sentences of the training part."""
        assert self.attribute_batches is not None
        sums: Tensor | None = None
        counts = torch.zeros(self.n_groups, dtype=torch.long)
        for batch in self.attribute_batches():
            if self.current_epoch == 0 and self.original.cached:
                found = self.original(self, batch).cpu()
            else:
                moved = {name: tensor.to(self.device) for name, tensor in batch.items()}
                with self.trainer.precision_plugin.forward_context():
                    found = keywords_of(self.outputs(moved), moved["keyword_mask"]).cpu()
            part, n = sums_by_group(found[self.charged_layers(len(found))], batch["kind"], self.n_groups)
            sums, counts = (part if sums is None else sums + part), counts + n
        assert sums is not None
        return (sums / counts.clamp(min=1)[:, None]).float().to(self.device)

    def on_train_batch_start(self, _batch: Batch, _index: int) -> None:
        if self.pruner is not None and self.schedule is not None:
            self.pruner.threshold = self.schedule.threshold(self.global_step, self.total_steps)

    def finish(self) -> None:
        """Set the threshold to its last value, in whichever process the training ran."""
        if self.pruner is not None and self.schedule is not None:
            self.pruner.threshold = self.schedule.threshold(1, 1)

    # --- held-out sentences ---

    def on_validation_epoch_start(self) -> None:
        self.net.eval()
        if self.trainer.state.fn == TrainerFn.VALIDATING:  # judged by itself: the vectors are its own
            self.static = self.static_vectors()
        self._sums = {"debias_loss": [0.0, 0.0], "distance": [0.0, 0.0]}

    def validation_step(self, batch: Batch, _index: int) -> None:
        outputs = self.outputs(batch)
        target = int((batch["kind"] == self.n_groups).sum())
        for name, loss, n in (
            ("debias_loss", self.debias, target),
            ("distance", self.distance, len(batch["kind"]) - target),
        ):
            if n:
                self._sums[name][0] += n * float(loss(outputs, batch))
                self._sums[name][1] += n

    def on_validation_epoch_end(self) -> None:
        for name, (total, n) in self._sums.items():
            self.log(f"val/{name}", total / n if n else float("nan"), sync_dist=True)
        if self.pruner is not None:  # here, where the history of this epoch still sees it
            masks = list(self.pruner.masks().values())
            kept = sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)
            self.log("train/kept_share", kept, sync_dist=True)
        self.net.train(self.dropout)

    def configure_optimizers(self) -> Any:
        groups: list[dict[str, Any]] = []
        if self.pruner is not None:
            groups.append({"params": list(self.pruner.parameters())})
        if self.weights_lr is not None:
            scores = {id(p) for group in groups for p in group["params"]}
            weights = [p for p in self.net.parameters() if p.requires_grad and id(p) not in scores]
            groups.append({"params": weights, "lr": self.weights_lr})
        assert self.optimizer is not None
        optimizer = self.optimizer(groups)
        total = self.total_steps
        decay = LambdaLR(optimizer, lambda step: max(0.0, 1 - step / max(total, 1)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": decay, "interval": "step"}}
