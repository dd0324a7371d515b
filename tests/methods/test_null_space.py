"""INLP on planted data: the group's directions are gone, all others stay, and the random control takes as many."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from biasmask.methods.null_space import inlp_projection, logistic_directions, random_projection, removed_rank, removing

SETTINGS = {"penalty": 0.01, "held_share": 0.3, "margin": 0.03, "max_steps": 100}


def planted(n: int = 400, size: int = 12, n_groups: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noise with the group along some directions and a target along an orthogonal one: x, group, target, directions (D, K)."""
    generator = torch.manual_seed(seed)
    base = torch.linalg.qr(torch.randn(size, n_groups + 1, generator=generator)).Q
    group, target = torch.arange(n) % n_groups, torch.arange(n) // n_groups % 2
    x = torch.randn(n, size, generator=generator) + 3.0
    x = x + 5 * base[:, :n_groups].T[group] + 5 * target[:, None] * base[:, n_groups]
    return x, group, target, base[:, :n_groups]


def accuracy(x: Tensor, label: Tensor) -> float:
    """Of a classifier on rows that it didn't see."""
    weight, bias = logistic_directions(x[::2].double(), label[::2], 0.01, 100)
    return float(((x[1::2].double() @ weight.T + bias).argmax(1) == label[1::2]).double().mean())


def shuffled(*tensors: Tensor) -> list[Tensor]:
    order = torch.randperm(len(tensors[0]), generator=torch.manual_seed(1))
    return [tensor[order] for tensor in tensors]


@pytest.mark.parametrize("n_groups", [2, 3])
def test_the_planted_groups_are_gone_and_the_target_stays(n_groups: int) -> None:
    x, group, target, _ = planted(600, n_groups=n_groups)
    x, group, target = shuffled(x, group, target)
    projection, accuracies = inlp_projection(x, group, 10, **SETTINGS)
    assert accuracy(x, group) > 0.95 and accuracy(x, target) > 0.95
    assert accuracy(x @ projection, group) < 1 / n_groups + 0.08
    assert accuracy(x @ projection, target) > 0.95
    assert accuracies[0] > 0.95 and accuracies[-1] <= 1 / n_groups + SETTINGS["margin"]
    assert removed_rank(projection) == (len(accuracies) - 1) * (n_groups - 1) < 8


def test_it_is_an_orthogonal_projection() -> None:
    x, group, _, _ = planted()
    projection, accuracies = inlp_projection(x.double(), group, 3, **{**SETTINGS, "margin": -1.0})
    assert len(accuracies) == 3 and removed_rank(projection) == 3
    assert_close(projection @ projection, projection, rtol=0, atol=1e-12)
    assert torch.equal(projection, projection.T) and projection.dtype == torch.float64


def test_directions_that_tell_nothing_keep_their_length() -> None:
    x, group, _, directions = planted(2000)
    projection, accuracies = inlp_projection(x, group, 1, **SETTINGS)
    assert removed_rank(projection) == 1 and len(accuracies) == 1
    between = directions[:, 0] - directions[:, 1]
    assert (projection @ between).norm() < 0.15 * between.norm()
    common = directions.sum(1) / directions.sum(1).norm()
    assert (projection @ common).norm() > 0.98


def test_groups_that_no_classifier_tells_apart_lose_nothing() -> None:
    x = torch.randn(1000, 5, generator=torch.manual_seed(0))
    projection, accuracies = inlp_projection(x, torch.arange(1000) % 2, 9, **{**SETTINGS, "margin": 0.08})
    assert torch.equal(projection, torch.eye(5)) and len(accuracies) == 1


def test_uneven_groups_weigh_the_same() -> None:
    x, group, _, _ = planted(1200)
    keep = (group == 0) | (torch.arange(1200) % 10 == 1)
    _, accuracies = inlp_projection(torch.randn(1200, 4, generator=torch.manual_seed(3))[keep], group[keep], 1, **SETTINGS)
    assert accuracies[0] < 0.65, "always the larger group would be 0.5 of balanced accuracy, not its share of 0.83"
    projection, _ = inlp_projection(x[keep], group[keep], 5, **SETTINGS)
    assert accuracy(x @ projection, group) < 0.58


def test_the_same_seed_gives_the_same_projection() -> None:
    x, group, _, _ = planted()
    first, second = (inlp_projection(x, group, 4, **SETTINGS, seed=7)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_the_classifier_is_scikit_learns() -> None:
    from sklearn.linear_model import LogisticRegression

    x, group, _, _ = planted(200, size=6)
    x = (x - x.mean(0)) / (x - x.mean(0)).square().mean().sqrt()
    weight, bias = logistic_directions(x.double(), group, 0.05, 500)
    # Its penalty of a two-class model counts one vector, the difference of our two rows, which are w/2 and -w/2.
    theirs = LogisticRegression(C=2 / (0.05 * len(x)), tol=1e-10, max_iter=5000).fit(x.double().numpy(), group.numpy())
    assert_close(weight[1] - weight[0], torch.tensor(theirs.coef_[0]), rtol=1e-3, atol=1e-4)
    assert_close(bias[1] - bias[0], torch.tensor(theirs.intercept_[0]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rank", [0, 3, 8])
def test_the_random_control_removes_as_many(rank: int) -> None:
    projection = random_projection(8, rank, seed=0)
    assert removed_rank(projection) == rank
    assert_close(projection @ projection, projection, rtol=0, atol=1e-6)
    assert torch.equal(projection, random_projection(8, rank, seed=0))
    assert rank in (0, 8) or not torch.allclose(projection, random_projection(8, rank, seed=1))


def test_removing_nothing_is_the_identity() -> None:
    assert torch.equal(removing(torch.zeros(3, 0)), torch.eye(3))


@pytest.mark.parametrize(
    ("group", "match"), [([0, 0, 0, 0], r"rows of each group: \[4\]"), ([0, 0, 0, 1], r"rows of each group: \[3, 1\]")]
)
def test_groups_that_are_too_small_are_refused(group: list[int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        inlp_projection(torch.ones(4, 2), torch.tensor(group), 1, **SETTINGS)


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        inlp_projection(torch.full((4, 2), torch.nan), torch.tensor([0, 0, 1, 1]), 1, **SETTINGS)
    with pytest.raises(ValueError, match="rank=9: give 0 to 8"):
        random_projection(8, 9, seed=0)
