"""More than two classes: against scikit-learn, one-vs-rest as two classes, means that leave classes out, equal thresholds."""

import math

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sm
import torch

from biasmask.metrics.collapse import collapse_report
from biasmask.metrics.evaluation import compare_predictions, evaluate_predictions
from biasmask.metrics.ranking import macro_auroc
from biasmask.metrics.threshold import select_threshold, select_thresholds

from .prediction_frames import ATTRIBUTES, random_frame

CLASSES = ("akiec", "bcc", "mel", "nv")
THRESHOLDS = {"akiec": 0.2, "bcc": 0.3, "mel": 0.25, "nv": 0.4}


def class_frame(seed: int, n_rows: int = 300) -> pd.DataFrame:
    """Four classes of unequal size, scored better than by chance."""
    generator = np.random.default_rng(seed)
    target = generator.choice(4, n_rows, p=(0.1, 0.2, 0.3, 0.4))
    target[:4] = range(4)
    logits = generator.normal(size=(n_rows, 4))
    logits[np.arange(n_rows), target] += 1.2
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    frame = random_frame(seed, n_rows).drop(columns=["score", "logit"]).assign(target=target)
    return frame.assign(**{f"score:{name}": scores[:, index] for index, name in enumerate(CLASSES)})


def scores_of(frame: pd.DataFrame) -> np.ndarray:
    return frame[[f"score:{name}" for name in CLASSES]].to_numpy()


@pytest.mark.parametrize("seed", range(3))
def test_values_equal_sklearn(seed: int) -> None:
    frame = class_frame(seed)
    values = evaluate_predictions(frame, ATTRIBUTES, THRESHOLDS, n_bootstrap=2)
    y, s = frame["target"].to_numpy(), scores_of(frame)
    one_hot = np.eye(4)[y]
    expected = {
        "auroc": sm.roc_auc_score(y, s, multi_class="ovr", average="macro"),
        "average_precision": sm.average_precision_score(one_hot, s, average="macro"),
        "accuracy": sm.accuracy_score(y, s.argmax(1)),
        "balanced_accuracy": sm.balanced_accuracy_score(y, s.argmax(1)),
        "f1": sm.f1_score(one_hot, s >= list(THRESHOLDS.values()), average="macro"),
        "brier": ((s - one_hot) ** 2).mean(),
    }
    for name, value in expected.items():
        assert values[f"test/{name}"].value == pytest.approx(value, abs=1e-12), name
    male = (frame["attribute:sex"] == "male").to_numpy()
    recall = sm.balanced_accuracy_score(y[male], s[male].argmax(1))
    assert values["test/balanced_accuracy/sex=male"].value == pytest.approx(recall, abs=1e-12)
    assert macro_auroc(torch.tensor(s), torch.tensor(y)).item() == pytest.approx(expected["auroc"], abs=1e-12)


def test_a_class_is_two_classes_against_each_other() -> None:
    frame = class_frame(3)
    values = evaluate_predictions(frame, ATTRIBUTES, THRESHOLDS, n_bootstrap=0)
    for index, name in enumerate(CLASSES):
        alone = frame.assign(score=frame[f"score:{name}"], target=(frame["target"] == index).astype(int))
        alone = alone.drop(columns=[f"score:{other}" for other in CLASSES])
        for key, value in evaluate_predictions(alone, ATTRIBUTES, THRESHOLDS[name], n_bootstrap=0).items():
            found = values[key.replace("test/", f"test:{name}/", 1)]
            assert (found.value, found.n, found.n_positive) == (value.value, value.n, value.n_positive), key


def test_keys_and_means() -> None:
    values = evaluate_predictions(class_frame(4), ATTRIBUTES, THRESHOLDS, split="val", n_bootstrap=20)
    overall = [key for key in values if key.startswith("val/")]
    assert len(values) == 5 * len(overall) and all(key.split("/")[1] for key in values)
    for key in ("f1", "ece", "tpr/sex=male", "equalized_odds_mean/skin_tone", "auroc_gap/sex"):
        of_classes = [values[f"val:{name}/{key}"] for name in CLASSES]
        assert values[f"val/{key}"].value == pytest.approx(np.mean([v.value for v in of_classes]), abs=1e-12)
        assert values[f"val/{key}"].low < values[f"val/{key}"].high
        assert values[f"val/{key}"].n_positive == min(v.n_positive for v in of_classes)


def test_the_interval_of_a_mean_comes_from_the_draws_of_the_mean() -> None:
    values = evaluate_predictions(class_frame(5), {}, THRESHOLDS, n_bootstrap=300)
    width = values["test/auroc"].high - values["test/auroc"].low
    widths = [values[f"test:{name}/auroc"].high - values[f"test:{name}/auroc"].low for name in CLASSES]
    assert width < np.mean(widths)
    assert values["test/auroc"].low < values["test/auroc"].value < values["test/auroc"].high


def test_a_class_without_rows_is_left_out_and_named() -> None:
    frame = class_frame(6)
    frame = frame[frame["target"] != 1]
    values = evaluate_predictions(frame, ATTRIBUTES, THRESHOLDS, n_bootstrap=10)
    n = len(frame)
    assert values["test/auroc"].reason == f"incomplete: class bcc left out (split test:bcc has no positive among {n} rows)"
    assert values["test/auroc"].value == pytest.approx(
        np.mean([values[f"test:{name}/auroc"].value for name in ("akiec", "mel", "nv")]), abs=1e-12
    )
    assert values["test/balanced_accuracy"].reason == "incomplete: split test has no row of class bcc"
    assert math.isnan(values["test:bcc/tpr/sex=male"].value) and "class bcc left out" in values["test/tpr/sex=male"].reason
    assert values["test/accuracy"].value == sm.accuracy_score(frame["target"], scores_of(frame).argmax(1))
    assert values["test/accuracy"].reason is None


