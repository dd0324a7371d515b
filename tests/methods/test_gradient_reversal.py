"""Gradient reversal and the adversary behind it: values, gradients, and who gets which."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from biasmask.methods.gradient_reversal import adversary_loss, attribute_predictor, reverse_gradient, warmed_up


@pytest.fixture
def parts() -> tuple[nn.Linear, nn.Sequential, torch.Tensor, torch.Tensor]:
    """A backbone of one layer, an adversary, inputs, and groups of which two are missing."""
    torch.manual_seed(0)
    group = torch.tensor([0, 1, 2, -1, 0, 1, -1, 2])
    return nn.Linear(5, 4), attribute_predictor(4, 6, 3), torch.randn(8, 5), group


def test_values_stay_and_the_gradient_turns_round() -> None:
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.equal(reverse_gradient(x, 2.0), x)
    (plain,) = torch.autograd.grad((x**2).sum(), x)
    (turned,) = torch.autograd.grad((reverse_gradient(x, 2.0) ** 2).sum(), x)
    assert torch.equal(turned, -2 * plain)
    (none,) = torch.autograd.grad((reverse_gradient(x, 0.0) ** 2).sum(), x)
    assert not none.any()


def test_the_prediction_loss_trains_the_adversary_and_works_against_the_backbone(parts) -> None:  # type: ignore[no-untyped-def]
    backbone, predictor, x, group = parts
    loss = adversary_loss(predictor, backbone(x), group, factor=0.5)
    known = group >= 0
    plain = F.cross_entropy(predictor(backbone(x))[known], group[known])
    assert loss.defined and torch.isclose(loss.prediction, plain)
    ours = torch.autograd.grad(loss.prediction, [*predictor.parameters(), *backbone.parameters()], retain_graph=True)
    theirs = torch.autograd.grad(plain, [*predictor.parameters(), *backbone.parameters()])
    of_adversary = len(list(predictor.parameters()))
    for number, (first, second) in enumerate(zip(ours, theirs, strict=True)):
        torch.testing.assert_close(first, second if number < of_adversary else -0.5 * second)


def test_the_entropy_reaches_the_backbone_alone_and_as_it_is(parts) -> None:  # type: ignore[no-untyped-def]
    backbone, predictor, x, group = parts
    entropy = adversary_loss(predictor, backbone(x), group, factor=0.5).entropy
    p = predictor(backbone(x)).softmax(1)
    plain = (p * p.log()).sum(1).mean()
    torch.testing.assert_close(entropy, plain)
    assert -math.log(3) <= float(entropy.detach()) < 0
    assert torch.autograd.grad(entropy, list(predictor.parameters()), allow_unused=True, retain_graph=True)[0] is None
    for first, second in zip(
        torch.autograd.grad(entropy, list(backbone.parameters())),
        torch.autograd.grad(plain, list(backbone.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(first, second)


def test_without_any_group_there_is_a_zero_with_a_graph(parts) -> None:  # type: ignore[no-untyped-def]
    backbone, predictor, x, group = parts
    loss = adversary_loss(predictor, backbone(x), torch.full_like(group, -1), 1.0)
    assert not loss.defined and float(loss.prediction.detach()) == 0
    gradients = torch.autograd.grad(loss.prediction, list(predictor.parameters()))
    assert not any(gradient.any() for gradient in gradients)


def test_extreme_logits_have_an_entropy_of_0_and_no_nan() -> None:
    predictor = attribute_predictor(1, 0, 2)
    with torch.no_grad():
        predictor[0].weight.copy_(torch.tensor([[1e4], [-1e4]]))
    features = torch.ones(2, 1, requires_grad=True)
    loss = adversary_loss(predictor, features, torch.tensor([0, 0]), 1.0)
    assert float(loss.entropy.detach()) == 0
    (gradient,) = torch.autograd.grad(loss.entropy + loss.prediction, features)
    assert torch.isfinite(gradient).all()


def trained(reversal: float, entropy_weight: float) -> tuple[float, float]:
    """One input tells the target, a louder one the group: the share of the features' variance that lies between the groups, and
    the accuracy of the target, after a training of a linear backbone."""
    torch.manual_seed(0)
    y, a = torch.randint(0, 2, (2, 512))
    x = torch.stack([y * 2.0 - 1, a * 8.0 - 4], 1) + 0.3 * torch.randn(512, 2)
    backbone, head, predictor = nn.Linear(2, 2), nn.Linear(2, 1), attribute_predictor(2, 16, 2)
    parameters = [p for module in (backbone, head, predictor) for p in module.parameters()]
    optimizer = torch.optim.SGD(parameters, 0.05)
    for step in range(300):
        features = backbone(x)
        share = warmed_up(step, 100)
        terms = adversary_loss(predictor, features, a, share * reversal)
        task = F.binary_cross_entropy_with_logits(head(features)[:, 0], y.float())
        optimizer.zero_grad()
        (task + terms.prediction + entropy_weight * share * terms.entropy).backward()
        optimizer.step()
    features = backbone(x).detach()
    between = torch.stack([features[a == g].mean(0) for g in (0, 1)]).var(0, correction=0).sum()
    return float(between / features.var(0, correction=0).sum()), float(((head(features)[:, 0] > 0) == (y == 1)).float().mean())


def test_features_forget_the_attribute_and_keep_the_target() -> None:
    assert trained(0.0, 0.0)[0] > 0.2, "nothing was planted"
    for reversal, entropy_weight in ((0.0, 1.0), (0.1, 1.0)):  # reversal alone runs in circles here
        share_of_group, accuracy = trained(reversal, entropy_weight)
        assert share_of_group < 0.05 and accuracy > 0.97, (reversal, entropy_weight, share_of_group)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: attribute_predictor(4, -1, 2), "width -1"),
        (lambda: attribute_predictor(4, 8, 1), "1 groups"),
        (lambda: adversary_loss(attribute_predictor(2, 0, 2), torch.zeros(2, 2), torch.tensor([0, 2]), 1.0), "expected -1 to 1"),
        (lambda: adversary_loss(attribute_predictor(2, 0, 2), torch.zeros(2, 2), torch.tensor([0]), 1.0), r"\(N, F\)"),
        (lambda: adversary_loss(attribute_predictor(2, 0, 2), torch.zeros(0, 2), torch.zeros(0).long(), 1.0), "N >= 1"),
    ],
)
def test_what_can_not_be_is_named(call, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        call()
