"""Which epoch a stage keeps when the run has a selection rule: the same rule for our method and for every rival."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate

from biasmask.methods.attribute_mean import mean_bias_loss
from biasmask.metrics.selection_rules import SPLIT, Candidate
from biasmask.metrics.validation_figures import validation_figures
from biasmask.models.image_classifier import scores_of
from biasmask.modules.kept_epoch import EpochSelection, RunningChoice
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.predictions import predict_logits

UNEDITED = "unedited"


def candidate(name: str, state: ModelState, context: Context, bias_loss: Mapping[str, Any], label: str) -> Candidate:
    """A model with its figures on the validation split.

    Args:
        name: of the candidate.
        state: the model.
        context: the run, with a selection.
        bias_loss: keyword arguments of `methods.losses.bias_loss`.
        label: of the progress bar.
    """
    assert context.selection is not None
    split = SPLIT
    rows = context.data.rows(split)
    logits = predict_logits(state, context, rows, label)
    target = torch.as_tensor(context.data.target[rows])
    groups = {attribute.name: torch.as_tensor(attribute.index[rows]) for attribute in context.attributes}
    threshold_rule = context.selection["threshold_rule"]
    figures = validation_figures(scores_of(logits), target, groups, context.debiased, threshold_rule)
    gap = mean_bias_loss(logits, target, groups, context.debiased, **bias_loss)
    return Candidate(name, {**figures, "bias_loss": float(gap.value) if gap.defined else float("nan")}, split)


def running_choice(name: str, state: ModelState, context: Context, bias_loss: Mapping[str, Any]) -> RunningChoice:
    """The run's rule, with the figures of its base model and of the model that the stage `name` begins with.

    Raises:
        ValueError: a setting that the rule refuses.
    """
    assert context.selection is not None
    base_state = context.base or state
    base = candidate("base", base_state, context, bias_loss, f"{name}: base")
    start = base if base_state.key == state.key else candidate(UNEDITED, state, context, bias_loss, f"{name}: before")
    return RunningChoice(instantiate(context.selection["rule"]), base, start)


def epoch_selection(name: str, state: ModelState, context: Context, bias_loss: Mapping[str, Any], path: Path) -> EpochSelection:
    """The callback that keeps an epoch of the stage `name`, which begins with `state`, and writes its choice to `path`."""
    assert context.selection is not None
    choice = running_choice(name, state, context, bias_loss)
    return EpochSelection(choice, context.debiased, context.selection["threshold_rule"], weights=state.weights, path=path)
