"""Bootstrap of effect sizes: each draw against resampling by hand, pairing, coverage, undefined cases."""

import math

import pytest
import torch
from torch import Tensor

from biasmask.metrics.association import standardised_difference
from biasmask.metrics.bootstrap import bootstrap_weights
from biasmask.metrics.effect_interval import (
    effect_size_difference,
    effect_size_draws,
    effect_size_interval,
    mean_abs_effect_size,
    mean_effect_size_difference,
    mean_lean,
)


def associations(seed: int, n: int = 12, m: int = 9, shift: float = 0.1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(n, generator=generator) + shift, 0.1 * torch.randn(m, generator=generator)


def test_a_draw_is_the_effect_size_of_repeated_targets() -> None:
    s_x, s_y = associations(0)
    draws = effect_size_draws(s_x, s_y, n_draws=20, seed=3)
    weights = bootstrap_weights(torch.cat([torch.zeros(12), torch.ones(9)]).long(), 20, 3)
    for draw, weight in zip(draws, bootstrap_weights(torch.tensor([0] * 12 + [1] * 9), 20, 3), strict=True):
        expected = standardised_difference(s_x.repeat_interleave(weight[:12]), s_y.repeat_interleave(weight[12:]))
        assert draw.item() == pytest.approx(expected.item(), abs=1e-9)
    assert weights[:, :12].sum(1).tolist() == [12] * 20


def test_the_interval_holds_the_value_and_narrows_with_targets() -> None:
    few, many = effect_size_interval(*associations(1)), effect_size_interval(*associations(1, 300, 300))
    for found, n in ((few, 21), (many, 600)):
        assert found.low < found.value < found.high and found.n == n and found.reason is None
    assert many.high - many.low < few.high - few.low
    assert effect_size_interval(*associations(1)) == few
    wide = effect_size_interval(*associations(1), confidence=0.99)
    assert wide.low < few.low and wide.high > few.high


def test_a_model_against_itself_differs_by_exactly_zero() -> None:
    found = effect_size_difference(associations(2), associations(2))
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_pairing_makes_the_difference_sharper_than_two_intervals() -> None:
    base = associations(3, 40, 40)
    debiased = (base[0] - 0.05, base[1])
    found = effect_size_difference(base, debiased)
    alone = effect_size_interval(*base)
    expected = standardised_difference(*debiased) - standardised_difference(*base)
    assert found.value == pytest.approx(expected.item())
    assert found.high < 0 and found.high - found.low < 0.7 * (alone.high - alone.low)


def test_the_mean_over_tests_is_of_absolute_values() -> None:
    up, down = associations(4, m=12), associations(5, m=12)[::-1]
    values = [standardised_difference(*s).item() for s in (up, down)]
    assert values[0] > 0 > values[1]
    found = mean_abs_effect_size({"6": up, "7": down})
    assert found.value == pytest.approx((values[0] - values[1]) / 2) and found.n == 2
    assert 0 < found.low < found.high
    signed = mean_effect_size_difference({"6": up, "7": down}, {"6": down, "7": down}, absolute=False)
    assert signed.value == pytest.approx((values[1] - values[0]) / 2)
    in_other_order = mean_effect_size_difference({"6": up, "7": down}, {"7": down, "6": up})
    assert (in_other_order.value, in_other_order.low, in_other_order.high) == (0.0, 0.0, 0.0)


def test_tests_of_equal_size_are_drawn_independently() -> None:
    s = associations(6)
    one, two = mean_abs_effect_size({"6": s}), mean_abs_effect_size({"6": s, "7": s})
    assert two.high - two.low < one.high - one.low


def test_undefined_names_the_test_and_the_model() -> None:
    fine, flat = associations(7), (torch.ones(4), torch.ones(4))
    assert math.isnan(mean_abs_effect_size({}).value) and mean_abs_effect_size({}).reason == "no test"
    found = mean_abs_effect_size({"6": fine, "8b": flat})
    assert math.isnan(found.value) and found.reason is not None and found.reason.startswith("test 8b: the 8 targets all")
    found = effect_size_difference(flat, flat)
    assert math.isnan(found.value) and found.reason is not None and found.reason.startswith("base: the 8 targets")
    assert "; debiased: the 8" in found.reason
    assert effect_size_interval(fine[0], fine[1], n_draws=0).reason == "no interval: no draws asked for"
    single = effect_size_interval(fine[0][:1], fine[1][:1])
    assert single.reason is not None and single.reason.startswith("one target in each set")


def test_models_of_other_targets_or_tests_are_refused() -> None:
    with pytest.raises(ValueError, match=r"base has \(12, 9\) targets of X and Y, debiased has \(12, 8\)"):
        effect_size_difference(associations(1), associations(1, m=8))
    with pytest.raises(ValueError, match="tests differ"):
        mean_effect_size_difference({"6": associations(1)}, {"7": associations(1)})


def test_the_lean_halves_where_all_associations_do_and_the_effect_size_stays() -> None:
    s = torch.randn(6, generator=torch.manual_seed(0)), torch.randn(5, generator=torch.manual_seed(1))
    whole, half = {"6": s}, {"6": (s[0] / 2, s[1] / 2)}
    assert mean_abs_effect_size(half).value == pytest.approx(mean_abs_effect_size(whole).value)
    assert mean_lean(half).value == pytest.approx(mean_lean(whole).value / 2)
    change = mean_lean(half, whole)
    assert change.value == pytest.approx(-mean_lean(whole).value / 2) and change.high <= 0


def test_the_lean_of_an_undefined_association_names_the_test() -> None:
    found = mean_lean({"7": (torch.tensor([0.1, float("nan")]), torch.tensor([0.2, 0.3]))})
    assert found.value != found.value and "test 7" in (found.reason or "")
