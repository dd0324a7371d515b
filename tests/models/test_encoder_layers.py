"""Layers found by structure on each architecture, and what an unknown one is told."""

import pytest
import torch
from torch import nn

from biasmask.errors import ConfigError
from biasmask.models.encoder_layers import ATTENTION_ROLES, FEED_FORWARD_ROLES, discover_layers, linear_at

FIRST = {
    "bert": "encoder.layer.0.{}: attention.self.query attention.self.key attention.self.value attention.output.dense "
    "intermediate.dense output.dense",
    "distilbert": "transformer.layer.0.{}: attention.q_lin attention.k_lin attention.v_lin attention.out_lin ffn.lin1 ffn.lin2",
    "albert": "encoder.albert_layer_groups.0.albert_layers.0.{}: attention.query attention.key attention.value attention.dense "
    "ffn ffn_output",
    "mpnet": "encoder.layer.0.{}: attention.attn.q attention.attn.k attention.attn.v attention.attn.o intermediate.dense "
    "output.dense",
    "deberta": "encoder.layer.0.{}: attention.self.query_proj attention.self.key_proj attention.self.value_proj "
    "attention.output.dense intermediate.dense output.dense",
}
FIRST["roberta"] = FIRST["electra"] = FIRST["bert"]
FIRST["deberta_shared_key"] = FIRST["deberta"]


def test_all_six_matrices_of_each_architecture(architecture, encoder):
    layers = discover_layers(encoder(architecture))
    assert [layer.index for layer in layers] == list(range(1 if architecture == "albert" else 2))
    place, names = FIRST[architecture].split(": ")
    first = layers[0]
    assert [m.module for m in first.matrices.values()] == [place.format(name) for name in names.split()]
    assert tuple(first.matrices) == ATTENTION_ROLES + FEED_FORWARD_ROLES
    assert first.name == place.removesuffix(".{}")
    for layer in layers:
        assert (layer.heads, layer.head_dim) == (4, 8)
        assert layer.uses == (3 if architecture == "albert" else 1)
        shapes = {role: m.shape for role, m in layer.matrices.items()}
        assert shapes == {**dict.fromkeys(ATTENTION_ROLES, (32, 32)), "intermediate": (48, 32), "feed_forward_output": (32, 48)}
        assert all(m.name == f"{layer.index}.{role}" and m.start == 0 for role, m in layer.matrices.items())


@pytest.mark.parametrize("name", ["bert", "distilbert", "albert", "mpnet", "deberta"])
def test_a_head_for_a_task_changes_nothing_but_the_prefix(name, encoder):
    bare = discover_layers(encoder(name))
    headed = discover_layers(encoder(name, head="ForMaskedLM"))
    assert len(bare) == len(headed)
    for a, b in zip(bare, headed, strict=True):
        assert [m.shape for m in a.matrices.values()] == [m.shape for m in b.matrices.values()]
        assert all(b.matrices[role].module.endswith(a.matrices[role].module) for role in a.matrices)


def test_the_rows_of_a_fused_weight(vit):
    layers = discover_layers(vit())
    assert len(layers) == 6 and (layers[0].heads, layers[0].head_dim) == (2, 32)
    rows = {role: (m.module, m.start, m.stop) for role, m in layers[1].matrices.items()}
    assert rows == {
        "query": ("blocks.1.attn.qkv", 0, 64),
        "key": ("blocks.1.attn.qkv", 64, 128),
        "value": ("blocks.1.attn.qkv", 128, 192),
        "output": ("blocks.1.attn.proj", 0, 64),
        "intermediate": ("blocks.1.mlp.fc1", 0, 192),
        "feed_forward_output": ("blocks.1.mlp.fc2", 0, 64),
    }


def test_query_and_key_of_a_fused_weight_are_not_swapped(vit):
    net = vit()
    attention = net.blocks[0].attn
    x = torch.randn(1, 4, 64)
    query = discover_layers(net)[0].matrices["query"]
    weight = linear_at(net, query.module)
    y = attention.qkv(x).reshape(1, 4, 3, 2, 32)[:, :, 0].flatten(2)
    torch.testing.assert_close(y, x @ weight.weight[query.start : query.stop].T + weight.bias[query.start : query.stop])


class Attention(nn.Module):
    def __init__(self, heads: int = 2, **children: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.num_heads = heads
        for name, child in children.items():
            setattr(self, name, child)


def projections(**more: nn.Module) -> dict[str, nn.Module]:
    return {name: nn.Linear(8, 8) for name in ("q_proj", "k_proj", "v_proj")} | more


def holder(*children: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Sequential(*children))


def test_an_encoder_of_ones_own():
    net = holder(Attention(**projections(out_proj=nn.Linear(8, 8))), nn.Linear(8, 20), nn.GELU(), nn.Linear(20, 8))
    (layer,) = discover_layers(net)
    assert layer.name == "0" and layer.attention == "0.0"
    assert [m.module for m in layer.matrices.values()] == ["0.0.q_proj", "0.0.k_proj", "0.0.v_proj", "0.0.out_proj", "0.1", "0.3"]


FEED_FORWARD = (nn.Linear(8, 20), nn.Linear(20, 8))
UNKNOWN = {
    "no attention": (nn.Sequential(nn.Linear(4, 3)), "no encoder layer found in Sequential.*its Linear layers are 0 3 x 4"),
    "no Linear": (nn.Sequential(nn.ReLU()), "no nn.Linear is in the network"),
    "torch's own": (nn.TransformerEncoderLayer(8, 2), "no encoder layer found.*linear1 2048 x 8"),
    "no output": (holder(Attention(**projections())), "0.0 has query, key and value, but no output of 8 input features"),
    "no feed-forward": (holder(Attention(**projections(o=nn.Linear(8, 8)))), "0.0 has no feed-forward part"),
    "gated feed-forward": (
        holder(Attention(**projections(o=nn.Linear(8, 8))), nn.Linear(8, 40), nn.Linear(20, 8)),
        r"no feed-forward part \(two Linear layers, 8 up and back\).*0.1 40 x 8, 0.2 8 x 20",
    ),
    "heads": (
        holder(Attention(3, **projections(o=nn.Linear(8, 8))), *FEED_FORWARD),
        "3 heads, which don't divide its query of 8",
    ),
    "biases apart": (
        holder(
            Attention(qkv=nn.Linear(8, 24, bias=False), proj=nn.Linear(8, 8), q_bias=nn.Parameter(torch.zeros(8))), *FEED_FORWARD
        ),
        "0.0 keeps q_bias apart from its Linear layers",
    ),
    "two attentions": (
        holder(Attention(**projections(o=nn.Linear(8, 8))), Attention(**projections(o=nn.Linear(8, 8))), *FEED_FORWARD),
        "no feed-forward part|several attentions",
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_an_unknown_architecture_is_told_what_was_found(case):
    net, words = UNKNOWN[case]
    with pytest.raises(ConfigError, match=words):
        discover_layers(net)


def test_a_decoder_with_cross_attention_is_refused(encoder):
    with pytest.raises(ConfigError, match="Linear layers are"):
        discover_layers(encoder("bert", is_decoder=True, add_cross_attention=True))
