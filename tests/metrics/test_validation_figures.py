"""The figures that rules look at are those of the evaluation."""

import numpy as np
import pandas as pd
import pytest
import torch

from biasmask.metrics.evaluation import evaluate_predictions
from biasmask.metrics.threshold import select_threshold, select_thresholds
from biasmask.metrics.validation_figures import summarised, validation_figures

GAPS = ("equalized_odds_mean", "equalized_odds_max", "equal_opportunity", "fpr_gap", "demographic_parity", "auroc_gap")


def table(n_classes: int) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    rng = np.random.default_rng(0)
    target = rng.integers(0, n_classes, 120)
    groups = {"sex": rng.integers(0, 2, 120), "site": rng.integers(-1, 3, 120)}
    frame = pd.DataFrame({"row": np.arange(120), "target": target})
    if n_classes == 2:
        frame["score"] = np.clip(0.3 * target + rng.random(120) * 0.7, 0, 1)
    else:
        scores = torch.softmax(torch.as_tensor(rng.random((120, n_classes)) + np.eye(n_classes)[target]), 1)
        frame[[f"score:{c}" for c in range(n_classes)]] = scores.numpy()
    for name, index in groups.items():
        frame[f"attribute:{name}"] = np.array(["0", "1", "2", None], dtype=object)[index]
    return frame, {name: torch.as_tensor(index) for name, index in groups.items()}


@pytest.mark.parametrize("n_classes", [2, 3])
def test_equal_to_the_evaluation_at_the_threshold_of_these_rows(n_classes: int) -> None:
    frame, groups = table(n_classes)
    target = torch.tensor(frame["target"].to_numpy())
    columns = "score" if n_classes == 2 else [f"score:{c}" for c in range(n_classes)]
    scores = torch.tensor(frame[columns].to_numpy())
    found = validation_figures(scores, target, groups, {"sex": 2, "site": 3}, "balanced_accuracy")
    if n_classes == 2:
        threshold = select_threshold(scores, target)
    else:
        threshold = {str(c): value for c, value in enumerate(select_thresholds(scores, target))}
    names = {"sex": ("0", "1"), "site": ("0", "1", "2")}
    expected = {k: v.value for k, v in evaluate_predictions(frame, names, threshold, "val", n_bootstrap=0).items()}
    assert found["auroc"] == expected["val/auroc"]
    assert found["balanced_accuracy"] == expected["val/balanced_accuracy"]
    assert found["score_std"] == pytest.approx(scores.std(0, correction=0).mean().item())
    for gap in GAPS:
        assert found[gap] == (expected[f"val/{gap}/sex"] + expected[f"val/{gap}/site"]) / 2
    assert found["auroc_worst_group"] == min(expected["val/auroc_worst_group/sex"], expected["val/auroc_worst_group/site"])


def test_an_attribute_in_which_a_figure_is_undefined_is_left_out() -> None:
    values = {"val/auroc": 0.9, "val/fpr_gap/sex": float("nan"), "val/fpr_gap/age": 0.2, "val/auroc_worst_group/age": 0.7}
    found = summarised(values, ["sex", "age"])
    assert found["fpr_gap"] == 0.2 and found["auroc_worst_group"] == 0.7
    assert np.isnan(found["equal_opportunity"])
