"""Regions of a network: they partition its state dict, follow its structure, and cut attention into heads."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from biasmask.models.network_parts import CLASSIFIER, STATISTICS, network_regions, shared_names
from biasmask.models.text_encoder import load_encoder
from tests.text import write_bert

NETS = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet", "regnetx_002", "bert", "masked_lm")


def make(name: str, folder: Path) -> nn.Module:
    if name in ("bert", "masked_lm"):
        return load_encoder(str(write_bert(folder / name, masked_lm=name == "masked_lm")))[0]
    return timm.create_model(name, num_classes=1, pretrained=False)


@pytest.mark.parametrize("name", NETS)
def test_every_entry_lies_in_exactly_one_region(name: str, tmp_path: Path) -> None:
    net = make(name, tmp_path)
    shared = shared_names(net)
    counts = {key: torch.zeros(tensor.shape) for key, tensor in net.state_dict().items()}
    for region in network_regions(net):
        region.of(counts[region.tensor]).add_(1)
    for key, count in counts.items():
        assert bool((count == (0 if key in shared else 1)).all()), key
    named = {key for key, _ in net.named_parameters()}
    assert named <= counts.keys() - shared.keys()


@pytest.mark.parametrize(
    ("name", "blocks", "outside"),
    [
        ("test_resnet", [f"layer{i}.0" for i in (1, 2, 3, 4)], {"conv1", "bn1", CLASSIFIER}),
        ("test_vit", [f"blocks.{i}" for i in range(6)], {"cls_token", "pos_embed", "patch_embed", "norm", CLASSIFIER}),
        ("test_efficientnet", [f"blocks.{i}.0" for i in range(5)], {"conv_stem", "bn1", "conv_head", "bn2", CLASSIFIER}),
        ("bert", ["encoder.layer.0", "encoder.layer.1"], {"embeddings", "pooler"}),
    ],
)
def test_layers_are_the_repeated_blocks(name: str, blocks: list[str], outside: set[str], tmp_path: Path) -> None:
    regions = network_regions(make(name, tmp_path))
    layers = {region.layer: region.block for region in regions if region.layer is not None}
    assert layers == dict(enumerate(blocks))
    assert {region.block for region in regions if region.layer is None} == outside


def test_kinds_of_a_cnn() -> None:
    regions = network_regions(timm.create_model("test_efficientnet", num_classes=1))
    kinds = {region.tensor: region.kind for region in regions}
    assert kinds["blocks.3.0.conv_dw.weight"] == "depthwise" and kinds["blocks.3.0.conv_pw.weight"] == "conv"
    assert kinds["bn1.bias"] == "norm" and kinds["bn1.running_mean"] == STATISTICS
    assert kinds["blocks.3.0.se.conv_reduce.bias"] == "bias"
    assert kinds["classifier.weight"] == kinds["classifier.bias"] == CLASSIFIER
    scales = [r for r in network_regions(timm.create_model("test_convnext", num_classes=1)) if r.kind == "scale"]
    assert scales and all(region.tensor.endswith("gamma") for region in scales)


def test_a_fused_matrix_is_cut_into_query_key_value_and_heads() -> None:
    net = timm.create_model("test_vit", num_classes=1)
    own = [region for region in network_regions(net) if region.tensor == "blocks.1.attn.qkv.weight"]
    assert [(r.kind, r.head, r.start, r.stop) for r in own] == [
        *(("query", 0, 0, 32), ("query", 1, 32, 64), ("key", 0, 64, 96), ("key", 1, 96, 128)),
        *(("value", 0, 128, 160), ("value", 1, 160, 192)),
    ]
    output = [region for region in network_regions(net) if region.tensor == "blocks.1.attn.proj.weight"]
    assert [(r.kind, r.head, r.axis, r.start, r.stop) for r in output] == [("output", 0, 1, 0, 32), ("output", 1, 1, 32, 64)]
    biases = [region for region in network_regions(net) if region.tensor == "blocks.1.attn.qkv.bias"]
    assert [(r.kind, r.head) for r in biases] == [("bias", 0), ("bias", 1)] * 3


def test_tied_weights_are_listed_once(tmp_path: Path) -> None:
    net = make("masked_lm", tmp_path)
    shared = shared_names(net)
    assert shared["cls.predictions.decoder.weight"] == "bert.embeddings.word_embeddings.weight"
    assert not {region.tensor for region in network_regions(net)} & shared.keys()
