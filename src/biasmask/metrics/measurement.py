"""A figure with its interval, for what is counted in items and not in rows of a table: sentences, pairs, words.

Intervals come from a bootstrap that draws items one by one. Items that share a word or a template are not independent,
and then the intervals are too narrow.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from biasmask.metrics.bootstrap import bootstrap_weights, percentile_interval
from biasmask.metrics.row_weights import check_rows, weighted_sums


@dataclass(frozen=True)
class Measurement:
    """A figure with its interval. NaN is undefined, and `reason` says why; a reason can also warn about a value.

    `evaluation.MetricValue` has a count of positives besides, which items without a target don't have.
    """

    value: float
    low: float
    high: float
    n: int
    reason: str | None = None


def undefined(n: int, reason: str) -> Measurement:
    """A figure that has no value, with the reason.

    >>> undefined(0, "no pair").value
    nan
    """
    return Measurement(math.nan, math.nan, math.nan, n, reason)


def with_interval(value: float, draws: Tensor, n: int, confidence: float = 0.95, reason: str | None = None) -> Measurement:
    """A value with the percentile interval of its draws.

    Args:
        value: of the items as they are; NaN needs a `reason`.
        draws: (D,) float64, the same figure on each bootstrap draw; NaN = undefined in that draw; D = 0 gives no interval.
        n: number of items.
        confidence: coverage, in (0, 1).
        reason: why the value is NaN, or a warning.

    Returns:
        Measurement; low and high are NaN, with a reason, when the value is, without draws, or with too many undefined.

    Raises:
        ValueError: a confidence outside (0, 1).

    Source: Efron and Tibshirani 1993, chapter 13.

    >>> with_interval(0.5, torch.tensor([0.25, 0.25]), n=7)
    Measurement(value=0.5, low=0.25, high=0.25, n=7, reason=None)
    """
    low, high, lost = (end.item() for end in percentile_interval(draws.reshape(-1, 1).to(torch.float64), confidence))
    if math.isnan(value):
        return undefined(n, reason or "undefined")
    if math.isnan(low):
        why = f"no interval: undefined in {lost} of {len(draws)} draws" if len(draws) else "no interval: no draws asked for"
        reason = "; ".join(text for text in (reason, why) if text)
    return Measurement(value, low, high, n, reason)


def mean_measurement(
    values: Tensor, n_draws: int = 1000, confidence: float = 0.95, seed: int = 0, strata: Tensor | None = None
) -> Measurement:
    """Mean over items with a bootstrap interval.

    Formula: mean of the defined entries; each draw resamples those within their strata. For a paired comparison
    give the differences item by item.

    Args:
        values: (N,) float, integer or bool; NaN = the item is undefined and left out, with a warning.
        n_draws: bootstrap draws; 0 = no interval.
        confidence: coverage, in (0, 1).
        seed: of the draws.
        strata: (N,) integer labels within which items are drawn; None = all together.

    Returns:
        Measurement with n = defined items; NaN with the reason where there is none.

    Raises:
        ValueError: values or strata that aren't one-dimensional and of one length; as `bootstrap_weights`.

    Source: Efron and Tibshirani 1993, chapters 6 and 13.

    >>> mean_measurement(torch.tensor([1.0, 1.0, float("nan")]), n_draws=10)
    Measurement(value=1.0, low=1.0, high=1.0, n=2, reason='1 of 3 items undefined and left out')
    """
    check_rows(values.numel(), values=values)
    values = values.to(torch.float64)
    strata = torch.zeros(len(values), dtype=torch.long) if strata is None else strata
    check_rows(len(values), strata=strata)
    defined = ~values.isnan()
    n = int(defined.sum())
    if not n:
        return undefined(0, f"all {len(values)} items are undefined" if len(values) else "no items")
    reason = f"{len(values) - n} of {len(values)} items undefined and left out" if n < len(values) else None
    draws = weighted_sums(values[defined].unsqueeze(1), bootstrap_weights(strata[defined], n_draws, seed)) / n
    return with_interval(values[defined].mean().item(), draws, n, confidence, reason)
