"""Statistics of one number a run: Student's interval and the sign-flip test.

Letters: R runs.
"""

import math
from collections.abc import Hashable, Sequence
from statistics import mean, stdev

import torch
from scipy.stats import t as student

LARGEST_EXACT = 16
N_FLIPS = 20_000


def cluster_means(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> list[float]:
    """The mean of each cluster of runs, such as those of one split: runs of a cluster share its luck and are no independent ones.

    Args:
        values: R, one a run; NaN = undefined, which is left out.
        clusters: R names, one a run; None = each run is a cluster.

    Returns:
        One number a cluster, in the order in which they come; a cluster without a defined value has none.

    >>> cluster_means([1.0, 2.0, 6.0], ["a", "a", "b"]), cluster_means([1.0, math.nan])
    ([1.5, 6.0], [1.0])
    """
    groups: dict[Hashable, list[float]] = {}
    for place, value in enumerate(values):
        if not math.isnan(value):
            groups.setdefault(place if clusters is None else clusters[place], []).append(value)
    return [math.fsum(own) / len(own) for own in groups.values()]


def student_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of the runs, from their spread alone.

    Formula: mean plus and minus the quantile of Student's t with R - 1 degrees of freedom times the standard deviation
    (ddof = 1) over the root of R.

    Args:
        values: R finite numbers, one a run.
        confidence: coverage, in (0, 1).

    Returns:
        (low, high); NaN with fewer than two runs.

    Raises:
        ValueError: a confidence outside (0, 1).

    Source: Student 1908. It takes the runs for independent: runs on the same test rows share the luck of these rows,
    and then the interval is about these rows.

    >>> [round(end, 4) for end in student_interval([1.0, 2.0, 3.0])]
    [-0.4841, 4.4841]
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1 such as 0.95")
    if len(values) < 2:
        return math.nan, math.nan
    middle = mean(values)
    reach = float(student.ppf((1 + confidence) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return middle - reach, middle + reach


def smallest_p(n_runs: int) -> float:
    """The smallest p-value that the sign-flip test can give: 2 / 2^R, or 1 / 20,001 from 17 runs on; NaN below two.

    >>> smallest_p(3), smallest_p(6)
    (0.25, 0.03125)
    """
    if n_runs < 2:
        return math.nan
    return 2.0 ** (1 - n_runs) if n_runs <= LARGEST_EXACT else 1 / (N_FLIPS + 1)


def sign_flip_p(differences: Sequence[float], seed: int = 0) -> float:
    """Two-sided p-value of "the sign of each run's difference is a coin toss".

    Formula: share of the assignments of signs whose mean is at least as far from 0 as the observed mean (a tie counts).
    Up to 16 runs each of the 2^R is looked at once; beyond, p = (1 + draws that reach it) / (1 + 20,000).

    Args:
        differences: R finite numbers, one a run.
        seed: of the draws, for more than 16 runs.

    Returns:
        p in (0, 1]; NaN with fewer than two runs; 1 when all differences are 0.

    Raises:
        ValueError: a difference that isn't finite.

    Source: Fisher 1935, paired permutation test; +1 of Phipson and Smyth 2010.

    >>> sign_flip_p([0.1, 0.2, 0.3])
    0.25
    """
    values = torch.as_tensor(differences, dtype=torch.float64)
    if not values.isfinite().all():
        raise ValueError("a run's difference is NaN or infinite: leave that run out")
    n_runs = len(values)
    if n_runs < 2:
        return math.nan
    # Sums of the same numbers in another order differ by rounding, and are ties.
    reached = values.sum().abs() - n_runs * torch.finfo(torch.float64).eps * values.abs().sum()
    if n_runs <= LARGEST_EXACT:
        negative = torch.arange(2**n_runs).unsqueeze(1) >> torch.arange(n_runs) & 1
    else:
        negative = torch.randint(0, 2, (N_FLIPS, n_runs), generator=torch.Generator().manual_seed(seed))
    count = int((((1 - 2 * negative).double() @ values).abs() >= reached).sum())
    return count / 2**n_runs if n_runs <= LARGEST_EXACT else (count + 1) / (N_FLIPS + 1)
