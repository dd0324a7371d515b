"""Step 1 of SWiFT as a LightningModule: each backbone weight moves as far as its soft mask lets it."""

import torch
from torch import Tensor

from biasmask.errors import MethodError
from biasmask.methods.soft_optimizer import SoftLocality
from biasmask.models.image_classifier import backbone_parameters
from biasmask.modules.bmft import BMFTModule


class SoftImpairModule(BMFTModule):
    """As BMFTModule with `part="mask"`, whose mask holds floats in [0, 1]: the share of an update that a weight takes.

    The head and the weights of mask 0 stay bit-identical.
    """

    def soft(self) -> dict[str, Tensor]:
        """The soft mask over all parameters of the network, 0 throughout the head."""
        backbone, mask = backbone_parameters(self.net), self.editing.mask or {}
        if missing := [name for name in backbone if name not in mask]:
            raise MethodError(f"the mask has no tensor {missing[0]}: it was made for another network")
        return {name: mask[name] if name in backbone else torch.zeros_like(p) for name, p in self.net.named_parameters()}

    def editable(self) -> dict[str, Tensor]:
        return {name: soft > 0 for name, soft in self.soft().items()}

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self.locality = SoftLocality(dict(self.net.named_parameters()), self.soft())
