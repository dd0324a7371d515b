"""The two steps of BMFT as one LightningModule: impair the biased weights, or repair the head.

Which of the two it is follows from the settings: a mask and the bias loss impair; `part="head"` with the task loss repairs.
The rivals at the same budget (full fine-tuning, last layer, norm statistics alone) are other settings of the same module.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from biasmask.errors import MethodError
from biasmask.methods.attribute_mean import mean_bias_loss
from biasmask.methods.losses import anchor_loss
from biasmask.methods.masked_optimizer import EditLocality
from biasmask.metrics.overall import score_spread
from biasmask.models.image_classifier import backbone_parameters, head_of, scores_of, target_logits
from biasmask.modules.classifier import ClassifierModule, Learning


@dataclass
class Editing:
    """What may change, and by which loss.

    Args:
        part: `mask` (backbone entries inside the mask), `mask_and_head`, `backbone`, `head`, `all` or `none`.
        mask: name -> bool tensor, for the two parts with a mask.
        attribute, n_groups: the sensitive attribute; of several that are debiased at once the crossed one.
        task_weight, bias_weight, anchor_weight: factors of the task loss, the bias loss and the distance to the base model's
            scores.
        bias_loss: keyword arguments of `methods.losses.bias_loss`.
        norm_statistics: `frozen` keeps norm layers in eval mode, `adapt` lets their running statistics move.
        dropout: whether dropout and drop-path are active.
        base_logits: (N,) or (N, C) logits of the model before editing by table row, for the anchor.
        attributes: attribute -> number of groups, over which the bias loss is averaged; None = `attribute` alone.
    """

    part: str
    attribute: str
    n_groups: int
    task_weight: float
    bias_weight: float
    anchor_weight: float
    bias_loss: dict[str, Any]
    norm_statistics: str = "frozen"
    dropout: bool = False
    mask: dict[str, Tensor] | None = None
    base_logits: Tensor | None = None
    attributes: dict[str, int] | None = None

    @property
    def debiased(self) -> dict[str, int]:
        """Attribute -> number of groups of all that the bias loss is made of."""
        return self.attributes or {self.attribute: self.n_groups}


class BMFTModule(ClassifierModule):
    """Fine-tunes a part of a trained classifier; every parameter outside that part stays bit-identical.

    Args:
        editing: what may change, and by which loss.
        learning: optimizer, augmentation, class balance.
        hyper: the hyper-parameters of the classifier that is edited.
        network: its network, edited in place.
    """

    def __init__(self, hyper: dict[str, Any], network: torch.nn.Module, learning: Learning, editing: Editing):
        super().__init__(**hyper, network=network, learning=learning)
        self.editing = editing
        self.automatic_optimization = editing.part != "none"  # without it a step may give no loss, under several processes too
        self.locality: EditLocality | None = None
        for counter in ("undefined_batches", "kept_epoch", "stopped_epoch"):  # buffers: a spawned worker hands these back
            self.register_buffer(counter, torch.full((), 0 if counter == "undefined_batches" else -1))

    def editable(self) -> dict[str, Tensor]:
        """The mask over all parameters of the network that this step's part stands for."""
        backbone = backbone_parameters(self.net)
        part, mask = self.editing.part, self.editing.mask or {}
        result = {}
        for name, parameter in self.net.named_parameters():
            if part in ("mask", "mask_and_head") and name in backbone:
                if name not in mask:
                    raise MethodError(f"the mask has no tensor {name}: it was made for another network")
                result[name] = mask[name]
            else:
                own = ("backbone",) if name in backbone else ("head", "mask_and_head")
                whole = part == "all" or part in own
                result[name] = torch.full_like(parameter, whole, dtype=torch.bool)
        return result

    def setup(self, stage: str) -> None:
        """Guard the weights before a strategy wraps the module: what is frozen later, DistributedDataParallel waits for."""
        if stage == "fit" and self.editing.part != "none":
            self.locality = EditLocality(dict(self.net.named_parameters()), self.editable())

    def configure_optimizers(self) -> Any:
        if self.editing.part == "none":
            for parameter in self.net.parameters():
                parameter.requires_grad_(False)
            return None
        assert self.locality is not None
        parameters = [p for p in self.net.parameters() if p.requires_grad]
        optimizer: Optimizer = self.learning.optimizer(parameters)  # type: ignore[union-attr, misc]
        self.locality.attach(optimizer)
        return optimizer

    def on_train_epoch_start(self) -> None:
        self.net.train(self.editing.dropout)
        for module in self.net.modules():
            if hasattr(module, "running_mean"):
                module.train(self.editing.norm_statistics == "adapt")

    def logits_of(self, batch: dict[str, Any], augmented: bool) -> Tensor:
        if "features" in batch:
            return target_logits(head_of(self.net)[1](batch["features"]))
        return self.augmented_logits(batch["image"]) if augmented else self(batch["image"])

    def training_step(self, batch: dict[str, Any], _index: int) -> Tensor | None:
        settings = self.editing
        if settings.part == "none":
            with torch.no_grad():
                self.logits_of(batch, augmented=True)
            return None
        logits = self.logits_of(batch, augmented=True)
        loss = self.loss_of(logits, batch)
        if not torch.isfinite(loss):
            raise MethodError(
                f"the loss is {float(loss.detach())} in epoch {self.current_epoch}: lower the learning rate of this step "
                "(for example debias.impair.optimizer.lr=1e-5)"
            )
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(logits))
        return loss

    def loss_of(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The loss of one batch, a scalar: task, bias and anchor with their factors. Rivals with another loss begin here."""
        settings = self.editing
        loss = logits.sum() * 0.0
        if settings.task_weight:
            loss = loss + settings.task_weight * self.task_term(logits, batch)
        if settings.bias_weight:
            loss = loss + settings.bias_weight * self.bias_term(logits, batch)
        if settings.anchor_weight:
            base = settings.base_logits[batch["row"].cpu()].to(logits.device)  # type: ignore[index]
            loss = loss + settings.anchor_weight * anchor_loss(logits, base)
        return loss

    def task_term(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The task loss of one batch; rivals that weigh samples otherwise replace it."""
        return self.task_loss(logits, batch["target"])

    def bias_term(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        """The bias loss of one batch; a batch that leaves it undefined is counted and gives no gradient."""
        editing = self.editing
        bias = mean_bias_loss(logits, batch["target"], batch["group"], editing.debiased, **editing.bias_loss)
        self.undefined_batches += int(not bias.defined)
        self.log("train/bias_loss", bias.value.detach(), on_step=False, on_epoch=True, batch_size=len(logits))
        return bias.value

    def validation_step(self, batch: dict[str, Any], _index: int) -> None:
        self._validation.append((self.logits_of(batch, augmented=False).float().cpu(), batch["target"].cpu()))
        self._groups.append({name: batch["group"][name].cpu() for name in self.editing.debiased})

    def on_validation_epoch_start(self) -> None:
        self._groups: list[dict[str, Tensor]] = []

    def on_validation_epoch_end(self) -> None:
        logits, target = (torch.cat(parts) for parts in zip(*self._validation, strict=True))
        self.require_finite(logits)
        groups = {name: torch.cat([part[name] for part in self._groups]) for name in self.editing.debiased}
        gap = mean_bias_loss(logits, target, groups, self.editing.debiased, **self.editing.bias_loss)
        self.log("val/bias_loss", gap.value if gap.defined else torch.nan, sync_dist=True)
        self.log("val/score_std", score_spread(scores_of(logits)), sync_dist=True)
        self.validation_rows = logits, target, groups  # what a selection rule judges the epoch by
        super().on_validation_epoch_end()
