"""The predictions frame of one model on one table, checked and turned into tensors."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

PREFIX = "attribute:"


@dataclass(frozen=True)
class Predictions:
    """Predictions of one model, sorted by row, so that no figure depends on the order of the frame."""

    row: Tensor  # (N,) int64, distinct
    score: Tensor  # (N,) float64 in [0, 1]
    target: Tensor  # (N,) int64, 0 or 1
    group: dict[str, Tensor]  # attribute -> (N,) int64, -1 = missing
    group_names: dict[str, tuple[str, ...]]


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


def read_predictions(frame: pd.DataFrame, attributes: Mapping[str, tuple[str, ...]]) -> Predictions:
    """Check a predictions frame and turn it into tensors, sorted by row.

    Args:
        frame: columns row (integer, distinct), score (float in [0, 1]), target (0 or 1) and, per attribute,
            `attribute:<name>` (string, null = missing).
        attributes: attribute -> group names in order; a group may be absent from the frame.

    Returns:
        The tensors; group index -1 where the attribute is missing.

    Raises:
        ValueError: a missing column, an empty frame, a row twice, a score outside [0, 1], a target other than 0/1, a
            value that is none of the group names.

    >>> frame = pd.DataFrame({"row": [7, 3], "score": [0.5, 0.25], "target": [1, 0], "attribute:sex": ["f", None]})
    >>> read_predictions(frame, {"sex": ("f", "m")}).group["sex"].tolist()
    [-1, 0]
    """
    for name in ("row", "score", "target"):
        if name not in frame:
            raise ValueError(f"predictions have no column '{name}': they need row, score and target")
    if not len(frame):
        raise ValueError("predictions hold no rows: nothing can be evaluated")
    frame = frame.sort_values("row", kind="stable", ignore_index=True)
    row = _column(frame, "row", "int64")
    twice = (row[1:] == row[:-1]).nonzero()
    if len(twice):
        raise ValueError(f"row {int(row[twice[0]])} stands twice in the predictions")
    score = _column(frame, "score", "float64")
    outside = ~((score >= 0) & (score <= 1))
    if outside.any():
        at = int(outside.nonzero()[0])
        raise ValueError(f"row {int(row[at])}: score {score[at].item()} is outside [0, 1]")
    target = _column(frame, "target", "int64")
    if ((target != 0) & (target != 1)).any():
        at = int(((target != 0) & (target != 1)).nonzero()[0])
        raise ValueError(f"row {int(row[at])}: target {int(target[at])} is neither 0 nor 1")
    group_names = {attribute: tuple(names) for attribute, names in attributes.items()}
    group = {attribute: _groups(frame, attribute, names) for attribute, names in group_names.items()}
    return Predictions(row, score, target, group, group_names)


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
    pairs = {"target": (base.target, debiased.target)}
    pairs |= {f"{PREFIX}{name}": (base.group[name], debiased.group[name]) for name in base.group}
    for name, (one, other) in pairs.items():
        if not torch.equal(one, other):
            at = int((one != other).nonzero()[0])
            raise ValueError(f"row {int(base.row[at])}: '{name}' differs between base and debiased predictions")
