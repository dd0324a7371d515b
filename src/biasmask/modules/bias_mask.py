"""The importance pass as a LightningModule: one walk over the debias split gives both importances, under any Trainer.

Nothing is trained: the walk is an epoch of manual optimisation without an optimizer. Under several processes each sees its share
of the batches and the sums are added up, so that the result is that of one process. The sums are buffers, because that is
what a spawning strategy hands back from its workers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning
import torch
from torch import Tensor

from biasmask.errors import MethodError
from biasmask.methods.attribute_mean import mean_bias_loss
from biasmask.methods.importance import ImportanceSum
from biasmask.methods.task_loss import task_loss
from biasmask.models.image_classifier import backbone_parameters
from biasmask.modules.classifier import ClassifierModule


class BiasMaskModule(lightning.LightningModule):
    """Accumulates bias importance and task importance of each backbone parameter.

    Args:
        classifier: the model to look at; its weights stay as they are.
        attributes: sensitive attribute in the batch -> number of its groups; the bias loss is the mean over them.
        bias_loss: keyword arguments of `methods.losses.bias_loss`.
        class_balance, class_counts: of the task loss.
        importance: `squared_gradient` or `abs_gradient`.
        per_sample: task importance from single samples (the empirical Fisher) instead of whole batches.
        n_batches: batches of the whole walk; under several processes, those that come again beyond it are left out.
        include_head: importances of the head as well.
    """

    def __init__(
        self,
        classifier: ClassifierModule,
        attributes: Mapping[str, int],
        bias_loss: dict[str, Any],
        class_balance: str = "dataset",
        class_counts: Sequence[int] | None = None,
        importance: str = "squared_gradient",
        per_sample: bool = False,
        n_batches: int | None = None,
        include_head: bool = False,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.classifier = classifier
        self.attributes = dict(attributes)
        self.bias_settings = bias_loss
        self.class_balance, self.class_counts = class_balance, class_counts
        self.kind, self.per_sample, self.n_batches = importance, per_sample, n_batches
        self.include_head = include_head
        # Empty until the walk is over: DDP sends buffers to all processes before each batch.
        self.register_buffer("bias_sum", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("task_sum", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(3, dtype=torch.float64))  # bias, task, undefined bias

    def walked(self) -> dict[str, torch.nn.Parameter]:
        """The parameters whose importances are found, by name, in the network's order."""
        net = self.classifier.net
        return dict(net.named_parameters()) if self.include_head else backbone_parameters(net)

    def configure_optimizers(self) -> None:
        return None

    def on_train_epoch_start(self) -> None:
        self.classifier.eval()
        self.parameters_by_name = self.walked()
        self.sums = ImportanceSum(self.kind)
        self.sums.reserve(("bias", "task"), self.parameters_by_name)

    def training_step(self, batch: dict[str, Any], index: int) -> None:
        # Lightning exchanges a signal after each batch, so all processes must take as many steps: the last may come again
        if self.n_batches is not None and index * self.trainer.world_size + self.global_rank >= self.n_batches:
            return
        logits = self.classifier(batch["image"])
        target = batch["target"]
        losses: dict[str, Any] = {"bias": mean_bias_loss(logits, target, batch["group"], self.attributes, **self.bias_settings)}
        if not self.per_sample:
            losses["task"] = self.task_loss(logits, target)
        self.sums.add(losses, self.parameters_by_name)
        if self.per_sample:
            self.sums.add_per_sample("task", self.single_losses(batch), self.parameters_by_name)

    def task_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return task_loss(logits, target, self.class_balance, self.class_counts)  # type: ignore[arg-type]

    def single_losses(self, batch: dict[str, Any]) -> Any:
        images = self.classifier.normalized(batch["image"])
        for i in range(len(images)):
            yield self.task_loss(self.classifier.logits(images[i : i + 1]), batch["target"][i : i + 1])

    def on_train_epoch_end(self) -> None:
        counts = torch.tensor([self.sums.batches["bias"], self.sums.batches["task"], self.sums.undefined["bias"]])
        self.counts.copy_(self.trainer.strategy.reduce(counts.to(self.counts), reduce_op="sum"))
        for loss in ("bias", "task"):
            flat = torch.cat([tensor.flatten() for tensor in self.sums.state.pop(loss).values()])
            setattr(self, f"{loss}_sum", self.trainer.strategy.reduce(flat, reduce_op="sum"))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As of any module; the sums get the size of those that a worker hands back."""
        for name in ("bias_sum", "task_sum"):
            if name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[name]))
        return super().load_state_dict(state_dict, strict, assign)

    def importances(self) -> dict[str, dict[str, Tensor]]:
        """Mean importances after the walk: `bias` and `task`, each a float32 tensor by parameter name, on the CPU.

        The sums are forgotten, loss by loss: with a large model they are most of the memory, and its Trainer outlives the walk.

        Raises:
            MethodError: an importance is NaN or infinite, or this was asked before.
        """
        result: dict[str, dict[str, Tensor]] = {}
        parameters = self.walked()
        for index, loss in enumerate(("bias", "task")):
            total, count = getattr(self, f"{loss}_sum"), self.counts[index].clamp(min=1)
            if not len(total):
                raise MethodError("there are no importances: the walk wasn't done, or they were taken already")
            if not bool(torch.isfinite(total.sum())) and not bool(torch.isfinite(total).all()):  # the sum takes no memory
                raise MethodError("an importance is NaN or infinite: the model's weights or outputs are not finite")
            setattr(self, f"{loss}_sum", total[:0].clone())
            pieces = total.split([p.numel() for p in parameters.values()])
            del total
            named = zip(parameters.items(), pieces, strict=True)
            result[loss] = {name: (piece / count).float().cpu().reshape(p.shape) for (name, p), piece in named}
        return result
