"""Slim encoders: the same output from fewer parameters, written and read back, and what can't be taken out."""

import json

import pytest
import torch
from torch import nn

from biasmask.errors import CheckpointError, ConfigError
from biasmask.models.encoder_layers import discover_layers
from biasmask.models.pruner import Pruner
from biasmask.models.slim import load_slim, save_slim, slim


def output(net, batch):
    with torch.no_grad():
        return net(**batch)[0]


def size(net):
    return sum(parameter.numel() for parameter in net.parameters())


def folded(net, seed=0, threshold=0.5, **settings):
    """A folded network and the masks it was folded by; settings default to heads and neurons."""
    pruner = Pruner(net, **{"structure": "head", **settings})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for scores in pruner.parameters():
            scores.copy_(torch.randn(scores.shape, generator=generator))
    pruner.threshold = threshold
    masks, info = pruner.masks(), pruner.describe()
    pruner.fold()
    return masks, info


@pytest.mark.parametrize("structure", [{}, {"trainable": "values_only"}])
def test_the_slim_model_gives_the_same_output(architecture, structure, encoder, batch):
    net = encoder(architecture)
    plain = output(net, batch)
    masks, info = folded(net, **structure)
    dense, before = output(net, batch), size(net)
    assert not torch.allclose(dense, plain, atol=1e-2)
    if architecture == "mpnet" and structure.get("trainable"):
        with pytest.raises(ConfigError, match="relative_attention_bias has a column for each of 4 heads"):
            slim(net, masks)
        assert size(net) == before
        return
    record = slim(net, masks)
    torch.testing.assert_close(output(net, batch), dense, rtol=0, atol=1e-5)
    removed = [[layer.layer, head] for layer in record.layers for head in layer.heads]
    if architecture == "mpnet":
        assert not removed and (len(info["whole_heads"]) == 0 or "heads stay" in record.kept_dense[0])
    else:
        whole = info["whole_heads"]
        assert not record.kept_dense and all(unit in whole for unit in removed)
        for index in {index for index, _ in whole}:  # of all heads of a layer one stays
            n = sum(1 for layer, _ in whole if layer == index)
            assert sum(1 for layer, _ in removed if layer == index) == min(n, 3)
    assert record.neurons == sum(row["total"] - row["kept"] for row in info["neurons"])
    assert size(net) < before
    for layer in discover_layers(net):
        assert layer.heads == 4 - sum(1 for index, _ in removed if index == layer.index)
        assert layer.head_dim == 8 and layer.matrices["query"].shape == (8 * layer.heads, 32)


def test_widths_of_the_slim_layers(encoder):
    net = encoder("bert")
    _, info = folded(net, threshold=0.4)
    gone = [sum(1 for layer, _ in info["whole_heads"] if layer == index) for index in (0, 1)]
    assert any(gone) and max(gone) < 4
    slim(net)
    for index, layer in enumerate(net.encoder.layer):
        heads, neurons = 4 - gone[index], info["neurons"][index]["kept"]
        attention = layer.attention.self
        assert (attention.num_attention_heads, attention.all_head_size) == (heads, 8 * heads)
        assert type(attention.query) is nn.Linear and attention.query.weight.shape == (8 * heads, 32)
        assert layer.attention.output.dense.weight.shape == (32, 8 * heads)
        assert layer.intermediate.dense.weight.shape == (neurons, 32)
        assert layer.output.dense.weight.shape == (32, neurons)


@pytest.mark.parametrize("role", ["value", "output"])
def test_all_heads_of_a_layer_and_all_its_neurons(architecture, role, encoder, batch):
    net = encoder(architecture)
    pruner = Pruner(net, "head")
    masks = pruner.masks()
    masks[f"0.{role}"][:] = False
    masks["0.intermediate"][:] = False
    pruner.set_masks(masks)
    pruner.fold()
    dense = output(net, batch)
    record = slim(net, masks)
    assert record.neurons == 47 and record.heads == (0 if architecture == "mpnet" else 3), "one of each stays, masked"
    torch.testing.assert_close(output(net, batch), dense, rtol=0, atol=1e-5)


def test_a_masked_query_or_key_takes_no_head_out(encoder, batch):
    net = encoder("bert")
    pruner = Pruner(net, "head", feed_forward=False)
    masks = pruner.masks()
    masks["0.query"][:] = False
    masks["1.key"][2] = False
    pruner.set_masks(masks)
    pruner.fold()
    record = slim(net, masks)
    assert record.heads == 0 and record.neurons == 0 and record.kept_dense == []


