"""The stage of the rival `gradient_reversal`: fine-tuning against an adversary that tells the sensitive attribute."""

from dataclasses import dataclass

from torch import nn

from biasmask.errors import ConfigError
from biasmask.modules.bmft import BMFTModule, Editing
from biasmask.modules.classifier import Learning
from biasmask.modules.gradient_reversal import GradientReversalModule
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.fine_tune import FineTune


@dataclass(kw_only=True)
class GradientReversal(FineTune):
    """Fine-tune so that the features serve the task and don't tell the sensitive attributes.

    Args: as `FineTune`, and
        reversal_weight: lambda, factor of the adversary's gradient where it is turned round, >= 0.
        entropy_weight: factor of minus the entropy of the adversary's output, >= 0.
        warmup: share of the steps over which both factors rise from 0, in [0, 1].
        hidden: width of the adversary's hidden layer; 0 = a linear one.
        predictor_lr: learning rate of the adversary.
    """

    reversal_weight: float
    entropy_weight: float
    warmup: float
    hidden: int
    predictor_lr: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.part in ("head", "none"):
            raise ConfigError(f"part={self.part}: gradient reversal changes features, so part must hold backbone weights")
        if self.hidden < 0:
            raise ConfigError(f"hidden={self.hidden}: give the width of a hidden layer, or 0 for none")
        if self.reversal_weight < 0 or self.entropy_weight < 0 or not 0 <= self.warmup <= 1:
            raise ConfigError(
                f"reversal_weight={self.reversal_weight}, entropy_weight={self.entropy_weight}, warmup={self.warmup}: "
                "no weight may be below 0, and warmup is a share in [0, 1]"
            )

    def module(self, state: ModelState, net: nn.Module, learning: Learning, editing: Editing, context: Context) -> BMFTModule:
        return GradientReversalModule(
            state.hyper,
            net,
            learning,
            editing,
            self.hidden,
            self.reversal_weight,
            self.entropy_weight,
            self.warmup,
            self.predictor_lr,
        )

    def _label(self) -> str:
        return f"{super()._label()}, against an adversary"
