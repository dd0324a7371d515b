"""Decisions by rules of each group."""

from typing import Any

import pytest
import torch

from biasmask.methods.group_thresholds import decide, positive_probability


def rule(threshold: float, **other: Any) -> dict[str, Any]:
    plain = {"p0": 1.0, "operation0": ">", "threshold0": threshold, "p1": 0.0, "operation1": ">", "threshold1": 9.0}
    return {**plain, "p_ignore": 0.0, "constant": 0.0, **other}


def test_infinite_and_reversed_thresholds() -> None:
    scores = torch.tensor([0.0, 0.5, 1.0])
    assert positive_probability(scores, rule(-torch.inf)).tolist() == [1, 1, 1]
    assert positive_probability(scores, rule(torch.inf)).tolist() == [0, 0, 0]
    assert positive_probability(scores, rule(0.5, operation0="<")).tolist() == [1, 0, 0]
    assert positive_probability(scores, rule(0.5, p_ignore=0.25, constant=0.5)).tolist() == [0.125, 0.125, 0.875]


def test_each_group_by_its_rule_and_unknown_ones_by_the_pooled() -> None:
    scores = torch.full((6,), 0.4)
    group = torch.tensor([0, 1, -1, 2, 0, 1])
    found = decide(scores, group, {0: rule(0.5), 1: rule(0.3), -1: rule(0.35)}, torch.full((6,), 0.999, dtype=torch.float64))
    assert found.tolist() == [0, 1, 1, 1, 0, 1], "group 2 has no rule of its own"


def test_a_mixture_decides_by_the_draws() -> None:
    n = 4000
    draws = torch.rand(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixture = rule(0.5, p0=0.3, p1=0.7, threshold1=0.1)
    scores, group = torch.full((n,), 0.2), torch.zeros(n, dtype=torch.long)
    found = decide(scores, group, {0: mixture, -1: mixture}, draws)
    assert found.equal((draws < 0.7).long()) and float(found.double().mean()) == pytest.approx(0.7, abs=0.03)


def test_what_is_refused() -> None:
    scores, group, draws = torch.zeros(2), torch.zeros(2, dtype=torch.long), torch.zeros(2, dtype=torch.float64)
    with pytest.raises(ValueError, match="without a group"):
        decide(scores, group, {0: rule(0.5)}, draws)
    with pytest.raises(ValueError, match=r"must be \(N,\)"):
        decide(scores, group[:1], {-1: rule(0.5)}, draws)
    with pytest.raises(ValueError, match="operation0"):
        positive_probability(scores, rule(0.5, operation0=">="))
    with pytest.raises(ValueError, match="lacks constant"):
        positive_probability(scores, {key: value for key, value in rule(0.5).items() if key != "constant"})
