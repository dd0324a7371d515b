"""Rank agreement: scipy's Spearman, ties, paired differences, what is undefined."""

import math

import pytest
import torch
from scipy.stats import spearmanr

from biasmask.metrics.rank_agreement import rank_agreement


def drawn(seed: int, n: int = 40) -> torch.Tensor:
    return torch.randint(0, 12, (n,), generator=torch.manual_seed(seed)).double()


def test_it_is_scipy_s_with_ties() -> None:
    scores, target = drawn(0) + drawn(1), drawn(1)
    found = rank_agreement(scores, target, n_draws=200)
    assert found.value == pytest.approx(spearmanr(scores, target).statistic, abs=1e-12)
    assert found.low < found.value < found.high and found.n == 40


def test_the_difference_is_paired() -> None:
    scores, base, target = drawn(0) + 2 * drawn(1), drawn(0), drawn(1)
    found = rank_agreement(scores, target, base, n_draws=200)
    expected = rank_agreement(scores, target, n_draws=0).value - rank_agreement(base, target, n_draws=0).value
    assert found.value == pytest.approx(expected, abs=1e-12) and found.low > 0
    same = rank_agreement(scores, target, scores, n_draws=20)
    assert same.value == same.low == same.high == 0


@pytest.mark.parametrize(
    ("scores", "reason"),
    [([1.0, 1.0, 1.0], "all the same"), ([1.0, math.nan, 2.0], "not finite"), ([1.0], "fewer than two")],
)
def test_what_is_undefined_says_why(scores: list[float], reason: str) -> None:
    found = rank_agreement(torch.tensor(scores), torch.arange(len(scores)).double(), n_draws=5)
    assert math.isnan(found.value) and reason in (found.reason or "")


def test_lengths_must_match() -> None:
    with pytest.raises(ValueError, match="expected one length"):
        rank_agreement(torch.zeros(3), torch.zeros(2))
