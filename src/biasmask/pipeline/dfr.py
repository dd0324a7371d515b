"""The stage `refit`: a new head from logistic regressions on balanced subsets of cached features (DFR)."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biasmask.data.samplers import balanced_rows
from biasmask.errors import ConfigError, MethodError
from biasmask.methods.dfr import ITERATIONS, LinearHead, averaged_head, logistic_regression, standardisation
from biasmask.metrics.overall import overall_auroc
from biasmask.models.image_classifier import head_of, scores_of
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.fine_tune import edit_facts, features_of
from biasmask.pipeline.stages import Outcome, StoredStage

FEW_ROWS = 10  # of a cell of group and class, below which a note says so


@dataclass
class RefitHead(StoredStage):
    """Fit the head anew on features of the debias split; the backbone stays as it is.

    Args:
        subsets: number of balanced subsets, whose heads are averaged.
        penalty: `l2` or `l1`.
        strengths: of the penalty; that of the best worst-group AUROC on the validation split is taken.
        views: flips of each image, 1..8.
        split: the rows to fit on.
    """

    subsets: int
    penalty: str
    strengths: list[float]
    views: int
    split: str

    def __post_init__(self) -> None:
        if self.penalty not in ITERATIONS:
            raise ConfigError(f"debias.refit.penalty={self.penalty}: choose one of {', '.join(ITERATIONS)}")
        if self.subsets < 1 or not 1 <= self.views <= 8:
            raise ConfigError(f"debias.refit: subsets={self.subsets} must be 1 or more, views={self.views} between 1 and 8")
        if not self.strengths or min(self.strengths) <= 0:
            raise ConfigError(f"debias.refit.strengths={self.strengths}: give one or more numbers above 0")

    def inputs(self, state: ModelState | None, context: Context) -> dict[str, Any]:
        return {"trainer": context.stage_key, "data": context.fingerprint(self.split, "val")}

    def work(self, name: str, state: ModelState | None, context: Context, folder: Path) -> Outcome:
        if state is None:
            raise ConfigError(f"stage {name} needs a model: the baseline comes first")
        data, attribute = context.data, context.attribute
        rows, val = data.rows(self.split), data.rows("val")
        features = features_of(state, context, rows, range(self.views), f"{name}: features").double()
        val_features = features_of(state, context, val, range(1), f"{name}: features")[0].double()
        mean, deviation = standardisation(features.flatten(0, 1))
        subsets = self._subsets(context, data.target[rows], attribute.index[rows])
        scaled, target = (features - mean) / deviation, torch.as_tensor(data.target[rows])
        figures, heads = [], []
        for strength in self.strengths:
            fitted = [
                logistic_regression(
                    scaled[:, at].flatten(0, 1), target[at].repeat(self.views), data.n_classes, strength, self.penalty
                )
                for at in subsets
            ]
            heads.append(averaged_head(fitted, mean, deviation))
            figures.append(worst_group_auroc(heads[-1], val_features, data.target[val], attribute.index[val]))
        best = best_strength(figures, self.strengths)
        net = state.network()
        write_head(net, heads[best])
        after = state.with_weights(net)
        head = {id(p) for p in head_of(net)[1].parameters()}
        editable = {n: torch.full_like(p, id(p) in head, dtype=torch.bool) for n, p in net.named_parameters()}
        tried = ", ".join(f"{s:g}: {f:.3f}" for s, f in zip(self.strengths, figures, strict=True))
        label = f"head from {self.subsets} regressions on {len(subsets[0]):,} balanced rows each"
        notes = [f"{self.penalty} penalty {self.strengths[best]:g}, by worst-group AUROC on val ({tried})"]
        notes += self._notes(context, data.target[rows], attribute.index[rows])
        return Outcome(after, label, facts=edit_facts(state, after, editable), notes=tuple(notes))

    def _subsets(self, context: Context, target: np.ndarray, group: np.ndarray) -> list[Tensor]:
        known = group >= 0
        if len(np.unique(group[known])) < 2 or len(np.unique(target[known])) < 2:
            raise MethodError(
                f"the split `{self.split}` has no two groups or no two classes: DFR has nothing to balance; see checker.json"
            )
        counts = Counter(zip(target[known].tolist(), group[known].tolist(), strict=True))
        if all(len({g for c, g in counts if c == y}) == 1 for y in np.unique(target[known])):
            raise MethodError(
                f"in the split `{self.split}` each class is in one group of {context.attribute.name} alone: a subset balanced "
                "over the cells would tie group and class together; see checker.json"
            )
        rng = [np.random.default_rng([context.seed, k]) for k in range(self.subsets)]
        return [torch.as_tensor(balanced_rows(target, group, "all_cells", rng=one)) for one in rng]

    def _notes(self, context: Context, target: np.ndarray, group: np.ndarray) -> list[str]:
        """What is missing or rare among the cells of group and class, in words."""
        known, groups, classes = group >= 0, context.attribute.group_names, context.data.table.class_names
        counts = Counter(zip(target[known].tolist(), group[known].tolist(), strict=True))
        empty = [f"{groups[g]} x {classes[y]}" for y in range(len(classes)) for g in range(len(groups)) if (y, g) not in counts]
        notes = [f"no row of {', '.join(empty)}: these cells are missing from the balance"] if empty else []
        (y, g), smallest = min(counts.items(), key=lambda entry: entry[1])
        if smallest < FEW_ROWS:
            notes.append(f"{groups[g]} x {classes[y]} has {smallest} rows: each regression sees as many of each cell")
        return notes


def worst_group_auroc(head: LinearHead, features: Tensor, target: np.ndarray, group: np.ndarray) -> float:
    """The smallest AUROC of a group, with more than two classes macro; groups in which it is undefined are left out.

    NaN where it is undefined in all of them.
    """
    logits = features @ head.weight.T + head.bias
    scores, targets = scores_of(logits[:, 0] if logits.shape[1] == 1 else logits), torch.as_tensor(target)
    found = [
        overall_auroc(scores[at], targets[at]) for g in np.unique(group[group >= 0]) if len(at := np.flatnonzero(group == g))
    ]
    defined = [value for value in found if not np.isnan(value)]
    return min(defined) if defined else float("nan")


def best_strength(figures: list[float], strengths: list[float]) -> int:
    """Place of the best figure; of equal ones that of the strongest penalty.

    Raises:
        MethodError: no figure is defined.
    """
    if np.isnan(figures).all():
        raise MethodError("no group of the validation split has rows of two classes: no penalty can be chosen; enlarge the split")
    return max((f, s, k) for k, (f, s) in enumerate(zip(figures, strengths, strict=True)) if not np.isnan(f))[2]


@torch.no_grad()
def write_head(net: torch.nn.Module, found: LinearHead) -> None:
    """Put a linear head into a network: of one output, of two under a softmax (z = z1 - z0), or of one a class."""
    head = head_of(net)[1]
    if head.bias is None:
        raise MethodError("the head has no bias, and DFR fits one: choose debias=last_layer")
    weight, bias = found.weight, found.bias
    if len(weight) == 1 and head.out_features == 2:
        weight, bias = torch.cat([-weight / 2, weight / 2]), torch.cat([-bias / 2, bias / 2])
    head.weight.copy_(weight)
    head.bias.copy_(bias)
