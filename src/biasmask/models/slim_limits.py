"""What keeps heads or neurons of a layer from being taken out: parameters that count on the dense width."""

from torch import nn

from biasmask.models.encoder_layers import EncoderLayer, linear_at


def why_heads_stay(net: nn.Module, layer: EncoderLayer) -> str | None:
    """The reason for which a layer can't do with fewer heads, or none.

    Two are known: a table of positions with a column for each head that all layers share (MPNet), and parameters inside the
    attention that are neither Linear layers nor of the size of one head (a norm over all heads, a table of its own).
    """
    for name, module in net.named_modules():
        if isinstance(module, nn.Embedding) and module.embedding_dim == layer.heads:
            return f"{name} has a column for each of {layer.heads} heads, which all layers share"
    attention = net.get_submodule(layer.attention)
    for name, module in attention.named_modules():
        if isinstance(module, nn.Linear):
            continue
        for own, parameter in module.named_parameters(recurse=False):
            per_head = parameter.shape == (layer.head_dim,)
            after_output = parameter.shape == (layer.matrices["output"].shape[0],) and _is_after_output(net, layer, name)
            if not per_head and not after_output:
                path = ".".join(part for part in (layer.attention, name, own) if part)
                return f"{path} {tuple(parameter.shape)} counts on all heads"
    return None


def why_neurons_stay(net: nn.Module, layer: EncoderLayer) -> str | None:
    """The reason for which a layer can't do with fewer neurons, or none: parameters between the two matrices, as of a norm."""
    first, second = (layer.matrices[role].module for role in ("intermediate", "feed_forward_output"))
    parent, _, own_name = first.rpartition(".")
    holder, passed = net.get_submodule(parent), False
    for name, child in holder.named_children():
        if child is linear_at(net, second):
            break
        if passed and any(True for _ in child.parameters()):
            return f"{parent}.{name} has parameters between the two feed-forward matrices"
        passed = passed or name == own_name
    return None


def _is_after_output(net: nn.Module, layer: EncoderLayer, name: str) -> bool:
    """Whether a module of the attention comes after its output matrix: a norm of the hidden size, as in ALBERT."""
    attention = net.get_submodule(layer.attention)
    names = [child for child, _ in attention.named_modules()]
    output = layer.matrices["output"].module.removeprefix(f"{layer.attention}.")
    return output in names and names.index(name) > names.index(output)
