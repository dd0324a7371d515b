"""SWiFT's edits: each update is scaled by a soft mask, and where the mask is 0 every bit stays."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from biasmask.methods.masked_optimizer import EditLocality


class SoftLocality(EditLocality):
    """Scales each update of the optimizer by a mask between 0 and 1; entries of mask 0 keep every bit.

    theta_new = theta + m * (theta_proposed - theta), where theta_proposed is what the optimizer would have made of it. The
    weight decay is part of the update, so that it is scaled too. For SGD, with or without momentum, this is the same as
    scaling gradient plus weight decay by m. For Adam, which divides by the size of the gradient, only this form has an effect.

    Args:
        parameters: name -> Parameter, as for `EditLocality`.
        mask: name -> float tensor of the parameter's shape, in [0, 1].
        start: as for `EditLocality`.
    Raises:
        ValueError: a mask that is not float or leaves [0, 1], or as `EditLocality`.
    Source:
        SWiFT (MELBA 2025:015), which multiplies the gradients alone: weight decay then moves entries of mask 0.

    >>> w = Parameter(torch.tensor([1.0, 1.0, 1.0]))
    >>> locality = SoftLocality({"w": w}, {"w": torch.tensor([0.0, 0.5, 1.0])})
    >>> optimizer = torch.optim.SGD([w], lr=0.5)
    >>> locality.attach(optimizer); w.sum().backward(); _ = optimizer.step(); w.tolist()
    [1.0, 0.75, 0.5]
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], mask: Mapping[str, Tensor], start: Mapping[str, Tensor] | None = None
    ) -> None:
        for name, soft in mask.items():
            if not soft.is_floating_point() or not bool(((soft >= 0) & (soft <= 1)).all()):
                raise ValueError(f"the soft mask of {name} is {soft.dtype} or leaves [0, 1]: give floats from 0 to 1")
        super().__init__(parameters, {name: soft > 0 for name, soft in mask.items()}, start)
        self.soft = {name: soft.detach() for name, soft in mask.items() if bool(((soft > 0) & (soft < 1)).any())}
        self._before: dict[str, Tensor] = {}

    def attach(self, optimizer: Optimizer) -> None:
        """Scale the updates of this optimizer, and restore the entries of mask 0 after each step.

        Args:
            optimizer: any torch optimizer; call once for each. Two that step on the same parameters scale twice.
        Raises:
            ValueError: it is no torch optimizer.
        """
        if isinstance(optimizer, Optimizer):
            self._handles.append(optimizer.register_step_pre_hook(lambda *_: self._remember()))
            self._handles.append(optimizer.register_step_post_hook(lambda *_: self._scale()))
        super().attach(optimizer)  # its hook comes last: bits outside are restored whatever the scaling made of them

    @torch.no_grad()
    def _remember(self) -> None:
        for name in self.soft:
            now = self.parameters[name].detach()
            self._before[name] = now.clone()
            self.soft[name] = self.soft[name].to(now)

    @torch.no_grad()
    def _scale(self) -> None:
        for name, soft in self.soft.items():
            now = self.parameters[name].detach()
            now.copy_(torch.lerp(self._before[name], now, soft))  # exact at 0 and at 1
