"""The layers of a transformer encoder, found by structure: which Linear is query, key, value, output, feed-forward.

An attention module is one that knows its number of heads and has Linear layers called query, key and value (or a fused
one for the three). The output is the Linear after it that takes what the heads give; the feed-forward part is the pair of
Linear layers after that, from the hidden size up and back again, in the same enclosing module.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from biasmask.errors import ConfigError

ATTENTION_ROLES = ("query", "key", "value", "output")
FEED_FORWARD_ROLES = ("intermediate", "feed_forward_output")
HEAD_COUNTS = ("num_attention_heads", "n_heads", "num_heads")
ENDING = "(_?(lin|proj|projection))?"
PROJECTIONS = {role: re.compile(f"({role}|{role[0]}){ENDING}") for role in ("query", "key", "value")}
FUSED = re.compile(f"w?qkv{ENDING}", re.IGNORECASE)
OUTPUT = re.compile(f"(out|o|output|dense|proj){ENDING}")


@dataclass(frozen=True)
class Matrix:
    """One weight, or a slice of the rows of a fused one."""

    layer: int
    role: str
    """query, key, value, output, intermediate or feed_forward_output."""
    module: str
    """Dotted name of the nn.Linear in the net."""
    start: int
    """First row of the Linear's weight."""
    stop: int
    """Row after the last."""
    columns: int
    """Columns of the weight."""

    @property
    def name(self) -> str:
        """Name in masks and tables, such as `0.query`."""
        return f"{self.layer}.{self.role}"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.stop - self.start, self.columns


@dataclass(frozen=True)
class EncoderLayer:
    """One layer of an encoder: an attention and the feed-forward part after it."""

    index: int
    name: str
    """Dotted name of the module that holds all of the layer."""
    attention: str
    """Dotted name of the module that knows the number of heads."""
    heads: int
    head_dim: int
    matrices: dict[str, Matrix]
    """Role -> matrix, all six roles."""
    uses: int = 1
    """How often a forward pass runs the layer; above 1 where layers are shared, as in ALBERT."""


