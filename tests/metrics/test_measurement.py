"""A mean with its interval: against a bootstrap by hand, strata, items left out, reasons."""

import math

import pytest
import torch

from biasmask.metrics.measurement import mean_measurement, undefined, with_interval


def test_a_mean_and_its_interval() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = mean_measurement(values, n_draws=4000)
    half = 1.96 * values.std().item() / 20
    assert found.value == pytest.approx(values.mean().item()) and found.n == 400 and found.reason is None
    assert found.low == pytest.approx(found.value - half, abs=0.01)
    assert found.high == pytest.approx(found.value + half, abs=0.01)
    assert mean_measurement(values, n_draws=4000) == found != mean_measurement(values, n_draws=4000, seed=1)


def test_booleans_are_shares() -> None:
    assert mean_measurement(torch.tensor([True, False, True, True]), n_draws=50).value == 0.75


def test_strata_keep_their_sizes() -> None:
    values, strata = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([5, 5, 2, 2])
    found = mean_measurement(values, n_draws=50, strata=strata)
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_undefined_items_are_left_out_and_counted() -> None:
    found = mean_measurement(torch.tensor([1.0, math.nan, 3.0]), n_draws=50)
    assert found.value == 2.0 and found.n == 2 and found.reason == "1 of 3 items undefined and left out"
    found = mean_measurement(torch.tensor([math.nan]))
    assert math.isnan(found.value) and found.n == 0 and found.reason == "all 1 items are undefined"
    assert mean_measurement(torch.zeros(0)).reason == "no items"


def test_no_draws_and_undefined_draws_give_no_interval() -> None:
    assert mean_measurement(torch.ones(3), n_draws=0).reason == "no interval: no draws asked for"
    draws = torch.tensor([0.5] * 8 + [math.nan] * 2)
    found = with_interval(0.5, draws, n=4, reason="few")
    assert math.isnan(found.low) and found.reason == "few; no interval: undefined in 2 of 10 draws"
    found = with_interval(math.nan, draws, n=4)
    assert math.isnan(found.value) and found.reason == "undefined"
    assert math.isnan(undefined(3, "why").high)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="values has shape"):
        mean_measurement(torch.ones(2, 2))
    with pytest.raises(ValueError, match="strata has shape"):
        mean_measurement(torch.ones(2), strata=torch.ones(3))
    with pytest.raises(ValueError, match="confidence is 2"):
        mean_measurement(torch.ones(2), confidence=2)
