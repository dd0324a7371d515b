"""The bias benchmarks that a model allows beside SEAT (filled in below as their readers land)."""

from typing import Any

import torch

from biasmask.metrics.measurement import Measurement
from biasmask.pipeline.text_state import TextState


def benchmark_figures(
    state: TextState, attribute: str, settings: dict[str, Any], device: torch.device, progress: bool
) -> dict[str, Measurement]:
    """Figures by key of metrics.json."""
    return {}
