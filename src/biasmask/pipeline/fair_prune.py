"""The stage `prune` of FairPrune: weights become 0 step by step, by how little they matter to the worst group."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from biasmask.errors import ConfigError, MethodError
from biasmask.files import write_json
from biasmask.methods.fairprune import pruning_scores, saliency, smallest_scores
from biasmask.methods.task_loss import task_loss
from biasmask.metrics.overall import overall_auroc
from biasmask.models.image_classifier import backbone_parameters, scores_of
from biasmask.modules.group_curvature import GroupCurvatureModule
from biasmask.modules.kept_epoch import selection_note
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.fine_tune import edit_facts
from biasmask.pipeline.predictions import predict_logits
from biasmask.pipeline.selection import candidate, running_choice
from biasmask.pipeline.stages import Outcome, StoredStage, expected_warnings

Masks = dict[str, Tensor]


@dataclass
class FairPrune(StoredStage):
    """Set weights to 0 that matter least to the worst group and most to the best one.

    Args:
        beta: weight of the best group's saliency.
        prune_fraction: share of the prunable weights that are 0 in the end.
        steps: the fraction is reached in so many equal steps, each with saliencies of its own.
        include_head: whether weights of the head are prunable. Weights of Linear and convolution layers are; norm layers, biases
            and a transformer's position embeddings and tokens never are.
        privileged_by: `auroc` (highest = best group) or `loss` (lowest task loss), on the rows of the split.
        max_auroc_drop: the last step whose AUROC on the validation split fell by no more is kept; a selection rule of the run
            chooses the step instead.
        class_balance: of the task loss.
        batch_size, batches: of the walks.
        split: the rows to walk over.
        bias_loss: keyword arguments of `methods.losses.bias_loss`; only a rule with `gap=bias_loss` looks at it.
    """

    selects: ClassVar[bool] = True

    beta: float
    prune_fraction: float
    steps: int
    include_head: bool
    privileged_by: str
    max_auroc_drop: float
    class_balance: str
    batch_size: int
    batches: str
    split: str
    bias_loss: dict[str, Any]

    def __post_init__(self) -> None:
        if not 0 < self.prune_fraction < 1 or self.steps < 1 or self.beta <= 0:
            raise ConfigError(
                f"debias.prune: beta={self.beta} must be above 0, prune_fraction={self.prune_fraction} between 0 and 1, "
                f"steps={self.steps} at least 1"
            )
        if self.privileged_by not in ("auroc", "loss"):
            raise ConfigError(f"debias.prune.privileged_by={self.privileged_by}: choose auroc or loss")
        if self.privileged_by == "loss" and self.class_balance == "batch":
            raise ConfigError(
                "debias.prune: privileged_by=loss with class_balance=batch calls a group of one class the best one, as its loss "
                "is 0; use class_balance=dataset or privileged_by=auroc"
            )

    def inputs(self, state: ModelState | None, context: Context) -> dict[str, Any]:
        key = {"trainer": context.stage_key, "attribute": context.attribute.name}
        return {**key, "data": context.fingerprint(self.split, "val"), **context.selection_key}

    def work(self, name: str, state: ModelState | None, context: Context, folder: Path) -> Outcome:
        if state is None:
            raise ConfigError(f"stage {name} needs a model: the baseline comes first")
        figures = self._group_figures(name, state, context)
        worst, best = min(figures, key=figures.__getitem__), max(figures, key=figures.__getitem__)
        start_auroc = val_auroc(name, state, context)
        choice = None if context.selection is None else running_choice(name, state, context, self.bias_loss)
        pruned = {n: torch.zeros_like(state.weights[n], dtype=torch.bool) for n in self._prunable(state)}
        total = sum(part.numel() for part in pruned.values())
        model, kept, kept_masks, kept_step, tried = state, state, pruned, 0, []
        for step in range(1, self.steps + 1):
            curvature = self._curvature(name, model, context, figures, pruned)
            by_group = {group: saliency(model.weights, own) for group, own in curvature.items()}
            scores = pruning_scores(by_group, worst, best, self.beta)
            pruned = smallest_scores(scores, pruned, round(self.prune_fraction * total * step / self.steps))
            zeroed = {n: model.weights[n].masked_fill(part, 0.0) for n, part in pruned.items()}
            model = replace(state, weights={**model.weights, **zeroed})
            tried.append(val_auroc(name, model, context))
            keep = tried[-1] >= start_auroc - self.max_auroc_drop
            stop = not keep
            if choice is not None:
                keep, stop = choice.add(candidate(f"step {step}", model, context, self.bias_loss, f"{name}: val"))
            if keep:
                kept, kept_masks, kept_step = model, pruned, step
            if stop:
                break
        write_history(folder, name, tried)
        names = context.attribute.group_names
        notes = [f"worst group {names[worst]}, best group {names[best]} by {self.privileged_by} on {self.split}"]
        if choice is not None:
            write_json(folder / "selection.json", choice.record())
            notes.append(selection_note(folder / "selection.json", f"step {len(tried)}" if len(tried) < self.steps else None))
        elif kept_step < self.steps:
            fell = f"AUROC on val was {tried[-1]:.3f} after step {len(tried)}, {start_auroc:.3f} before"
            notes.append(f"kept step {kept_step} of {self.steps}: {fell}")
        if kept_step:
            kept = replace(kept, mask=kept_masks, mask_info=self._describe(kept_masks, state))
        n_pruned = sum(int(part.sum()) for part in kept_masks.values())
        label = f"{n_pruned:,} of {total:,} weights set to 0"
        return Outcome(kept, label, len(tried), edit_facts(state, kept, editable(state, kept_masks)), tuple(notes))

    def _prunable(self, state: ModelState) -> list[str]:
        net = state.network()
        backbone = backbone_parameters(net)
        weighty = {f"{n}.weight".lstrip(".") for n, part in net.named_modules() if isinstance(part, (nn.Linear, _ConvNd))}
        return [n for n, _ in net.named_parameters() if n in weighty and (self.include_head or n in backbone)]

    def _group_figures(self, name: str, state: ModelState, context: Context) -> dict[int, float]:
        """How well each group is served, larger is better; groups in which it is undefined are left out."""
        rows = context.data.rows(self.split)
        logits = predict_logits(state, context, rows, f"{name}: groups")
        target, group = torch.as_tensor(context.data.target[rows]), context.attribute.index[rows]
        counts = context.data.rows_per_class(rows)
        found = {}
        for g in np.unique(group[group >= 0]):
            at = torch.as_tensor(group == g)
            if self.privileged_by == "auroc":
                found[int(g)] = overall_auroc(scores_of(logits[at]), target[at])
            else:
                found[int(g)] = -float(task_loss(logits[at], target[at], self.class_balance, counts))  # type: ignore[arg-type]
        found = {g: value for g, value in found.items() if not np.isnan(value)}
        if len(set(found.values())) < 2:
            raise MethodError(
                f"no worst and no best group of {context.attribute.name} in the split {self.split}: {self.privileged_by} is "
                f"defined in {len(found)} groups; two with different values are needed"
            )
        return found

    def _curvature(
        self, name: str, model: ModelState, context: Context, groups: dict[int, float], names: Masks
    ) -> dict[int, dict[str, Tensor]]:
        rows = context.data.rows(self.split)
        loader = context.data.loader(rows, self.batches, self.batch_size, context.seed, attribute=context.attribute)
        counts = context.data.seen_per_class(rows, self.batches, context.attribute)
        module = GroupCurvatureModule(model.classifier(), context.attribute.name, groups, names, self.class_balance, counts)
        one_device = {"devices": 1, "num_nodes": 1, "strategy": "auto", "logger": False}
        trainer = context.trainer(name, max_epochs=1, limit_val_batches=0, gradient_clip_val=None, **one_device)
        with expected_warnings():
            trainer.fit(module, loader)
        return module.curvature()

    def _describe(self, masks: Masks, state: ModelState) -> dict[str, Any]:
        tensors = [
            {
                "name": n,
                "shape": list(part.shape),
                "parameters": part.numel(),
                "selected": int(part.sum()),
                "density": float(part.float().mean()),
            }
            for n, part in masks.items()
        ]
        return {
            "kind": "hard",
            "source": "fairprune",
            "edit_fraction": self.prune_fraction,
            "granularity": "weight",
            "selected": sum(t["selected"] for t in tensors),
            "parameters": sum(t["parameters"] for t in tensors),
            "threshold": None,
            "importance": None,
            "tensors": tensors,
            "source_checkpoint": replace(state, mask=None).key,
        }


def val_auroc(name: str, model: ModelState, context: Context) -> float:
    """AUROC on the validation split, with more than two classes macro."""
    rows = context.data.rows("val")
    scores = scores_of(predict_logits(model, context, rows, f"{name}: val"))
    return overall_auroc(scores, torch.as_tensor(context.data.target[rows]))


def editable(state: ModelState, masks: Masks) -> Masks:
    """The pruned entries among all parameters."""
    parameters = dict(state.network().named_parameters())
    return {n: masks.get(n, torch.zeros_like(p, dtype=torch.bool)) for n, p in parameters.items()}


def write_history(folder: Path, stage: str, aurocs: list[float]) -> None:
    """The AUROC after each step, as a training writes its epochs."""
    rows = [
        {"stage": stage, "epoch": k, "split": "val", "metric": "auroc", "value": v if v == v else None}
        for k, v in enumerate(aurocs)
    ]
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
