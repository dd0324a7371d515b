"""A column of decisions counts instead of score >= threshold, in one model or in both of a comparison."""

import math

import pandas as pd
import pytest

from biasmask.metrics.evaluation import compare_predictions, evaluate_predictions, to_json

from .prediction_frames import ATTRIBUTES, hand_frame, random_frame

SEX = {"sex": ("female", "male")}
BY_SCORE = {"auroc", "average_precision", "brier", "ece", "mean_score", "auroc_gap", "auroc_worst_group"}


def decided(frame: pd.DataFrame, **thresholds: float) -> pd.DataFrame:
    """Decisions by a threshold for each sex, and 0.5 where it is missing."""
    cut = frame["attribute:sex"].map(thresholds).astype(float).fillna(0.5)
    return frame.assign(prediction=(frame["score"] >= cut).astype(int))


def test_decisions_of_the_threshold_change_nothing() -> None:
    frame = random_frame(0)
    straight = evaluate_predictions(frame, ATTRIBUTES, 0.4, n_bootstrap=20)
    written = evaluate_predictions(frame.assign(prediction=(frame["score"] >= 0.4) * 1), ATTRIBUTES, 0.9, n_bootstrap=20)
    assert to_json(straight) == to_json(written)


def test_thresholds_of_the_groups_by_hand() -> None:
    frame = decided(hand_frame(), female=0.4, male=0.6)
    values = evaluate_predictions(frame, SEX, math.nan, n_bootstrap=20)
    expected = {"tpr/sex=female": 1.0, "tpr/sex=male": 2 / 3, "fpr/sex=female": 1 / 3, "fpr/sex=male": 0.0, "accuracy": 9 / 12}
    assert {key: values[f"test/{key}"].value for key in expected} == pytest.approx(expected, abs=1e-12)
    by_score = evaluate_predictions(hand_frame(), SEX, 0.5, n_bootstrap=20)
    for key, value in values.items():
        if key.split("/")[1] in BY_SCORE:
            assert value == by_score[key], key


def test_each_model_of_a_comparison_decides_in_its_own_way() -> None:
    base = hand_frame()
    other = decided(base, female=0.4, male=0.6)
    difference = compare_predictions(base, other, SEX, (0.5, math.nan), n_bootstrap=20)
    assert difference["test/tpr/sex=female"].value == 0.5
    assert difference["test/tpr/sex=male"].value == pytest.approx(-1 / 3)
    assert (difference["test/auroc"].value, difference["test/auroc"].low, difference["test/auroc"].high) == (0.0, 0.0, 0.0)
    back = compare_predictions(other, base, SEX, (math.nan, 0.5), n_bootstrap=20)
    assert back["test/tpr/sex=female"].value == -0.5


@pytest.mark.parametrize(
    ("value", "message"),
    [(2, "row 0: prediction 2 is neither 0 nor 1"), (0.5, "no whole number"), (None, "'prediction' of the predictions is empty")],
)
def test_other_decisions_are_refused(value: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_predictions(hand_frame().assign(prediction=value), SEX, 0.5, n_bootstrap=0)


def test_without_decisions_a_threshold_is_needed() -> None:
    with pytest.raises(ValueError, match="threshold is NaN"):
        compare_predictions(hand_frame(), decided(hand_frame()), SEX, (math.nan, math.nan), n_bootstrap=0)
