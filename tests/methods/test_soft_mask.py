"""The soft mask of SWiFT."""

import pytest
import torch

from biasmask.methods.soft_mask import soft_mask


def test_tanh_of_each_tensor():
    scores = {"a": torch.rand(3, 2), "b": torch.tensor(1e10, dtype=torch.float64)}
    mask = soft_mask(scores)
    assert torch.equal(mask["a"], torch.tanh(scores["a"]))
    assert mask["b"].item() == 1
    assert mask["b"].dtype == torch.float64


@pytest.mark.parametrize("value", [-0.1, torch.nan, torch.inf])
def test_bad_scores_are_named(value):
    with pytest.raises(ValueError, match="scores of conv are negative or not finite"):
        soft_mask({"conv": torch.tensor([0.5, value])})
