"""Figures over runs: means, spreads, intervals of runs and rows, shared rows, runs left out, wins and p-values."""

import math
import time

import numpy as np
import pandas as pd
import pytest
import torch

from biasmask.metrics.evaluation import compare_predictions, evaluate_predictions
from biasmask.metrics.predictions import read_predictions
from biasmask.metrics.run_draws import mean_intervals, run_weights
from biasmask.metrics.seed_comparison import better_side, compare_runs_paired, summarize_runs

from .prediction_frames import ATTRIBUTES, random_frame

SEX = {"sex": ("female", "male")}


def trained(frame: pd.DataFrame, seed: int, gain: float = 0.0, noise: float = 0.3) -> pd.DataFrame:
    """The same rows, scored by another training."""
    logit = frame["logit"] + gain * (frame["target"] - 0.5) + noise * np.random.default_rng(seed).normal(size=len(frame))
    return frame.assign(logit=logit, score=1 / (1 + np.exp(-logit)))


def sides(n_runs: int, n_rows: int = 200, gain: float = 0.5) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    frame = random_frame(0, n_rows)
    one = [trained(frame, seed) for seed in range(n_runs)]
    return one, [trained(frame, 100 + seed, gain) for seed in range(n_runs)]


def test_mean_and_spread_are_those_of_the_runs() -> None:
    one, other = sides(4)
    thresholds = [0.4, 0.5, 0.6, 0.5]
    alone = [evaluate_predictions(f, ATTRIBUTES, t, n_bootstrap=0) for f, t in zip(one, thresholds, strict=True)]
    summary = summarize_runs(one, thresholds, ATTRIBUTES, n_bootstrap=30)
    pairs = [
        compare_predictions(f, g, ATTRIBUTES, (t, 0.5), n_bootstrap=0) for f, g, t in zip(one, other, thresholds, strict=True)
    ]
    compared = compare_runs_paired(one, other, thresholds, [0.5] * 4, ATTRIBUTES, n_bootstrap=30)
    assert list(summary) == list(compared) == list(alone[0])
    for key, value in summary.items():
        values = [run[key].value for run in alone]
        assert (value.mean, value.spread) == pytest.approx((np.mean(values), np.std(values, ddof=1)), abs=1e-12)
        assert compared[key].value == pytest.approx(np.mean([pair[key].value for pair in pairs]), abs=1e-12)
        assert value.n_runs == compared[key].n_runs == 4


def test_one_run_is_an_evaluation() -> None:
    one, other = sides(1)
    alone = evaluate_predictions(one[0], SEX, 0.5, n_bootstrap=50, seed=3)
    paired = compare_predictions(one[0], other[0], SEX, (0.5, 0.5), n_bootstrap=50, seed=3)
    for key, value in summarize_runs(one, [0.5], SEX, n_bootstrap=50, seed=3).items():
        assert (value.mean, value.low, value.high) == (alone[key].value, alone[key].low, alone[key].high)
        assert math.isnan(value.spread) and "one run: no spread" in value.reason
    for key, value in compare_runs_paired(one, other, [0.5], [0.5], SEX, n_bootstrap=50, seed=3).items():
        assert (value.value, value.low, value.high) == (paired[key].value, paired[key].low, paired[key].high)
        assert all(math.isnan(entry) for entry in (value.t_low, value.t_high, value.p_value)) and value.n_runs == 1


def test_a_method_against_itself() -> None:
    one, _ = sides(3)
    for key, value in compare_runs_paired(one, one, [0.5] * 3, [0.5] * 3, SEX, n_bootstrap=20).items():
        assert (value.value, value.low, value.high, value.p_value) == (0.0, 0.0, 0.0, 1.0)
        assert (value.wins, value.losses, value.ties) == ((0, 0, 3) if better_side(key) else (None, None, None))


def test_a_better_method_wins_every_run() -> None:
    one, other = sides(6, gain=1.5)
    found = compare_runs_paired(one, other, [0.5] * 6, [0.5] * 6, SEX, n_bootstrap=100)
    assert found["test/auroc"].low > 0 and found["test/auroc"].t_low > 0
    assert (found["test/auroc"].wins, found["test/auroc"].losses, found["test/auroc"].p_value) == (6, 0, 2 / 64)
    assert (found["test/brier"].wins, found["test/fpr/sex=male"].losses) == (6, 0)
    assert found["test/brier"].high < 0 and found["test/auroc"].reason is None
    back = compare_runs_paired(other, one, [0.5] * 6, [0.5] * 6, SEX, n_bootstrap=100)
    assert (back["test/auroc"].value, back["test/auroc"].losses) == (-found["test/auroc"].value, 6)


