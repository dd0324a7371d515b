"""A collapsed model is recognised and named; a model that only lost a little is not."""

import pytest
import torch

from biasmask.metrics.collapse import collapse_report

TARGET = torch.arange(100) % 2
BASE = (TARGET * 0.4 + torch.linspace(0, 0.6, 100)).double()  # AUROC about 0.95


def test_a_healthy_model_is_not_collapsed() -> None:
    collapsed, text = collapse_report(BASE * 0.8 + 0.1, BASE, TARGET)
    assert not collapsed and text.startswith("not collapsed: score spread") and "AUROC" in text


def test_a_constant_predictor_is() -> None:
    collapsed, text = collapse_report(torch.full((100,), 0.5), BASE, TARGET)
    assert collapsed and "score spread fell from" in text and "to 0.500" in text and "\n" not in text


def test_a_small_spread_with_the_ranking_kept_is() -> None:
    collapsed, text = collapse_report(0.5 + 0.05 * BASE, BASE, TARGET)
    assert collapsed and "score spread fell" in text and "AUROC" not in text


def test_lost_ranking_with_the_spread_kept_is() -> None:
    collapsed, text = collapse_report(BASE.flip(0), BASE, TARGET)
    assert collapsed and "AUROC fell from" in text and "spread" not in text


def test_a_fall_to_chance_is_even_when_it_is_short() -> None:
    weak = torch.where(torch.arange(100) < 56, TARGET, 1 - TARGET).double()  # AUROC 0.56
    chance = torch.where(torch.arange(100) < 50, TARGET, 1 - TARGET).double()  # AUROC 0.50
    assert collapse_report(chance, weak, TARGET)[0]
    collapsed, text = collapse_report(chance, chance, TARGET)
    assert not collapsed and "at chance already" in text


def test_nan_scores_one_class_and_bad_shapes() -> None:
    broken = BASE.clone()
    broken[3] = float("nan")
    assert collapse_report(broken, BASE, TARGET) == (True, "collapsed: 1 of 100 scores are NaN or infinite")
    one_class = torch.zeros(100, dtype=torch.int64)
    assert collapse_report(BASE, BASE, one_class)[1].endswith("AUROC undefined (one class)")
    assert collapse_report(BASE * 0.01, BASE, one_class)[0]
    with pytest.raises(ValueError, match="same rows"):
        collapse_report(BASE[:5], BASE, TARGET)
    with pytest.raises(ValueError, match="same rows"):
        collapse_report(BASE[:0], BASE[:0], TARGET[:0])
