"""Fixtures of the tests of the maths: where the oracles are, and the net they were computed with."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def oracles() -> Callable[[str], dict[str, Any]]:
    """Load a file of numbers computed with the published code; skip where these files are absent."""
    folder = Path(os.environ.get("BIASMASK_ORACLES", REPOSITORY.parent / "shared" / "oracles"))

    def load(name: str) -> dict[str, Any]:
        if not (folder / name).is_file():
            pytest.skip(f"oracle {name} is not in {folder}: set BIASMASK_ORACLES to its folder")
        return torch.load(folder / name, weights_only=True)

    return load


class SmallNet(nn.Module):
    """The net of the oracles, with the sigmoid inside the head that the published code has."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.ModuleDict(
            {
                "conv1": nn.Conv2d(3, 8, 3, padding=1),
                "bn1": nn.BatchNorm2d(8),
                "conv2": nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
                "bn2": nn.BatchNorm2d(16),
                "fc": nn.Linear(16, 16),
            }
        )
        self.head = nn.ModuleDict({"layer": nn.Linear(16, 1)})

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.net["bn1"](self.net["conv1"](images)))
        hidden = torch.relu(self.net["bn2"](self.net["conv2"](hidden))).mean((2, 3))
        return torch.sigmoid(self.head["layer"](torch.relu(self.net["fc"](hidden)))).flatten()


@pytest.fixture
def small_net() -> Callable[[dict[str, Tensor]], SmallNet]:
    """A SmallNet in eval mode with the given weights, in their precision."""

    def build(weights: dict[str, Tensor]) -> SmallNet:
        net = SmallNet().to(weights["head.layer.weight"].dtype)
        net.load_state_dict(weights)
        return net.eval()

    return build
