"""Networks by timm name: the head is found by asking, sizes and statistics come from the network's own config."""

import pytest
import torch
from torch import nn

from biasmask.errors import ConfigError
from biasmask.models.image_classifier import (
    backbone_parameters,
    captured_features,
    create_network,
    head_of,
    input_statistics,
    outputs_for,
    reset_head,
    scores_of,
    target_logits,
)

SWIN = {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}
HEADS = {
    "test_resnet": ("fc", {}),
    "test_vit": ("head", {}),
    "test_convnext": ("head.fc", {}),
    "test_efficientnet": ("classifier", {}),
    "swin_tiny_patch4_window7_224": ("head.fc", SWIN),
}


@pytest.mark.parametrize("backbone", HEADS)
def test_head_backbone_and_features(backbone: str) -> None:
    expected, args = HEADS[backbone]
    net = create_network(backbone, 1, 64, **args).eval()
    name, head = head_of(net)
    assert name == expected and head.out_features == 1
    rest = backbone_parameters(net)
    assert not any(key.startswith(f"{name}.") for key in rest)
    assert len(rest) + len(list(head.parameters())) == len(list(net.parameters()))
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad(), captured_features(net) as features:
        outputs = net(images)
        net(images)
    assert len(features) == 2 and features[0].shape == (2, head.in_features)
    torch.testing.assert_close(head(features[0]), outputs)
    with torch.no_grad():
        net(images)
    assert len(features) == 2, "nothing is collected after the block"


def test_reset_head_gives_one_half() -> None:
    net = create_network("test_resnet", 1).eval()
    reset_head(net)
    assert torch.sigmoid(net(torch.rand(2, 3, 32, 32))).flatten().tolist() == [0.5, 0.5]


def test_target_logits_of_one_and_two_outputs() -> None:
    two = torch.tensor([[1.0, 3.0], [2.0, -1.0]])
    torch.testing.assert_close(torch.sigmoid(target_logits(two)), two.softmax(1)[:, 1])
    assert target_logits(two[:, :1]).tolist() == [1.0, 2.0]
    assert target_logits(two[:, 0]).tolist() == [1.0, 2.0]


def test_statistics_come_from_the_network() -> None:
    size, mean, std = input_statistics(create_network("tf_efficientnet_lite0"))
    assert size == 224 and mean == [0.5] * 3 and std == [0.5] * 3
    assert input_statistics(create_network("resnet18"))[1] == [0.485, 0.456, 0.406]


def test_a_fixed_input_size_follows_image_size() -> None:
    assert create_network("test_vit", 1, 96)(torch.rand(1, 3, 96, 96)).shape == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("resnet1818",), "timm knows no such model; near names: .*resnet"),
        (("test_resnet", 0), "num_outputs=0"),
    ],
)
def test_errors_name_the_key(arguments: tuple, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        create_network(*arguments)


@pytest.mark.parametrize(("asked", "classes", "outputs"), [(1, 2, 1), (2, 2, 2), (1, 7, 7), (7, 7, 7)])
def test_outputs_follow_from_the_classes(asked: int, classes: int, outputs: int) -> None:
    assert outputs_for(asked, classes) == outputs


@pytest.mark.parametrize(("asked", "classes"), [(3, 2), (2, 7), (6, 7), (0, 3)])
def test_outputs_that_do_not_fit_the_classes_are_refused(asked: int, classes: int) -> None:
    with pytest.raises(ConfigError, match=f"num_outputs={asked}: a classifier of {classes} classes has"):
        outputs_for(asked, classes)


def test_more_than_two_outputs_stay_and_have_softmax_scores() -> None:
    outputs = torch.randn(5, 3)
    assert target_logits(outputs) is outputs
    torch.testing.assert_close(scores_of(outputs).sum(1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(scores_of(outputs[:, 0]), outputs[:, 0].double().sigmoid())


def test_unknown_arguments_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="test_resnet can't be built.*speed"):
        create_network("test_resnet", 1, speed=3)


def test_a_head_that_is_no_linear_layer_is_refused() -> None:
    class Distilled(nn.Module):
        def get_classifier(self) -> tuple[nn.Module, nn.Module]:
            return nn.Linear(1, 1), nn.Linear(1, 1)

    with pytest.raises(ConfigError, match="the head of Distilled is a tuple"):
        head_of(Distilled())