def discover_layers(net: nn.Module) -> list[EncoderLayer]:
    """Find the encoder layers of a network by structure, in the order of its modules.

    Args:
        net: a transformer encoder, alone or with any head (transformers, timm).
    Returns:
        The layers, with all six matrices each.
    Raises:
        ConfigError: no attention was found, or one without its output or feed-forward part; what Linear layers there
            are is listed.
    """
    layers: list[EncoderLayer] = []
    for name, module in net.named_modules():
        heads = head_count(module)
        projections = _projections(module) if heads else None
        if heads and projections:
            layers.append(_layer(net, len(layers), name, heads, projections))
    if not layers:
        raise ConfigError(
            f"no encoder layer found in {type(net).__name__}: no module knows its number of heads ({', '.join(HEAD_COUNTS)}) and "
            f"has Linear layers called query, key and value, or qkv; {_found(net)}"
        )
    modules = [(m.module, m.start) for layer in layers for m in layer.matrices.values()]
    if len(set(modules)) < len(modules):
        raise ConfigError(
            f"{type(net).__name__} has several attentions in a layer (a decoder?), which can't be pruned: {_found(net)}"
        )
    groups = getattr(getattr(net, "config", None), "num_hidden_groups", None)
    if groups is None:
        return layers
    uses = max(1, int(net.config.num_hidden_layers) // groups)  # type: ignore[union-attr, arg-type]
    return [EncoderLayer(**{**vars(layer), "uses": uses}) for layer in layers]


def head_count(module: nn.Module) -> int | None:
    """The number of heads that a module states, or none."""
    for attribute in HEAD_COUNTS:
        value = getattr(module, attribute, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def linears(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Linear]]:
    """All nn.Linear below a module, with dotted names, in the order of its modules."""
    for name, child in module.named_modules(prefix=prefix):
        if isinstance(child, nn.Linear):
            yield name, child


def linear_at(net: nn.Module, name: str) -> nn.Linear:
    """The nn.Linear of a dotted name."""
    module = net.get_submodule(name)
    assert isinstance(module, nn.Linear)
    return module


def _projections(module: nn.Module) -> dict[str, tuple[str, int, int]] | None:
    own = {name: child for name, child in module.named_children() if isinstance(child, nn.Linear)}
    found = {}
    for role, pattern in PROJECTIONS.items():
        for name, child in own.items():
            if pattern.fullmatch(name):
                found[role] = (name, 0, child.out_features)
    if len(found) == 3:
        return found if len({stop for _, _, stop in found.values()}) == 1 else None
    for name, child in own.items():
        if FUSED.fullmatch(name) and child.out_features % 3 == 0:
            rows = child.out_features // 3
            return {role: (name, i * rows, (i + 1) * rows) for i, role in enumerate(PROJECTIONS)}
    return None


def _layer(net: nn.Module, index: int, name: str, heads: int, projections: dict[str, tuple[str, int, int]]) -> EncoderLayer:
    child, start, stop = projections["query"]
    width, hidden = stop - start, linear_at(net, _join(name, child)).in_features
    if width % heads:
        raise ConfigError(f"{name} has {heads} heads, which don't divide its query of {width} rows")
    biases = [own for own, _ in net.get_submodule(name).named_parameters(recurse=False) if own.endswith("bias")]
    if biases:  # such a module multiplies by the weight itself and never calls the Linear that a mask would stand in for
        raise ConfigError(f"{name} keeps {', '.join(biases)} apart from its Linear layers, which can't be masked then")
    output = _output(net, name, width)
    if output is None:
        raise ConfigError(f"{name} has query, key and value, but no output of {width} input features: {_found(net)}")
    pair, holder = _feed_forward(net, name, output, hidden)
    if pair is None:
        raise ConfigError(f"{name} has no feed-forward part (two Linear layers, {hidden} up and back) after it: {_found(net)}")
    places = {role: (_join(name, child), start, stop) for role, (child, start, stop) in projections.items()}
    for role, module in zip(("output", *FEED_FORWARD_ROLES), (output, *pair), strict=True):
        places[role] = (module, 0, linear_at(net, module).out_features)
    matrices = {role: Matrix(index, role, *place, linear_at(net, place[0]).in_features) for role, place in places.items()}
    return EncoderLayer(index, holder, name, heads, width // heads, matrices)


def _join(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def _output(net: nn.Module, attention: str, width: int) -> str | None:
    for name, child in net.get_submodule(attention).named_children():
        if isinstance(child, nn.Linear) and OUTPUT.fullmatch(name) and child.in_features == width:
            return _join(attention, name)
    for holder in _ancestors(attention):
        after = list(_after(net, holder, attention))
        if after:
            return after[0][0] if after[0][1].in_features == width else None
    return None


def _feed_forward(net: nn.Module, attention: str, output: str, hidden: int) -> tuple[tuple[str, str] | None, str]:
    for holder in _ancestors(attention):
        after = [(name, linear) for name, linear in _after(net, holder, attention) if name != output]
        if len(after) < 2:
            continue
        (first, up), (second, down) = after[:2]
        fits = up.in_features == hidden == down.out_features and up.out_features == down.in_features
        return ((first, second) if fits else None), holder
    return None, attention


def _after(net: nn.Module, holder: str, attention: str) -> Iterator[tuple[str, nn.Linear]]:
    """The Linear layers of `holder` that come after the attention module and are no part of it."""
    passed = False
    for name, linear in linears(net.get_submodule(holder), holder):
        if name.startswith(f"{attention}."):
            passed = True
        elif passed:
            yield name, linear


def _ancestors(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rsplit(".", 1)[0]
        yield name
    if name:
        yield ""


def _found(net: nn.Module) -> str:
    shapes = [f"{name} {linear.out_features} x {linear.in_features}" for name, linear in linears(net)]
    if not shapes:
        return "no nn.Linear is in the network"
    more = f" and {len(shapes) - 12} more" if len(shapes) > 12 else ""
    return f"its Linear layers are {', '.join(shapes[:12])}{more}"
