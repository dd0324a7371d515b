"""CrowS-Pairs' share, Wilson's interval, pseudo-perplexity: by hand, against known numbers, pairing, undefined cases."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biasmask.metrics.pseudo_likelihood import (
    preference_difference,
    pseudo_perplexity,
    pseudo_perplexity_difference,
    shared_positions,
    stereotype_preference,
    wilson_interval,
)

NAN = math.nan


@settings(max_examples=60, deadline=None)
@given(first=st.lists(st.integers(0, 5), max_size=12), second=st.lists(st.integers(0, 5), max_size=12))
def test_shared_positions_hold_the_same_tokens_in_order(first: list[int], second: list[int]) -> None:
    i, j = shared_positions(first, second)
    assert [first[place] for place in i] == [second[place] for place in j]
    assert i == sorted(set(i)) and j == sorted(set(j))
    assert shared_positions(first, first) == (list(range(len(first))),) * 2


def test_shared_positions_by_hand() -> None:
    # a word of one token against one of two: what is around it is shared
    assert shared_positions([1, 7, 2, 3], [1, 8, 9, 2, 3]) == ([0, 2, 3], [0, 3, 4])
    assert shared_positions([1, 2], [3, 4]) == ([], [])
    # a token that is frequent in a long sentence is not taken for junk
    assert len(shared_positions([1] * 300 + [2], [1] * 300 + [3])[0]) == 300


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # 0 of n has [0, z²/(n + z²)]; the last two are examples of Newcombe 1998
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662), (1, 29, 0.0061, 0.1718)],
)
def test_wilson(k: int, n: int, low: float, high: float) -> None:
    found = wilson_interval(k / n, n)
    assert found == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_wilson_solves_its_equation() -> None:
    low, high = wilson_interval(0.3, 50, confidence=0.9)
    for end in (low, high):
        assert (0.3 - end) ** 2 == pytest.approx(1.6448536**2 * end * (1 - end) / 50, rel=1e-6)
    assert all(math.isnan(end) for end in wilson_interval(0.5, 0))
    with pytest.raises(ValueError, match="confidence is 1"):
        wilson_interval(0.5, 10, confidence=1.0)


def test_the_share_by_hand() -> None:
    stereotyped = torch.tensor([-1.0, -5.0, -2.0, NAN, -1.0])
    other = torch.tensor([-2.0, -4.0, -2.0, -1.0, -3.0])
    found = stereotype_preference(stereotyped, other, ["age", "age", "gender", "gender", "race"])
    assert list(found) == ["all", "age", "gender", "race"]
    whole = found["all"]
    assert (whole.stereotyped, whole.other, whole.ties) == (2, 1, 1)
    assert whole.share.value == 2.5 / 4 and whole.share.n == 4
    assert whole.share.reason == "1 of 5 pairs have no score and are left out"
    assert (whole.share.low, whole.share.high) == wilson_interval(2.5 / 4, 4)
    assert [found[kind].share.value for kind in ("age", "gender", "race")] == [0.5, 0.5, 1.0]


def test_a_model_that_cannot_tell_has_one_half() -> None:
    scores = torch.full((10,), -3.0)
    assert stereotype_preference(scores, scores, ["age"] * 10)["all"].share.value == 0.5


def test_no_pairs_and_no_scores_are_undefined() -> None:
    none = stereotype_preference(torch.zeros(0), torch.zeros(0), [])["all"].share
    assert math.isnan(none.value) and none.reason == "no pairs"
    lost = stereotype_preference(torch.tensor([NAN]), torch.zeros(1), ["age"])["age"].share
    assert math.isnan(lost.value) and lost.reason == "none of the 1 pairs has a score"
    with pytest.raises(ValueError, match="stereotyped has shape"):
        stereotype_preference(torch.zeros(2), torch.zeros(2), ["age"])


def test_the_difference_of_shares_is_paired() -> None:
    base = torch.zeros(8), torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1])
    after = torch.zeros(8), torch.tensor([1.0, 1, 1, 1, 1, -1, -1, 0])
    found = preference_difference(base, after)
    shares = [stereotype_preference(*scores, ["age"] * 8)["all"].share.value for scores in (base, after)]
    assert found.value == pytest.approx(shares[1] - shares[0]) and found.n == 8
    assert found.low <= found.value <= found.high <= 0
    lost = preference_difference(base, (torch.full((8,), NAN), after[1]))
    assert math.isnan(lost.value) and lost.reason == "all 8 items are undefined"


def test_pseudo_perplexity_by_hand() -> None:
    found = pseudo_perplexity(torch.tensor([-6.0, -2.0, NAN, 0.0]), torch.tensor([3, 1, 4, 0]))
    assert found.value == pytest.approx(math.exp(2)) and found.n == 2
    assert found.low == pytest.approx(math.exp(2)) and found.reason == "2 of 4 texts left out"
    spread = pseudo_perplexity(torch.tensor([-6.0, -4.0, -9.0]), torch.tensor([3, 4, 3]))
    assert spread.low < spread.value < spread.high and spread.value == pytest.approx(math.exp(1.9))
    certain = pseudo_perplexity(torch.zeros(3), torch.tensor([2, 2, 2]))
    assert certain.value == 1.0


def test_pseudo_perplexity_is_compared_on_the_same_texts() -> None:
    base, after, n = torch.tensor([-6.0, -4.0, -3.0]), torch.tensor([-7.0, -5.0, NAN]), torch.tensor([3, 4, 2])
    found = pseudo_perplexity_difference(base, after, n)
    assert found.value == pytest.approx(math.exp(12 / 7) - math.exp(10 / 7)) and found.n == 2
    assert found.low > 0 and found.reason == "1 of 3 texts left out"
    itself = pseudo_perplexity_difference(base, base, n)
    assert (itself.value, itself.low, itself.high) == (0.0, 0.0, 0.0)


def test_pseudo_perplexity_of_nothing_is_undefined() -> None:
    assert pseudo_perplexity(torch.zeros(0), torch.zeros(0)).reason == "no texts"
    found = pseudo_perplexity(torch.zeros(2), torch.tensor([0, 0]))
    assert math.isnan(found.value) and found.reason == "none of the 2 texts has a token to predict"
    with pytest.raises(ValueError, match="log_likelihood has shape"):
        pseudo_perplexity(torch.zeros(2), torch.tensor([1]))
