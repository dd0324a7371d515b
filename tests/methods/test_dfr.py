"""Logistic regression in torch against scikit-learn, and the mean of heads."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from biasmask.methods.dfr import LinearHead, averaged_head, logistic_regression, standardisation


def features(n_classes: int, n: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n_classes)
    x = torch.randn(n, 5, generator=generator)
    hidden = x @ torch.randn(5, n_classes, generator=generator) + torch.randn(n, n_classes, generator=generator)
    return x, hidden.argmax(1)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("strength", [0.001, 0.1])
def test_l2_equals_scikit_learn(n_classes: int, strength: float) -> None:
    x, y = features(n_classes)
    found = logistic_regression(x, y, n_classes, strength)
    theirs = LogisticRegression(C=1 / (strength * len(x)), tol=1e-10, max_iter=5000).fit(x.double().numpy(), y.numpy())
    np.testing.assert_allclose(found.weight.numpy(), theirs.coef_, atol=1e-4)
    ours, other = found.bias - found.bias.mean() * (n_classes > 2), theirs.intercept_ - theirs.intercept_.mean() * (n_classes > 2)
    np.testing.assert_allclose(ours.numpy(), other, atol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_l1_is_the_smallest_penalised_loss_and_sparse(n_classes: int) -> None:
    x, y = features(n_classes)
    x = torch.cat([x, torch.randn(len(x), 10, generator=torch.Generator().manual_seed(9))], 1)
    strength = 0.05
    weight, bias = logistic_regression(x, y, n_classes, strength, "l1")
    assert int((weight == 0).sum()) >= 8 * len(weight), "features of noise keep no weight"
    logits = (x.double() @ weight.T + bias).requires_grad_(True)
    if n_classes == 2:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], y.double())
    else:
        loss = torch.nn.functional.cross_entropy(logits, y)
    (slope,) = torch.autograd.grad(loss, logits)
    gradient = slope.T @ x.double()
    inside = weight != 0  # the conditions of an optimum: |gradient| = strength where w is not 0, at most that elsewhere
    torch.testing.assert_close(gradient[inside], -strength * weight[inside].sign(), atol=1e-5, rtol=0)
    assert float(gradient[~inside].abs().max()) <= strength + 1e-5
    assert float(slope.sum(0).abs().max()) < 1e-5


def test_the_mean_of_heads_gives_the_mean_of_their_logits() -> None:
    x, y = features(3)
    x = 7 * x + 3
    x = torch.cat([x, torch.full((len(x), 1), 2.5)], 1)
    mean, deviation = standardisation(x)
    assert float(deviation[-1]) == 1.0
    scaled = (x.double() - mean) / deviation
    heads = [logistic_regression(scaled[k::2], y[k::2], 3, 0.01) for k in range(2)]
    one = averaged_head(heads, mean, deviation)
    expected = torch.stack([scaled @ head.weight.T + head.bias for head in heads]).mean(0)
    torch.testing.assert_close(x.double() @ one.weight.T + one.bias, expected)


def test_what_is_refused() -> None:
    x, y = features(2)
    with pytest.raises(ValueError, match=r"must be \(N, F\)"):
        logistic_regression(x, y[:3], 2, 0.1)
    with pytest.raises(ValueError, match="strength is 0"):
        logistic_regression(x, y, 2, 0.0)
    with pytest.raises(ValueError, match="'l3'"):
        logistic_regression(x, y, 2, 0.1, "l3")
    assert isinstance(logistic_regression(x, y, 2, 0.1), LinearHead)
