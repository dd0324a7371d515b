"""What independent random masks share: the level of chance of an overlap, and how far an overlap lies above it.

A mask has several parts (matrices, or tensors), each of n places of which the first mask takes a and the second b.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

TAIL = 1e-15  # probability below which an outcome is left out
MOST_EXACT = 20_000  # taken places above which the number of shared ones is as good as normal
NORMAL_QUANTILE = 1.959964


@dataclass(frozen=True)
class Chance:
    """The overlap of independent random masks: its mean, and the middle 95 % of its distribution."""

    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan


Sizes = Sequence[tuple[int, int, int]]


def chance_iou(sizes: Sizes) -> Chance:
    """The IoU of two independent random masks that take given numbers of places in each of several parts.

    What both take in a part is hypergeometric, the parts are independent, and the IoU grows with the sum: the distribution
    is exact, by convolution. Above 20,000 places the sum is taken as normal.

    Args:
        sizes: For each part its places, and how many of them the first and the second mask take.

    Returns:
        Mean and middle 95 %; NaN where nothing is taken.

    >>> chance_iou([(4, 2, 2)])
    Chance(mean=0.388..., low=0.0, high=1.0)
    """
    taken = sum(a + b for _, a, b in sizes)
    if not taken:
        return Chance()
    if taken > MOST_EXACT:
        return normal_iou(sizes, taken)
    start, probabilities = 0, np.ones(1)
    for total, a, b in sizes:
        values = np.arange(max(0, a + b - total), min(a, b) + 1)
        part = hypergeom.pmf(values, total, a, b)
        likely = np.flatnonzero(part > TAIL)
        start += int(values[likely[0]])
        probabilities = np.convolve(probabilities, part[likely[0] : likely[-1] + 1])
    both = start + np.arange(len(probabilities))
    iou = both / (taken - both)
    below = np.cumsum(probabilities) / probabilities.sum()
    low, high = (float(iou[min(int(np.searchsorted(below, q)), len(iou) - 1)]) for q in (0.025, 0.975))
    return Chance(float(iou @ probabilities / probabilities.sum()), low, high)


def normal_iou(sizes: Sizes, taken: int) -> Chance:
    """As `chance_iou`, with a normal number of shared places K: IoU = K / (taken - K), to the second order of K's spread."""
    mean, deviation = shared_places(sizes)
    curvature = 2 * taken / (taken - mean) ** 3
    low, high = (max(0.0, mean + side * NORMAL_QUANTILE * deviation) for side in (-1, 1))
    return Chance(mean / (taken - mean) + curvature * deviation**2 / 2, low / (taken - low), high / (taken - high))


def shared_places(sizes: Sizes) -> tuple[float, float]:
    """Mean and standard deviation of the number of places that two random masks share.

    >>> mean, deviation = shared_places([(4, 2, 2)])
    >>> mean, round(deviation, 3)
    (1.0, 0.577)
    """
    mean = sum(a * b / n for n, a, b in sizes if n)
    variance = sum(a * b * (n - a) * (n - b) / (n * n * (n - 1)) for n, a, b in sizes if n > 1)
    return mean, math.sqrt(variance)


def overlap_z(sizes: Sizes, both: int) -> float:
    """How many standard deviations of random masks the number of shared places lies above their mean; NaN without spread.

    >>> round(overlap_z([(4, 2, 2)], 2), 3)
    1.732
    """
    mean, deviation = shared_places(sizes)
    return (both - mean) / deviation if deviation else math.nan
