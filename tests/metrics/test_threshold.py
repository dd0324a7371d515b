"""The threshold of the validation split: best by its rule, midway, deterministic, one class refused."""

import math

import pytest
import sklearn.metrics as sm
import torch

from biasmask.metrics.threshold import predict, select_threshold

SEARCHES = ("balanced_accuracy", "youden", "f1")


def table(seed: int, n_rows: int = 40, levels: int = 25) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 2, (n_rows,), generator=generator)
    target[:2] = torch.tensor([0, 1])
    score = 0.7 * torch.rand(n_rows, generator=generator, dtype=torch.float64) + 0.3 * target
    return (score * levels).round() / levels, target


def test_by_hand() -> None:
    # positives at 0.5, 0.75, 0.875; negatives at 0.125, 0.25, 0.625: best between 0.25 and 0.5 (3/3 and 2/3)
    score = torch.tensor([0.125, 0.25, 0.5, 0.625, 0.75, 0.875])
    target = torch.tensor([0, 0, 1, 0, 1, 1])
    assert select_threshold(score, target) == 0.375
    assert select_threshold(score, target, "f1") == 0.375


@pytest.mark.parametrize("rule", SEARCHES)
@pytest.mark.parametrize("seed", range(8))
def test_no_threshold_is_better(seed: int, rule: str) -> None:
    score, target = table(seed)
    metric = sm.f1_score if rule == "f1" else sm.balanced_accuracy_score
    chosen = select_threshold(score, target, rule)
    reached = metric(target.numpy(), predict(score, chosen).numpy())
    for other in score.unique().tolist():
        assert metric(target.numpy(), predict(score, other).numpy()) <= reached + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_midway_between_neighbours_and_the_same_in_any_order(seed: int) -> None:
    score, target = table(seed)
    chosen = select_threshold(score, target)
    below, above = score[score < chosen].max(), score[score >= chosen].min()
    assert chosen == ((below + above) / 2).item()
    shuffled = torch.randperm(len(score), generator=torch.Generator().manual_seed(seed))
    assert select_threshold(score[shuffled], target[shuffled]) == chosen
    assert select_threshold(score, target, "youden") == chosen


def test_of_equally_good_ones_the_nearest_to_a_half() -> None:
    # cutting off either the lowest or the highest row gives 0.75: 0.25 lies 0.25 from a half, 0.7 only 0.2
    score, target = torch.tensor([0.2, 0.3, 0.6, 0.8], dtype=torch.float64), torch.tensor([0, 1, 0, 1])
    assert select_threshold(score, target) == pytest.approx(0.7)


def test_neighbouring_floats_are_told_apart() -> None:
    low = 0.7
    high = math.nextafter(low, 1.0)
    score, target = torch.tensor([low, high], dtype=torch.float64), torch.tensor([0, 1])
    assert predict(score, select_threshold(score, target)).tolist() == [0, 1]


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("rule", SEARCHES)
def test_all_scores_tied_predicts_all_positive(rule: str, value: float) -> None:
    score, target = torch.full((4,), value, dtype=torch.float64), torch.tensor([0, 1, 0, 1])
    threshold = select_threshold(score, target, rule)
    assert 0.0 <= threshold <= 1.0 and predict(score, threshold).all()


@pytest.mark.parametrize("rule", SEARCHES)
@pytest.mark.parametrize(("label", "name"), [(0, "negative"), (1, "positive")])
def test_one_class_is_refused(rule: str, label: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"all 3 rows are of one class .{name}."):
        select_threshold(torch.tensor([0.1, 0.2, 0.3]), torch.full((3,), label), rule)


def test_fixed_looks_at_no_data() -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    assert select_threshold(empty.double(), empty, "fixed:0.25") == 0.25
    for rule, message in (("fixed:half", "no number"), ("fixed:1.5", "outside"), ("best", "unknown")):
        with pytest.raises(ValueError, match=message):
            select_threshold(empty.double(), empty, rule)
    with pytest.raises(ValueError, match="outside"):
        select_threshold(torch.tensor([0.5, 2.0]), torch.tensor([0, 1]))