def test_every_metric_has_its_side() -> None:
    keys = ("auroc", "average_precision", "accuracy", "f1", "auroc_worst_group/sex", "tpr/sex=f", "ppv/sex=f")
    assert {better_side(f"test/{key}") for key in keys} == {1}
    keys = ("brier", "ece/sex=f", "fpr/sex=f", "fpr_gap/sex", "auroc_gap/sex", "demographic_parity/sex", "equalized_odds_max/sex")
    assert {better_side(f"test:nv/{key}") for key in keys} == {-1}
    assert {better_side("test/selection_rate/sex=f"), better_side("test/mean_score/sex=f")} == {0}


def test_rows_are_shared_where_they_are_the_same() -> None:
    frame, fold = random_frame(0), random_frame(1)
    runs = [read_predictions(table, SEX) for table in (frame, trained(frame, 1), fold)]
    first, second, third = run_weights(runs, 20, seed=0)
    assert first is second and not torch.equal(first, third)
    # On the same rows nothing averages out, on rows of their own the luck of the rows does.
    same = summarize_runs([frame] * 4, [0.5] * 4, SEX, n_bootstrap=300)["test/auroc"]
    alone = evaluate_predictions(frame, SEX, 0.5, n_bootstrap=300)["test/auroc"]
    assert (same.low, same.high) == pytest.approx((alone.low, alone.high), abs=1e-12)
    folds = [random_frame(seed) for seed in range(4)]
    own = summarize_runs(folds, [0.5] * 4, SEX, n_bootstrap=300)["test/auroc"]
    assert own.high - own.low < 0.85 * (alone.high - alone.low)


def test_the_spread_of_runs_is_in_the_interval() -> None:
    points = torch.tensor([[0.7], [0.8], [0.9]], dtype=torch.float64)
    (low,), (high,), (note,) = mean_intervals(points, points.unsqueeze(1).expand(3, 500, 1), 0.95, seed=0)
    assert (low, high, note) == (pytest.approx(0.7, abs=0.04), pytest.approx(0.9, abs=0.04), None)


def test_runs_of_one_split_are_drawn_together() -> None:
    splits = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    points = torch.tensor([0.7] * 3 + [0.8] * 3 + [0.9] * 3, dtype=torch.float64).unsqueeze(1)
    draws = points.unsqueeze(1).expand(9, 2000, 1)
    runs, own = (mean_intervals(points, draws, 0.95, 0, clusters) for clusters in (None, splits))
    assert own[1][0] - own[0][0] > 1.5 * (runs[1][0] - runs[0][0])
    alone = mean_intervals(points[::3], draws[::3], 0.95, seed=0)
    assert (*own[0], *own[1]) == pytest.approx((*alone[0], *alone[1]))  # runs of a split that agree tell as much as one of them
    assert mean_intervals(points, draws, 0.95, 0, list(range(9))) == runs  # each run its own split
    lost = points.clone()
    lost[4] = torch.nan
    holed = draws.clone()
    holed[4] = torch.nan
    assert mean_intervals(lost, holed, 0.95, 0, splits)[0] == pytest.approx(alone[0])


def test_a_difference_by_split_counts_each_split_once() -> None:
    one, other = sides(5)
    how = (one, other, [0.5] * 5, [0.5] * 5, SEX)
    found = compare_runs_paired(*how, n_bootstrap=20, clusters=[0, 0, 0, 1, 1])["test/auroc"]
    alone = [
        compare_predictions(a, b, SEX, (0.5, 0.5), n_bootstrap=0)["test/auroc"].value for a, b in zip(one, other, strict=True)
    ]
    assert found.value == pytest.approx((np.mean(alone[:3]) + np.mean(alone[3:])) / 2)
    assert (found.n_runs, found.n_clusters, found.p_value) == (5, 2, 0.5)
    one_split = compare_runs_paired(*how, n_bootstrap=20, clusters=[7] * 5)["test/auroc"]
    assert math.isnan(one_split.p_value) and "runs of one split" in one_split.reason


