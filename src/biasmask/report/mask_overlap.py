"""Do runs take the same places? Overlap of block and weight masks, beside what random masks of the same sizes would share."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from biasmask.report.mask_chance import Chance, chance_iou, overlap_z
from biasmask.report.masked_runs import SETTINGS, MaskedRun

NEURONS = "intermediate"
TIED = (".key", ".value")  # have the scores of the query, where scores are shared
SAME_MODEL_AND_DATA = ("model_name", "backbone", "dataset")

Masks = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Overlap:
    """Two runs compared. What can't be computed is NaN, and `reason` says why.

    Args:
        iou: taken (pruned or selected) in both / taken in either, all blocks and neurons, or all weights, once each.
        anywhere: chance level where each run's places lie anywhere in the network ("same number").
        within: chance level where each run takes as many places of each matrix or tensor as it did ("same layers").
        attention, neurons: the IoU of either part, of block masks.
        spearman: rank correlation of the kept densities of heads, layer by layer.
        n_heads: how many heads it rests on.
        z_anywhere, z_within: standard deviations of chance by which the shared places lie above it.
        spearman_blocks: rank correlation of the shares of the network's blocks.
        n_blocks: how many blocks it rests on.
    """

    first: MaskedRun
    second: MaskedRun
    iou: float = math.nan
    anywhere: Chance = Chance()
    within: Chance = Chance()
    attention: float = math.nan
    neurons: float = math.nan
    spearman: float = math.nan
    n_heads: int = 0
    reason: str | None = None
    z_anywhere: float = math.nan
    z_within: float = math.nan
    spearman_blocks: float = math.nan
    n_blocks: int = 0

    @property
    def same_setting(self) -> bool:
        return self.first.setting == self.second.setting

    @property
    def kind(self) -> str:
        """In what the runs differ: `other seeds`, `other attributes`, `other methods` or `different settings`."""
        if self.same_setting:
            return "other seeds"
        differing = {name for name in SETTINGS if self.first.run.get(name) != self.second.run.get(name)}
        typed = {o.lstrip("+~").partition("=")[0] for o in self.first.overrides ^ self.second.overrides}
        method = {name for name in typed if name.split(".")[0] in ("debias", "experiment")}
        seeds = ", same seed" if self.first.run.get("seed") == self.second.run.get("seed") else ""
        if differing == {"attribute"} and typed <= {"attribute"}:
            return f"other attributes{seeds}"
        if "label" in differing and not differing & {"attribute", *SAME_MODEL_AND_DATA} and typed <= method:
            return f"other methods{seeds}"
        return "different settings"


def compare_masks(first: MaskedRun, second: MaskedRun) -> Overlap:
    """Compare two runs: places where their grids are equal, heads and blocks of the network where both have them.

    Returns:
        The overlap; NaN with the reason for other encoders, other grids, and for a run that took nothing.
    """
    if first.encoder != second.encoder:
        return Overlap(first, second, reason="different encoders")
    heads = sorted(first.heads.keys() & second.heads.keys())
    blocks = [block for block in first.blocks if block in second.blocks]
    ranks: dict[str, Any] = {
        "spearman": rank_correlation([first.heads[h] for h in heads], [second.heads[h] for h in heads]),
        "n_heads": len(heads),
        "spearman_blocks": rank_correlation([first.blocks[b] for b in blocks], [second.blocks[b] for b in blocks]),
        "n_blocks": len(blocks),
    }
    if not first.masks or not second.masks:
        return Overlap(first, second, reason="a soft mask: only ranks are compared", **ranks)
    for run in (first, second):
        if run.pruned == 0:
            return Overlap(first, second, reason=f"{run.name} pruned nothing")
    if {k: m.shape for k, m in first.masks.items()} != {k: m.shape for k, m in second.masks.items()}:
        return Overlap(first, second, reason="different grids: only heads are compared", **ranks)
    a, b = first.masks, second.masks
    names = [name for name in a if not (name.endswith(TIED) and shares_scores(a) and shares_scores(b))]
    sizes = [(a[name].size, int((~a[name]).sum()), int((~b[name]).sum())) for name in names]
    whole: list[tuple[int, int, int]] = [tuple(int(n) for n in np.sum(sizes, axis=0))]  # type: ignore[list-item]
    both = sum(int((~a[name] & ~b[name]).sum()) for name in names)
    neurons = {name for name in names if name.endswith(f".{NEURONS}")}
    split = first.unit == "blocks"  # into attention and neurons
    return Overlap(
        first,
        second,
        jaccard(a, b, names),
        chance_iou(whole),
        chance_iou(sizes),
        jaccard(a, b, set(names) - neurons) if split else math.nan,
        jaccard(a, b, neurons) if split else math.nan,
        z_anywhere=overlap_z(whole, both),
        z_within=overlap_z(sizes, both),
        **ranks,
    )


def shares_scores(masks: Masks) -> bool:
    """Whether query, key and value of every layer have one mask: tied scores, which are one choice and count once.

    >>> one, other = np.array([True, False]), np.array([True, True])
    >>> shares_scores({"0.query": one, "0.key": one, "0.value": one}), shares_scores({"0.query": one, "0.key": other})
    (True, False)
    """
    layers = [name.removesuffix(".query") for name in masks if name.endswith(".query")]
    twins = [(masks[f"{layer}.query"], masks.get(layer + role)) for layer in layers for role in TIED]
    return bool(twins) and all(twin is not None and np.array_equal(mask, twin) for mask, twin in twins)


def compare_runs(runs: Sequence[MaskedRun]) -> list[Overlap]:
    """Every pair of runs."""
    return [compare_masks(first, second) for first, second in itertools.combinations(runs, 2)]


def jaccard(first: Masks, second: Masks, names: Iterable[str] | None = None) -> float:
    """Pruned in both over pruned in either.

    Args:
        first, second: Name -> bool grid, True is kept; of equal shapes.
        names: The grids to count; all by default.

    Returns:
        A share in [0, 1]; NaN where neither has pruned anything.

    >>> a, b = {"0.key": np.array([[False, True], [False, True]])}, {"0.key": np.array([[False, False], [True, True]])}
    >>> round(jaccard(a, b), 3)
    0.333
    """
    chosen = list(first if names is None else names)
    both = sum(int((~first[name] & ~second[name]).sum()) for name in chosen)
    either = sum(int((~first[name] | ~second[name]).sum()) for name in chosen)
    return both / either if either else math.nan


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN for fewer than three places or where one side is all ties.

    >>> round(rank_correlation([0.1, 0.2, 0.9], [5.0, 6.0, 70.0]), 6), rank_correlation([1, 1, 1], [1, 2, 3])
    (1.0, nan)
    """
    if len(first) < 3:
        return math.nan
    ranks = [rankdata(values) - (len(first) + 1) / 2 for values in (first, second)]
    spread = math.sqrt(float(ranks[0] @ ranks[0]) * float(ranks[1] @ ranks[1]))
    return float(ranks[0] @ ranks[1]) / spread if spread else math.nan
