"""The stage of the rival `group_dro`: fine-tuning by the loss of the worst cell of group and target."""

from dataclasses import dataclass

import numpy as np
from torch import nn

from biasmask.errors import ConfigError
from biasmask.modules.bmft import BMFTModule, Editing
from biasmask.modules.classifier import Learning
from biasmask.modules.group_dro import GroupDROModule
from biasmask.modules.kept_epoch import KeptEpoch
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.fine_tune import FineTune


@dataclass(kw_only=True)
class GroupDRO(FineTune):
    """Fine-tune on the sum of the cells' losses, weighted by weights that follow the worst one.

    Args: as `FineTune` (`class_balance` has no effect), and
        eta: step size of the weights, >= 0.
        adjustment: C of C / sqrt(n_k), added to the loss of a cell of n_k rows where the weights are set, >= 0.
    """

    eta: float
    adjustment: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eta < 0 or self.adjustment < 0:
            raise ConfigError(f"eta={self.eta} and adjustment={self.adjustment}: neither may be below 0")
        if not self.task_weight or self.part == "none":
            raise ConfigError("group DRO replaces the task loss: leave task_weight above 0, and part other than none")

    def module(self, state: ModelState, net: nn.Module, learning: Learning, editing: Editing, context: Context) -> BMFTModule:
        data, attribute = context.data, context.attribute
        rows = data.rows(self.split)
        group, target = attribute.index[rows], data.target[rows]
        if not (group >= 0).any():
            raise ConfigError(f"no row of split {self.split} has a group of {attribute.name}: choose another attribute")
        cells = (group * data.n_classes + target)[group >= 0]
        sizes = np.bincount(cells, minlength=len(attribute.group_names) * data.n_classes)
        self.cells = [f"{g} x {c}" for g in attribute.group_names for c in data.table.class_names]
        return GroupDROModule(state.hyper, net, learning, editing, sizes.tolist(), data.n_classes, self.eta, self.adjustment)

    def _label(self) -> str:
        return super()._label().replace("task loss", "worst-cell loss")

    def _notes(self, module: BMFTModule, guard: KeptEpoch | None) -> tuple[str, ...]:
        assert isinstance(module, GroupDROModule)
        weights = module.cell_weights.tolist()
        largest = max(range(len(weights)), key=weights.__getitem__)
        note = f"largest weight at the end: {weights[largest]:.2f} on {self.cells[largest]}, of {len(weights)} cells"
        return (*super()._notes(module, guard), note)
