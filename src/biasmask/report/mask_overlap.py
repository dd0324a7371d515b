"""Do runs cut the same places? Overlap of their block masks, beside what random masks of the same sizes would share."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from scipy.stats import hypergeom, rankdata

from biasmask.errors import StoreError
from biasmask.report.plot_blocks import HEAD_ROLES
from biasmask.report.run_folder import first_line, read_json, read_text

MASK_FILE = "block_mask.safetensors"
NEURONS = "intermediate"
TIED = (".key", ".value")  # have the scores of the query, where scores are shared
SETTINGS = (
    "model_name", "dataset", "attribute", "label", "structure", "block_size", "embedding_layer", "debias_mode",
    "attribute_reduction",
)  # fmt: skip
NO_SETTING = (
    "seed",
    "hydra",
    "paths",
    "trainer",
    "logger",
    "progress",
    "callbacks",
)  # overrides that change no result but by chance
TAIL = 1e-15  # probability below which an outcome is left out

Masks = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class MaskedRun:
    """A run with a block mask: its folder's name, what was set, `layer.role` -> bool grid (True is kept), layer x head."""

    name: str
    run: dict[str, Any]
    masks: dict[str, np.ndarray]
    heads: dict[tuple[int, int], float]  # (layer, head) -> mean kept density
    overrides: frozenset[str] = frozenset()  # what was typed, without the seed

    @property
    def setting(self) -> tuple[Any, ...]:
        """Everything that was set but the seed."""
        return *(self.run.get(name) for name in SETTINGS), self.overrides

    @property
    def encoder(self) -> Any:
        return self.run.get("source_checkpoint") or self.run.get("model_name")

    @property
    def pruned(self) -> int:
        return sum(int((~mask).sum()) for mask in self.masks.values())


@dataclass(frozen=True)
class Chance:
    """The overlap of independent random masks: its mean, and the middle 95 % of its distribution."""

    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Overlap:
    """Two runs compared. What can't be computed is NaN, and `reason` says why.

    Args:
        iou: pruned in both / pruned in either, all blocks and neurons once each.
        anywhere: chance level where each run's blocks lie anywhere in the network.
        within: chance level where each run cuts as many blocks of each matrix as it did.
        attention, neurons: the IoU of either part.
        spearman: rank correlation of the kept densities of heads, layer by layer.
        n_heads: how many heads it rests on.
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

    @property
    def same_setting(self) -> bool:
        return self.first.setting == self.second.setting


def find_masked_runs(folders: Iterable[Path | str]) -> list[MaskedRun]:
    """Every run with a block mask in or below the folders, in the order of their paths.

    Raises:
        StoreError: a folder that doesn't exist, or a mask that can't be read.
    """
    found: dict[Path, None] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise StoreError(f"{folder}: no such folder; give run folders or the folder of a sweep")
        found |= dict.fromkeys(sorted(file.parent for file in folder.rglob(MASK_FILE) if (file.parent / "run.json").is_file()))
    names = short_names([path.resolve() for path in found])
    return [read_run(path, name) for path, name in zip(found, names, strict=True)]


def short_names(paths: Sequence[Path]) -> list[str]:
    """Paths without the folders that they share.

    >>> short_names([Path("/logs/a/0"), Path("/logs/b/0")]), short_names([Path("/logs/a")])
    (['a/0', 'b/0'], ['a'])
    """
    parts = [path.parts for path in paths]
    shared = 0
    while parts and len({p[: shared + 1] for p in parts}) == 1 and shared + 1 < min(map(len, parts)):
        shared += 1
    return ["/".join(p[shared:]) for p in parts]


def read_run(path: Path, name: str) -> MaskedRun:
    try:
        masks = load_file(path / MASK_FILE)
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{path / MASK_FILE}: can't be read ({first_line(error)}); run again") from error
    blocks = read_json(path / "block_mask.json") or {}
    heads = {(h["layer"], h["head"]): mean_density(h) for h in blocks.get("heads") or []}
    known = {place: density for place, density in heads.items() if math.isfinite(density)}
    typed = read_text(path / "overrides.txt").splitlines()
    overrides = frozenset(o for o in typed if o.lstrip("+~").partition("=")[0].split(".")[0] not in NO_SETTING)
    grids = {key: mask.astype(bool) for key, mask in sorted(masks.items())}
    return MaskedRun(name, read_json(path / "run.json") or {}, grids, known, overrides)


def mean_density(head: Mapping[str, Any]) -> float:
    known = [float(head[role]) for role in HEAD_ROLES if head.get(role) is not None]
    return sum(known) / len(known) if known else math.nan


def compare_masks(first: MaskedRun, second: MaskedRun) -> Overlap:
    """Compare two runs: blocks where their grids are equal, heads where both have scores for attention.

    Returns:
        The overlap; NaN with the reason for other encoders, other grids, and for a run that pruned nothing.
    """
    if first.encoder != second.encoder:
        return Overlap(first, second, reason="different encoders")
    for run in (first, second):
        if run.pruned == 0:
            return Overlap(first, second, reason=f"{run.name} pruned nothing")
    shared = sorted(first.heads.keys() & second.heads.keys())
    spearman = rank_correlation([first.heads[h] for h in shared], [second.heads[h] for h in shared])
    if {k: m.shape for k, m in first.masks.items()} != {k: m.shape for k, m in second.masks.items()}:
        reason = "different grids: only heads are compared"
        return Overlap(first, second, spearman=spearman, n_heads=len(shared), reason=reason)
    a, b = first.masks, second.masks
    names = [name for name in a if not (name.endswith(TIED) and shares_scores(a) and shares_scores(b))]
    sizes = [(a[name].size, int((~a[name]).sum()), int((~b[name]).sum())) for name in names]
    whole = [tuple(int(n) for n in np.sum(sizes, axis=0))]
    neurons = {name for name in names if name.endswith(f".{NEURONS}")}
    return Overlap(
        first, second, jaccard(a, b, names), chance_iou(whole), chance_iou(sizes),  # type: ignore[arg-type]
        jaccard(a, b, set(names) - neurons), jaccard(a, b, neurons), spearman, len(shared),
    )  # fmt: skip


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


def chance_iou(sizes: Sequence[tuple[int, int, int]]) -> Chance:
    """The IoU of two independent random masks that prune given numbers of blocks in each of several parts.

    What both prune in a part is hypergeometric, the parts are independent, and the IoU grows with the sum: the distribution
    is exact, by convolution.

    Args:
        sizes: For each part its blocks, and how many of them the first and the second mask prune.

    Returns:
        Mean and middle 95 %; NaN where nothing is pruned.

    >>> chance_iou([(4, 2, 2)])
    Chance(mean=0.388..., low=0.0, high=1.0)
    """
    start, probabilities = 0, np.ones(1)
    for total, a, b in sizes:
        values = np.arange(max(0, a + b - total), min(a, b) + 1)
        part = hypergeom.pmf(values, total, a, b)
        likely = np.flatnonzero(part > TAIL)
        start += int(values[likely[0]])
        probabilities = np.convolve(probabilities, part[likely[0] : likely[-1] + 1])
    pruned = sum(a + b for _, a, b in sizes)
    if not pruned:
        return Chance()
    both = start + np.arange(len(probabilities))
    iou = both / (pruned - both)
    below = np.cumsum(probabilities) / probabilities.sum()
    low, high = (float(iou[min(int(np.searchsorted(below, q)), len(iou) - 1)]) for q in (0.025, 0.975))
    return Chance(float(iou @ probabilities / probabilities.sum()), low, high)


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
