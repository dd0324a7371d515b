"""How much each parameter matters to a loss: the mean squared (or absolute) gradient over batches.

One forward serves all losses: locate asks for the bias importance and the task importance of the same batch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Parameter

from biasmask.methods.losses import BiasLoss

ImportanceKind = Literal["squared_gradient", "abs_gradient"]
Loss = Tensor | BiasLoss | None


class ImportanceSum:
    """Running sums of per-parameter importances, in float64, one for each named loss.

    I[theta] = mean over batches of (dL/dtheta)^2 (or of |dL/dtheta|). A batch that leaves a loss undefined does not
    enter that loss's mean and is counted in `undefined`.

    Args:
        kind: `squared_gradient` or `abs_gradient`.
    Source:
        BMFT (arXiv 2408.06890), importance by Fisher information. The published code averages over batches too, so the
        figures depend on the batch size; `add_per_sample` gives the empirical Fisher, which does not.

    >>> w = Parameter(torch.tensor([1.0, 2.0]))
    >>> total = ImportanceSum()
    >>> total.add({"task": (3 * w).sum()}, {"w": w})
    >>> total.mean()["task"]["w"].tolist(), total.batches, total.undefined
    ([9.0, 9.0], {'task': 1}, {'task': 0})
    """

    def __init__(self, kind: ImportanceKind = "squared_gradient") -> None:
        if kind not in ("squared_gradient", "abs_gradient"):
            raise ValueError(f"importance kind is {kind!r}: use squared_gradient or abs_gradient")
        self.kind = kind
        self.state: dict[str, dict[str, Tensor]] = {}
        self._counts: dict[str, Tensor] = {}  # int64 (2,): batches that defined the loss, batches that did not

    @property
    def batches(self) -> dict[str, int]:
        """Terms in the mean of each loss: batches, or samples after `add_per_sample`."""
        return {loss: int(count[0]) for loss, count in self._counts.items()}

    @property
    def undefined(self) -> dict[str, int]:
        """Batches that left the loss undefined."""
        return {loss: int(count[1]) for loss, count in self._counts.items()}

    def reserve(self, losses: Iterable[str], parameters: Mapping[str, Parameter]) -> None:
        """Make zero sums, so that a process that sees no batch still has all tensors to be summed.

        Args:
            losses: names, in the same order in every process.
            parameters: name -> Parameter, in the same order in every process.
        Raises:
            ValueError: no parameters, one is frozen (requires_grad False), or the names differ from those of before.
        """
        if not parameters:
            raise ValueError("importances need at least one parameter, got none")
        if frozen := [name for name, parameter in parameters.items() if not parameter.requires_grad]:
            raise ValueError(f"importances need gradients, but {_some(frozen)} have requires_grad False: unfreeze")
        for loss in losses:
            if loss not in self.state:
                self.state[loss] = {name: _zeros(parameter) for name, parameter in parameters.items()}
                device = next(iter(self.state[loss].values())).device
                self._counts[loss] = torch.zeros(2, dtype=torch.int64, device=device)
            elif self.state[loss].keys() != parameters.keys():
                raise ValueError(f"the parameters of loss {loss!r} changed between batches: give the same ones")

    def add(self, losses: Mapping[str, Loss], parameters: Mapping[str, Parameter]) -> None:
        """Add one batch: one backward per loss over the forward that they share.

        Args:
            losses: name -> scalar, or BiasLoss; None or an undefined BiasLoss is skipped and counted.
            parameters: name -> Parameter (requires_grad). One that a loss does not reach gets importance 0.
        Raises:
            ValueError: a loss is no scalar, has no graph or is not finite, or as in `reserve`.
        """
        self.reserve(losses, parameters)
        defined: list[tuple[str, Tensor]] = []
        for name, loss in losses.items():
            value = (loss.value if loss.defined else None) if isinstance(loss, BiasLoss) else loss
            if value is None:
                self._counts[name][1] += 1
                continue
            _check_loss(name, value)
            defined.append((name, value))
        for index, (name, value) in enumerate(defined):
            self._add_gradient(name, value, parameters, retain_graph=index + 1 < len(defined))

    def add_per_sample(self, name: str, losses: Iterable[Tensor], parameters: Mapping[str, Parameter]) -> None:
        """Add single samples one by one: the mean becomes the empirical Fisher, whatever the batch size.

        Args:
            name: of the loss.
            losses: yields one scalar per sample, each from a forward of that sample alone. Give a generator: it keeps
                one graph alive at a time. With `class_balance=batch` a single sample has loss 0: use another.
            parameters: name -> Parameter (requires_grad).
        Raises:
            ValueError: as in `add`.
        """
        self.reserve([name], parameters)
        for loss in losses:
            _check_loss(name, loss)
            self._add_gradient(name, loss, parameters, retain_graph=False)

    def tensors(self) -> list[Tensor]:
        """The live state as a flat list, in the same order in every process: sum each in place over the processes.

        Per loss: its counts (int64) and then one float64 tensor a parameter. Call `reserve` first where a process may
        have seen no batch.
        """
        return [tensor for loss, sums in self.state.items() for tensor in (self._counts[loss], *sums.values())]

    def merge(self, other: "ImportanceSum") -> None:
        """Add the sums and counts of another pass (other batches, same parameters, same kind).

        Raises:
            ValueError: kinds or parameter names differ.
        """
        if other.kind != self.kind:
            raise ValueError(f"cannot merge importances of kind {other.kind} into {self.kind}")
        for loss, sums in other.state.items():
            if loss not in self.state:
                self.state[loss] = {name: tensor.clone() for name, tensor in sums.items()}
                self._counts[loss] = other._counts[loss].clone()
                continue
            if self.state[loss].keys() != sums.keys():
                raise ValueError(f"cannot merge importances of loss {loss!r}: the parameters differ")
            for name, tensor in sums.items():
                self.state[loss][name] += tensor.to(self.state[loss][name].device)
            self._counts[loss] += other._counts[loss].to(self._counts[loss].device)

    def mean(self, dtype: torch.dtype = torch.float32) -> dict[str, dict[str, Tensor]]:
        """Loss name -> parameter name -> importance, each of the parameter's shape and >= 0.

        Args:
            dtype: of the result.
        Raises:
            ValueError: nothing was added, a loss was undefined in every batch, or an importance is not finite.
        """
        if not self.state:
            raise ValueError("no batch was added: importances of an empty split are undefined")
        result: dict[str, dict[str, Tensor]] = {}
        for loss, sums in self.state.items():
            n = self.batches[loss]
            if n == 0:
                raise ValueError(
                    f"loss {loss!r} was undefined in all {self.undefined[loss]} batches: "
                    "check that every group has samples of both targets, or use larger batches"
                )
            result[loss] = {name: (total / n).to(dtype) for name, total in sums.items()}
            if broken := [name for name, value in result[loss].items() if not bool(torch.isfinite(value).all())]:
                raise ValueError(f"importance of loss {loss!r} is not finite in {_some(broken)}: check weights and outputs")
        return result

    def _add_gradient(self, name: str, loss: Tensor, parameters: Mapping[str, Parameter], retain_graph: bool) -> None:
        gradients = torch.autograd.grad(loss, list(parameters.values()), retain_graph=retain_graph, allow_unused=True)
        for total, gradient in zip(self.state[name].values(), gradients, strict=True):
            if gradient is None:
                continue
            # Squared gradients reach 1e-40 and less, where float32 has nothing left: widen before squaring.
            wide = gradient.detach().to(total)
            if self.kind == "squared_gradient":
                total.addcmul_(wide, wide)
            else:
                total.add_(wide.abs())
        self._counts[name][0] += 1


def importances(
    forward: Callable[[Any], Tensor],
    batches: Iterable[Any],
    parameters: Mapping[str, Parameter],
    losses: Mapping[str, Callable[[Tensor, Any], Loss]],
    kind: ImportanceKind = "squared_gradient",
    per_sample: Sequence[str] = (),
) -> dict[str, dict[str, Tensor]]:
    """Importances of a model in one walk over the data, without any framework.

    I[theta] = mean over batches of (dL/dtheta)^2, for each loss; for those named in `per_sample`, mean over samples.

    Args:
        forward: batch -> logits (N,). Put the model in eval mode first: dropout and norm statistics must stand still.
        batches: each a tensor, or a dict, list or tuple of such, with samples along dimension 0.
        parameters: name -> Parameter (requires_grad).
        losses: name -> function of (logits, batch) that gives a scalar, a BiasLoss or None.
        kind: `squared_gradient` or `abs_gradient`.
        per_sample: names of losses to be taken sample by sample (a forward and a backward each: 2-4 times slower).
    Returns:
        Loss name -> parameter name -> float32 tensor of the parameter's shape.
    Raises:
        ValueError: no batches, an unknown name in `per_sample`, a loss undefined throughout, something not finite.
    Source:
        BMFT (arXiv 2408.06890); see ImportanceSum.

    >>> w = Parameter(torch.tensor([0.5]))
    >>> data = [torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0])]
    >>> found = importances(lambda x: w * x, data, {"w": w}, {"task": lambda z, x: z.mean()})
    >>> found["task"]["w"].tolist()
    [4.0]
    """
    if unknown := [name for name in per_sample if name not in losses]:
        raise ValueError(f"per_sample names {_some(unknown)}, but the losses are {', '.join(losses)}")
    total = ImportanceSum(kind)
    shared = {name: loss for name, loss in losses.items() if name not in per_sample}
    for batch in batches:
        if shared:
            logits = forward(batch)
            total.add({name: loss(logits, batch) for name, loss in shared.items()}, parameters)
        for name in per_sample:
            of_rows = (losses[name](forward(row), row) for row in _rows(batch))
            total.add_per_sample(name, (_value(name, loss) for loss in of_rows), parameters)
    return total.mean()


def _value(name: str, loss: Loss) -> Tensor:
    if not isinstance(loss, Tensor):
        raise ValueError(f"loss {name!r} cannot be taken per sample: a single sample must give a scalar")
    return loss


def _rows(batch: Any) -> Iterator[Any]:
    for row in range(_length(batch)):
        yield _row(batch, row)


def _row(batch: Any, row: int) -> Any:
    if isinstance(batch, Tensor):
        return batch[row : row + 1]
    if isinstance(batch, Mapping):
        return {key: _row(value, row) for key, value in batch.items()}
    return type(batch)(_row(value, row) for value in batch)


def _length(batch: Any) -> int:
    while not isinstance(batch, Tensor):
        batch = next(iter(batch.values())) if isinstance(batch, Mapping) else batch[0]
    return len(batch)


def _zeros(parameter: Tensor) -> Tensor:
    # Apple's devices have no float64, so the sums stay on the CPU there.
    device = torch.device("cpu") if parameter.device.type == "mps" else parameter.device
    return torch.zeros_like(parameter, dtype=torch.float64, device=device, requires_grad=False)


def _check_loss(name: str, loss: Tensor) -> None:
    if loss.numel() != 1 or not loss.requires_grad:
        shape = tuple(loss.shape)
        raise ValueError(f"loss {name!r} must be one number with a gradient, got shape {shape}: is grad disabled?")
    if not bool(torch.isfinite(loss)):
        raise ValueError(f"loss {name!r} is {loss.item()}: check the model's weights and the inputs of this batch")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
