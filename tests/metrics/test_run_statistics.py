"""Student's interval, the sign-flip test and Holm's correction: by hand, against scipy, and at their limits."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from biasmask.metrics.run_statistics import cluster_means, sign_flip_p, smallest_p, student_interval
from biasmask.metrics.seed_comparison import holm


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_student_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert student_interval(values.tolist(), 0.9) == pytest.approx((expected.low, expected.high))


def test_student_needs_two_runs_and_a_confidence() -> None:
    assert all(math.isnan(end) for end in student_interval([0.3]))
    assert student_interval([0.25, 0.25]) == (0.25, 0.25)
    with pytest.raises(ValueError, match="confidence is 95"):
        student_interval([0.1, 0.2], 95)


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=2, max_size=8))
def test_sign_flips_by_going_through_all(values: list[int]) -> None:
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in itertools.product((1, -1), repeat=len(values))
    ]
    expected = sum(total >= abs(sum(values)) for total in sums) / len(sums)
    assert sign_flip_p(values) == expected
    assert sign_flip_p([0.1 * value for value in values]) == expected  # sums that differ by rounding are ties


def test_sign_flips_are_scipys_paired_permutations() -> None:
    differences = np.random.default_rng(0).normal(0.4, 1.0, 9)
    expected = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(differences.tolist()) == pytest.approx(expected.pvalue)


def test_smallest_p_is_reached_and_never_passed() -> None:
    for n in (2, 3, 5, 16):
        assert sign_flip_p([1.0 + run for run in range(n)]) == smallest_p(n) == 2 / 2**n
    assert sign_flip_p([1.0] * 40) == smallest_p(40) == 1 / 20_001
    assert math.isnan(sign_flip_p([1.0])) and math.isnan(smallest_p(1)) and sign_flip_p([0.0, 0.0, 0.0]) == 1.0
    with pytest.raises(ValueError, match="leave that run out"):
        sign_flip_p([0.1, math.nan])


def test_many_runs_are_drawn_and_agree_with_the_normal_test() -> None:
    differences = np.random.default_rng(1).normal(0.35, 1.0, 40).tolist()
    assert sign_flip_p(differences) == sign_flip_p(differences)
    assert sign_flip_p(differences) == pytest.approx(stats.ttest_1samp(differences, 0.0).pvalue, abs=0.01)


def test_sign_flips_keep_their_level() -> None:
    generator = np.random.default_rng(2)
    found = [sign_flip_p(generator.normal(size=7).tolist()) for _ in range(500)]
    assert np.mean(np.array(found) <= 1 / 16) == pytest.approx(1 / 16, abs=0.03)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.7, 0.8]) == [1.0, 1.0]
    assert holm([math.nan, 0.02])[1] == 0.02 and math.isnan(holm([math.nan, 0.02])[0])
    with pytest.raises(ValueError, match="outside"):
        holm([1.2])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_and_keeps_the_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(value <= new <= 1 for value, new in zip(values, adjusted, strict=True))
    by_size = [adjusted[index] for index in np.argsort(values, kind="stable")]
    assert by_size == sorted(by_size) and max(adjusted) <= min(1.0, len(values) * max(values))


def test_crossed_seeds_and_splits_are_tested_by_split() -> None:
    generator = np.random.default_rng(3)
    splits = np.repeat(np.arange(3), 3)
    by_split, by_run = [], []
    for _ in range(300):  # truth 0, splits differ by 1, seeds within a split by 0.5
        values = (generator.normal(0, 1, 3)[splits] + generator.normal(0, 0.5, 9)).tolist()
        by_split.append(sign_flip_p(cluster_means(values, splits.tolist())))
        by_run.append(sign_flip_p(values))
    assert min(by_split) == 2 / 2**3
    assert np.mean(np.array(by_split) <= 0.25) == pytest.approx(0.25, abs=0.08)
    assert np.mean(np.array(by_run) <= 0.05) > 0.2  # runs taken for independent: four times as many false alarms as allowed
