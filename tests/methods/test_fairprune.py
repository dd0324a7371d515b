"""Saliencies of groups, and what is pruned by them."""

import pytest
import torch

from biasmask.methods.fairprune import pruning_scores, saliency, smallest_scores


def test_saliency_is_the_rise_of_a_quadratic_loss() -> None:
    weights, curvature = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([3.0, 0.5, 0.0])

    def loss(w: torch.Tensor) -> float:
        return float((0.5 * curvature * (w - weights) ** 2).sum())

    found = saliency({"w": weights, "other": torch.ones(1)}, {"w": curvature})
    assert list(found) == ["w"]
    for at in range(3):
        pruned = weights.clone()
        pruned[at] = 0
        assert float(found["w"][at]) == pytest.approx(loss(pruned) - loss(weights))


def test_more_groups_take_the_mean_of_the_others() -> None:
    by_group = {g: {"w": torch.tensor([float(g), 1.0])} for g in range(3)}
    found = pruning_scores(by_group, worst=1, best=2, beta=0.5)
    assert found["w"].tolist() == [1 - 0.5 * 1.0, 1 - 0.5]


def test_the_smallest_go_first_and_the_pruned_stay_pruned() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = {"a": torch.randn(4, 3, generator=generator), "b": torch.randn(8, generator=generator)}
    pruned = {name: torch.zeros_like(score, dtype=torch.bool) for name, score in scores.items()}
    first = smallest_scores(scores, pruned, 5)
    flat, mask = (torch.cat([part[name].flatten() for name in scores]) for part in (scores, first))
    assert int(mask.sum()) == 5 and float(flat[mask].max()) < float(flat[~mask].min())
    second = smallest_scores({name: -score for name, score in scores.items()}, first, 9)
    assert sum(int(part.sum()) for part in second.values()) == 9
    assert all(bool(second[name][first[name]].all()) for name in scores)
    assert not any(bool(part.any()) for part in smallest_scores(scores, pruned, 0).values())


def test_what_is_refused() -> None:
    one = {"w": torch.ones(2)}
    with pytest.raises(ValueError, match="curvature of w"):
        saliency(one, {"w": torch.tensor([-1.0, 0.0])})
    with pytest.raises(ValueError, match="two of the groups"):
        pruning_scores({0: one, 1: one}, worst=0, best=0, beta=1.0)
    with pytest.raises(ValueError, match="beta is 0"):
        pruning_scores({0: one, 1: one}, worst=0, best=1, beta=0.0)
    with pytest.raises(ValueError, match="count is 3"):
        smallest_scores(one, {"w": torch.zeros(2, dtype=torch.bool)}, 3)
