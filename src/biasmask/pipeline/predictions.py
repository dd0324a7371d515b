"""From a model to predictions: logits of rows, and the Parquet file that every figure can be made from again."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from biasmask.data.image_data import ImageData
from biasmask.files import write_atomically
from biasmask.models.image_classifier import scores_of
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.stages import expected_warnings


def predict_logits(state: ModelState, context: Context, rows: np.ndarray, label: str) -> Tensor:
    """Logits (n,) float32 of the given table rows, in their order, on one device; (n, C) with more than two classes."""
    if len(rows) == 0:
        return torch.zeros(0) if context.data.n_classes == 2 else torch.zeros(0, context.data.n_classes)
    with expected_warnings():
        parts = context.single_trainer(label).predict(state.classifier(), context.data.loader(rows, "sequential"))
    logits = torch.cat([part["logit"] for part in parts])  # type: ignore[union-attr]
    found = torch.cat([part["row"] for part in parts])  # type: ignore[union-attr]
    assert found.equal(torch.as_tensor(rows)), "predictions came back in another order"
    return logits


def logits_by_row(state: ModelState, context: Context, rows: np.ndarray, label: str) -> Tensor:
    """Logits of the given rows at their place in the table, (N,) or (N, C); 0 elsewhere: for the anchor."""
    logits = predict_logits(state, context, rows, label)
    placed = torch.zeros((len(context.data.table.frame), *logits.shape[1:]))
    placed[torch.as_tensor(rows)] = logits
    return placed


def predictions_frame(data: ImageData, rows: np.ndarray, logits: Tensor) -> pd.DataFrame:
    """One row a sample: row, id, score, logit, target, and a column of group names for each attribute.

    With more than two classes `score:<class>` of each class stands in place of score and logit.
    """
    if data.n_classes == 2:
        logit = logits.double().numpy()
        scores = {"score": 1 / (1 + np.exp(-logit)), "logit": logit}
    else:
        scores = dict(zip((f"score:{name}" for name in data.table.class_names), scores_of(logits).T.numpy(), strict=True))
    ids = data.table.frame["id"].iloc[rows].to_numpy()
    frame = pd.DataFrame({"row": rows.astype(np.int64), "id": ids, **scores, "target": data.target[rows]})
    for name, attribute in data.attributes.items():
        names = np.array([*attribute.group_names, None], dtype=object)
        frame[f"attribute:{name}"] = names[attribute.index[rows]]
    return frame


def scores_in(frame: pd.DataFrame) -> Tensor:
    """The scores of a predictions frame, float64: (n,) of the positive class, or (n, C) in the order of the columns."""
    columns = [name for name in frame if name.startswith("score:")]
    values = frame[columns] if columns else frame["score"]
    return torch.as_tensor(np.ascontiguousarray(values.to_numpy(), dtype=np.float64))


def write_predictions(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as Parquet, atomically."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_atomically(path, buffer.getvalue())
