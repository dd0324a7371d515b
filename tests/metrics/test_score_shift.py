"""Shifting scores by group: what strength 0 and 1 mean, and that test rows set nothing."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from biasmask.metrics.predictions import Predictions
from biasmask.metrics.score_shift import group_offsets, shift_points, shift_scores


def leaning(seed: int, n: int = 2000, lean: float = 2.0) -> Predictions:
    """Scores that tell the target and lean on the group by `lean` logits; targets and groups are independent."""
    generator = torch.Generator().manual_seed(seed)
    target, group = (torch.randint(0, 2, (n,), generator=generator) for _ in range(2))
    logits = 2.0 * target - 1 + lean * (group - 0.5) + torch.randn(n, generator=generator)
    return Predictions(torch.arange(n), logits.double().sigmoid(), target, {"sex": group}, {"sex": ("f", "m")})


def test_offsets_are_the_lean() -> None:
    rows = leaning(0)
    offsets = group_offsets(rows.score, rows.target, rows.group["sex"], 2)
    assert_close(offsets, torch.tensor([-1.0, 1.0]).double(), atol=0.1, rtol=0)


def test_full_strength_makes_the_class_means_of_groups_equal_and_leaves_rows_without_a_group() -> None:
    rows = leaning(1)
    group = rows.group["sex"].clone()
    group[:10] = -1
    offsets = group_offsets(rows.score, rows.target, group, 2)
    moved = shift_scores(rows.score, group, offsets, 1.0)
    assert_close(moved[:10], rows.score[:10])
    assert_close(group_offsets(moved, rows.target, group, 2), torch.zeros(2, dtype=torch.float64), atol=1e-6, rtol=0)


def test_the_gap_closes_with_strength_and_rises_beyond() -> None:
    none, half, all_, beyond = shift_points(leaning(2), leaning(3), "sex", [0, 0.5, 1, 2], "balanced_accuracy")
    assert none.strength == 0 and none.test["equalized_odds_mean"] > 0.3
    assert none.test["equalized_odds_mean"] > half.test["equalized_odds_mean"] > all_.test["equalized_odds_mean"]
    assert all_.test["equalized_odds_mean"] < 0.06 and beyond.test["equalized_odds_mean"] > 0.3
    assert all_.test["auroc"] > none.test["auroc"]  # the lean told nothing here


def test_test_rows_set_nothing() -> None:
    val, test = leaning(4), leaning(5)
    whole = shift_points(val, test, "sex", [0.5], "balanced_accuracy")[0]
    cut = {name: getattr(test, name)[:1000] for name in ("row", "score", "target")}
    half = replace(test, **cut, group={"sex": test.group["sex"][:1000]})
    other = shift_points(val, half, "sex", [0.5], "balanced_accuracy")[0]
    assert whole.val == other.val and whole.test != other.test


def test_what_can_not_be_shifted() -> None:
    rows = leaning(6, 50)
    one_class = replace(rows, target=torch.where(rows.group["sex"] == 0, 0, rows.target))
    with pytest.raises(ValueError, match="group 0 has no row of class 1"):
        shift_points(one_class, rows, "sex", [1], "balanced_accuracy")
    with pytest.raises(ValueError, match="more than two classes"):
        shift_points(replace(rows, class_names=("a", "b", "c")), rows, "sex", [1], "balanced_accuracy")
