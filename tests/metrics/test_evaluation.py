"""Evaluation from a predictions frame: keys, values, intervals, missing attributes, small and empty cells."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sm

from biasmask.metrics.evaluation import evaluate_predictions, to_json

from .prediction_frames import ATTRIBUTES, hand_frame, random_frame

SEX = {"sex": ("female", "male")}
OVERALL = {"auroc", "average_precision", "accuracy", "balanced_accuracy", "f1", "brier", "ece"}
GAPS = {
    "demographic_parity",
    "equal_opportunity",
    "fpr_gap",
    "equalized_odds_mean",
    "equalized_odds_max",
    "auroc_gap",
    "auroc_worst_group",
}
PER_GROUP = {
    "tpr",
    "fpr",
    "ppv",
    "auroc",
    "balanced_accuracy",
    "selection_rate",
    "mean_score",
    "ece",
}


def test_keys_are_those_of_the_contract() -> None:
    values = evaluate_predictions(random_frame(0), ATTRIBUTES, 0.5, split="isic", n_bootstrap=5)
    expected = {f"isic/{name}" for name in OVERALL}
    for attribute, groups in ATTRIBUTES.items():
        expected |= {f"isic/{name}/{attribute}" for name in GAPS}
        expected |= {f"isic/{name}/{attribute}={group}" for name in PER_GROUP for group in groups}
    assert set(values) == expected


def test_hand_table() -> None:
    values = evaluate_predictions(hand_frame(), SEX, 0.5, n_bootstrap=20)
    expected = {
        "test/accuracy": 8 / 12,  # wrong: rows 1, 2, 8 and 11
        "test/balanced_accuracy": (4 / 5 + 4 / 7) / 2,
        "test/tpr/sex=female": 1 / 2,
        "test/tpr/sex=male": 1.0,
        "test/fpr/sex=female": 1 / 3,
        "test/fpr/sex=male": 1 / 3,
        "test/ppv/sex=female": 1 / 2,
        "test/ppv/sex=male": 3 / 4,
        "test/selection_rate/sex=female": 2 / 5,
        "test/auroc/sex=female": 5 / 6,
        "test/auroc/sex=male": 8 / 9,
        "test/mean_score/sex=female": 2.2 / 5,
        "test/demographic_parity/sex": 4 / 6 - 2 / 5,
        "test/equal_opportunity/sex": 1 / 2,
        "test/fpr_gap/sex": 0.0,
        "test/equalized_odds_mean/sex": 1 / 4,
        "test/equalized_odds_max/sex": 1 / 2,
        "test/auroc_gap/sex": 8 / 9 - 5 / 6,
        "test/auroc_worst_group/sex": 5 / 6,
    }
    assert {key: values[key].value for key in expected} == pytest.approx(expected, abs=1e-12)


def test_rows_without_the_attribute_count_overall_only() -> None:
    values = evaluate_predictions(hand_frame(), SEX, 0.5, n_bootstrap=20)
    assert [values[f"test/{key}"].n for key in ("auroc", "auroc_gap/sex", "tpr/sex=female")] == [12, 11, 5]
    assert [values[f"test/{key}"].n_positive for key in ("auroc", "auroc_gap/sex", "tpr/sex=female")] == [5, 5, 2]
    without = evaluate_predictions(hand_frame().iloc[:11], SEX, 0.5, n_bootstrap=20)
    assert all(values[key].value == value.value for key, value in without.items() if "sex" in key)
    assert values["test/accuracy"].value != without["test/accuracy"].value


@pytest.mark.parametrize("seed", range(5))
def test_values_equal_sklearn(seed: int) -> None:
    frame = random_frame(seed)
    values = evaluate_predictions(frame, ATTRIBUTES, 0.45, n_bootstrap=2)
    y, s = frame["target"], frame["score"]
    assert values["test/auroc"].value == pytest.approx(sm.roc_auc_score(y, s), abs=1e-12)
    assert values["test/average_precision"].value == pytest.approx(sm.average_precision_score(y, s), abs=1e-12)
    assert values["test/f1"].value == pytest.approx(sm.f1_score(y, s >= 0.45), abs=1e-12)
    assert values["test/brier"].value == pytest.approx(sm.brier_score_loss(y, s), abs=1e-12)
    by_group = {group: part for group, part in frame.groupby("attribute:sex")}
    aurocs = {group: sm.roc_auc_score(part["target"], part["score"]) for group, part in by_group.items()}
    for group, auroc in aurocs.items():
        assert values[f"test/auroc/sex={group}"].value == pytest.approx(auroc, abs=1e-12)
    assert values["test/auroc_gap/sex"].value == pytest.approx(abs(aurocs["female"] - aurocs["male"]), abs=1e-12)


def test_order_of_rows_changes_nothing_and_the_seed_only_intervals() -> None:
    frame = random_frame(3)
    values = evaluate_predictions(frame, ATTRIBUTES, 0.5, n_bootstrap=60)
    shuffled = frame.sample(frac=1.0, random_state=1)
    shuffled.index = range(5, 5 + len(frame))
    assert to_json(evaluate_predictions(shuffled, ATTRIBUTES, 0.5, n_bootstrap=60)) == to_json(values)
    other = evaluate_predictions(frame, ATTRIBUTES, 0.5, n_bootstrap=60, seed=1)
    assert other["test/auroc"].value == values["test/auroc"].value
    assert other["test/auroc"].low != values["test/auroc"].low


def test_order_and_names_of_groups_move_no_figure() -> None:
    frame = random_frame(4)
    values = evaluate_predictions(frame, {"sex": ("female", "male")}, 0.5, n_bootstrap=20)
    wider = evaluate_predictions(frame, {"sex": ("other", "male", "female")}, 0.5, n_bootstrap=20)
    for key, value in values.items():
        assert wider[key].value == value.value, key
    absent = [value for key, value in wider.items() if key.endswith("sex=other")]
    assert all(math.isnan(v.value) and v.n == 0 and v.reason == "group other has no row" for v in absent)
    assert wider["test/auroc_gap/sex"].reason == "incomplete: group other has no row"


def test_intervals_hold_the_value_and_grow_with_confidence() -> None:
    frame = random_frame(5, n_rows=400)
    narrow = evaluate_predictions(frame, ATTRIBUTES, 0.5, n_bootstrap=200, confidence=0.5)
    wide = evaluate_predictions(frame, ATTRIBUTES, 0.5, n_bootstrap=200, confidence=0.95)
    for key in ("test/auroc", "test/f1", "test/tpr/sex=male", "test/auroc/skin_tone=V-VI", "test/brier"):
        assert wide[key].low < narrow[key].low < narrow[key].high < wide[key].high
        assert wide[key].low < wide[key].value < wide[key].high


def test_a_group_without_positives_is_named() -> None:
    frame = random_frame(6)
    frame.loc[frame["attribute:skin_tone"] == "V-VI", "target"] = 0
    n = int((frame["attribute:skin_tone"] == "V-VI").sum())
    values = evaluate_predictions(frame, ATTRIBUTES, 0.5, n_bootstrap=30)
    text = f"group V-VI has no positive among {n} rows"
    for metric in ("tpr", "auroc", "balanced_accuracy"):
        value = values[f"test/{metric}/skin_tone=V-VI"]
        assert math.isnan(value.value) and math.isnan(value.low) and math.isnan(value.high)
        assert (value.reason, value.n, value.n_positive) == (text, n, 0)
    assert values["test/fpr/skin_tone=V-VI"].reason is None
    gap = values["test/equal_opportunity/skin_tone"]
    rates = [values[f"test/tpr/skin_tone={group}"].value for group in ("I-II", "III-IV")]
    assert gap.value == pytest.approx(max(rates) - min(rates)) and gap.low <= gap.high
    assert gap.reason == f"incomplete: {text}"


def test_two_groups_one_undefined_leave_no_gap() -> None:
    frame = hand_frame()
    frame.loc[frame["attribute:sex"] == "female", "target"] = 0
    gap = evaluate_predictions(frame, SEX, 0.5, n_bootstrap=5)["test/equalized_odds_max/sex"]
    assert math.isnan(gap.value)
    assert gap.reason == "fewer than two groups can be compared: group female has no positive among 5 rows"


def test_small_cells_are_named_and_keep_their_value() -> None:
    values = evaluate_predictions(hand_frame(), SEX, 0.5, n_bootstrap=20)
    assert values["test/tpr/sex=male"].reason == "small: group male has 3 positives among 6 rows"
    assert values["test/auroc/sex=male"].reason == "small: group male has 3 positives and 3 negatives among 6 rows"
    assert values["test/mean_score/sex=male"].reason == "small: group male has 6 rows"
    assert values["test/accuracy"].reason is None
    assert values["test/auroc"].reason == "small: split test has 5 positives and 7 negatives among 12 rows"


def test_no_row_predicted_positive_leaves_ppv_undefined() -> None:
    values = evaluate_predictions(random_frame(7), ATTRIBUTES, 1.0, n_bootstrap=5)
    n = values["test/ppv/sex=male"].n
    assert values["test/ppv/sex=male"].reason == f"group male has no row predicted positive among {n} rows"
    assert values["test/tpr/sex=male"].value == 0.0


def test_a_figure_undefined_in_many_draws_has_no_interval() -> None:
    frame = random_frame(8, missing=0.0)
    # the second attribute is no stratum: its single positive is missing from about a third of the draws
    male = frame["attribute:sex"] == "male"
    frame.loc[male, "target"] = 0
    frame.loc[male.idxmax(), "target"] = 1
    value = evaluate_predictions(frame, ATTRIBUTES, 0.5, n_bootstrap=200)["test/tpr/sex=male"]
    assert not math.isnan(value.value) and math.isnan(value.low) and math.isnan(value.high)
    assert "; no interval: undefined in " in value.reason and value.reason.endswith("of 200 draws")
    first = evaluate_predictions(frame, {"sex": ATTRIBUTES["sex"]}, 0.5, n_bootstrap=200)["test/tpr/sex=male"]
    assert first.low == first.high == first.value


def test_a_gap_has_no_interval_when_draws_lose_one_of_its_groups() -> None:
    # over the two groups that are left the gap would be another quantity
    frame = random_frame(10, missing=0.0)
    tone = frame["attribute:skin_tone"] == "V-VI"
    frame.loc[tone, "target"] = 0
    frame.loc[tone.idxmax(), "target"] = 1
    attributes = {name: ATTRIBUTES[name] for name in ("sex", "skin_tone")}
    values = evaluate_predictions(frame, attributes, 0.5, n_bootstrap=200)
    for metric in ("equal_opportunity", "equalized_odds_mean", "equalized_odds_max", "auroc_gap", "auroc_worst_group"):
        value = values[f"test/{metric}/skin_tone"]
        assert not math.isnan(value.value) and math.isnan(value.low), metric
        assert "no interval: undefined in " in value.reason
    for metric in ("fpr_gap", "demographic_parity"):
        assert values[f"test/{metric}/skin_tone"].low <= values[f"test/{metric}/skin_tone"].high


def test_one_class_one_row_and_tied_scores() -> None:
    frame = hand_frame().assign(target=0)
    values = evaluate_predictions(frame, SEX, 0.5, n_bootstrap=5)
    assert math.isnan(values["test/auroc"].value) and math.isnan(values["test/f1"].value)
    assert values["test/auroc"].reason == "split test has no positive among 12 rows"
    single = evaluate_predictions(hand_frame().iloc[:1], SEX, 0.5, n_bootstrap=5)
    assert single["test/accuracy"].value == 1.0 and single["test/auroc"].reason.endswith("among 1 row")
    tied = evaluate_predictions(hand_frame().assign(score=0.5), SEX, 0.5, n_bootstrap=5)
    assert tied["test/auroc"].value == tied["test/balanced_accuracy"].value == 0.5
    assert tied["test/auroc_gap/sex"].value == tied["test/auroc_gap/sex"].high == 0.0


def test_an_attribute_missing_everywhere() -> None:
    values = evaluate_predictions(hand_frame().assign(**{"attribute:sex": None}), SEX, 0.5, n_bootstrap=5)
    assert values["test/accuracy"].value == 8 / 12 and values["test/tpr/sex=male"].reason == "group male has no row"
    assert values["test/demographic_parity/sex"].n == 0


def test_no_draws_give_values_without_intervals() -> None:
    value = evaluate_predictions(random_frame(9), {}, 0.5, n_bootstrap=0)["test/auroc"]
    assert 0.5 < value.value < 1 and math.isnan(value.low) and value.reason == "no interval: no draws asked for"


def test_json_has_null_for_nan_and_strict_json_reads_it() -> None:
    values = evaluate_predictions(hand_frame().assign(target=0), SEX, 0.5, n_bootstrap=5)
    text = json.dumps(to_json(values), allow_nan=False)
    entry = json.loads(text)["test/auroc"]
    assert list(entry) == ["value", "low", "high", "n", "n_positive", "reason"]
    assert entry["value"] is None and entry["n"] == 12 and entry["reason"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="score"), "no column 'score'"),
        (lambda f: f.drop(columns="attribute:sex"), "no column 'attribute:sex'"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: f.assign(row=3), "row 3 stands twice"),
        (lambda f: f.assign(row=f["row"].where(f["row"] > 0)), "column 'row' of the predictions is empty"),
        (lambda f: f.assign(score=f["score"].where(f["row"] != 4)), "'score' of the predictions is empty in row 4"),
        (lambda f: f.assign(score=f["score"] * 2), "row 0: score 1.8 is outside"),
        (lambda f: f.assign(target=f["row"]), "row 2: target 2 is neither"),
        (lambda f: f.assign(target=0.5), "no whole number"),
        (lambda f: f.assign(**{"attribute:sex": "unknown"}), "row 0: value 'unknown' of 'attribute:sex' is none of"),
    ],
)
def test_a_bad_frame_is_named(change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_predictions(change(hand_frame()), SEX, 0.5, n_bootstrap=2)


def test_bad_arguments_are_named() -> None:
    for attributes, options, message in (
        (SEX, {"split": "a/b"}, "without '/'"),
        (SEX, {"threshold": math.nan}, "threshold is NaN"),
        ({"sex": ("female", "female")}, {}, "distinct"),
        (SEX, {"confidence": 95}, "confidence is 95"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_predictions(hand_frame(), attributes, **({"threshold": 0.5, "n_bootstrap": 2} | options))


def test_a_frame_from_parquet_gives_the_same(tmp_path) -> None:
    frame = random_frame(11)
    frame.to_parquet(tmp_path / "base_test.parquet")
    again = pd.read_parquet(tmp_path / "base_test.parquet")
    values, reread = (evaluate_predictions(f, ATTRIBUTES, 0.5, n_bootstrap=20) for f in (frame, again))
    assert to_json(values) == to_json(reread)


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    # Normal logits a distance 1.5 apart: AUROC = Phi(1.5 / sqrt 2), TPR and FPR at logit 0 are Phi(0.75), Phi(-0.75).
    phi = lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2)))  # noqa: E731
    truth = {"test/auroc": phi(1.5 / math.sqrt(2)), "test/tpr/sex=male": phi(0.75), "test/fpr/sex=female": phi(-0.75)}
    inside = {key: [] for key in truth}
    for seed in range(200):
        values = evaluate_predictions(random_frame(seed, missing=0.0), SEX, 0.5, n_bootstrap=300, seed=seed)
        for key, value in truth.items():
            inside[key].append(values[key].low <= value <= values[key].high)
    for key, found in inside.items():
        assert 0.88 <= np.mean(found) <= 0.995, (key, np.mean(found))
