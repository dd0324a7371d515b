"""SWiFT's stages: a soft mask over all parameters, a training of the backbone under it, a head that is reset in part."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from biasmask.errors import ConfigError
from biasmask.methods.importance_score import importance_ratio
from biasmask.methods.soft_mask import reset_entries, soft_mask
from biasmask.models.image_classifier import backbone_parameters
from biasmask.modules.bmft import BMFTModule, Editing
from biasmask.modules.classifier import Learning
from biasmask.modules.swift import SoftImpairModule
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.fine_tune import FineTune
from biasmask.pipeline.locate import Locate


@dataclass
class SoftLocate(Locate):
    """Find how much each parameter, those of the head too, may change: tanh of the ratio of bias to task importance.

    Args: as `Locate`; `edit_fraction` and `granularity` have no effect, and `source` must be `ratio`.
    """

    include_head: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source != "ratio":
            raise ConfigError(f"debias.locate.source={self.source}: a soft mask is made from the ratio of importances")

    def _mask(
        self, state: ModelState, importances: dict[str, dict[str, Tensor]] | None, seed: int
    ) -> tuple[dict[str, Tensor], float | None]:
        assert importances is not None
        # a tensor of one entry, such as the bias of a single logit, has no other entry to be scaled by: it counts as 0
        several = {n for n, tensor in importances["bias"].items() if tensor.numel() > 1}
        bias, task = ({n: importances[loss][n] for n in importances[loss] if n in several} for loss in ("bias", "task"))
        mask = soft_mask(importance_ratio(bias, task, self.ratio_epsilon))
        return {n: mask.get(n, torch.zeros_like(tensor)) for n, tensor in importances["bias"].items()}, None

    def _label(self, info: dict[str, Any]) -> str:
        share = sum(t["density"] * t["parameters"] for t in info["tensors"]) / info["parameters"]
        return f"soft mask over {info['parameters']:,} parameters, on average {share:.3f}"

    def _describe(
        self, mask: dict[str, Tensor], threshold: float | None, about: dict[str, Any] | None, state: ModelState
    ) -> dict[str, Any]:
        info = super()._describe(mask, threshold, about, state)
        tensors = [
            {**tensor, "selected": float(part.double().sum()), "density": float(part.double().mean())}
            for tensor, part in zip(info["tensors"], mask.values(), strict=True)
        ]
        nothing = {"edit_fraction": None, "granularity": None, "selected": None}  # no yes or no that could be counted
        return {**info, "kind": "soft", "tensors": tensors, **nothing}


def require_soft_mask(name: str, state: ModelState) -> dict[str, Tensor]:
    """The soft mask of a model.

    Raises:
        ConfigError: it has none.
    """
    if state.mask is None or (state.mask_info or {}).get("kind") != "soft":
        raise ConfigError(f"{name} needs a soft mask, and no stage before it made one: put pipeline.swift.SoftLocate before it")
    return state.mask


@dataclass
class SoftImpair(FineTune):
    """Step 1: fine-tune the backbone, each update scaled by the soft mask; the head stays as it is. Args: as `FineTune`."""

    def module(self, state: ModelState, net: nn.Module, learning: Learning, editing: Editing, context: Context) -> BMFTModule:
        editing = replace(editing, mask=require_soft_mask("SoftImpair", state))
        return SoftImpairModule(state.hyper, net, learning, editing)

    def _label(self) -> str:
        return super()._label().replace("masked weights", "backbone under the soft mask")


@dataclass(kw_only=True)
class SelectiveRepair(FineTune):
    """Step 2: set the head's weights that carry the bias to 0, then fine-tune the head.

    Args: as `FineTune`, and
        reset_above: a head weight starts from 0 if its soft mask exceeds this many times the mean of its tensor.
    """

    reset_above: float

    def module(self, state: ModelState, net: nn.Module, learning: Learning, editing: Editing, context: Context) -> BMFTModule:
        mask, backbone = require_soft_mask("SelectiveRepair", state), backbone_parameters(net)
        head = {n: p for n, p in net.named_parameters() if n not in backbone}
        entries = reset_entries({n: mask[n] for n in head}, self.reset_above)
        with torch.no_grad():
            for n, parameter in head.items():
                parameter[entries[n].to(parameter.device)] = 0
        return super().module(state, net, learning, editing, context)
