"""biasmask in a notebook: load, locate, repair, evaluate, save. The same stages and figures as the command line.

Everything that a function doesn't say comes from the YAML files of the repository, and any key of theirs is a keyword.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from biasmask.pipeline.image_model import ImageModel, Mask, load_model
    from biasmask.pipeline.image_session import Images, evaluate, load_images, locate, predict, repair, train
    from biasmask.pipeline.text_session import Encoder, SentenceData, evaluate_text, load_encoder, load_sentences, prune
    from biasmask.pipeline.workspace import Workspace
    from biasmask.report.figures import Picture

# Torch, timm and transformers take seconds to import: each name brings what it needs when it is first used.
HOMES = {
    **dict.fromkeys(("Workspace",), "biasmask.pipeline.workspace"),
    **dict.fromkeys(("ImageModel", "Mask", "load_model"), "biasmask.pipeline.image_model"),
    **dict.fromkeys(
        ("Images", "load_images", "train", "locate", "repair", "evaluate", "predict"), "biasmask.pipeline.image_session"
    ),
    **dict.fromkeys(
        ("Encoder", "SentenceData", "load_encoder", "load_sentences", "prune", "evaluate_text"), "biasmask.pipeline.text_session"
    ),
}

__all__ = [
    "Encoder", "ImageModel", "Images", "Mask", "SentenceData", "Workspace", "debias", "evaluate", "evaluate_text", "load_encoder",
    "load_images", "load_model", "load_sentences", "locate", "plot_gaps", "plot_mask", "predict", "prune", "repair", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module biasmask.api has no {name}; it has {', '.join(__all__)}")
    with warnings.catch_warnings():
        # A dependency asks for widgets of the notebook as it is imported; no bar of its kind is drawn here.
        warnings.filterwarnings("ignore", message="IProgress not found")
        return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


def debias(model: Any, data: Any, method: str, **keys: Any) -> Any:
    """All stages of any method, on images or on sentences.

    Args:
        model: of `load_model`, `train` or `load_encoder`.
        data: of `load_images` or `load_sentences`.
        method: a file of configs/debias, such as `last_layer`; for an encoder one of configs/debias/text, such as `inlp`.
        keys: keys of the method, see `repair` and `debias_text`.
    Returns:
        The debiased model, of the kind that was given.
    """
    if type(data).__name__ == "Images":
        from biasmask.pipeline.image_session import repair

        return repair(model, data, None, method, **keys)
    from biasmask.pipeline.text_session import debias_text

    return debias_text(model, data, method, **keys)


def plot_mask(mask: Any) -> Picture:
    """The map of what was selected: of a mask the share of each tensor, of a pruned encoder what each matrix kept.

    Args:
        mask: of `locate`, or a model of `repair` or `prune`.
    """
    from biasmask.errors import ConfigError
    from biasmask.report.figures import blocks_figure, mask_figure

    state = getattr(mask, "state", None)
    info = mask.info if state is None else state.mask_info or getattr(state, "block_info", None)
    if info is None:
        raise ConfigError("this model has no mask: give what `locate` returned, or a model that `repair` or `prune` made")
    return mask_figure(info) if "tensors" in info else blocks_figure(info)


def plot_gaps(table: pd.DataFrame, attribute: str | None = None) -> Picture:
    """Dots with intervals of the first and the last model of a table: gaps and rates by group; of encoders the association tests.

    Args:
        table: of `evaluate` or `evaluate_text`.
        attribute: of the gaps; None: the first. For encoders nothing.
    """
    from biasmask.report.figures import effects_figure, gaps_figure

    seat = any(str(key).startswith("seat") and "/effect_size/" in str(key) for key in table.index)
    return effects_figure(table) if seat else gaps_figure(table, attribute)
