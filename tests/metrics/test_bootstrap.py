"""Bootstrap weights and percentile intervals."""

import math

import numpy as np
import pytest
import torch

from biasmask.metrics.bootstrap import bootstrap_weights, percentile_interval


def test_every_stratum_keeps_its_size() -> None:
    strata = torch.tensor([5, -1, 5, 5, 0, -1, 5, 9])
    weights = bootstrap_weights(strata, 50, seed=1)
    assert weights.shape == (50, 8) and weights.dtype == torch.int32 and weights.min() >= 0
    for label in strata.unique():
        assert (weights[:, strata == label].sum(1) == (strata == label).sum()).all()


def test_same_seed_same_draws() -> None:
    strata = torch.arange(300) % 4
    assert torch.equal(bootstrap_weights(strata, 20, 3), bootstrap_weights(strata, 20, 3))
    assert not torch.equal(bootstrap_weights(strata, 20, 3), bootstrap_weights(strata, 20, 4))
    labels = torch.tensor([7, -3, 20, 1])[strata]
    assert bootstrap_weights(labels, 20, 3).shape == (20, 300)


def test_draws_are_multinomial() -> None:
    # one stratum of 4: mean 1, variance 1 - 1/4, covariance -1/4
    weights = bootstrap_weights(torch.zeros(4, dtype=torch.int64), 20_000, seed=0).double()
    assert weights.mean(0).tolist() == pytest.approx([1.0] * 4, abs=0.03)
    expected = torch.full((4, 4), -0.25, dtype=torch.float64) + torch.eye(4, dtype=torch.float64)
    assert torch.allclose(weights.T.cov(), expected, atol=0.04)


def test_no_rows_or_no_draws() -> None:
    assert bootstrap_weights(torch.zeros(0, dtype=torch.int64), 3, 0).shape == (3, 0)
    assert bootstrap_weights(torch.zeros(5, dtype=torch.int64), 0, 0).shape == (0, 5)
    with pytest.raises(ValueError, match="n_draws"):
        bootstrap_weights(torch.zeros(5, dtype=torch.int64), -1, 0)
    with pytest.raises(ValueError, match="strata"):
        bootstrap_weights(torch.zeros(5, 2, dtype=torch.int64), 1, 0)


def test_interval_equals_numpy_quantiles() -> None:
    draws = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high, undefined = percentile_interval(draws, 0.9)
    expected = np.quantile(draws.numpy(), [0.05, 0.95], axis=0)
    assert np.allclose([low.numpy(), high.numpy()], expected) and undefined.tolist() == [0, 0, 0]


def test_up_to_5_percent_undefined_draws_are_left_out() -> None:
    draws = torch.arange(100.0, dtype=torch.float64).repeat(2, 1).T.clone()
    draws[:5, 0] = math.nan
    draws[:6, 1] = math.nan
    low, high, undefined = percentile_interval(draws, 0.95)
    assert low[0].item() == pytest.approx(np.quantile(np.arange(5, 100), 0.025))
    assert low[1].isnan() and high[1].isnan() and undefined.tolist() == [5, 6]
    assert percentile_interval(draws[:0])[0].isnan().all()
    for confidence in (0.0, 1.0, 95.0):
        with pytest.raises(ValueError, match="confidence"):
            percentile_interval(draws, confidence)


def test_figures_made_in_blocks_of_draws_are_those_of_one_block(monkeypatch):
    import numpy as np
    import pandas as pd

    from biasmask.metrics import bootstrap, table_draws
    from biasmask.metrics.evaluation import compare_predictions, evaluate_predictions

    random = np.random.default_rng(0)
    frame = pd.DataFrame({"row": range(40), "score": random.random(40), "target": random.integers(0, 2, 40)})
    frame["attribute:sex"] = np.array(["f", "m"])[random.integers(0, 2, 40)]
    other = frame.assign(score=random.random(40))
    groups = {"sex": ("f", "m")}

    def figures():
        one = evaluate_predictions(frame, groups, 0.5, n_bootstrap=50)
        return repr(one), repr(compare_predictions(frame, other, groups, (0.5, 0.5), n_bootstrap=50))

    monkeypatch.setattr(table_draws, "bootstrap_blocks", lambda *asked: bootstrap.bootstrap_blocks(*asked, elements=1))
    monkeypatch.setattr(bootstrap, "CHUNK_ELEMENTS", 7 * 40)
    small = figures()
    assert len([*bootstrap.bootstrap_blocks(torch.zeros(40), 50, 0, elements=1)]) == 8
    monkeypatch.setattr(table_draws, "bootstrap_blocks", lambda *asked: bootstrap.bootstrap_blocks(*asked, elements=10**9))
    assert small == figures()
