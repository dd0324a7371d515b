"""Statistics over runs from one figure a run, where there are no predictions to draw rows from: Student intervals, sign flips."""

import math
from collections.abc import Hashable, Sequence
from statistics import mean, stdev

from biasmask.metrics.run_statistics import cluster_means, sign_flip_p, student_interval
from biasmask.metrics.seed_comparison import SeedComparison, SeedSummary


def summarize_values(
    values: Sequence[float], confidence: float = 0.95, clusters: Sequence[Hashable] | None = None
) -> SeedSummary:
    """Mean, standard deviation and Student interval of a figure over runs.

    Args:
        values: one a run; NaN = undefined in that run, which is left out, with the reason.
        confidence: coverage of the interval, in (0, 1).
        clusters: what runs share, such as their split, one name a run: the interval is over these; None = over runs.

    Returns:
        The summary; interval and spread are NaN for fewer than two runs, all is NaN without any.

    >>> summarize_values([0.25, 0.75]).mean
    0.5
    """
    known = [value for value in values if math.isfinite(value)]
    tested = cluster_means(values, clusters)
    low, high = student_interval(tested, confidence)
    spread = stdev(known) if len(known) > 1 else math.nan
    return SeedSummary(mean(tested) if tested else math.nan, spread, low, high, len(known), reason_of(values))


def compare_values(
    differences: Sequence[float], confidence: float = 0.95, clusters: Sequence[Hashable] | None = None
) -> SeedComparison:
    """Mean of paired differences over runs, its Student interval, and the p-value of the sign-flip test.

    Args:
        differences: one a run; NaN = undefined in that run, which is left out, with the reason.
        confidence: coverage of the interval, in (0, 1).
        clusters: as for `summarize_values`; the test flips the signs of whole ones.

    Returns:
        The comparison, without wins and losses; interval and p are NaN for fewer than two runs (or clusters).

    >>> compare_values([0.25, 0.75]).p_value
    0.5
    """
    known = [value for value in differences if math.isfinite(value)]
    tested = cluster_means(differences, clusters)
    low, high = student_interval(tested, confidence)
    value = mean(tested) if tested else math.nan
    n_clusters = None if clusters is None else len(tested)
    told = reason_of(differences), n_clusters
    return SeedComparison(value, low, high, low, high, sign_flip_p(tested), None, None, None, len(known), *told)


def reason_of(values: Sequence[float]) -> str | None:
    lost = sum(not math.isfinite(value) for value in values)
    if not lost:
        return "one run: no interval and no test over runs" if len(values) == 1 else None
    return f"undefined in {lost} of {len(values)} runs" + (", which are left out" if lost < len(values) else "")
