"""WEAT and SEAT: how far two sets of targets lean towards one of two sets of attributes.

X and Y are sets of target embeddings (such as career and family), A and B sets of attribute embeddings (such as male and
female). All is computed in float64 on one device. Letters: n, m, k embeddings of a set, D dimensions.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Cosines have no unit and float32 embeddings give them to about 1e-7: a spread below this is rounding, not association.
SMALLEST_SPREAD = 1e-6


@dataclass(frozen=True)
class EffectSize:
    """An effect size and the number of targets behind it. NaN is undefined, and `reason` says why, or warns of a value."""

    value: float
    n: int
    reason: str | None = None


def association(w: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """How much nearer each embedding is to A than to B.

    Formula: s(w) = mean over a of cos(w, a) - mean over b of cos(w, b). The mean of cosines with a set is the product
    with the mean of its unit vectors, so no matrix of cosines is formed.

    Args:
        w: (n, D) float.
        a: (m, D) float.
        b: (k, D) float.

    Returns:
        (n,) float64 in [-2, 2]; NaN for a w without direction (zero or not finite), and for all w when A or B is empty
        or holds such a vector.

    Raises:
        ValueError: a set that isn't two-dimensional, dimensions that differ.

    Source: Caliskan et al. 2017, s(w, A, B).

    >>> association(torch.eye(2), torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]])).tolist()
    [1.0, -1.0]
    """
    _check_sets(w=w, a=a, b=b)
    w = w.to(torch.float64)
    # Divided by lengths after the product: a zero vector makes 0/0, and NaN is what its direction should be.
    lengths: Tensor = w.norm(dim=1)
    return w @ (_mean_unit(a) - _mean_unit(b)) / lengths


def standardised_difference(s_x: Tensor, s_y: Tensor) -> Tensor:
    """The effect size from the associations of X and of Y.

    Formula: d = (mean of s over X - mean of s over Y) / standard deviation of s over X and Y together, with n - 1.

    Args:
        s_x: (n,) float, associations of X.
        s_y: (m,) float, associations of Y; n and m may differ.

    Returns:
        () float64; NaN for an empty set, a NaN association, or a standard deviation of at most 1e-6 (see
        SMALLEST_SPREAD). With equal n and m, |d| is below 2.

    Raises:
        ValueError: associations that aren't one-dimensional.

    Source: Caliskan et al. 2017, effect size, with the standard deviation of a sample.

    >>> round(standardised_difference(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0])).item(), 4)
    1.4142
    """
    if s_x.ndim != 1 or s_y.ndim != 1:
        raise ValueError(f"associations have shapes {tuple(s_x.shape)} and {tuple(s_y.shape)}, expected one number a target")
    s_x, s_y = s_x.to(torch.float64), s_y.to(torch.float64)
    if not len(s_x) or not len(s_y):
        return torch.full((), torch.nan, dtype=torch.float64, device=s_x.device)
    spread = torch.cat([s_x, s_y]).std(correction=1)
    return torch.where(spread > SMALLEST_SPREAD, (s_x.mean() - s_y.mean()) / spread, torch.nan)


def effect_size(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The effect size d of WEAT: positive when X leans to A and Y to B.

    Formula: the standardised difference of the associations of X and Y with A and B.

    Args:
        x: (n, D) float.
        y: (m, D) float.
        a: (k, D) float.
        b: (l, D) float; the four sets may differ in size.

    Returns:
        () float64; NaN when undefined: `measure_effect_size` gives the reason.

    Raises:
        ValueError: as `association`.

    Source: Caliskan et al. 2017; for sentences May et al. 2019.

    >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    >>> round(effect_size(x, y, x[:1], y[:1]).item(), 4)
    1.2247
    """
    return standardised_difference(association(x, a, b), association(y, a, b))


def measure_effect_size(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> EffectSize:
    """The effect size, with the reason where it has none or tells nothing.

    Args:
        x, y, a, b: as for `effect_size`.

    Returns:
        EffectSize with n = targets in X and Y. One target in each of X and Y gives plus or minus the square root of 2
        whatever the embeddings are: the value stands, the reason warns.

    Raises:
        ValueError: as `association`.

    >>> measure_effect_size(torch.ones(2, 3), torch.ones(2, 3), torch.eye(3), -torch.eye(3)).reason
    'the 4 targets all have the same association: their embeddings are identical or nearly so'
    """
    s_x, s_y = association(x, a, b), association(y, a, b)
    value = standardised_difference(s_x, s_y).item()
    return EffectSize(value, len(x) + len(y), _vectors_reason(x=x, y=y, a=a, b=b) or associations_reason(s_x, s_y))


def associations_reason(s_x: Tensor, s_y: Tensor) -> str | None:
    """Why the effect size of these associations is undefined or tells nothing; None when all is well.

    >>> associations_reason(torch.tensor([0.5]), torch.tensor([0.25]))
    'one target in each set: the effect size is ±√2 whatever the embeddings are'
    """
    for name, s in (("X", s_x), ("Y", s_y)):
        if not len(s):
            return f"{name} is empty"
        if s.isnan().any():
            return f"{int(s.isnan().sum())} of the {len(s)} associations of {name} are undefined"
    if math.isnan(standardised_difference(s_x, s_y).item()):
        total = len(s_x) + len(s_y)
        return f"the {total} targets all have the same association: their embeddings are identical or nearly so"
    if len(s_x) == len(s_y) == 1:
        return "one target in each set: the effect size is ±√2 whatever the embeddings are"
    return None


def _mean_unit(vectors: Tensor) -> Tensor:
    """Mean of the vectors scaled to length 1: (D,) float64, NaN for an empty set or a vector without direction."""
    vectors = vectors.to(torch.float64)
    return vectors.norm(dim=1).reciprocal() @ vectors / len(vectors) if len(vectors) else vectors.mean(0)


def _check_sets(**sets: Tensor) -> None:
    for name, vectors in sets.items():
        if vectors.ndim != 2:
            raise ValueError(f"set {name} has shape {tuple(vectors.shape)}, expected (embeddings, dimensions)")
    if len({vectors.shape[1] for vectors in sets.values()}) > 1:
        sizes = ", ".join(f"{name} {vectors.shape[1]}" for name, vectors in sets.items())
        raise ValueError(f"embeddings of different models can't be compared: dimensions are {sizes}")


def _vectors_reason(**sets: Tensor) -> str | None:
    for name, vectors in sets.items():
        if not len(vectors):
            return f"{name.upper()} is empty"
        lengths = vectors.to(torch.float64).norm(dim=1)
        for kind, wrong in (("zero", lengths == 0), ("not finite", ~lengths.isfinite())):
            if wrong.any():
                return f"{int(wrong.sum())} of the {len(vectors)} embeddings of {name.upper()} are {kind}: they have no direction"
    return None
