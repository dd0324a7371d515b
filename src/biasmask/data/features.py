"""Features computed once and served as batches, and the eight views of an image under flips and transposition."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset


def dihedral(images: Tensor, view: int) -> Tensor:
    """One of the eight symmetries of the square.

    View 0 is the image itself; bit 0 flips left-right, bit 1 flips top-bottom, bit 2 transposes.

    Args:
        images: (B, C, H, H).
        view: 0..7.

    >>> dihedral(torch.tensor([[[[1, 2], [3, 4]]]]), 1).flatten().tolist()
    [2, 1, 4, 3]
    """
    if view & 1:
        images = images.flip(3)
    if view & 2:
        images = images.flip(2)
    return images.transpose(2, 3) if view & 4 else images


class FeatureDataset(Dataset[Any]):
    """Batches `{features, target, group, row}`; each epoch draws one of the cached views for each row.

    Args:
        features: (V, n, F), the views of n rows.
        rows: (n,) table rows that they belong to.
        target: (N,) over the whole table.
        groups: attribute -> (N,) group index over the whole table, -1 = missing.
        seed: of the draw of views.
    """

    def __init__(self, features: Tensor, rows: np.ndarray, target: np.ndarray, groups: dict[str, np.ndarray], seed: int):
        self.features = features
        self.rows = torch.as_tensor(rows)
        self.target = torch.as_tensor(target[rows])
        self.groups = {name: torch.as_tensor(index[rows]) for name, index in groups.items()}
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self.features.shape[1]

    def __getitems__(self, positions: list[int]) -> dict[str, Any]:
        at = torch.as_tensor(positions)
        view = torch.randint(self.features.shape[0], (len(at),), generator=self.generator)
        return {
            "features": self.features[view, at],
            "target": self.target[at],
            "group": {name: index[at] for name, index in self.groups.items()},
            "row": self.rows[at],
        }
