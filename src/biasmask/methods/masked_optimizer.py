"""Edit locality: whatever the optimizer does, a parameter outside the mask keeps every bit of its start."""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

# An integer type of each element size: bits are compared and restored as integers, so NaN and -0.0 are no exception.
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class EditReport(NamedTuple):
    """What an edit did, compared with the start.

    edited: entries whose bits differ; selected: entries in the mask; parameters: entries in all;
    largest_change: max |now - start| over all entries; changed_outside: entries outside the mask whose bits differ.
    """

    edited: int
    selected: int
    parameters: int
    largest_change: float
    changed_outside: int


@dataclass
class _Guarded:
    """One partly masked parameter: `keep` has all bits set where it may change, `original` holds the rest's bits.

    The parameter's own hook holds this, so it holds the parameter weakly: Python's collector doesn't see such a circle, and the
    weights of each finished training would stay for ever.
    """

    reference: weakref.ReferenceType[Parameter]
    mask: Tensor  # bool, on the device and with the strides it was given
    start: Tensor
    keep: Tensor = field(init=False)
    original: Tensor = field(init=False)
    dtype: torch.dtype = field(init=False)

    def __post_init__(self) -> None:
        self.fit()

    @property
    def parameter(self) -> Parameter:
        parameter = self.reference()
        assert parameter is not None, "whoever asks has it: its own hook, or an EditLocality"
        return parameter

    def fit(self) -> None:
        """Bring the bit patterns to the parameter's device, dtype and strides."""
        parameter = self.parameter.detach()
        self.dtype = parameter.dtype
        bits = _bits(parameter)
        self.keep = torch.empty_like(bits).copy_(self.mask).neg_()
        start = torch.empty_like(parameter).copy_(self.start)
        self.original = _bits(start).bitwise_and(self.keep.bitwise_not())

    def moved(self) -> bool:
        now, keep = self.parameter, self.keep
        return now.device != keep.device or now.dtype != self.dtype or now.stride() != keep.stride()


