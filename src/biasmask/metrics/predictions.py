"""The predictions frame of one model on one table, checked and turned into tensors."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

PREFIX = "attribute:"
CLASS_PREFIX = "score:"


@dataclass(frozen=True)
class Predictions:
    """Predictions of one model, sorted by row, so that no figure depends on the order of the frame.

    With class names there are C > 2 classes: scores (N, C) and targets 0..C-1. Without, there are two: (N,) and 0 or 1.
    """

    row: Tensor  # (N,) int64, distinct
    score: Tensor  # (N,) or (N, C) float64 in [0, 1]
    target: Tensor  # (N,) int64, 0 or 1, or 0..C-1
    group: dict[str, Tensor]  # attribute -> (N,) int64, -1 = missing
    group_names: dict[str, tuple[str, ...]]
    prediction: Tensor | None = None  # (N,) int64, 0 or 1, where something else than one threshold decided
    class_names: tuple[str, ...] = ()

    def one_vs_rest(self, index: int) -> "Predictions":
        """Class `index` against all others, as predictions of two classes."""
        target = (self.target == index).long()
        return Predictions(self.row, self.score[:, index].contiguous(), target, self.group, self.group_names)


def _column(frame: pd.DataFrame, name: str, dtype: str) -> Tensor:
    column = frame[name]
    if column.isna().any():
        where = "" if name == "row" else f" in row {frame['row'][column.isna()].iloc[0]}"
        raise ValueError(f"column '{name}' of the predictions is empty{where}: predict this table again")
    values = column.to_numpy(dtype=dtype, copy=True)
    if dtype == "int64" and (values != column.to_numpy()).any():
        raise ValueError(f"column '{name}' of the predictions holds a value that is no whole number")
    return torch.from_numpy(values)


def _groups(frame: pd.DataFrame, attribute: str, names: tuple[str, ...]) -> Tensor:
    column = PREFIX + attribute
    if column not in frame:
        raise ValueError(f"predictions have no column '{column}': evaluate with attributes that were predicted with")
    if not names or len(set(names)) != len(names) or "=" in attribute:
        raise ValueError(
            f"attribute '{attribute}' with groups {list(names)}: the name must be free of '=', the groups one or more "
            "and distinct"
        )
    codes = pd.Index(names, dtype=object).get_indexer(frame[column].astype(object))
    unknown = (codes < 0) & frame[column].notna().to_numpy()
    if unknown.any():
        at = int(unknown.argmax())
        raise ValueError(
            f"row {int(frame['row'].iloc[at])}: value {frame[column].iloc[at]!r} of '{column}' is none of the groups "
            f"{', '.join(names)}"
        )
    return torch.from_numpy(codes.astype("int64"))


def _score_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of scores, one for two classes, one a class for more."""
    classes = [name for name in frame.columns if str(name).startswith(CLASS_PREFIX)]
    if "score" in frame and classes:
        raise ValueError(f"predictions have 'score' and '{classes[0]}': give one score, or one for each class")
    if 0 < len(classes) < 3:
        raise ValueError(
            f"predictions have scores of {len(classes)} class(es): more than two take 'score:<class>' each, two take 'score'"
        )
    if len(set(classes)) != len(classes) or any("/" in name for name in classes):
        raise ValueError(f"classes {classes}: names must be distinct and without '/', which parts a metric key")
    if classes and "prediction" in frame:
        raise ValueError("column 'prediction' is for two classes only: of several, the highest score decides")
    return classes or ["score"]


def _integers(frame: pd.DataFrame, name: str, highest: int) -> Tensor:
    """An integer column within 0..highest."""
    column = _column(frame, name, "int64")
    outside = (column < 0) | (column > highest)
    if outside.any():
        at = int(outside.nonzero()[0])
        allowed = "neither 0 nor 1" if highest == 1 else f"outside 0..{highest}, the places of the classes"
        raise ValueError(f"row {int(frame['row'].iloc[at])}: {name} {int(column[at])} is {allowed}")
    return column


