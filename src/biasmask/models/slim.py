"""Slim encoders: heads and neurons that add nothing are taken out of the layers, so that these get narrower.

`slim` works on a folded network (masked weights are 0). transformers can't tell of head counts per layer in a
configuration, so a slim model is kept as weights with the list of what was taken out, and `load_slim` builds it again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from biasmask.errors import CheckpointError, ConfigError
from biasmask.files import write_atomically, write_json
from biasmask.methods.block_mask import expand
from biasmask.methods.slimming import kept_units, rows_of_heads, whole_heads, whole_neurons
from biasmask.models.encoder_layers import HEAD_COUNTS, EncoderLayer, discover_layers, linear_at
from biasmask.models.masked_linear import replace_module
from biasmask.models.slim_limits import WIDTHS, why_heads_stay, why_neurons_stay

LIST_FILE, WEIGHTS_FILE = "slim.json", "slim.safetensors"


@dataclass
class Removed:
    """What was taken out of one layer; the indices are those of the dense model."""

    layer: int
    heads: list[int] = field(default_factory=list)
    neurons: list[int] = field(default_factory=list)


@dataclass
class SlimRecord:
    """What was taken out of each layer, and what could not be, with the reason."""

    layers: list[Removed]
    kept_dense: list[str] = field(default_factory=list)

    @property
    def heads(self) -> int:
        """Heads taken out, of all layers together."""
        return sum(len(layer.heads) for layer in self.layers)

    @property
    def neurons(self) -> int:
        """Neurons taken out, of all layers together."""
        return sum(len(layer.neurons) for layer in self.layers)


def slim(net: nn.Module, masks: Mapping[str, Tensor] | None = None) -> SlimRecord:
    """Take whole heads and neurons out of a folded network, in place; its output in eval mode stays the same up to rounding.

    A head is whole where its value rows (with bias) or its output columns are 0, a neuron where its column in the second
    feed-forward matrix is 0. Where all of a layer's are, one stays, masked as it is.

    Args:
        net: a transformer encoder with plain Linear layers, alone or with any head.
        masks: as `Pruner.masks` gives them, to take out only what these mask; none: all that is 0 in the weights.
    Returns:
        What was taken out, and what stays dense because the architecture can't do without it.
    Raises:
        ConfigError: the network isn't folded by these masks, or nothing of what is masked can be taken out.
    """
    layers = discover_layers(net)
    record = SlimRecord([])
    for layer in layers:
        heads, neurons = _zero_units(net, layer)
        if masks is not None:
            heads, neurons = _masked_units(layer, masks, heads, neurons)
        removed = Removed(layer.index)
        for units, reason, found, what in (
            (heads, why_heads_stay(net, layer), removed.heads, "heads"),
            (neurons, why_neurons_stay(net, layer), removed.neurons, "neurons"),
        ):
            if units.any() and reason:
                record.kept_dense.append(f"layer {layer.index}: {int(units.sum())} {what} stay, {reason}")
            else:
                kept = set(kept_units(units).tolist())
                found += [unit for unit in range(len(units)) if unit not in kept]
        record.layers.append(removed)
    if record.kept_dense and not record.heads + record.neurons:
        raise ConfigError(f"{type(net).__name__} can't be made slim: {record.kept_dense[0]}")
    cut(net, layers, record.layers)
    return record


def save_slim(folder: Path, net: nn.Module, record: SlimRecord) -> None:
    """Write a slim network: `slim.json` (what was taken out, and the dense model's configuration), `slim.safetensors`.

    Args:
        folder: made if absent; other files in it (a tokenizer's) stay.
        net: the network after `slim`.
        record: what `slim` returned.
    Raises:
        StoreError: the folder can't be written.
    """
    config = getattr(net, "config", None)
    about: dict[str, Any] = {
        "format": 1,
        "class": type(net).__name__,
        "config": config.to_dict() if isinstance(config, transformers.PretrainedConfig) else None,
        **asdict(record),
    }
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in net.state_dict().items()}
    write_atomically(folder / WEIGHTS_FILE, save(state, {"format": "pt"}))
    write_json(folder / LIST_FILE, about)


def load_slim(folder: Path, net: nn.Module | None = None) -> nn.Module:
    """Build a slim network again.

    Args:
        folder: what `save_slim` wrote.
        net: a dense network of the architecture, to be cut in place; none: built from the configuration by transformers.
    Returns:
        The network in eval mode.
    Raises:
        CheckpointError: files are missing or damaged, or the architecture isn't the one they are of.
    """
    try:
        about = json.loads((folder / LIST_FILE).read_text(encoding="utf-8"))
        removed = [Removed(**layer) for layer in about["layers"]]
        state = load_file(folder / WEIGHTS_FILE)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        detail = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{folder} holds no slim model that can be read ({LIST_FILE}, {WEIGHTS_FILE}): {detail}") from error
    net = _dense(about, folder) if net is None else net
    try:
        cut(net, discover_layers(net), removed)
        net.load_state_dict(state)
    except (ConfigError, IndexError, RuntimeError) as error:
        detail = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"the slim model in {folder} doesn't fit {type(net).__name__}: {detail}") from error
    return net.eval()


def cut(net: nn.Module, layers: Sequence[EncoderLayer], removed: Sequence[Removed]) -> None:
    """Make the layers of a dense network as narrow as a record tells, in place."""
    if len(layers) != len(removed):
        raise ConfigError(f"the network has {len(layers)} layers, the list of what is taken out {len(removed)}")
    for layer, entry in zip(layers, removed, strict=True):
        if entry.heads:
            _cut_heads(net, layer, _left(layer.heads, entry.heads))
        if entry.neurons:
            kept = _left(layer.matrices["intermediate"].shape[0], entry.neurons)
            _narrow(net, layer.matrices["intermediate"].module, rows=kept)
            _narrow(net, layer.matrices["feed_forward_output"].module, columns=kept)


def _zero_units(net: nn.Module, layer: EncoderLayer) -> tuple[Tensor, Tensor]:
    value, output = layer.matrices["value"], layer.matrices["output"]
    linear, rows = linear_at(net, value.module), slice(value.start, value.stop)
    no_value = (linear.weight[rows] == 0).all(1)
    if linear.bias is not None:
        no_value &= linear.bias[rows] == 0
    no_output = (linear_at(net, output.module).weight == 0).all(0)
    unread = (linear_at(net, layer.matrices["feed_forward_output"].module).weight == 0).all(0)
    # rows of the first matrix don't count: what the activation makes of 0 isn't known here
    neurons = whole_neurons(torch.zeros_like(unread), unread, zero_stays_zero=False)
    return whole_heads(no_value, no_output, layer.heads), neurons


def _masked_units(
    layer: EncoderLayer, masks: Mapping[str, Tensor], zero_heads: Tensor, zero_neurons: Tensor
) -> tuple[Tensor, Tensor]:
    width = layer.heads * layer.head_dim
    lines = {role: torch.zeros(width, dtype=torch.bool, device=zero_heads.device) for role in ("value", "output")}
    for role, across in (("value", 1), ("output", 0)):
        mask = masks.get(f"{layer.index}.{role}")
        if mask is not None:
            lines[role] = ~expand(mask.bool(), layer.matrices[role].shape).any(across).to(zero_heads.device)
    heads = whole_heads(lines["value"], lines["output"], layer.heads)
    kept = masks.get(f"{layer.index}.intermediate")
    neurons = torch.zeros_like(zero_neurons) if kept is None else ~kept.bool().to(zero_neurons.device)
    if (heads & ~zero_heads).any() or (neurons & ~zero_neurons).any():
        raise ConfigError(f"layer {layer.index} has weights where the masks have none: fold the pruner before making it slim")
    return heads, neurons


def _left(n: int, removed: Sequence[int]) -> Tensor:
    gone = torch.zeros(n, dtype=torch.bool)
    gone[torch.tensor(removed)] = True
    return kept_units(gone)


def _cut_heads(net: nn.Module, layer: EncoderLayer, kept: Tensor) -> None:
    width, lines = layer.heads * layer.head_dim, rows_of_heads(kept, layer.head_dim)
    attention = net.get_submodule(layer.attention)
    done = {layer.matrices["output"].module}
    for role in ("query", "key", "value"):
        module = layer.matrices[role].module
        if module not in done:  # a fused one comes three times
            slices = [m for m in layer.matrices.values() if m.module == module]
            _narrow(net, module, rows=torch.cat([lines + m.start for m in slices]))
            done.add(module)
    for name, child in list(attention.named_children()):  # projections of positions, gates: a row for each row of the heads
        path = f"{layer.attention}.{name}" if layer.attention else name
        if isinstance(child, nn.Linear) and path not in done and child.out_features == width:
            _narrow(net, path, rows=lines)
    _narrow(net, layer.matrices["output"].module, columns=lines)
    for attribute in HEAD_COUNTS:
        if getattr(attention, attribute, None) == layer.heads:
            setattr(attention, attribute, len(kept))
    for attribute in WIDTHS:
        if getattr(attention, attribute, None) == width:
            setattr(attention, attribute, len(lines))


def _narrow(net: nn.Module, name: str, rows: Tensor | None = None, columns: Tensor | None = None) -> None:
    old = linear_at(net, name)
    weight: Tensor = old.weight.detach()
    bias: Tensor | None = None if old.bias is None else old.bias.detach()
    if rows is not None:
        weight = weight.index_select(0, rows.to(weight.device))
        bias = None if bias is None else bias.index_select(0, rows.to(weight.device))
    if columns is not None:
        weight = weight.index_select(1, columns.to(weight.device))
    new = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device=weight.device, dtype=weight.dtype)
    new.weight = nn.Parameter(weight.contiguous(), requires_grad=old.weight.requires_grad)
    if bias is not None:
        new.bias = nn.Parameter(bias.clone(), requires_grad=old.bias.requires_grad)
    replace_module(net, old, new.train(old.training))


def _dense(about: dict[str, Any], folder: Path) -> nn.Module:
    made = getattr(transformers, str(about.get("class")), None)
    if made is None or not about.get("config"):
        raise CheckpointError(
            f"the slim model in {folder} is a {about.get('class')}, which transformers {transformers.__version__} can't build: "
            "hand over a dense network of its architecture"
        )
    net: nn.Module = made(made.config_class.from_dict(about["config"]))
    return net
