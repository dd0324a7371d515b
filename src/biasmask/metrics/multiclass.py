"""More than two classes: each class against the rest, the mean over the classes, and what the highest score decides.

Figures of a class stand under `split:<class>/...`, the mean over the classes under `split/...`. `accuracy` and
`balanced_accuracy` of the whole are no such mean: they judge the class with the highest score. Letters: C classes, D
draws, N rows, M figures.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from biasmask.metrics.predictions import Predictions
from biasmask.metrics.reasons import MINIMUM_CELL
from biasmask.metrics.row_weights import ones_weights, ratio, weighted_sums
from biasmask.metrics.table_draws import TableDraws, Threshold, two_class_draws


def multiclass_draws(predictions: Predictions, thresholds: Threshold, split: str, weights: Tensor) -> TableDraws:
    """The figures of more than two classes: means over the classes first, then those of each class.

    Formula: a mean is taken over the classes in which the figure is defined in the table itself; a draw that loses one
    of them is undefined, as a mean over fewer classes is another quantity. Its count of positives is that of the
    rarest class in the mean.

    Args:
        predictions: N rows with class names.
        thresholds: class -> threshold, each frozen from the validation split.
        split: first part of each key.
        weights: (D, N) integer >= 0, the same draws for all classes.

    Returns:
        TableDraws with the keys of two classes under `split`, then under `split:<class>` for each class.

    Raises:
        ValueError: thresholds that aren't one for each class, or NaN.

    Source: one-vs-rest and macro averages as in scikit-learn; a class without rows is left out here, and 0 or an error
    there.

    >>> rows = Predictions(torch.arange(3), torch.eye(3), torch.arange(3), {}, {}, None, ("a", "b", "c"))
    >>> made = multiclass_draws(rows, {"a": 0.5, "b": 0.5, "c": 0.5}, "test", ones_weights(3))
    >>> list(made.counts)[0], list(made.counts)[-1], made.point[0].item()
    ('test/auroc', 'test:c/ece', 1.0)
    """
    names = predictions.class_names
    if not isinstance(thresholds, Mapping) or set(thresholds) != set(names):
        raise ValueError(f"thresholds {thresholds!r} must name one number for each of the classes {', '.join(names)}")
    classes = [
        two_class_draws(predictions.one_vs_rest(index), thresholds[name], f"{split}:{name}", weights)
        for index, name in enumerate(names)
    ]
    macro = _macro(classes, names, split)
    _judge_highest(macro, predictions, split, weights)
    _find_worst_group(macro, predictions, split)
    return TableDraws(
        {key: count for part in (macro, *classes) for key, count in part.counts.items()},
        torch.cat([part.point for part in (macro, *classes)]),
        torch.cat([part.draws for part in (macro, *classes)], 1),
        {key: reason for part in (macro, *classes) for key, reason in part.reasons.items()},
    )


def _mean_of_defined(point: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of point (C, M) and draws (C, D, M) over the classes that are defined at the point."""
    defined = ~point.isnan()
    count = defined.sum(0)
    mean = ratio(point.nan_to_num(0.0).sum(0), count)
    return mean, ratio(torch.where(defined.unsqueeze(1), draws, 0.0).sum(0), count)


def _macro(classes: Sequence[TableDraws], names: tuple[str, ...], split: str) -> TableDraws:
    points = torch.stack([part.point for part in classes])
    point, draws = _mean_of_defined(points, torch.stack([part.draws for part in classes]))
    counts: dict[str, tuple[int, int]] = {}
    reasons: dict[str, str | None] = {}
    defined = (~points.isnan()).T.tolist()
    for column, keys in enumerate(zip(*(part.counts for part in classes), strict=True)):
        key = f"{split}/{keys[0].split('/', 1)[1]}"
        of_classes = [part.counts[own] for part, own in zip(classes, keys, strict=True)]
        kept = [count for count, known in zip(of_classes, defined[column], strict=True) if known] or of_classes
        counts[key] = min(kept, key=lambda count: count[1])
        texts = [part.reasons[own] for part, own in zip(classes, keys, strict=True)]
        reasons[key] = _macro_reason(names, defined[column], texts)
    return TableDraws(counts, point, draws, reasons)


