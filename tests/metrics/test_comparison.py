"""Debiased against base: paired intervals, rows matched by number, and the levelling-down check."""

import math

import numpy as np
import pandas as pd
import pytest

from biasmask.metrics.evaluation import MetricValue, compare_predictions, evaluate_predictions
from biasmask.metrics.levelling import levelling_down

from .prediction_frames import ATTRIBUTES, hand_frame, random_frame


def edited(frame: pd.DataFrame, seed: int = 0, noise: float = 0.2) -> pd.DataFrame:
    """The same rows with scores that moved a little."""
    logit = frame["logit"] + noise * np.random.default_rng(seed).normal(size=len(frame))
    return frame.assign(logit=logit, score=1 / (1 + np.exp(-logit)))


def test_a_model_against_itself_differs_by_exactly_0() -> None:
    frame = random_frame(0)
    values = compare_predictions(frame, frame, ATTRIBUTES, (0.5, 0.5), n_bootstrap=100)
    defined = [value for value in values.values() if not math.isnan(value.value)]
    assert len(defined) == len(values)
    assert {(value.value, value.low, value.high) for value in defined} == {(0.0, 0.0, 0.0)}


@pytest.mark.parametrize("seed", range(3))
def test_difference_of_the_values(seed: int) -> None:
    base = random_frame(seed)
    other = edited(base, seed)
    difference = compare_predictions(base, other, ATTRIBUTES, (0.5, 0.4), split="val", n_bootstrap=5)
    before = evaluate_predictions(base, ATTRIBUTES, 0.5, split="val", n_bootstrap=5)
    after = evaluate_predictions(other, ATTRIBUTES, 0.4, split="val", n_bootstrap=5)
    assert list(difference) == list(before)
    for key, value in difference.items():
        assert value.value == after[key].value - before[key].value
        assert value.n == before[key].n


def test_paired_is_narrower_than_unpaired() -> None:
    base = random_frame(1, n_rows=300)
    other = edited(base)
    paired = compare_predictions(base, other, ATTRIBUTES, (0.5, 0.5), n_bootstrap=300)
    before, after = (evaluate_predictions(f, ATTRIBUTES, 0.5, n_bootstrap=300) for f in (base, other))
    for key in ("test/auroc", "test/brier", "test/tpr/sex=male", "test/auroc/skin_tone=V-VI"):
        unpaired = math.hypot(*(values[key].high - values[key].low for values in (before, after)))
        assert paired[key].high - paired[key].low < 0.6 * unpaired


def test_rows_are_matched_by_number_and_not_by_place() -> None:
    base = random_frame(2)
    other = edited(base)
    straight = compare_predictions(base, other, ATTRIBUTES, (0.5, 0.5), n_bootstrap=30)
    shuffled = compare_predictions(base, other.sample(frac=1, random_state=0), ATTRIBUTES, (0.5, 0.5), n_bootstrap=30)
    assert straight == shuffled


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.iloc[1:], r"1 only in the base and 0 only in the debiased predictions .row 0 only in base"),
        (lambda f: f.assign(row=f["row"] + 1), r"row 0 only in base"),
        (lambda f: f.assign(target=1 - f["target"]), "row 0: 'target' differs"),
        (lambda f: f.assign(**{"attribute:sex": "male"}), "row 0: 'attribute:sex' differs"),
    ],
)
def test_other_rows_are_refused(change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_predictions(hand_frame(), change(hand_frame()), {"sex": ("female", "male")}, (0.5, 0.5), n_bootstrap=2)


def test_an_undefined_side_is_named() -> None:
    base = random_frame(3)
    n = int((base["attribute:sex"] == "male").sum())
    difference = compare_predictions(base, base, ATTRIBUTES, (0.5, 1.0), n_bootstrap=5)["test/ppv/sex=male"]
    assert math.isnan(difference.value) and math.isnan(difference.low)
    assert difference.reason == f"debiased: group male has no row predicted positive among {n} rows"


def test_levelling_down_names_the_group_that_got_worse() -> None:
    base = random_frame(4, n_rows=600, missing=0.0)
    logit = base["logit"].where(base["attribute:sex"] != "male", -base["logit"])
    worse = base.assign(score=1 / (1 + np.exp(-logit)))
    difference = compare_predictions(base, worse, {"sex": ATTRIBUTES["sex"]}, (0.5, 0.5), n_bootstrap=100)
    found = levelling_down(difference)
    assert set(found) == {("sex", "male", metric) for metric in ("tpr", "fpr", "auroc", "balanced_accuracy")}
    better = compare_predictions(worse, base, {"sex": ATTRIBUTES["sex"]}, (0.5, 0.5), n_bootstrap=100)
    assert levelling_down(better) == []


def test_levelling_down_reads_signs_and_keys() -> None:
    def value(low: float, high: float) -> MetricValue:
        return MetricValue((low + high) / 2, low, high, 50, 20)

    differences = {
        "test/tpr/sex=f": value(-0.3, -0.1),
        "test/tpr/sex=m": value(-0.3, 0.0),
        "test/fpr/sex=f": value(0.1, 0.2),
        "test/fpr/sex=m": value(-0.2, -0.1),
        "test/auroc": value(-0.2, -0.1),
        "test/auroc_gap/sex": value(-0.2, -0.1),
        "test/ece/sex=f": value(-0.2, -0.1),
        "test/auroc/sex+age=f/old=60": value(-0.2, -0.1),
        "test/tpr/age=old": value(math.nan, math.nan),
    }
    assert levelling_down(differences) == [("sex", "f", "tpr"), ("sex", "f", "fpr"), ("sex+age", "f/old=60", "auroc")]
