"""The curvature of each group's task loss as a LightningModule: one walk over the data, nothing is trained."""

from collections.abc import Iterable, Sequence
from typing import Any

import lightning
from torch import Tensor

from biasmask.errors import MethodError
from biasmask.methods.importance import ImportanceSum
from biasmask.methods.task_loss import task_loss
from biasmask.modules.classifier import ClassifierModule


class GroupCurvatureModule(lightning.LightningModule):
    """Accumulates, for each group, the mean squared gradient of the task loss of that group's rows.

    It stands in for the diagonal of the Hessian. A batch without a row of a group doesn't count for that group.

    Args:
        classifier: the model to look at; its weights stay as they are.
        attribute: the sensitive attribute in the batch.
        groups: indices of the groups to look at.
        names: the parameters to look at.
        class_balance, class_counts: of the task loss.
    """

    def __init__(
        self,
        classifier: ClassifierModule,
        attribute: str,
        groups: Iterable[int],
        names: Iterable[str],
        class_balance: str,
        class_counts: Sequence[int],
    ):
        super().__init__()
        self.automatic_optimization = False
        self.classifier = classifier
        self.attribute, self.groups, self.names = attribute, tuple(groups), tuple(names)
        self.class_balance, self.class_counts = class_balance, class_counts

    def configure_optimizers(self) -> None:
        return None

    def on_train_epoch_start(self) -> None:
        self.classifier.eval()
        parameters = dict(self.classifier.net.named_parameters())
        self.parameters_by_name = {name: parameters[name] for name in self.names}
        self.sums = ImportanceSum()
        self.sums.reserve([str(group) for group in self.groups], self.parameters_by_name)

    def training_step(self, batch: dict[str, Any], _index: int) -> None:
        logits = self.classifier(batch["image"])
        losses: dict[str, Any] = {}
        for group in self.groups:
            rows = batch["group"][self.attribute] == group
            losses[str(group)] = self.task_loss(logits[rows], batch["target"][rows]) if rows.any() else None
        self.sums.add(losses, self.parameters_by_name)

    def task_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return task_loss(logits, target, self.class_balance, self.class_counts)  # type: ignore[arg-type]

    def curvature(self) -> dict[int, dict[str, Tensor]]:
        """Group -> parameter name -> mean squared gradient, float32 on the CPU.

        Raises:
            MethodError: one of them is not finite, or a group had no row.
        """
        try:
            found = self.sums.mean()
        except ValueError as error:
            raise MethodError(f"curvature of the groups of {self.attribute}: {error}") from error
        return {group: {name: value.cpu() for name, value in found[str(group)].items()} for group in self.groups}