def read_predictions(frame: pd.DataFrame, attributes: Mapping[str, tuple[str, ...]]) -> Predictions:
    """Check a predictions frame and turn it into tensors, sorted by row.

    Args:
        frame: columns row (integer, distinct), score (float in [0, 1]), target (0 or 1) and, per attribute,
            `attribute:<name>` (string, null = missing). For C > 2 classes one column `score:<class>` a class instead of
            score, and target is 0..C-1 in their order. A column `prediction` (0 or 1; two classes) is a decision made
            otherwise than by one threshold, and then counts instead of score >= threshold.
        attributes: attribute -> group names in order; a group may be absent from the frame.

    Returns:
        The tensors; group index -1 where the attribute is missing.

    Raises:
        ValueError: a missing column, an empty frame, a row twice, a score outside [0, 1], a target that is no class, a
            prediction other than 0/1, a value that is none of the group names.

    >>> frame = pd.DataFrame({"row": [7, 3], "score": [0.5, 0.25], "target": [1, 0], "attribute:sex": ["f", None]})
    >>> read_predictions(frame, {"sex": ("f", "m")}).group["sex"].tolist()
    [-1, 0]
    """
    columns = _score_columns(frame)
    for name in ("row", columns[0], "target"):
        if name not in frame:
            raise ValueError(f"predictions have no column '{name}': they need row, score and target")
    if not len(frame):
        raise ValueError("predictions hold no rows: nothing can be evaluated")
    frame = frame.sort_values("row", kind="stable", ignore_index=True)
    row = _column(frame, "row", "int64")
    twice = (row[1:] == row[:-1]).nonzero()
    if len(twice):
        raise ValueError(f"row {int(row[twice[0]])} stands twice in the predictions")
    score = torch.stack([_column(frame, name, "float64") for name in columns], 1)
    outside = ~((score >= 0) & (score <= 1))
    if outside.any():
        at, column = outside.nonzero()[0].tolist()
        raise ValueError(f"row {int(row[at])}: {columns[column]} {score[at, column].item()} is outside [0, 1]")
    several = columns != ["score"]
    target = _integers(frame, "target", len(columns) - 1 if several else 1)
    prediction = _integers(frame, "prediction", 1) if "prediction" in frame else None
    group_names = {attribute: tuple(names) for attribute, names in attributes.items()}
    group = {attribute: _groups(frame, attribute, names) for attribute, names in group_names.items()}
    class_names = tuple(name.removeprefix(CLASS_PREFIX) for name in columns) if several else ()
    return Predictions(row, score if several else score[:, 0], target, group, group_names, prediction, class_names)


def check_same_rows(base: Predictions, debiased: Predictions) -> None:
    """ValueError unless both hold the same rows with the same targets and groups: a paired difference needs pairs."""
    if not torch.equal(base.row, debiased.row):
        only_base = base.row[~torch.isin(base.row, debiased.row)]
        only_debiased = debiased.row[~torch.isin(debiased.row, base.row)]
        example, owner = (only_base, "base") if len(only_base) else (only_debiased, "debiased")
        raise ValueError(
            f"rows differ: {len(only_base)} only in the base and {len(only_debiased)} only in the debiased predictions "
            f"(row {int(example[0])} only in {owner}); predict the same table with both models"
        )
    if base.class_names != debiased.class_names:
        raise ValueError(f"classes differ: base {list(base.class_names)}, debiased {list(debiased.class_names)}")
    pairs = {"target": (base.target, debiased.target)}
    pairs |= {f"{PREFIX}{name}": (base.group[name], debiased.group[name]) for name in base.group}
    for name, (one, other) in pairs.items():
        if not torch.equal(one, other):
            at = int((one != other).nonzero()[0])
            raise ValueError(f"row {int(base.row[at])}: '{name}' differs between base and debiased predictions")
