"""Fine-tuning by the loss of the worst cell of group and target."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from biasmask.methods.group_dro import cell_sums, cells_of, first_weights, next_weights, robust_loss, sample_losses
from biasmask.modules.bmft import BMFTModule, Editing
from biasmask.modules.classifier import Learning


class GroupDROModule(BMFTModule):
    """As BMFTModule, with the robust loss as the task loss; rows without a group are left out of it.

    Args:
        hyper, network, learning, editing: as BMFTModule.
        sizes: training rows of each cell, group by group, in each group class by class.
        n_classes: C.
        eta, adjustment: see `methods.group_dro.next_weights`.
    """

    sizes: Tensor
    cell_weights: Tensor

    def __init__(
        self,
        hyper: dict[str, Any],
        network: nn.Module,
        learning: Learning,
        editing: Editing,
        sizes: Sequence[int],
        n_classes: int,
        eta: float,
        adjustment: float,
    ):
        super().__init__(hyper, network, learning, editing)
        self.n_classes, self.eta, self.adjustment = n_classes, eta, adjustment
        self.register_buffer("sizes", torch.as_tensor(sizes))
        self.register_buffer("cell_weights", first_weights(torch.as_tensor(sizes)))  # a spawned worker hands it back

    def task_term(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        cell = cells_of(batch["group"][self.editing.attribute], batch["target"], self.n_classes)
        sums, counts = cell_sums(sample_losses(logits, batch["target"]), cell, len(self.sizes))
        all_sums, all_counts = self._of_all_processes(sums.detach()), self._of_all_processes(counts)
        self.cell_weights = next_weights(self.cell_weights, all_sums, all_counts, self.eta, self.sizes, self.adjustment)
        # gradients are averaged over the processes: so they are those of one process with all the rows
        return robust_loss(self.cell_weights, sums, all_counts) * self.trainer.world_size

    def _of_all_processes(self, values: Tensor) -> Tensor:
        return values if self.trainer.world_size == 1 else self.all_gather(values).sum(0)  # type: ignore[union-attr, return-value]
