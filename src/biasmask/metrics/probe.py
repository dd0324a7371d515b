"""What debiasing costs: a linear probe on sentence embeddings, and how far the embeddings went from the original's."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biasmask.metrics.measurement import Measurement, mean_measurement, undefined

# Inverse strength of the penalty on standardised features: the middle one is near the best for sentence encoders.
CHOICES = (0.001, 0.01, 0.1)
C = 0.01
FOLDS = 3
MAX_ITERATIONS = 1000
TOLERANCE = 1e-4
ROUGH_TOLERANCE = 1e-3  # to choose by, at half the time


@dataclass(frozen=True)
class ProbeResult:
    """Accuracy on the test rows; `correct` (M,) bool of each of them, for a paired comparison; `c` that was used."""

    accuracy: Measurement
    correct: Tensor
    c: float


def linear_probe_accuracy(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    c: float | None = C,
    n_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> ProbeResult:
    """How well a linear classifier reads a target off frozen embeddings.

    Formula: logistic regression with an L2 penalty on features standardised by the training rows; accuracy on the test
    rows with a bootstrap interval over them (the training rows stay, so it leaves out what another training would give).

    Args:
        train_x: (N, D) float, embeddings to train on.
        train_y: (N,) integer labels, two classes or more.
        test_x: (M, D) float.
        test_y: (M,) integer.
        c: inverse strength of the penalty; None = chosen of 0.001, 0.01 and 0.1 by cross-validation in three folds of
            the training rows.
        n_draws, confidence: of the interval.
        seed: of the draws and the folds.

    Returns:
        ProbeResult; NaN with the reason, and no rows in `correct`, where there is nothing to train or test on, one
        class alone, or an embedding that isn't finite.

    Raises:
        ValueError: shapes that don't fit, c of 0 or less.

    Source: scikit-learn's LogisticRegression (lbfgs). 8,500 rows of 384 features take about a second on one core.

    >>> x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
    >>> linear_probe_accuracy(x, y, x, y, n_draws=10).accuracy.value
    1.0
    """
    for name, features, labels in (("train", train_x, train_y), ("test", test_x, test_y)):
        if features.ndim != 2 or labels.shape != features.shape[:1]:
            shapes = f"{tuple(features.shape)} and {tuple(labels.shape)}"
            raise ValueError(f"{name} rows and labels have shapes {shapes}, expected (rows, features) and (rows,)")
    if train_x.shape[1] != test_x.shape[1]:
        raise ValueError(f"train has {train_x.shape[1]} features, test has {test_x.shape[1]}: they are of different models")
    if c is not None and not c > 0:
        raise ValueError(f"c is {c}, expected a number above 0 such as {C}, or None to choose it")
    reason = _reason(train_x, train_y, test_x)
    if reason:
        return ProbeResult(undefined(len(test_y), reason), torch.zeros(0, dtype=torch.bool), math.nan if c is None else c)
    train, test = _standardised(train_x, test_x)
    targets = train_y.cpu().numpy()
    c = _chosen(train, targets, seed) if c is None else c
    model = _fitted(train, targets, c)
    correct = torch.from_numpy(model.predict(test) == test_y.cpu().numpy())
    accuracy = mean_measurement(correct, n_draws, confidence, seed)
    if model.n_iter_.max() >= MAX_ITERATIONS:
        late = f"the probe had not converged after {MAX_ITERATIONS} iterations"
        accuracy = Measurement(accuracy.value, accuracy.low, accuracy.high, accuracy.n, late)
    return ProbeResult(accuracy, correct, c)


def pair_features(first: Tensor, second: Tensor) -> Tensor:
    """What a probe of pairs is trained on: both embeddings, their distance and their product, by dimension.

    Args:
        first, second: (N, D) float.

    Returns:
        (N, 4D).

    Source: Conneau et al. 2017, section 3.2: (u, v, |u - v|, u * v).

    >>> pair_features(torch.tensor([[1.0]]), torch.tensor([[3.0]])).tolist()
    [[1.0, 3.0, 2.0, 3.0]]
    """
    return torch.cat([first, second, (first - second).abs(), first * second], 1)


def probe_difference(
    base: ProbeResult, debiased: ProbeResult, n_draws: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Measurement:
    """Accuracy of the debiased model's probe minus that of the base, with a paired interval.

    Formula: mean over test rows of (debiased correct - base correct), resampled by row.

    Args:
        base, debiased: probes of the same test rows in the same order.
        n_draws, confidence, seed: of the interval.

    Returns:
        Measurement; NaN with the reason where either probe is undefined.

    Raises:
        ValueError: numbers of test rows that differ.

    >>> x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
    >>> probe = linear_probe_accuracy(x, y, x, y, n_draws=10)
    >>> probe_difference(probe, probe, n_draws=10).value
    0.0
    """
    for name, probe in (("base", base), ("debiased", debiased)):
        if math.isnan(probe.accuracy.value):
            return undefined(probe.accuracy.n, f"{name}: {probe.accuracy.reason}")
    if len(base.correct) != len(debiased.correct):
        raise ValueError(f"base was tested on {len(base.correct)} rows, debiased on {len(debiased.correct)}")
    difference = debiased.correct.to(torch.float64) - base.correct.to(torch.float64)
    return mean_measurement(difference, n_draws, confidence, seed)


def cosine_to_original(
    original: Tensor, edited: Tensor, n_draws: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Measurement:
    """Mean cosine between a sentence's embedding before and after.

    Args:
        original: (N, D) float, embeddings by the original model.
        edited: (N, D) float, of the same sentences by the edited model.
        n_draws, confidence, seed: of the interval, by sentence.

    Returns:
        Measurement in [-1, 1] with n = sentences; those with a zero or non-finite embedding are left out with a warning,
        and the value is NaN where no other is there.

    Raises:
        ValueError: shapes that differ.

    >>> cosine_to_original(torch.eye(2), torch.tensor([[3.0, 0.0], [0.0, -1.0]]), n_draws=10).value
    0.0
    >>> cosine_to_original(torch.eye(2), torch.zeros(2, 2)).reason
    'all 2 embeddings are zero or not finite: they have no direction'
    """
    if original.ndim != 2 or original.shape != edited.shape:
        shapes = f"{tuple(original.shape)} and {tuple(edited.shape)}"
        raise ValueError(f"embeddings have shapes {shapes}, expected the same (sentences, dimensions)")
    a, b = original.to(torch.float64), edited.to(torch.float64)
    # 0/0 makes NaN of a vector without direction; rounding must not take a cosine out of its range.
    cosine = (a / a.norm(dim=1, keepdim=True) * (b / b.norm(dim=1, keepdim=True))).sum(1).clamp(-1, 1).cpu()
    lost = int(cosine.isnan().sum())
    if len(cosine) and lost == len(cosine):
        return undefined(0, f"all {lost} embeddings are zero or not finite: they have no direction")
    return mean_measurement(cosine, n_draws, confidence, seed)


def _reason(train_x: Tensor, train_y: Tensor, test_x: Tensor) -> str | None:
    for name, features in (("training", train_x), ("test", test_x)):
        if not len(features):
            return f"no {name} rows"
        wrong = int((~features.isfinite().all(1)).sum())
        if wrong:
            return f"{wrong} of the {len(features)} {name} embeddings are not finite"
    if len(train_y.unique()) < 2:
        return "the training rows are of one class"
    return None


def _standardised(train_x: Tensor, test_x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    train, test = (x.detach().cpu().to(torch.float64) for x in (train_x, test_x))
    mean, spread = train.mean(0), train.std(0, correction=0)
    # A feature that never varies tells nothing: it becomes 0 instead of 0/0.
    spread = torch.where(spread > torch.finfo(torch.float32).eps * mean.abs(), spread, torch.inf)
    return ((train - mean) / spread).numpy(), ((test - mean) / spread).numpy()


def _fitted(features: np.ndarray, labels: np.ndarray, c: float, tolerance: float = TOLERANCE) -> Any:
    # scikit-learn takes half a second to import, and only the probe needs it here.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # Told as the reason of the result, where a reader of figures sees it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=c, max_iter=MAX_ITERATIONS, tol=tolerance).fit(features, labels)


def _chosen(features: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """The choice with the most correct rows in cross-validation; of equals the strongest penalty."""
    from sklearn.model_selection import StratifiedKFold

    if np.unique(labels, return_counts=True)[1].min() < FOLDS:
        return C
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, labels))
    correct = []
    for c in CHOICES:
        models = (_fitted(features[train], labels[train], c, ROUGH_TOLERANCE) for train, _ in folds)
        hits = (model.predict(features[held]) == labels[held] for model, (_, held) in zip(models, folds, strict=True))
        correct.append(sum(int(hit.sum()) for hit in hits))
    return CHOICES[int(np.argmax(correct))]
