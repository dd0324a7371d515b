"""What keeps heads or neurons of a layer from being taken out: parts of the network that count on the dense width."""

import re
from collections.abc import Iterator

from torch import Tensor, nn

from biasmask.models.encoder_layers import EncoderLayer, linear_at

WIDTHS = ("all_head_size", "attn_dim")  # attributes in which attention modules keep heads * head_dim
HEAD_SIZE = "attention_head_size"  # attribute by which attention modules of transformers count how many heads there are
POSITIONS = re.compile("rel_?pos|relative|position_bias|pos_bias", re.IGNORECASE)


def why_heads_stay(net: nn.Module, layer: EncoderLayer) -> str | None:
    """The reason for which a layer can't do with fewer heads, or none.

    Three are known: positions with a column for each head that all layers share (MPNet); an attention that keeps neither its
    width nor the size of a head (it takes the width of its input); and parameters of the attention that are neither those
    of a Linear with a row for each row of the heads nor of the size of one head (a norm over all heads, a table of its own).
    """
    for name, module in net.named_modules():
        columns = module.embedding_dim if isinstance(module, nn.Embedding) else getattr(module, "out_features", None)
        if columns == layer.heads and POSITIONS.search(name) and not name.startswith(f"{layer.attention}."):
            return f"{name} has a column for each of {layer.heads} heads, which all layers share"
    attention, width = net.get_submodule(layer.attention), layer.heads * layer.head_dim
    by_width = any(getattr(attention, attribute, None) == width for attribute in WIDTHS)
    if not by_width and getattr(attention, HEAD_SIZE, None) != layer.head_dim:
        return f"{layer.attention} keeps neither the width of all its heads nor the size of one in an attribute that is known"
    for name, parameter in _other_parameters(net, layer):
        if parameter.shape != (layer.head_dim,):
            return f"{name} {tuple(parameter.shape)} counts on all heads"
    return None


def _other_parameters(net: nn.Module, layer: EncoderLayer) -> Iterator[tuple[str, Tensor]]:
    """Parameters of the attention module but for its matrices, what comes after them, and projections of the same width."""
    attention, width = net.get_submodule(layer.attention), layer.heads * layer.head_dim
    matrices = {matrix.module for matrix in layer.matrices.values()}
    after_output = False
    for name, module in attention.named_modules(prefix=layer.attention):
        if name in matrices:
            after_output = after_output or name == layer.matrices["output"].module
            continue
        if isinstance(module, nn.Linear) and module.out_features == width and name.count(".") == layer.attention.count(".") + 1:
            continue
        for own, parameter in module.named_parameters(recurse=False):
            of_the_output = after_output and parameter.shape == (layer.matrices["output"].shape[0],)
            if not of_the_output:
                yield f"{name}.{own}", parameter


def why_neurons_stay(net: nn.Module, layer: EncoderLayer) -> str | None:
    """The reason for which a layer can't do with fewer neurons, or none: parameters between the two matrices, as of a norm."""
    first, second = (layer.matrices[role].module for role in ("intermediate", "feed_forward_output"))
    parent, _, own_name = first.rpartition(".")
    passed = False
    for name, child in net.get_submodule(parent).named_children():
        if child is linear_at(net, second):
            break
        if passed and any(True for _ in child.parameters()):
            return f"{parent}.{name} has parameters between the two feed-forward matrices"
        passed = passed or name == own_name
    return None