def test_an_empty_group_has_one_reason_and_small_classes_are_named() -> None:
    frame = class_frame(7, n_rows=60)
    frame["attribute:sex"] = "male"
    values = evaluate_predictions(frame, {"sex": ("female", "male")}, THRESHOLDS, n_bootstrap=5)
    for metric in ("tpr", "auroc", "mean_score", "balanced_accuracy"):
        value = values[f"test/{metric}/sex=female"]
        assert math.isnan(value.value) and (value.reason, value.n) == ("group female has no row", 0)
    assert values["test/auroc"].reason.startswith("small: class akiec")
    assert "of class akiec" in values["test/balanced_accuracy"].reason


def test_paired_differences_and_a_model_against_itself() -> None:
    base, other = class_frame(8), class_frame(8)
    other[[f"score:{name}" for name in CLASSES]] = scores_of(other) ** 2
    same = compare_predictions(base, base, ATTRIBUTES, (THRESHOLDS, THRESHOLDS), n_bootstrap=20)
    assert {(v.value, v.low, v.high) for v in same.values() if not math.isnan(v.value)} == {(0.0, 0.0, 0.0)}
    difference = compare_predictions(base, other, ATTRIBUTES, (THRESHOLDS, THRESHOLDS), n_bootstrap=20)
    assert difference["test/auroc"].value == 0.0  # the ranking of a class is the same
    assert difference["test/selection_rate/sex=male"].value < 0
    before, after = (evaluate_predictions(f, ATTRIBUTES, THRESHOLDS, n_bootstrap=0) for f in (base, other))
    for key, value in difference.items():
        assert value.value == pytest.approx(after[key].value - before[key].value, abs=1e-15, nan_ok=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(score=0.5), "give one score, or one for each class"),
        (lambda f: f.drop(columns=["score:mel", "score:nv"]), r"scores of 2 class"),
        (lambda f: f.rename(columns={"score:mel": "score:mel/nv"}), "without '/'"),
        (lambda f: f.assign(prediction=0), "two classes only"),
        (lambda f: f.assign(target=4), r"target 4 is outside 0\.\.3"),
        (lambda f: f.assign(**{"score:mel": 1.5}), r"score:mel 1.5 is outside \[0, 1\]"),
    ],
)
def test_bad_frames(change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_predictions(change(class_frame(0)), {}, THRESHOLDS, n_bootstrap=0)


def test_thresholds_must_fit_the_classes() -> None:
    frame = class_frame(0)
    for wrong in (0.5, {"mel": 0.5}, {**THRESHOLDS, "mel": math.nan}):
        with pytest.raises(ValueError, match="threshold"):
            evaluate_predictions(frame, {}, wrong, n_bootstrap=0)
    with pytest.raises(ValueError, match="give one number"):
        evaluate_predictions(random_frame(0), {}, THRESHOLDS, n_bootstrap=0)
    with pytest.raises(ValueError, match="classes differ"):
        other = frame.rename(columns={"score:mel": "score:melanoma"})
        compare_predictions(frame, other, {}, (THRESHOLDS, THRESHOLDS), n_bootstrap=0)


def test_thresholds_are_those_of_each_class_against_the_rest() -> None:
    frame = class_frame(9)
    scores, target = torch.tensor(scores_of(frame)), torch.tensor(frame["target"].to_numpy())
    chosen = select_thresholds(scores, target)
    assert chosen == [select_threshold(scores[:, c], (target == c).long()) for c in range(4)]
    kept = target != 2
    assert select_thresholds(scores[kept], target[kept])[2] == 0.25
    assert select_thresholds(scores, target, "fixed:0.3") == [0.3] * 4
    with pytest.raises(ValueError, match=r"expected 0\.\.2"):
        select_thresholds(scores[:, :3], target)
    with pytest.raises(ValueError, match="one row per target"):
        select_thresholds(scores[:, 0], target)


def test_macro_auroc_leaves_absent_classes_out() -> None:
    frame = class_frame(10)
    scores, target = torch.tensor(scores_of(frame)), torch.tensor(frame["target"].to_numpy())
    kept = target < 2
    assert macro_auroc(scores[kept], target[kept]).item() == pytest.approx(
        np.mean([sm.roc_auc_score(target[kept] == c, scores[kept, c]) for c in (0, 1)]), abs=1e-12
    )
    assert macro_auroc(scores[target == 0], target[target == 0]).isnan().all()
    weights = torch.ones(2, len(target))
    weights[1, target == 3] = 0
    assert macro_auroc(scores, target, weights).isnan().tolist() == [False, True]


def test_collapse_of_several_classes() -> None:
    frame = class_frame(11)
    scores, target = torch.tensor(scores_of(frame)), torch.tensor(frame["target"].to_numpy())
    assert not collapse_report(scores, scores, target)[0]
    constant = scores.mean(0, keepdim=True).expand_as(scores)  # differs between classes, not between rows
    collapsed, text = collapse_report(constant, scores, target)
    assert collapsed and "score spread fell" in text and "to 0.500" in text
    assert collapse_report(scores.roll(1, 1), scores, target)[0]
