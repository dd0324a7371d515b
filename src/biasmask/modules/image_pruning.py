"""Block movement pruning of an image classifier as one LightningModule: only scores learn, by task loss and bias loss."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from biasmask.errors import ConfigError
from biasmask.methods.threshold_schedule import Schedule
from biasmask.models.pruner import Pruner
from biasmask.modules.bmft import BMFTModule, Editing
from biasmask.modules.classifier import Learning

PENALTY_SCHEDULES = ("constant", "threshold")


@dataclass(frozen=True)
class Pruning:
    """How scores become masks, and what an open score costs.

    Args:
        schedule: of the threshold that sigmoid(score) must exceed.
        penalty: weight lambda of the regulariser of the scores.
        penalty_schedule: `constant`, or `threshold`: grows as the threshold does.
    """

    schedule: Schedule
    penalty: float
    penalty_schedule: str

    def __post_init__(self) -> None:
        if self.penalty_schedule not in PENALTY_SCHEDULES:
            raise ConfigError(f"penalty_schedule={self.penalty_schedule}: choose one of {', '.join(PENALTY_SCHEDULES)}")


class ImagePruningModule(BMFTModule):
    """Trains pruning scores on a classifier whose weights are frozen; the losses are those of `BMFTModule`.

    loss = task_weight * task + bias_weight * bias + anchor_weight * anchor + lambda * R.

    Args:
        hyper: the hyper-parameters of the classifier.
        network: its network, with the pruner attached.
        learning: optimizer of the scores, augmentation, class balance.
        editing: the losses; its `part` is `scores`, which stands for no weight.
        pruner: the scores.
        pruning: threshold and penalty.
    """

    def __init__(
        self, hyper: dict[str, Any], network: nn.Module, learning: Learning, editing: Editing, pruner: Pruner, pruning: Pruning
    ):
        super().__init__(hyper, network, learning, editing)
        self.automatic_optimization = True
        self.pruner, self.pruning = pruner, pruning
        self.net.requires_grad_(False)
        # A buffer, since a spawned worker hands back these and no attribute: the parent takes the final threshold from it.
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def setup(self, stage: str) -> None:
        """Nothing to guard: the weights are frozen and no optimizer knows them."""

    def configure_optimizers(self) -> Any:
        """The scores alone, at a rate that falls linearly to 0."""
        optimizer: Optimizer = self.learning.optimizer(list(self.pruner.parameters()))  # type: ignore[union-attr, misc]
        total = self.total_steps
        decay = LambdaLR(optimizer, lambda step: max(0.0, 1 - step / max(total, 1)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": decay, "interval": "step"}}

    @property
    def total_steps(self) -> int:
        return int(self.trainer.estimated_stepping_batches)

    def on_fit_start(self) -> None:
        self.steps.fill_(self.total_steps)  # type: ignore[operator]
        self.pruner.threshold = self.pruning.schedule.threshold(0, self.total_steps)

    def on_train_batch_start(self, _batch: Any, _index: int) -> None:
        self.pruner.threshold = self.pruning.schedule.threshold(self.global_step, self.total_steps)

    def training_step(self, batch: dict[str, Any], index: int) -> Tensor:
        loss = super().training_step(batch, index)
        assert loss is not None
        pruning, penalty = self.pruning, self.pruner.regulariser()
        factor = pruning.schedule.penalty(self.global_step, self.total_steps, pruning.penalty, pruning.penalty_schedule)  # type: ignore[arg-type]
        size = len(batch["target"])
        self.log("train/penalty", penalty.detach(), on_step=False, on_epoch=True, batch_size=size)
        return loss + factor * penalty

    def on_validation_epoch_end(self) -> None:
        kept = list(self.pruner.masks().values())
        share = sum(int(mask.sum()) for mask in kept) / sum(mask.numel() for mask in kept)
        self.log("val/kept_share", share, sync_dist=True)
        self.log("val/threshold", self.pruner.threshold, sync_dist=True)
        super().on_validation_epoch_end()

    def finish(self) -> None:
        """Set the threshold to its last value, in whichever process the training ran."""
        self.pruner.threshold = self.pruning.schedule.threshold(int(self.steps), int(self.steps))  # type: ignore[operator, arg-type]
