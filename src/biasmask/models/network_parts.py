"""Where each entry of a network's state lies: layer, block, head and kind, found by structure, for CNN and transformers alike.

The regions of a network partition its state dict: every entry lies in exactly one of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from biasmask.errors import ConfigError
from biasmask.models.encoder_layers import EncoderLayer, discover_layers
from biasmask.models.image_classifier import head_of

CLASSIFIER = "classifier"
STATISTICS = "statistics"


@dataclass(frozen=True)
class Region:
    """A tensor of the state dict, or a slice of one.

    Args:
        tensor: name in the state dict.
        layer: place among the repeated blocks, from the input on; None before, between and after them.
        block: dotted name of the block that it lies in; `classifier` for the head of an image network.
        head: attention head, or None.
        kind: conv, depthwise, linear, norm, bias, embedding, scale, query, key, value, output, intermediate,
            feed_forward_output, classifier, statistics (running means of norm layers and other buffers) or other.
        axis: of the slice; with `start` and `stop` all of the tensor where it isn't split.
        start, stop: first place on the axis, and the one after the last.
        matrix: `layer.role`, as block masks call it, for weights of attention and feed-forward parts.
    """

    tensor: str
    layer: int | None
    block: str
    head: int | None
    kind: str
    axis: int
    start: int
    stop: int
    matrix: str | None = None

    def of(self, tensor: Tensor) -> Tensor:
        """The region's part of a tensor of the state dict's shape, as a view."""
        return tensor.reshape(1) if tensor.ndim == 0 else tensor.narrow(self.axis, self.start, self.stop - self.start)


def network_regions(net: nn.Module) -> list[Region]:
    """The regions of a network in the order of its state dict; a tensor that two names share is listed under the first.

    Args:
        net: a timm classifier, or an encoder of Hugging Face with any head.
    """
    try:
        layers = discover_layers(net)
    except ConfigError:
        layers = []  # a CNN, or an attention whose heads can't be told apart
    blocks = _Blocks(net, layers)
    classifier = _classifier(net)
    matrices = {m.module: [n for layer in layers for n in layer.matrices.values() if n.module == m.module]
                for layer in layers for m in layer.matrices.values()}  # fmt: skip
    heads = {layer.index: layer.heads for layer in layers}
    shared, state = shared_names(net), net.state_dict()
    found: list[Region] = []
    for name, tensor in state.items():
        if name in shared:
            continue
        module_name, _, own = name.rpartition(".")
        layer, block = blocks.of(name)
        if module_name == classifier:
            layer, block = None, CLASSIFIER
        kind = CLASSIFIER if module_name == classifier else kind_of(net.get_submodule(module_name), own, layer)
        length = tensor.shape[0] if tensor.ndim else 1
        if module_name not in matrices or own not in ("weight", "bias"):
            found.append(Region(name, layer, block, None, kind, 0, 0, length))
            continue
        for matrix in sorted(matrices[module_name], key=lambda m: m.start):
            role = "bias" if own == "bias" else matrix.role
            pieces = _slices(matrix.role, own, matrix.start, matrix.stop, tensor, heads[matrix.layer])
            found += [
                Region(name, matrix.layer, block, head, role, axis, start, stop, matrix.name)
                for head, axis, start, stop in pieces
            ]
    return found


def shared_names(net: nn.Module) -> dict[str, str]:
    """Names in the state dict of tensors that stand there under another name before: name -> that name."""
    first: dict[int, str] = {}
    shared = {}
    for name, tensor in net.state_dict(keep_vars=True).items():
        if id(tensor) in first:
            shared[name] = first[id(tensor)]
        first.setdefault(id(tensor), name)
    return shared


def kind_of(module: nn.Module, own: str, layer: int | None) -> str:
    """The kind of a tensor by the module that holds it, where that isn't part of an attention or feed-forward pair.

    >>> kind_of(nn.Conv2d(4, 4, 3, groups=4), "weight", 0), kind_of(nn.LayerNorm(4), "bias", 0)
    ('depthwise', 'norm')
    """
    if own in module._buffers:
        return STATISTICS
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor):  # a bare parameter: tokens and positions before the layers, factors in them
        vector = "bias" if own.endswith("bias") else "scale"
        return vector if getattr(module, own).ndim == 1 else "embedding" if layer is None else "other"
    if weight.ndim == 1:
        return "norm"
    if own != "weight":
        return "bias"
    if isinstance(module, nn.Embedding):
        return "embedding"
    if isinstance(module, nn.Linear):
        return "linear"
    groups = getattr(module, "groups", 1)
    return (
        ("depthwise" if groups > 1 and groups == getattr(module, "in_channels", None) else "conv") if weight.ndim > 2 else "other"
    )


def _slices(role: str, own: str, start: int, stop: int, tensor: Tensor, heads: int) -> Iterator[tuple[int | None, int, int, int]]:
    """Head, axis, start and stop of the slices of a matrix or of its bias."""
    if role in ("query", "key", "value"):
        rows = (stop - start) // heads
        yield from ((head, 0, start + head * rows, start + (head + 1) * rows) for head in range(heads))
    elif role == "output" and own == "weight":
        columns = tensor.shape[1] // heads
        yield from ((head, 1, head * columns, (head + 1) * columns) for head in range(heads))
    else:
        yield None, 0, start, stop


def _classifier(net: nn.Module) -> str | None:
    if not hasattr(net, "get_classifier"):
        return None
    return head_of(net)[0]


class _Blocks:
    """The blocks of a network: encoder layers, and else numbered modules of one pattern that come several times."""

    def __init__(self, net: nn.Module, layers: list[EncoderLayer]):
        numbered: dict[str, list[str]] = {}
        matrices: dict[str, int] = {}
        for name, module in net.named_modules():
            if re.search(r"\d", name.rpartition(".")[2]) and next(module.children(), None) is not None:
                numbered.setdefault(re.sub(r"\d+", "#", name), []).append(name)
                matrices[name] = sum(p.ndim > 1 for p in module.parameters())
        repeated = {
            name
            for names in numbered.values()
            if len(names) > 1 and max(matrices[name] for name in names) > 1
            for name in names
        }  # fmt: skip
        encoder = [layer.name for layer in layers]
        self.names = repeated | set(encoder)
        self.containers = {name for name in self.names if any(other.startswith(f"{name}.") for other in self.names)}
        order = [name for name, _ in net.named_modules() if name in self.names - self.containers]
        self.index = {name: place for place, name in enumerate(encoder or order)}

    def of(self, name: str) -> tuple[int | None, str]:
        """Layer and block of a tensor: the innermost block, or the part beside the blocks."""
        parts = name.split(".")
        for depth in range(len(parts) - 1, 0, -1):
            holder = ".".join(parts[:depth])
            if holder in self.index:
                return self.index[holder], holder
            if holder in self.containers:
                return None, ".".join(parts[: min(depth + 1, len(parts) - 1)])
            if holder in self.names:
                return None, holder
        inside = any(other.startswith(f"{parts[0]}.") for other in self.names)
        return None, ".".join(parts[:2]) if inside and len(parts) > 2 else parts[0]
