"""All figures of one model on one table, as functions of the row weights: key -> one value per draw."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from biasmask.metrics import calibration, gaps, ranking, rates
from biasmask.metrics.group_counts import group_counts
from biasmask.metrics.predictions import Predictions
from biasmask.metrics.reasons import Cell
from biasmask.metrics.threshold import predict

BOTH = ("positive", "negative")
# Metric -> the kinds of rows without which it is undefined.
OVERALL = {
    "auroc": BOTH,
    "average_precision": ("positive",),
    "accuracy": ("row",),
    "balanced_accuracy": BOTH,
    "f1": ("positive",),
    "brier": ("row",),
    "ece": ("row",),
}
GAPS = {
    "demographic_parity": ("row",),
    "equal_opportunity": ("positive",),
    "fpr_gap": ("negative",),
    "equalized_odds_mean": BOTH,
    "equalized_odds_max": BOTH,
    "auroc_gap": BOTH,
    "auroc_worst_group": BOTH,
}
PER_GROUP = {
    "tpr": ("positive",),
    "fpr": ("negative",),
    "ppv": ("row",),
    "auroc": BOTH,
    "balanced_accuracy": BOTH,
    "selection_rate": ("row",),
    "mean_score": ("row",),
    "ece": ("row",),
}


@dataclass(frozen=True)
class Figure:
    """What a key stands for: the rows it's made of and what it needs of them."""

    cells: tuple[Cell, ...]
    needs: tuple[str, ...]
    unseen: str | None = None
    is_gap: bool = False


def _cell(label: str, target: Tensor) -> Cell:
    return Cell(label, len(target), int(target.sum()))


def figures(predictions: Predictions, split: str) -> dict[str, Figure]:
    """Key -> figure, in the order in which they're written."""
    whole = (_cell(f"split {split}", predictions.target),)
    found = {f"{split}/{name}": Figure(whole, needs) for name, needs in OVERALL.items()}
    for attribute, names in predictions.group_names.items():
        group = predictions.group[attribute]
        cells = tuple(_cell(f"group {name}", predictions.target[group == index]) for index, name in enumerate(names))
        found |= {f"{split}/{name}/{attribute}": Figure(cells, needs, is_gap=True) for name, needs in GAPS.items()}
        for metric, needs in PER_GROUP.items():
            unseen = "no row predicted positive" if metric == "ppv" else None
            for name, cell in zip(names, cells, strict=True):
                found[f"{split}/{metric}/{attribute}={name}"] = Figure((cell,), needs, unseen)
    return found


def _overall(predictions: Predictions, prediction: Tensor, weights: Tensor) -> dict[str, Tensor]:
    score, target = predictions.score, predictions.target
    counts = group_counts(prediction, target, torch.zeros_like(target), 1, weights)[:, 0]
    return {
        "auroc": ranking.auroc(score, target, weights),
        "average_precision": ranking.average_precision(score, target, weights),
        "accuracy": rates.accuracy(counts),
        "balanced_accuracy": rates.balanced_accuracy(counts),
        "f1": rates.f1(counts),
        "brier": calibration.brier(score, target, weights),
        "ece": calibration.expected_calibration_error(score, target, weights),
    }


def _by_group(predictions: Predictions, prediction: Tensor, attribute: str, weights: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Per-group metrics (D, G) of an attribute, and the counts (D, G, 2, 2)."""
    score, target, group = predictions.score, predictions.target, predictions.group[attribute]
    n_groups = len(predictions.group_names[attribute])
    counts = group_counts(prediction, target, group, n_groups, weights)
    members = [(group == index).nonzero().flatten() for index in range(n_groups)]
    by_rates = {name: getattr(rates, name)(counts) for name in PER_GROUP if hasattr(rates, name)}
    by_scores = {
        "auroc": ranking.auroc,
        "mean_score": calibration.mean_score,
        "ece": calibration.expected_calibration_error,
    }
    return by_rates | {
        name: torch.stack([function(score, target, weights, rows) for rows in members], 1) for name, function in by_scores.items()
    }, counts


def _gaps(cells: tuple[Cell, ...], counts: Tensor, auroc: Tensor) -> dict[str, Tensor]:
    """Gaps over the groups that are defined in the table itself."""

    def having(*kinds: str) -> Tensor:
        return torch.tensor([all(cell.count(kind) for kind in kinds) for cell in cells])

    positive, negative, both = having("positive"), having("negative"), having(*BOTH)
    return {
        "demographic_parity": gaps.demographic_parity(counts, having("row")),
        "equal_opportunity": gaps.equal_opportunity(counts, positive),
        "fpr_gap": gaps.fpr_gap(counts, negative),
        "equalized_odds_mean": gaps.equalized_odds_mean(counts, positive, negative),
        "equalized_odds_max": gaps.equalized_odds_max(counts, positive, negative),
        "auroc_gap": gaps.auroc_gap(auroc, both),
        "auroc_worst_group": gaps.auroc_worst_group(auroc, both),
    }


def metric_draws(predictions: Predictions, threshold: float, split: str, weights: Tensor, known: Mapping[str, Figure]) -> Tensor:
    """Value of every figure in every draw.

    Args:
        predictions: N rows of two classes.
        threshold: predict positive when score >= threshold; not looked at where the predictions hold decisions.
        split: first part of each key.
        weights: (D, N) integer >= 0.
        known: `figures(predictions, split)`, M keys.

    Returns:
        (D, M) float64, columns in the order of `known`; NaN = undefined in that draw.

    >>> from biasmask.metrics.row_weights import ones_weights
    >>> rows = Predictions(torch.tensor([0, 1]), torch.tensor([0.2, 0.7]), torch.tensor([0, 1]), {}, {})
    >>> metric_draws(rows, 0.5, "test", ones_weights(2), figures(rows, "test"))[0, :5].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    prediction = predict(predictions.score, threshold) if predictions.prediction is None else predictions.prediction
    values = {f"{split}/{name}": draws for name, draws in _overall(predictions, prediction, weights).items()}
    for attribute, names in predictions.group_names.items():
        by_group, counts = _by_group(predictions, prediction, attribute, weights)
        cells = known[f"{split}/demographic_parity/{attribute}"].cells
        for name, draws in _gaps(cells, counts, by_group["auroc"]).items():
            values[f"{split}/{name}/{attribute}"] = draws
        for metric, table in by_group.items():
            for index, name in enumerate(names):
                values[f"{split}/{metric}/{attribute}={name}"] = table[:, index]
    return torch.stack([values[key] for key in known], 1)
