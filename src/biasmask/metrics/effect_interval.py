"""Bootstrap intervals of WEAT effect sizes: one test, before and after on the same targets, and the mean over tests.

X and Y are drawn anew within themselves; A and B stay as they are. Sentences of one word in several templates are drawn
one by one, so that intervals speak of these words only and are too narrow for others. A test's draws are independent of
those of the other tests, which share some of its sentences. An absolute value is never negative: its interval leans
upwards and says little about "is it 0"; look at the effect sizes with their signs and p-values.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from biasmask.metrics.association import SMALLEST_SPREAD, associations_reason, standardised_difference
from biasmask.metrics.bootstrap import bootstrap_weights
from biasmask.metrics.measurement import Measurement, undefined, with_interval
from biasmask.metrics.row_weights import weighted_sums

Associations = tuple[Tensor, Tensor]


def effect_size_draws(s_x: Tensor, s_y: Tensor, n_draws: int = 1000, seed: int = 0) -> Tensor:
    """The effect size on bootstrap draws of the targets.

    Formula: in each draw n of the n associations of X and m of the m of Y are taken with replacement, and d is that of
    `standardised_difference`. The same sizes and seed give the same draws, so that two models are paired.

    Args:
        s_x: (n,) float, associations of X.
        s_y: (m,) float, associations of Y.
        n_draws: D >= 0.
        seed: of the draws.

    Returns:
        (D,) float64; NaN in a draw in which all associations are the same.

    Source: Efron and Tibshirani 1993, chapter 6, two samples.

    >>> effect_size_draws(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 0.0]), n_draws=2).round(decimals=4).tolist()
    [1.7321, 1.7321]
    """
    n, m = len(s_x), len(s_y)
    pooled = torch.cat([s_x, s_y]).to(torch.float64).cpu()
    in_x = (torch.arange(n + m) < n).to(torch.float64)
    # Squares of centred numbers lose no digits to a large mean.
    centred = pooled - pooled.mean()
    columns = torch.stack([centred * in_x, centred * (1 - in_x), centred.square()], 1)
    x, y, squares = weighted_sums(columns, bootstrap_weights(1 - in_x.long(), n_draws, seed)).unbind(1)
    variance = (squares - (x + y).square() / (n + m)).clamp(min=0) / (n + m - 1)
    spread = variance.sqrt()
    return torch.where(spread > SMALLEST_SPREAD, (x / n - y / m) / spread, torch.nan)


def effect_size_interval(s_x: Tensor, s_y: Tensor, n_draws: int = 1000, confidence: float = 0.95, seed: int = 0) -> Measurement:
    """The effect size with its bootstrap interval.

    Args:
        s_x: (n,) float, associations of X.
        s_y: (m,) float, associations of Y.
        n_draws: bootstrap draws; 0 = no interval.
        confidence: coverage, in (0, 1).
        seed: of the draws.

    Returns:
        Measurement with n = targets of X and Y; NaN with the reason where d is undefined.

    Raises:
        ValueError: associations that aren't one-dimensional, as `percentile_interval`.

    >>> effect_size_interval(torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5])).reason
    'the 4 targets all have the same association: their embeddings are identical or nearly so'
    """
    value, reason = standardised_difference(s_x, s_y).item(), associations_reason(s_x, s_y)
    if math.isnan(value):
        return undefined(len(s_x) + len(s_y), reason or "undefined")
    return with_interval(value, effect_size_draws(s_x, s_y, n_draws, seed), len(s_x) + len(s_y), confidence, reason)


def effect_size_difference(
    base: Associations, debiased: Associations, n_draws: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Measurement:
    """Effect size of the debiased model minus that of the base, with a paired interval.

    Formula: in each draw both models are measured on the same targets.

    Args:
        base: (s_x, s_y) of the base model.
        debiased: (s_x, s_y) of the debiased model, the same targets in the same order.
        n_draws, confidence, seed: as for `effect_size_interval`.

    Returns:
        Measurement; NaN with the reason where either is undefined.

    Raises:
        ValueError: numbers of targets that differ.

    >>> s = (torch.tensor([0.5, 0.25]), torch.tensor([0.0, 0.1]))
    >>> effect_size_difference(s, s, n_draws=10).value
    0.0
    """
    return mean_effect_size_difference({"": base}, {"": debiased}, n_draws, confidence, seed, absolute=False)


def mean_abs_effect_size(
    tests: Mapping[str, Associations], n_draws: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Measurement:
    """Mean over tests of the absolute effect size, with a bootstrap interval.

    Args:
        tests: name of the test -> (s_x, s_y).
        n_draws, confidence, seed: as for `effect_size_interval`.

    Returns:
        Measurement with n = number of tests; NaN, with the test named, where one of them is undefined.

    >>> s = (torch.tensor([0.5, 0.5]), torch.tensor([0.0, 0.0]))
    >>> round(mean_abs_effect_size({"6": s, "7": s[::-1]}, n_draws=10).value, 4)
    1.7321
    """
    reason = _tests_reason(tests)
    if reason or not tests:
        return undefined(len(tests), reason or "no test")
    value = _mean(_values(tests), absolute=True).item()
    return with_interval(value, _mean(_draws(tests, n_draws, seed), absolute=True), len(tests), confidence)


def mean_effect_size_difference(
    base: Mapping[str, Associations],
    debiased: Mapping[str, Associations],
    n_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    absolute: bool = True,
) -> Measurement:
    """Mean (absolute) effect size over tests, debiased minus base, with a paired interval.

    Args:
        base: name of the test -> (s_x, s_y) of the base model.
        debiased: the same tests and targets for the debiased model.
        n_draws, confidence, seed: as for `effect_size_interval`.
        absolute: mean of |d|; False = of d.

    Returns:
        Measurement with n = number of tests; NaN with the reason where one is undefined.

    Raises:
        ValueError: tests or numbers of targets that differ.

    >>> tests = {"6": (torch.tensor([0.5, 0.25]), torch.tensor([0.0, 0.1]))}
    >>> mean_effect_size_difference(tests, tests, n_draws=10).value
    0.0
    """
    if set(base) != set(debiased):
        raise ValueError(f"tests differ: base has {sorted(base)}, debiased has {sorted(debiased)}")
    for name in base:
        sizes = [tuple(len(s) for s in model[name]) for model in (base, debiased)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"test '{name}': base has {sizes[0]} targets of X and Y, debiased has {sizes[1]}")
    debiased = {name: debiased[name] for name in base}
    reasons = [
        f"{model}: {text}" for model, text in (("base", _tests_reason(base)), ("debiased", _tests_reason(debiased))) if text
    ]
    if reasons or not base:
        return undefined(len(base), "; ".join(reasons) or "no test")
    value = _mean(_values(debiased), absolute) - _mean(_values(base), absolute)
    draws = _mean(_draws(debiased, n_draws, seed), absolute) - _mean(_draws(base, n_draws, seed), absolute)
    return with_interval(value.item(), draws, len(base), confidence)


def _values(tests: Mapping[str, Associations]) -> Tensor:
    return torch.stack([standardised_difference(*s).cpu() for s in tests.values()])


def _draws(tests: Mapping[str, Associations], n_draws: int, seed: int) -> Tensor:
    """(tests, D): a seed for each test, or tests of equal size would be drawn alike."""
    return torch.stack([effect_size_draws(*s, n_draws, seed + i) for i, s in enumerate(tests.values())])


def _mean(effects: Tensor, absolute: bool) -> Tensor:
    return (effects.abs() if absolute else effects).mean(0)


def _tests_reason(tests: Mapping[str, Associations]) -> str | None:
    """The first test without an effect size, named."""
    for name, s in tests.items():
        if math.isnan(standardised_difference(*s).item()):
            return f"{f'test {name}: ' if name else ''}{associations_reason(*s)}"
    return None


def mean_lean(tests: Mapping[str, Associations], base: Mapping[str, Associations] | None = None, **settings: Any) -> Measurement:
    """The lean without its standard deviation: mean over tests of |mean of s over X - mean of s over Y|.

    The effect size divides the lean by the spread of all associations. A model in which every association has become half as
    large has the same effect size, and half the lean: read the two together.

    Args:
        tests: name of the test -> (s_x, s_y).
        base: the same for a base model: its mean lean is subtracted, with a paired interval.
        settings: n_draws, confidence, seed as for `effect_size_interval`.
    Returns:
        Measurement with n = number of tests, in [0, 4]; NaN, with the test named, where an association is undefined.
    Source: Caliskan et al. 2017, the test statistic, by the mean in the place of the sum.

    >>> mean_lean({"6": (torch.tensor([0.5, 0.25]), torch.tensor([0.0, 0.25]))}, n_draws=10).value
    0.25
    """
    n_draws, confidence, seed = settings.get("n_draws", 1000), settings.get("confidence", 0.95), settings.get("seed", 0)
    for part in (tests, base or {}):
        for name, s in part.items():
            if any(not len(side) or side.isnan().any() for side in s):
                return undefined(len(tests), f"test {name}: {associations_reason(*s)}")
    if not tests:
        return undefined(0, "no test")
    value, draws = _leans(tests, n_draws, seed)
    if base is not None:
        value_before, draws_before = _leans({name: base[name] for name in tests}, n_draws, seed)
        value, draws = value - value_before, draws - draws_before
    return with_interval(value, draws, len(tests), confidence)


def _leans(tests: Mapping[str, Associations], n_draws: int, seed: int) -> tuple[float, Tensor]:
    values, draws = [], []
    for number, (s_x, s_y) in enumerate(tests.values()):
        pooled = torch.cat([s_x, s_y]).to(torch.float64).cpu()
        in_x = (torch.arange(len(pooled)) < len(s_x)).to(torch.float64)
        signed = pooled * torch.where(in_x.bool(), 1 / len(s_x), -1 / len(s_y))
        values.append(signed.sum().abs())
        weights = bootstrap_weights(1 - in_x.long(), n_draws, seed + number)
        draws.append(weighted_sums(signed.unsqueeze(1), weights)[:, 0].abs())
    return float(torch.stack(values).mean()), torch.stack(draws).mean(0)
