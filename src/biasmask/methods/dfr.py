"""DFR: a head that is fitted anew on balanced features, as the mean of several logistic regressions.

Letters: N samples, F features, C classes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

ITERATIONS = {"l2": 200, "l1": 2000}


class LinearHead(NamedTuple):
    """weight: (1, F) for two classes, else (C, F); bias: (1,) or (C,). Logits are features @ weight.T + bias."""

    weight: Tensor
    bias: Tensor


def logistic_regression(
    features: Tensor, target: Tensor, n_classes: int, strength: float, penalty: str = "l2", tolerance: float = 1e-6
) -> LinearHead:
    """The linear head of the smallest penalised log loss.

    Mean log loss + strength * R, with R = 1/2 * sum of w^2 (l2, by L-BFGS) or sum of |w| (l1, by accelerated proximal
    gradient steps). The bias has no penalty. Two classes have one logit, more have one each under a softmax.

    Args:
        features: (N, F) float, of similar scale (see `standardisation`).
        target: (N,) int, 0..C-1.
        n_classes: C, at least 2.
        strength: of the penalty, > 0; scikit-learn's 1 / (C * N).
        penalty: `l2` or `l1`.
        tolerance: largest entry of the (generalised) gradient at which it stops.
    Returns:
        LinearHead in float64.
    Raises:
        ValueError: shapes that don't fit, a strength that is not above 0, an unknown penalty.
    Source:
        DFR (Kirichenko et al. 2022) takes scikit-learn's solver; this one needs torch only.

    >>> x, y = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
    >>> weight, bias = logistic_regression(x, y, 2, strength=0.1)
    >>> round(float(weight), 2), round(abs(float(bias)), 2)
    (1.46, 0.0)
    """
    if features.ndim != 2 or target.shape != features.shape[:1] or len(target) == 0:
        raise ValueError(f"features {tuple(features.shape)} and targets {tuple(target.shape)} must be (N, F) and (N,), N >= 1")
    if not strength > 0:
        raise ValueError(f"strength is {strength}: give a number above 0")
    if penalty not in ITERATIONS:
        raise ValueError(f"penalty is {penalty!r}: use l2 or l1")
    x, y = features.detach().double(), target.long()
    rows = 1 if n_classes == 2 else n_classes
    flat = torch.zeros(rows * (x.shape[1] + 1), dtype=torch.float64, device=x.device)

    def log_loss(theta: Tensor) -> Tensor:
        head = _unpack(theta, rows)
        logits = x @ head.weight.T + head.bias
        if rows == 1:
            return F.binary_cross_entropy_with_logits(logits[:, 0], y.double())
        return F.cross_entropy(logits, y)

    if penalty == "l1":
        return _unpack(_proximal(flat, log_loss, strength, _lipschitz(x), rows, tolerance), rows)

    def penalised(theta: Tensor) -> Tensor:
        return log_loss(theta) + strength / 2 * _unpack(theta, rows).weight.square().sum()

    return _unpack(_lbfgs(flat, penalised, tolerance), rows)


def standardisation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each feature; 1 for a feature that is constant.

    Args:
        features: (N, F) float.
    Returns:
        Two tensors (F,) in float64.

    >>> [part.tolist() for part in standardisation(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))]
    [[2.0, 5.0], [1.0, 1.0]]
    """
    wide = features.detach().double()
    deviation = wide.std(0, correction=0)
    return wide.mean(0), torch.where(deviation > 1e-12, deviation, 1.0)


def averaged_head(heads: Sequence[LinearHead], mean: Tensor, deviation: Tensor) -> LinearHead:
    """The mean of heads for standardised features, as one head for the features as they are.

    w = mean of w_k / deviation; b = mean of b_k - sum of w * mean.

    Args:
        heads: at least one.
        mean, deviation: (F,), by which the features were standardised.
    Returns:
        LinearHead in float64.
    Source:
        DFR (Kirichenko et al. 2022).

    >>> head = averaged_head([LinearHead(torch.tensor([[4.0]]), torch.zeros(1))], torch.tensor([3.0]), torch.tensor([2.0]))
    >>> head.weight.tolist(), head.bias.tolist()
    ([[2.0]], [-6.0])
    """
    weight = torch.stack([head.weight for head in heads]).mean(0) / deviation
    return LinearHead(weight, torch.stack([head.bias for head in heads]).mean(0) - weight @ mean)


def _unpack(theta: Tensor, rows: int) -> LinearHead:
    return LinearHead(theta[:-rows].view(rows, -1), theta[-rows:])


def _lbfgs(theta: Tensor, loss: Callable[[Tensor], Tensor], tolerance: float) -> Tensor:
    theta.requires_grad_(True)
    solver = torch.optim.LBFGS(
        [theta], max_iter=ITERATIONS["l2"], tolerance_grad=tolerance, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        solver.zero_grad()
        value = loss(theta)
        value.backward()
        return value

    solver.step(closure)
    return theta.detach()


def _lipschitz(x: Tensor) -> float:
    """An upper bound of the log loss's curvature, with the bias as a feature of ones; 1/2 holds for any number of classes."""
    with_one = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    return 0.5 * float(torch.linalg.matrix_norm(with_one, 2)) ** 2 / len(x)


def _proximal(
    theta: Tensor, loss: Callable[[Tensor], Tensor], strength: float, lipschitz: float, rows: int, tolerance: float
) -> Tensor:
    """Accelerated proximal gradient (FISTA), begun anew where the momentum leads uphill."""
    ahead, momentum = theta, 1.0
    for _ in range(ITERATIONS["l1"]):
        point = ahead.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(point), point)
        new = ahead - gradient / lipschitz
        new[:-rows] = F.softshrink(new[:-rows], strength / lipschitz)
        if lipschitz * float((new - ahead).abs().max()) <= tolerance:
            return new
        if float(((ahead - new) * (new - theta)).sum()) > 0:
            ahead, momentum = new, 1.0
        else:
            following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            ahead, momentum = new + (momentum - 1) / following * (new - theta), following
        theta = new
    return theta
