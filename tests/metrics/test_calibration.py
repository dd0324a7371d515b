"""Brier score and expected calibration error: by hand, against scikit-learn and a plain loop, weights, undefined."""

import numpy as np
import pytest
import sklearn.metrics as sm
import torch

from biasmask.metrics.calibration import brier, expected_calibration_error, mean_score

METRICS = (brier, expected_calibration_error, mean_score)


def table(seed: int, n_rows: int = 80) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    score = torch.rand(n_rows, generator=generator, dtype=torch.float64)
    score[:3] = torch.tensor([0.0, 1.0, 0.2])
    target = torch.randint(0, 2, (n_rows,), generator=generator)
    return score, target, torch.randint(0, 4, (5, n_rows), generator=generator)


def ece_by_bins(score: np.ndarray, target: np.ndarray, weight: np.ndarray, n_bins: int) -> float:
    """The definition, bin after bin."""
    total = 0.0
    for index in range(n_bins):
        inside = np.minimum(np.floor(score * n_bins), n_bins - 1) == index
        share = weight[inside].sum() / weight.sum()
        if share > 0:
            positives = np.average(target[inside], weights=weight[inside])
            total += share * abs(positives - np.average(score[inside], weights=weight[inside]))
    return total


def test_by_hand() -> None:
    # two bins of [0, .5) and [.5, 1]: |1/3 - 0.2| over 3 rows and |2/3 - 0.75| over 3 rows
    score = torch.tensor([0.1, 0.2, 0.3, 0.5, 0.75, 1.0], dtype=torch.float64)
    target = torch.tensor([0, 0, 1, 1, 0, 1])
    assert expected_calibration_error(score, target, n_bins=2).item() == pytest.approx((0.4 / 3 + 0.25 / 3) / 2)
    assert brier(score, target).item() == pytest.approx((0.01 + 0.04 + 0.49 + 0.25 + 0.5625 + 0) / 6)
    assert mean_score(score, target).item() == pytest.approx(2.85 / 6)


@pytest.mark.parametrize("seed", range(6))
def test_weighted_equals_sklearn_and_the_definition(seed: int) -> None:
    score, target, weights = table(seed)
    ours = [metric(score, target, weights) for metric in METRICS]
    for draw, weight in enumerate(weights.numpy()):
        s, y = score.numpy(), target.numpy()
        assert ours[0][draw].item() == pytest.approx(sm.brier_score_loss(y, s, sample_weight=weight), abs=1e-12)
        assert ours[1][draw].item() == pytest.approx(ece_by_bins(s, y, weight, 15), abs=1e-12)
        assert ours[2][draw].item() == pytest.approx(np.average(s, weights=weight), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_select_a_subset(metric) -> None:
    score, target, weights = table(1)
    rows = torch.arange(1, 80, 4)
    expected = metric(score[rows], target[rows], weights[:, rows])
    assert torch.allclose(metric(score, target, weights, rows), expected, atol=1e-14)


@pytest.mark.parametrize("metric", METRICS)
def test_an_empty_group_is_nan(metric) -> None:
    score, target, weights = table(2)
    assert metric(score, target, weights, torch.zeros(0, dtype=torch.int64)).isnan().all()
    assert metric(score, target, torch.zeros_like(weights)).isnan().all()


def test_perfect_scores_have_no_error() -> None:
    target = torch.tensor([0, 1, 1, 0])
    assert brier(target.double(), target).item() == 0.0
    assert expected_calibration_error(target.double(), target).item() == 0.0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_logits_are_refused(metric, wrong: float) -> None:
    with pytest.raises(ValueError, match="probabilities, not logits"):
        metric(torch.tensor([0.5, wrong]), torch.tensor([0, 1]))
