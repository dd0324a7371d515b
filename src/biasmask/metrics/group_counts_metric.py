"""The stateful twin of group_counts: counts that grow batch by batch and add up over processes."""

import torch
from torch import Tensor
from torchmetrics import Metric

from biasmask.metrics.group_counts import group_counts


class GroupCounts(Metric):
    """Counts of group x class x prediction over batches and processes.

    Formula: as `group_counts` with each row counted once; the state is summed, so batches give the same as the whole
    and two processes the same as one.

    Args:
        n_groups: G >= 1.

    Returns:
        `compute()`: (G, 2, 2) int64 [group, class, prediction]; zeros for a group without rows.

    Raises:
        ValueError: as `group_counts`.

    Source: own.

    >>> metric = GroupCounts(n_groups=2)
    >>> metric.update(torch.tensor([1, 0]), torch.tensor([1, 1]), torch.tensor([1, -1]))
    >>> metric.compute()[1].tolist()
    [[0, 0], [0, 1]]
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = None
    counts: Tensor

    def __init__(self, n_groups: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if n_groups < 1:
            raise ValueError(f"n_groups is {n_groups}, expected at least 1")
        self.n_groups = n_groups
        self.add_state("counts", torch.zeros(n_groups, 2, 2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, group: Tensor) -> None:
        """Add a batch: three tensors (B,), as for `group_counts`."""
        counts = group_counts(prediction.cpu(), target.cpu(), group.cpu(), self.n_groups)[0]
        self.counts += counts.to(torch.int64).to(self.counts.device)

    def compute(self) -> Tensor:
        """Counts so far, over all processes: (G, 2, 2) int64."""
        return self.counts.clone()
