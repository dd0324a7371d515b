"""Rates and gaps: by hand, against scikit-learn and fairlearn, and undefined as NaN."""

import math

import fairlearn.metrics as fm
import pytest
import sklearn.metrics as sm
import torch

from biasmask.metrics import gaps, rates
from biasmask.metrics.group_counts import group_counts

ALL_RATES = (
    rates.tpr,
    rates.fpr,
    rates.ppv,
    rates.selection_rate,
    rates.accuracy,
    rates.balanced_accuracy,
    rates.f1,
)
COUNT_GAPS = (
    gaps.demographic_parity,
    gaps.equal_opportunity,
    gaps.fpr_gap,
    gaps.equalized_odds_mean,
    gaps.equalized_odds_max,
)


def table(seed: int, n_groups: int = 3, n_rows: int = 60) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random predictions, targets and groups in which every cell of group x class is filled."""
    generator = torch.Generator().manual_seed(seed)
    filler = torch.arange(2 * n_groups)
    target = torch.cat([filler % 2, torch.randint(0, 2, (n_rows,), generator=generator)])
    group = torch.cat([filler // 2, torch.randint(0, n_groups, (n_rows,), generator=generator)])
    return torch.randint(0, 2, (len(target),), generator=generator), target, group


def test_rates_by_hand() -> None:
    # 12 rows: 5 true negatives, 2 false positives, 1 false negative, 4 true positives
    counts = torch.tensor([[5.0, 2.0], [1.0, 4.0]])
    expected = [4 / 5, 2 / 7, 4 / 6, 6 / 12, 9 / 12, (4 / 5 + 5 / 7) / 2, 8 / 11]
    assert [rate(counts).item() for rate in ALL_RATES] == pytest.approx(expected, abs=1e-7)


def test_undefined_is_nan_and_never_0() -> None:
    empty, negatives, positives = torch.zeros(2, 2), torch.tensor([[3.0, 0], [0, 0]]), torch.tensor([[0, 0], [2.0, 0]])
    undefined = [[rate.__name__ for rate in ALL_RATES if rate(c).isnan()] for c in (empty, negatives, positives)]
    assert undefined[0] == [rate.__name__ for rate in ALL_RATES]
    assert undefined[1] == ["tpr", "ppv", "balanced_accuracy", "f1"]
    assert undefined[2] == ["fpr", "ppv", "balanced_accuracy"]
    assert rates.f1(positives).item() == 0.0


@pytest.mark.parametrize("seed", range(10))
def test_rates_equal_sklearn(seed: int) -> None:
    prediction, target, _ = table(seed)
    counts = group_counts(prediction, target, torch.zeros_like(target), 1)[0, 0]
    y, k = target.numpy(), prediction.numpy()
    assert rates.tpr(counts).item() == pytest.approx(sm.recall_score(y, k), abs=1e-12)
    assert rates.fpr(counts).item() == pytest.approx(1 - sm.recall_score(y, k, pos_label=0), abs=1e-12)
    assert rates.ppv(counts).item() == pytest.approx(sm.precision_score(y, k), abs=1e-12)
    assert rates.accuracy(counts).item() == pytest.approx(sm.accuracy_score(y, k), abs=1e-12)
    assert rates.balanced_accuracy(counts).item() == pytest.approx(sm.balanced_accuracy_score(y, k), abs=1e-12)
    assert rates.f1(counts).item() == pytest.approx(sm.f1_score(y, k), abs=1e-12)


@pytest.mark.parametrize("n_groups", [2, 4])
@pytest.mark.parametrize("seed", range(8))
def test_rates_by_group_and_gaps_equal_fairlearn(seed: int, n_groups: int) -> None:
    prediction, target, group = table(seed, n_groups)
    counts = group_counts(prediction, target, group, n_groups)
    y, k, a = target.numpy(), prediction.numpy(), group.numpy()
    frame = fm.MetricFrame(
        metrics={"tpr": fm.true_positive_rate, "fpr": fm.false_positive_rate, "selection_rate": fm.selection_rate},
        y_true=y,
        y_pred=k,
        sensitive_features=a,
    )
    for name, column in frame.by_group.items():
        assert getattr(rates, name)(counts)[0].tolist() == pytest.approx(column.tolist(), abs=1e-12)
    expected = [
        fm.demographic_parity_difference(y, k, sensitive_features=a),
        fm.equal_opportunity_difference(y, k, sensitive_features=a),
        frame.difference()["fpr"],
        fm.equalized_odds_difference(y, k, sensitive_features=a, agg="mean"),
        fm.equalized_odds_difference(y, k, sensitive_features=a, agg="worst_case"),
    ]
    assert [gap(counts).item() for gap in COUNT_GAPS] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_gaps_do_not_depend_on_the_names_of_the_groups(seed: int) -> None:
    prediction, target, group = table(seed)
    renamed = torch.tensor([4, 0, 2])[group]  # two labels more than groups: 1 and 3 stay empty
    counts, shifted = group_counts(prediction, target, group, 3), group_counts(prediction, target, renamed, 5)
    for gap in COUNT_GAPS:
        assert gap(counts).item() == gap(shifted).item()


def test_signed_gaps_of_opposite_sign_do_not_cancel() -> None:
    # TPR 1 and 0, FPR 0 and 1: the group that is favoured by one rate is not by the other
    counts = torch.tensor([[[[2.0, 0], [0, 2]], [[0, 2], [2, 0]]]])
    assert gaps.equalized_odds_mean(counts).item() == gaps.equalized_odds_max(counts).item() == 1.0


def test_one_group_has_no_gap() -> None:
    counts = torch.zeros(1, 3, 2, 2)
    counts[0, 1] = 1.0
    assert all(gap(counts).isnan().item() for gap in COUNT_GAPS)
    values = torch.tensor([[0.9, math.nan]])
    assert gaps.auroc_gap(values).isnan() and gaps.auroc_worst_group(values).isnan()


def test_equalized_odds_is_undefined_when_one_gap_is() -> None:
    counts = torch.tensor([[[[2.0, 1], [0, 0]], [[1, 1], [1, 1]]]])  # group 0 has no positive
    assert gaps.fpr_gap(counts).item() == pytest.approx(1 / 6)
    assert gaps.equalized_odds_mean(counts).isnan() and gaps.equalized_odds_max(counts).isnan()


def test_a_draw_that_loses_a_required_group_is_undefined() -> None:
    values = torch.tensor([[0.5, 0.75, math.nan], [0.5, math.nan, 0.25]], dtype=torch.float64)
    assert gaps.gap(values).tolist() == [0.25, 0.25]
    required = torch.tensor([True, True, False])
    assert gaps.gap(values, required).tolist() == pytest.approx([0.25, math.nan], nan_ok=True)
    every = torch.ones(3, dtype=torch.bool)
    assert gaps.gap(values, every).isnan().all() and gaps.auroc_worst_group(values, every).isnan().all()
    assert gaps.gap(values, torch.zeros(3, dtype=torch.bool)).isnan().all()
