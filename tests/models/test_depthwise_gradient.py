"""Depthwise convolutions on small maps: the library's outputs and gradients, and nothing else touched."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from biasmask.models import depthwise_gradient
from biasmask.models.depthwise_gradient import DepthwiseGradient
from biasmask.models.image_classifier import create_network


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Weight shapes of the convolutions that took the fast way."""
    shapes: list[torch.Size] = []
    ours = depthwise_gradient._conv2d

    def counted(input: torch.Tensor, weight: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        shapes.append(weight.shape)
        return ours(input, weight, *args, **kwargs)

    monkeypatch.setattr(depthwise_gradient, "_conv2d", counted)
    return shapes


def case(size: tuple[int, int], kernel: tuple[int, int], channels: int = 6) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, channels, *size), (channels, 1, *kernel), (channels,)]
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["channels first", "channels last"])
@pytest.mark.parametrize(
    "size, kernel, stride, padding",
    [
        ((4, 4), (5, 5), 1, 2),
        ((4, 3), (5, 4), (2, 1), (2, 1)),
        ((7, 7), (5, 5), 2, 0),
        ((2, 2), (3, 3), (1, 1), 1),
        ((1, 1), (3, 3), 1, 1),
    ],
)
def test_outputs_and_gradients_are_the_library_s(size, kernel, stride, padding, layout, taken: list[torch.Size]) -> None:
    mine, theirs = case(size, kernel), case(size, kernel)
    with DepthwiseGradient():
        found = F.conv2d(mine[0].contiguous(memory_format=layout), mine[1], mine[2], stride, padding, 1, 6)
    expected = F.conv2d(theirs[0].contiguous(memory_format=layout), theirs[1], theirs[2], stride, padding, 1, 6)
    assert taken and torch.equal(found, expected)
    (found**2).sum().backward()
    (expected**2).sum().backward()
    for one, other in zip(mine, theirs, strict=True):
        assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5)


def test_second_derivatives() -> None:
    x, w, _ = (tensor.double().detach().requires_grad_() for tensor in case((2, 2), (3, 3), 2))
    assert torch.autograd.gradgradcheck(lambda a, b: depthwise_gradient._conv2d(a, b, None, 1, 1, 1, 2), (x, w))


@pytest.mark.parametrize(
    "change",
    ["large map", "one group", "two filters a channel", "float64", "frozen", "no grad", "dilated", "named padding", "autocast"],
)
def test_other_convolutions_are_left_alone(change: str, taken: list[torch.Size]) -> None:
    x, w, _ = case((8, 8) if change == "large map" else (2, 2), (3, 3))
    options = {"padding": 1, "groups": 6}
    if change == "one group":
        w, options = torch.randn(6, 6, 3, 3, requires_grad=True), {"padding": 1}
    if change == "two filters a channel":
        w = torch.randn(12, 1, 3, 3, requires_grad=True)
    if change == "float64":
        x, w = x.double(), w.double()
    if change == "frozen":
        w = w.detach()
    if change == "dilated":
        options |= {"dilation": 2, "padding": 2}
    if change == "named padding":
        options["padding"] = "same"
    with torch.set_grad_enabled(change != "no grad"), torch.autocast("cpu", torch.bfloat16, enabled=change == "autocast"):
        expected = F.conv2d(x, w, **options)
        with DepthwiseGradient():
            found = F.conv2d(x, w, **options)
    assert torch.equal(found, expected) and not taken


def test_a_network_s_gradients(taken: list[torch.Size]) -> None:
    """The step of a whole EfficientNet: it takes the fast way in its last blocks, and every gradient agrees."""
    torch.manual_seed(0)
    net = create_network("tf_efficientnet_lite0").eval()
    images = torch.randn(4, 3, 64, 64)
    net(images).square().mean().backward()
    expected = {name: p.grad for name, p in net.named_parameters()}
    net.zero_grad(set_to_none=True)
    with DepthwiseGradient():
        logits = net(images)
    logits.square().mean().backward()
    assert len(taken) == 8
    for name, p in net.named_parameters():
        assert p.grad is not None and expected[name] is not None
        scale = float(expected[name].abs().max())
        assert_close(p.grad, expected[name], rtol=0, atol=1e-5 * scale, msg=name)
