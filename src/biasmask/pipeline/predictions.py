"""From a model to predictions: logits of rows, and the Parquet file that every figure can be made from again."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from biasmask.data.image_data import ImageData
from biasmask.files import write_atomically
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.stages import expected_warnings


def predict_logits(state: ModelState, context: Context, rows: np.ndarray, label: str) -> Tensor:
    """Logits (n,) float32 of the given table rows, in their order, on one device."""
    if len(rows) == 0:
        return torch.zeros(0)
    with expected_warnings():
        parts = context.single_trainer(label).predict(state.classifier(), context.data.loader(rows, "sequential"))
    logits = torch.cat([part["logit"] for part in parts])  # type: ignore[union-attr]
    found = torch.cat([part["row"] for part in parts])  # type: ignore[union-attr]
    assert found.equal(torch.as_tensor(rows)), "predictions came back in another order"
    return logits


def predictions_frame(data: ImageData, rows: np.ndarray, logits: Tensor) -> pd.DataFrame:
    """One row a sample: row, id, score, logit, target, and a column of group names for each attribute."""
    logit = logits.double().numpy()
    frame = pd.DataFrame(
        {
            "row": rows.astype(np.int64),
            "id": data.table.frame["id"].to_numpy()[rows],
            "score": 1 / (1 + np.exp(-logit)),
            "logit": logit,
            "target": data.target[rows],
        }
    )
    for name, attribute in data.attributes.items():
        names = np.array([*attribute.group_names, None], dtype=object)
        frame[f"attribute:{name}"] = names[attribute.index[rows]]
    return frame


def write_predictions(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as Parquet, atomically."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_atomically(path, buffer.getvalue())
