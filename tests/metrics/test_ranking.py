"""AUROC and average precision: by hand, against scikit-learn, ties, weights as repeated rows, undefined."""

import pytest
import sklearn.metrics as sm
import torch

from biasmask.metrics import row_weights
from biasmask.metrics.ranking import auroc, average_precision


def table(seed: int, n_rows: int = 50, levels: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Random scores (on `levels` distinct values, so with ties) and targets of both classes."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 2, (n_rows,), generator=generator)
    target[:2] = torch.tensor([0, 1])
    score = torch.rand(n_rows, generator=generator, dtype=torch.float64)
    return (score if levels is None else (score * levels).floor() / levels), target


def draws(seed: int, n_draws: int = 6, n_rows: int = 50) -> torch.Tensor:
    weights = torch.randint(0, 4, (n_draws, n_rows), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)
    weights[:, :2] = 1
    return weights


def test_by_hand() -> None:
    # pairs (positive, negative): 0.9 beats 0.5 and 0.2; 0.5 ties with 0.5 and beats 0.2; 0.1 beats none
    score, target = torch.tensor([0.9, 0.5, 0.5, 0.2, 0.1]), torch.tensor([1, 1, 0, 0, 1])
    assert auroc(score, target).item() == 3.5 / 6
    # recall 1/3 at precision 1, then 1/3 more at 2/3 (both rows at 0.5 come in together), then 1/3 more at 3/5
    assert average_precision(score, target).item() == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


@pytest.mark.parametrize("levels", [None, 2, 7])
@pytest.mark.parametrize("seed", range(8))
def test_weighted_equals_sklearn(seed: int, levels: int | None) -> None:
    score, target = table(seed, levels=levels)
    weights = draws(seed)
    ours = auroc(score, target, weights), average_precision(score, target, weights)
    for draw, weight in enumerate(weights.numpy()):
        arguments = (target.numpy(), score.numpy())
        assert ours[0][draw].item() == pytest.approx(sm.roc_auc_score(*arguments, sample_weight=weight), abs=1e-12)
        expected = sm.average_precision_score(*arguments, sample_weight=weight)
        assert ours[1][draw].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", [auroc, average_precision])
@pytest.mark.parametrize("seed", range(4))
def test_a_weight_is_a_repeated_row(seed: int, metric) -> None:
    score, target = table(seed, levels=9)
    weights = draws(seed)
    for draw, weight in enumerate(weights):
        repeated = metric(score.repeat_interleave(weight), target.repeat_interleave(weight)).item()
        assert metric(score, target, weights)[draw].item() == pytest.approx(repeated, abs=1e-14)


@pytest.mark.parametrize("metric", [auroc, average_precision])
def test_rows_select_a_subset_and_order_is_of_no_account(metric) -> None:
    score, target = table(3, levels=9)
    weights = draws(3)
    rows = torch.arange(0, 50, 3)
    subset = metric(score[rows], target[rows], weights[:, rows])
    assert torch.equal(metric(score, target, weights, rows), subset)
    assert torch.equal(metric(score, target, weights, rows.flip(0)), subset)


@pytest.mark.parametrize("metric", [auroc, average_precision])
def test_chunks_give_the_same(metric, monkeypatch) -> None:
    score, target = table(5, levels=20)
    weights = draws(5, n_draws=11)
    whole = metric(score, target, weights)
    monkeypatch.setattr(row_weights, "CHUNK_ELEMENTS", 120)
    assert torch.equal(metric(score, target, weights), whole)


@pytest.mark.parametrize("metric", [auroc, average_precision])
def test_weights_of_the_caller_stay_as_they_are(metric) -> None:
    score, target = table(6)
    weights = draws(6).double()
    before = weights.clone()
    metric(score, target, weights)
    assert torch.equal(weights, before)


def test_all_scores_tied() -> None:
    score, target = torch.full((8,), 0.3), torch.tensor([0, 1, 0, 0, 1, 0, 0, 0])
    assert auroc(score, target).item() == 0.5
    assert average_precision(score, target).item() == 0.25


def test_undefined_is_nan() -> None:
    score = torch.tensor([0.1, 0.2, 0.3])
    none, every = torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64)
    assert auroc(score, none).isnan() and auroc(score, every).isnan()
    assert average_precision(score, none).isnan() and average_precision(score, every).item() == 1.0
    one_row = torch.tensor([1])
    assert auroc(torch.tensor([0.5]), one_row).isnan()
    assert average_precision(torch.tensor([0.5]), one_row).item() == 1.0
    no_rows = torch.zeros(0, dtype=torch.int64)
    assert auroc(score, every, rows=no_rows).isnan() and average_precision(score, every, rows=no_rows).isnan()


def test_only_the_draw_without_a_positive_is_undefined() -> None:
    score, target = torch.tensor([0.1, 0.4, 0.9]), torch.tensor([0, 1, 0])
    weights = torch.tensor([[1, 1, 1], [2, 0, 1], [0, 0, 0]])
    assert auroc(score, target, weights).tolist() == pytest.approx([0.5, float("nan"), float("nan")], nan_ok=True)


@pytest.mark.parametrize("metric", [auroc, average_precision])
def test_bad_input_is_named(metric) -> None:
    with pytest.raises(ValueError, match="NaN at position 1"):
        metric(torch.tensor([0.1, float("nan")]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="score has shape"):
        metric(torch.tensor([0.1]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="expected 0 or 1"):
        metric(torch.tensor([0.1, 0.2]), torch.tensor([0, -1]))