class EditLocality:
    """Lets an optimizer edit the masked entries of parameters and no other, bit for bit.

    Two hooks: the gradient outside the mask is set to 0 as soon as it is complete (so that clipping by norm, gradient
    scaling and averaging over processes see edited entries only), and after each optimizer step the entries outside the
    mask get their original bits back, whatever weight decay, momentum or a stale state did to them. A parameter with an
    empty mask gets requires_grad False; one whose mask is full has no hook.

    Build it after the weights are loaded and before DistributedDataParallel wraps the module (requires_grad changes);
    then `attach` each optimizer. Moving the module to another device, dtype or memory format later is noticed.

    To resume: entries outside the mask of a checkpoint written under this guarantee *are* the originals, so an
    EditLocality built from the resumed weights keeps the same bits. Only `report` would then count from the resumed
    weights: hand in the weights of the very start as `start` to count from there; outside the mask both must agree.

    Args:
        parameters: name -> Parameter; those that the mask selects from must have requires_grad.
        mask: same names, bool tensors of the same shapes, True = may be edited.
        start: name -> tensor, the weights to compare with and to restore; default: the weights as they are now.
    Raises:
        ValueError: names or shapes differ, a mask is not bool, the mask is empty, a parameter stands under two names, a
            selected parameter is frozen, or `start` differs from the weights outside the mask.
    Source:
        Ours: a guarantee. BMFT (arXiv 2408.06890) multiplies gradients by the mask; weight decay and momentum pass by.

    >>> w = Parameter(torch.tensor([1.0, 1.0]))
    >>> locality = EditLocality({"w": w}, {"w": torch.tensor([True, False])})
    >>> optimizer = torch.optim.SGD([w], lr=0.5, weight_decay=0.1)
    >>> locality.attach(optimizer)
    >>> w.sum().backward(); _ = optimizer.step()
    >>> [round(v, 2) for v in w.tolist()], locality.report().changed_outside
    ([0.45, 1.0], 0)
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], mask: Mapping[str, Tensor], start: Mapping[str, Tensor] | None = None
    ) -> None:
        _check_mask(parameters, mask)
        self.parameters = dict(parameters)
        self.mask = {name: mask[name].detach() for name in parameters}
        origin = parameters if start is None else start
        if missing := sorted(parameters.keys() - origin.keys()):
            raise ValueError(f"start lacks {missing[0]} ({len(missing)} such names): give the weights of all parameters")
        self.start = {name: origin[name].detach().clone() for name in parameters}
        self._handles: list[RemovableHandle] = []
        self._frozen: list[Parameter] = []
        self._guarded: list[_Guarded] = []
        if start is not None:
            self._check_start()
        for name, parameter in parameters.items():
            n_selected = int(torch.count_nonzero(self.mask[name]))
            if n_selected == 0:
                if parameter.requires_grad:
                    parameter.requires_grad_(False)
                    self._frozen.append(parameter)
                # A gradient left over from before would let weight decay in.
                parameter.grad = None
            elif not parameter.requires_grad:
                raise ValueError(f"the mask selects entries of {name}, which has requires_grad False: unfreeze it")
            elif n_selected < parameter.numel():
                guarded = _Guarded(weakref.ref(parameter), self.mask[name], self.start[name])
                self._guarded.append(guarded)
                self._handles.append(parameter.register_post_accumulate_grad_hook(_gradient_hook(guarded)))

    def attach(self, optimizer: Optimizer) -> None:
        """Restore the entries outside the mask after each step of this optimizer.

        Args:
            optimizer: any torch optimizer (of Lightning's wrapper give `.optimizer`); call once for each.
        Raises:
            ValueError: it is no torch optimizer.
        """
        if not isinstance(optimizer, Optimizer):
            raise ValueError(f"attach needs a torch.optim.Optimizer, got {type(optimizer).__name__}")
        self._handles.append(optimizer.register_step_post_hook(lambda *_: self.restore()))

    @torch.no_grad()
    def restore(self) -> None:
        """Give the entries outside the mask their original bits back (done after each step of attached optimizers)."""
        for guarded in self._guarded:
            if guarded.moved():
                guarded.fit()
            # Two integer passes in place; torch.where takes six times as long.
            _bits(guarded.parameter.detach()).bitwise_and_(guarded.keep).bitwise_or_(guarded.original)

    def detach(self) -> None:
        """Remove all hooks and give back requires_grad to the parameters that were frozen here."""
        for handle in self._handles:
            handle.remove()
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._handles, self._frozen, self._guarded = [], [], []

    @torch.no_grad()
    def report(self) -> EditReport:
        """Compare the weights with the start, bit by bit.

        Returns:
            EditReport; largest_change is NaN if a weight became NaN.
        """
        edited = selected = total = outside = 0
        largest = torch.zeros((), dtype=torch.float64)
        for name, parameter in self.parameters.items():
            now = parameter.detach()
            start, mask = self.start[name].to(now), self.mask[name].to(now.device)
            total += now.numel()
            selected += int(torch.count_nonzero(mask))
            different = _bits(now) != _bits(start)
            n_different = int(torch.count_nonzero(different))
            if n_different:
                edited += n_different
                outside += int(torch.count_nonzero(different & ~mask))
                change = now[different].cpu().double() - start[different].cpu().double()
                largest = torch.maximum(largest, change.abs().max())
        return EditReport(edited, selected, total, float(largest), outside)

    @torch.no_grad()
    def _check_start(self) -> None:
        for name, parameter in self.parameters.items():
            now = parameter.detach()
            if self.start[name].shape != now.shape:
                shape = tuple(self.start[name].shape)
                raise ValueError(f"start of {name} has shape {shape}, expected {tuple(now.shape)}")
            different = _bits(now) != _bits(self.start[name].to(now))
            n_outside = int(torch.count_nonzero(different & ~self.mask[name].to(now.device)))
            if n_outside:
                raise ValueError(
                    f"{n_outside} entries of {name} outside the mask differ from start: these weights do not come from "
                    "an edit of that start with that mask"
                )


def freeze_norm_statistics(module: nn.Module) -> list[str]:
    """Put every layer that keeps running statistics (BatchNorm and its kin) in eval mode, so that they stand still.

    `module.train()` undoes it, so call it again after each such call. Children of such a layer keep their mode.

    Args:
        module: any; LayerNorm and GroupNorm have no statistics and are left alone.
    Returns:
        Names of the layers, in module order.
    Source:
        Ours: in BMFT's published code the statistics of a "frozen" backbone move with every batch.

    >>> freeze_norm_statistics(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.LayerNorm(3)))
    ['1']
    """
    names = []
    for name, layer in module.named_modules():
        if isinstance(getattr(layer, "running_mean", None), Tensor):
            layer.training = False
            names.append(name)
    return names


def _gradient_hook(guarded: _Guarded) -> Callable[[Tensor], None]:
    # After accumulation, not before: torch.autograd.grad, which the importances use, does not come by here, and DDP
    # reads the gradient after this hook. Not in place: two parameters may share the memory of their gradients (a view
    # plus a view), and then each would lose what the other's mask leaves out.
    def hook(parameter: Tensor) -> None:
        if parameter.grad is None:
            return
        with torch.no_grad():
            if guarded.moved():
                guarded.fit()
            # Bits, not a product: inf * 0 would be NaN.
            kept = _bits(parameter.grad.detach()).bitwise_and(guarded.keep)
        parameter.grad = kept.view(parameter.grad.dtype)

    return hook


def _bits(tensor: Tensor) -> Tensor:
    return tensor.view(_BITS[tensor.element_size()])


def _check_mask(parameters: Mapping[str, Parameter], mask: Mapping[str, Tensor]) -> None:
    if odd := sorted(parameters.keys() ^ mask.keys()):
        raise ValueError(f"{odd[0]} is in only one of parameters and mask ({len(odd)} such names): give the same names")
    if len({id(parameter) for parameter in parameters.values()}) < len(parameters):
        raise ValueError("a parameter stands under two names: give each shared parameter once")
    for name, parameter in parameters.items():
        dtype, shape, expected = mask[name].dtype, tuple(mask[name].shape), tuple(parameter.shape)
        if dtype != torch.bool or shape != expected:
            raise ValueError(f"the mask of {name} is {dtype} {shape}, expected torch.bool {expected}")
    if not any(bool(part.any()) for part in mask.values()):
        raise ValueError("the mask is empty: no parameter could be edited")
