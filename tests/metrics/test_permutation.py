"""The permutation test: against enumeration, sampling near the exact, its behaviour under the null, its speed."""

import math
import time
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biasmask.metrics import permutation
from biasmask.metrics.permutation import permutation_p_value


def enumerated(s_x: Tensor, s_y: Tensor) -> float:
    """Every partition in whole numbers or exact fractions, with means of both parts."""
    pooled = [*s_x.tolist(), *s_y.tolist()]
    n, total = len(s_x), len(pooled)

    def statistic(chosen: tuple[int, ...]) -> float:
        first = sum(pooled[i] for i in chosen) / n
        return first - sum(pooled[i] for i in range(total) if i not in chosen) / (total - n)

    observed = statistic(tuple(range(n)))
    reached = [statistic(chosen) >= observed - 1e-9 for chosen in combinations(range(total), n)]
    return sum(reached) / len(reached)


numbers = st.lists(st.integers(-4, 4), min_size=1, max_size=5)


@settings(max_examples=80, deadline=None)
@given(x=numbers, y=numbers)
def test_exact_equals_enumeration_with_ties(x: list[int], y: list[int]) -> None:
    s_x, s_y = torch.tensor(x, dtype=torch.float64) / 7, torch.tensor(y, dtype=torch.float64) / 7
    found = permutation_p_value(s_x, s_y)
    assert found.exact and found.n == math.comb(len(x) + len(y), len(x))
    assert found.value == pytest.approx(enumerated(s_x, s_y), abs=1e-12)


def test_by_hand() -> None:
    # of {1, 2, 3, 4} the pairs with a mean of at least that of {3, 4}: one of six
    assert permutation_p_value(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])).value == pytest.approx(1 / 6)
    assert permutation_p_value(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])).value == 1.0


@pytest.mark.parametrize("sizes", [(6, 6), (3, 9), (9, 3)])
def test_draws_are_near_the_exact(sizes: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(sum(sizes))
    s_x, s_y = (torch.randn(size, generator=generator) for size in sizes)
    s_x += 0.4
    exact = permutation_p_value(s_x, s_y)
    drawn = permutation_p_value(s_x, s_y, n_draws=math.comb(12, sizes[0]) - 1)
    assert exact.exact and not drawn.exact
    assert drawn.value == pytest.approx(exact.value, abs=4 * math.sqrt(0.25 / drawn.n))


def test_every_partition_is_as_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permutation, "CHUNK_ELEMENTS", 5 * 1000)
    powers = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0], dtype=torch.float64)
    sums = permutation._random_sums(powers, 2, 20_000, seed=0)
    values, counts = sums.unique(return_counts=True)
    assert len(values) == 10
    # chi-square with 9 degrees of freedom: above 27.9 in one of a thousand
    assert ((counts - 2000.0).square() / 2000).sum() < 27.9


def test_the_p_value_is_never_zero_and_the_same_for_a_seed() -> None:
    s_x, s_y = torch.arange(20.0) + 100, torch.arange(20.0)
    found = permutation_p_value(s_x, s_y, n_draws=999)
    assert found == permutation_p_value(s_x, s_y, n_draws=999)
    assert found.value == 1 / 1000 and not found.exact and found.n == 999
    noise = torch.randn(40, generator=torch.Generator().manual_seed(1))
    drawn = [permutation_p_value(noise[:20], noise[20:], n_draws=999, seed=seed).value for seed in (0, 1)]
    assert drawn[0] != drawn[1]


def test_under_the_null_it_is_about_uniform() -> None:
    generator = torch.Generator().manual_seed(0)
    values = []
    for seed in range(300):
        s = torch.randn(30, generator=generator)
        values.append(permutation_p_value(s[:12], s[12:], n_draws=199, seed=seed).value)
    ordered = torch.tensor(values).sort().values
    # Kolmogorov's bound at 300 values, one in a thousand: 1.95 / sqrt(300)
    assert (ordered - torch.linspace(1 / 300, 1, 300)).abs().max() < 0.113
    assert (ordered <= 0.05).float().mean() == pytest.approx(0.05, abs=0.04)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-5, 5), scale=st.floats(0.01, 100))
def test_shift_scale_and_order_are_of_no_account(seed: int, shift: float, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    s_x, s_y = (torch.randn(size, generator=generator, dtype=torch.float64) for size in (4, 3))
    expected = permutation_p_value(s_x, s_y)
    assert permutation_p_value(s_x * scale + shift, (s_y * scale + shift).flip(0)) == expected
    mirrored = permutation_p_value(-s_y, -s_x)
    assert mirrored.value == pytest.approx(expected.value)


def test_undefined_has_a_reason() -> None:
    s = torch.tensor([0.1, 0.2])
    found = permutation_p_value(s[:0], s)
    assert math.isnan(found.value) and found.reason == "X is empty"
    found = permutation_p_value(s, torch.tensor([math.nan]))
    assert math.isnan(found.value) and found.reason == "1 associations of Y are undefined"
    found = permutation_p_value(torch.ones(3), torch.ones(4))
    assert found.value == 1.0 and found.reason == "all associations are the same"


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="n_draws is 0"):
        permutation_p_value(torch.ones(2), torch.ones(2), n_draws=0)
    with pytest.raises(ValueError, match="one number a target"):
        permutation_p_value(torch.ones(2, 2), torch.ones(2))


def test_a_small_set_against_a_large_one_is_enumerated_by_the_small() -> None:
    s_x, s_y = torch.arange(5000.0), torch.tensor([-1.0])
    found = permutation_p_value(s_x, s_y)
    assert found == permutation.PValue(1 / 5001, True, 5001)


def test_a_hundred_thousand_draws_take_less_than_a_second_of_one_core() -> None:
    s = torch.randn(128, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        started = time.process_time()
        assert permutation_p_value(s[:64], s[64:]).n == 100_000
        assert time.process_time() - started < 1.0
    finally:
        torch.set_num_threads(threads)