def _macro_reason(names: tuple[str, ...], defined: list[bool], reasons: list[str | None]) -> str | None:
    left_out = [f"class {name} left out ({text})" for name, known, text in zip(names, defined, reasons, strict=True) if not known]
    if not any(defined):
        same = len(set(reasons)) == 1
        return reasons[0] if same else "undefined in every class: " + "; ".join(left_out)
    warned = {
        kind: [name for name, known, text in zip(names, defined, reasons, strict=True) if known and text and f"{kind}:" in text]
        for kind in ("incomplete", "small")
    }
    if warned["incomplete"]:
        left_out.append(f"groups left out in class {', '.join(warned['incomplete'])}")
    texts = [f"incomplete: {'; '.join(left_out)}"] if left_out else []
    texts += [f"small: class {', '.join(warned['small'])}"] if warned["small"] else []
    return "; ".join(texts) or None


def _find_worst_group(macro: TableDraws, predictions: Predictions, split: str) -> None:
    """Put the smallest macro AUROC of a group in the place of the mean over classes of each class's worst group."""
    place = {key: column for column, key in enumerate(macro.counts)}
    for attribute, names in predictions.group_names.items():
        worst, groups = f"{split}/auroc_worst_group/{attribute}", [f"{split}/auroc/{attribute}={name}" for name in names]
        columns = [place[key] for key in groups if key in place and not bool(macro.point[place[key]].isnan())]
        if worst in place and columns:
            macro.point[place[worst]] = macro.point[columns].amin()
            macro.draws[:, place[worst]] = macro.draws[:, columns].amin(1)


def _judge_highest(macro: TableDraws, predictions: Predictions, split: str, weights: Tensor) -> None:
    """Put accuracy and balanced accuracy of the class with the highest score in the place of the means."""
    everyone = torch.arange(len(predictions.row))
    cells = {"": (f"split {split}", everyone)}
    for attribute, names in predictions.group_names.items():
        for index, name in enumerate(names):
            rows = (predictions.group[attribute] == index).nonzero().flatten()
            cells[f"/{attribute}={name}"] = (f"group {name}", rows)
    place = {key: column for column, key in enumerate(macro.counts)}
    for suffix, (label, rows) in cells.items():
        present = torch.bincount(predictions.target[rows], minlength=len(predictions.class_names))
        key = f"{split}/balanced_accuracy{suffix}"
        for into, row_weights in ((macro.point.unsqueeze(0), ones_weights(len(everyone))), (macro.draws, weights)):
            right, total = _right_and_total(predictions, row_weights, rows)
            recall = torch.where(present > 0, ratio(right, total), 0.0)
            into[:, place[key]] = ratio(recall.sum(1), (present > 0).sum())
            if not suffix:
                into[:, place[f"{split}/accuracy"]] = ratio(right.sum(1), total.sum(1))
        macro.counts[key] = (len(rows), int(present[present > 0].min()) if len(rows) else 0)
        macro.reasons[key] = _recall_reason(label, present.tolist(), predictions.class_names)
        if not suffix:
            macro.reasons[f"{split}/accuracy"] = f"small: {label} has {len(rows)} rows" if len(rows) < MINIMUM_CELL else None


def _right_and_total(predictions: Predictions, weights: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Weight of the rows of each class whose highest score is that class's, and of all of them: two (D, C)."""
    n_classes = len(predictions.class_names)
    target = predictions.target[rows]
    of_class = torch.nn.functional.one_hot(target, n_classes).to(torch.float64)
    right = (predictions.score[rows].argmax(1) == target).unsqueeze(1)
    sums = weighted_sums(torch.cat([of_class * right, of_class], 1), weights, rows)
    return sums[:, :n_classes], sums[:, n_classes:]


def _recall_reason(label: str, present: list[int], names: tuple[str, ...]) -> str | None:
    if not any(present):
        return f"{label} has no row"
    absent = [name for name, count in zip(names, present, strict=True) if not count]
    small = [f"{count} of class {name}" for name, count in zip(names, present, strict=True) if 0 < count < MINIMUM_CELL]
    texts = [f"incomplete: {label} has no row of class {', '.join(absent)}"] if absent else []
    texts += [f"small: {label} has {', '.join(small)}"] if small else []
    return "; ".join(texts) or None