def test_the_mean_gap_of_two_attributes_is_a_figure() -> None:
    one, _ = sides(2)
    keys = [f"test/equalized_odds_mean/{name}" for name in ATTRIBUTES]
    assert len(keys) >= 2
    found = summarize_runs(one, [0.5] * 2, ATTRIBUTES, n_bootstrap=30, mean_over=list(ATTRIBUTES))
    (mean,) = [key for key in found if "mean of" in key]
    assert found[mean].mean == pytest.approx(np.mean([found[key].mean for key in keys])) and found[mean].low < found[mean].high
    assert mean not in summarize_runs(one, [0.5] * 2, ATTRIBUTES, n_bootstrap=0)


def test_a_run_without_the_figure_is_left_out_and_named() -> None:
    one, other = sides(3)
    other[1] = other[1].assign(score=0.1)  # nobody is predicted positive
    n = int((one[0]["attribute:sex"] == "male").sum())
    found = compare_runs_paired(one, other, [0.5] * 3, [0.5] * 3, SEX, n_bootstrap=30)
    value = found["test/ppv/sex=male"]
    assert value.n_runs == 2 and value.p_value in (0.5, 1.0) and not math.isnan(value.low)
    assert value.reason == (
        f"run 2 left out (group male has no row predicted positive among {n} rows); 2 runs: p can't be below 0.5"
    )
    summary = summarize_runs(other, [0.5] * 3, SEX, n_bootstrap=30)["test/ppv/sex=male"]
    kept = [evaluate_predictions(other[i], SEX, 0.5, n_bootstrap=0)["test/ppv/sex=male"].value for i in (0, 2)]
    assert (summary.n_runs, summary.mean) == (2, pytest.approx(np.mean(kept)))
    assert found["test/auroc"].n_runs == 3


def test_a_figure_that_no_run_has() -> None:
    one, other = sides(2)
    for frame in (*one, *other):
        frame.loc[frame["attribute:sex"] == "female", "target"] = 0
    n = int((one[0]["attribute:sex"] == "female").sum())
    value = compare_runs_paired(one, other, [0.5] * 2, [0.5] * 2, SEX, n_bootstrap=10)["test/tpr/sex=female"]
    assert math.isnan(value.value) and math.isnan(value.low) and math.isnan(value.p_value) and value.n_runs == 0
    assert value.reason == f"group female has no positive among {n} rows"
    summary = summarize_runs(one, [0.5] * 2, SEX, n_bootstrap=10)["test/tpr/sex=female"]
    assert math.isnan(summary.mean) and (summary.n_runs, summary.reason) == (0, value.reason)


def test_without_draws_there_are_values_and_no_intervals() -> None:
    one, other = sides(3)
    value = compare_runs_paired(one, other, [0.5] * 3, [0.5] * 3, SEX, n_bootstrap=0)["test/auroc"]
    assert math.isnan(value.low) and not math.isnan(value.t_low) and "no interval: no draws asked for" in value.reason


def test_several_classes_and_decisions() -> None:
    one, other = sides(2)
    decided = [frame.assign(prediction=(frame["score"] > 0.3) * 1) for frame in other]
    found = compare_runs_paired(one, decided, [0.5] * 2, [math.nan] * 2, SEX, n_bootstrap=10)
    assert found["test/tpr/sex=male"].value > 0
    several = [frame.assign(**{f"score:{c}": (frame["score"] + c) / 4 for c in range(3)}).drop(columns="score") for frame in one]
    thresholds = [{"0": 0.1, "1": 0.4, "2": 0.6}] * 2
    assert "test:1/auroc" in summarize_runs(several, thresholds, SEX, n_bootstrap=10)
    with pytest.raises(ValueError, match="different classes"):
        summarize_runs([one[0], several[0]], [0.5, thresholds[0]], SEX, n_bootstrap=0)


def test_what_is_no_pair_is_refused() -> None:
    one, other = sides(2)
    with pytest.raises(ValueError, match="2 runs against 1"):
        compare_runs_paired(one, other[:1], [0.5] * 2, [0.5], SEX)
    with pytest.raises(ValueError, match="run 2: rows differ"):
        compare_runs_paired(one, [other[0], other[1].iloc[1:]], [0.5] * 2, [0.5] * 2, SEX)
    with pytest.raises(ValueError, match="2 runs and 1 thresholds"):
        summarize_runs(one, [0.5], SEX)
    with pytest.raises(ValueError, match="0 runs"):
        summarize_runs([], [], SEX)


@pytest.mark.slow
def test_five_runs_of_1500_rows_take_seconds() -> None:
    one, other = sides(5, n_rows=1500)
    start = time.process_time()
    compare_runs_paired(one, other, [0.5] * 5, [0.5] * 5, ATTRIBUTES)
    assert time.process_time() - start < 10  # about 2 s on a quiet core