def test_heads_that_were_zero_before_are_taken_out_only_without_masks(encoder, batch):
    net = encoder("bert")
    with torch.no_grad():
        net.encoder.layer[0].attention.output.dense.weight[:, 8:16] = 0
    pruner = Pruner(net, "head")
    masks = pruner.masks()
    pruner.fold()
    assert slim(net, masks).heads == 0
    assert slim(net).layers[0].heads == [1]


def test_an_unfolded_network_is_refused(encoder):
    net = encoder("bert")
    pruner = Pruner(net, "head")
    masks = pruner.masks()
    masks["0.value"][1] = False
    pruner.detach_from_net()
    with pytest.raises(ConfigError, match="layer 0 has weights where the masks have none: fold the pruner"):
        slim(net, masks)


@pytest.mark.parametrize("head", ["Model", "ForMaskedLM"])
def test_written_and_read_back(architecture, head, encoder, batch, tmp_path):
    net = encoder(architecture, head=head)
    masks, _ = folded(net)
    record = slim(net, masks)
    expected = output(net, batch)
    (tmp_path / "tokenizer.json").write_text("{}")
    save_slim(tmp_path, net, record)
    again = load_slim(tmp_path)
    assert not again.training and type(again) is type(net)
    assert torch.equal(output(again, batch), expected)
    assert {file.name for file in tmp_path.iterdir()} == {"slim.json", "slim.safetensors", "tokenizer.json"}
    about = json.loads((tmp_path / "slim.json").read_text())
    assert about["layers"][0]["heads"] == record.layers[0].heads and about["kept_dense"] == record.kept_dense


def test_gradients_still_flow_and_flags_are_kept(encoder, batch):
    net = encoder("bert")
    net.encoder.layer[0].attention.self.value.requires_grad_(False)
    masks, _ = folded(net)
    slim(net, masks)
    net(**batch)[0].sum().backward()
    assert net.encoder.layer[0].attention.self.value.weight.grad is None
    assert net.encoder.layer[1].attention.self.value.weight.grad is not None


def test_a_vision_transformer(vit, tmp_path):
    net, images = vit(), torch.rand(2, 3, 32, 32)
    masks, info = folded(net, threshold=0.4)
    with torch.no_grad():
        dense = net(images)
        record = slim(net, masks)
        assert 0 < record.heads <= len(info["whole_heads"]) and record.neurons > 0
        torch.testing.assert_close(net(images), dense, rtol=0, atol=1e-5)
        save_slim(tmp_path, net, record)
        with pytest.raises(CheckpointError, match="VisionTransformer, which transformers .* can't build: hand over a dense"):
            load_slim(tmp_path)
        assert torch.equal(load_slim(tmp_path, vit())(images), net(images))


@pytest.mark.parametrize("args", [{"scale_attn_norm": True, "qk_norm": True}, {"scale_mlp_norm": True}])
def test_norms_over_all_heads_or_neurons_keep_them(args, vit):
    net = vit(**args)
    folded(net)
    record = slim(net)
    what, reason = (
        ("heads", "attn.norm.weight (64,) counts on all heads")
        if "qk_norm" in args
        else (
            "neurons",
            "mlp.norm has parameters between the two feed-forward matrices",
        )
    )
    assert all(f"{what} stay" in line and reason in line for line in record.kept_dense) and record.kept_dense
    assert (record.heads if what == "neurons" else record.neurons) > 0


def test_an_attention_that_takes_its_width_from_the_input_keeps_its_heads(vit):
    net = vit()
    for block in net.blocks:
        del block.attn.attn_dim
    folded(net)
    record = slim(net)
    assert record.heads == 0 and "blocks.0.attn keeps neither the width of all its heads nor" in record.kept_dense[0]


def test_damaged_folders_are_told(encoder, tmp_path):
    with pytest.raises(CheckpointError, match="holds no slim model that can be read"):
        load_slim(tmp_path)
    net = encoder("bert")
    masks, _ = folded(net)
    save_slim(tmp_path, net, slim(net, masks))
    with pytest.raises(CheckpointError, match="doesn't fit BertModel: the network has 3 layers, the list .* 2"):
        load_slim(tmp_path, encoder("bert", num_hidden_layers=3))
    with pytest.raises(CheckpointError, match="doesn't fit BertModel"):
        load_slim(tmp_path, encoder("bert", hidden_size=64))
    (tmp_path / "slim.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="holds no slim model"):
        load_slim(tmp_path)
    (tmp_path / "slim.json").write_text("{")
    with pytest.raises(CheckpointError, match="holds no slim model"):
        load_slim(tmp_path)
