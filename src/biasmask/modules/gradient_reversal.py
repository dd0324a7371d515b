"""Fine-tuning against adversaries that tell the sensitive attributes from the features."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from biasmask.methods.gradient_reversal import adversary_loss, attribute_predictor, warmed_up
from biasmask.models.image_classifier import captured_features, head_of
from biasmask.modules.bmft import BMFTModule, Editing
from biasmask.modules.classifier import Learning


class GradientReversalModule(BMFTModule):
    """As BMFTModule, and an adversary for each debiased attribute on what enters the head; no checkpoint keeps them.

    Args:
        hyper, network, learning, editing: as BMFTModule.
        hidden: width of the adversaries' hidden layer.
        reversal_weight, entropy_weight: factors of the reversed gradient and of the entropy.
        warmup: share of the steps over which both rise from 0.
        predictor_lr: learning rate of the adversaries.
    """

    def __init__(
        self,
        hyper: dict[str, Any],
        network: nn.Module,
        learning: Learning,
        editing: Editing,
        hidden: int,
        reversal_weight: float,
        entropy_weight: float,
        warmup: float,
        predictor_lr: float,
    ):
        super().__init__(hyper, network, learning, editing)
        self.reversal_weight, self.entropy_weight = reversal_weight, entropy_weight
        self.warmup, self.predictor_lr = warmup, predictor_lr
        n_features = head_of(network)[1].in_features
        self.predictors = nn.ModuleList([attribute_predictor(n_features, hidden, n) for n in editing.debiased.values()])

    def configure_optimizers(self) -> Any:
        optimizer: Optimizer = super().configure_optimizers()
        optimizer.add_param_group({"params": list(self.predictors.parameters()), "lr": self.predictor_lr})
        return optimizer

    def logits_of(self, batch: dict[str, Any], augmented: bool) -> Tensor:
        with captured_features(self.net, detached=False) as found:
            logits = super().logits_of(batch, augmented)
        self._features = found[0]
        return logits

    def loss_of(self, logits: Tensor, batch: dict[str, Any]) -> Tensor:
        share = warmed_up(self.global_step, int(self.warmup * self.trainer.estimated_stepping_batches))
        losses = [
            adversary_loss(predictor, self._features, batch["group"][name], share * self.reversal_weight)
            for name, predictor in zip(self.editing.debiased, self.predictors, strict=True)
        ]
        prediction, entropy = (
            torch.stack(terms).mean() for terms in zip(*((x.prediction, x.entropy) for x in losses), strict=True)
        )
        self.log("train/attribute_loss", prediction.detach(), on_step=False, on_epoch=True, batch_size=len(logits))
        return super().loss_of(logits, batch) + prediction + share * self.entropy_weight * entropy
