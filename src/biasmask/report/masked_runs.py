"""Runs with a mask, as an overlap of masks needs them: block masks of both families, and weight masks."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from biasmask.errors import StoreError
from biasmask.report.bias_map import read_bias_map, sums_by
from biasmask.report.plot_blocks import HEAD_ROLES
from biasmask.report.run_folder import first_line, read_json, read_text

MASK_FILE = "block_mask.safetensors"
WEIGHT_MASK_FILE = "mask.safetensors"
UNITS = {"weight": "weights", "channel": "channels", "layer": "tensors"}  # of a weight mask, by its granularity
SETTINGS = (
    "model_name", "backbone", "dataset", "attribute", "label", "structure", "block_size", "embedding_layer", "debias_mode",
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


@dataclass(frozen=True)
class MaskedRun:
    """A run with a mask.

    Args:
        name: of its folder.
        run: content of run.json.
        masks: `layer.role` of a block mask or name of a tensor -> bool array, False is cut or selected.
        heads: (layer, head) -> mean kept density, or share that wasn't selected.
        overrides: what was typed, without the seed.
        unit: what an entry of the masks stands for.
        blocks: block of the network -> share that was selected or cut, from bias_map.json.
        source: hash of the model that was looked at.
    """

    name: str
    run: dict[str, Any]
    masks: dict[str, np.ndarray]
    heads: dict[tuple[int, int], float]
    overrides: frozenset[str] = frozenset()
    unit: str = "blocks"
    blocks: dict[str, float] = field(default_factory=dict)
    source: str | None = None

    @property
    def setting(self) -> tuple[Any, ...]:
        """Everything that was set but the seed."""
        return *(self.run.get(name) for name in SETTINGS), self.overrides

    @property
    def encoder(self) -> Any:
        """What must be one for two masks to be compared: the encoder, or of images, which each seed trains anew, the backbone."""
        return self.run.get("backbone") or self.run.get("source_checkpoint") or self.run.get("model_name")

    @property
    def pruned(self) -> int:
        return sum(int((~mask).sum()) for mask in self.masks.values())


def find_masked_runs(folders: Iterable[Path | str]) -> list[MaskedRun]:
    """Every run with a block mask or a weight mask in or below the folders, in the order of their paths.

    Raises:
        StoreError: a folder that doesn't exist, or a mask that can't be read.
    """
    found: dict[Path, None] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise StoreError(f"{folder}: no such folder; give run folders or the folder of a sweep")
        files = [file for name in (MASK_FILE, WEIGHT_MASK_FILE) for file in folder.rglob(name)]
        found |= dict.fromkeys(sorted({file.parent for file in files if (file.parent / "run.json").is_file()}))
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
    """A run's block mask, else its weight mask."""
    typed = read_text(path / "overrides.txt").splitlines()
    overrides = frozenset(o for o in typed if o.lstrip("+~").partition("=")[0].split(".")[0] not in NO_SETTING)
    run, bias_map = read_json(path / "run.json") or {}, read_bias_map(path) or {}
    rows = bias_map.get("rows") or []
    shares = {part.name: part.share for part in sums_by(rows, "block") if part.selected and math.isfinite(part.share)}
    shares = {part.name: shares.get(part.name, 0.0) for part in sums_by(rows, "block") if part.parameters} if shares else {}
    if (path / MASK_FILE).is_file():
        masks = {key: mask.astype(bool) for key, mask in sorted(load_arrays(path / MASK_FILE).items())}
        blocks = read_json(path / "block_mask.json") or {}
        heads = {(h["layer"], h["head"]): mean_density(h) for h in blocks.get("heads") or []}
        known = {place: density for place, density in heads.items() if math.isfinite(density)}
        return MaskedRun(name, run, masks, known, overrides, "blocks", shares, run.get("source_checkpoint"))
    info = read_json(path / "mask.json") or {}
    granularity = str(info.get("granularity") or "weight")
    masks = {key: units_of(mask, granularity) for key, mask in sorted(load_arrays(path / WEIGHT_MASK_FILE).items())}
    if info.get("kind") == "soft":
        masks = {}  # every weight is selected to some degree: only shares can be compared
    kept = [row for row in rows if row["head"] is not None and row["selected"] is not None]
    places = sorted({(row["layer"], row["head"]) for row in kept})
    sums = {place: np.zeros(2) for place in places}
    for row in kept:
        sums[row["layer"], row["head"]] += (row["selected"], row["parameters"])
    heads = {place: 1 - float(selected / total) for place, (selected, total) in sums.items() if total}
    return MaskedRun(name, run, masks, heads, overrides, UNITS[granularity], shares, info.get("source_checkpoint"))


def load_arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(file)  # type: ignore[no-any-return]
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{file}: can't be read ({first_line(error)}); run again") from error


def units_of(mask: np.ndarray, granularity: str) -> np.ndarray:
    """The choices that a weight mask stands for, False where selected: entries, or a whole channel or tensor as one.

    >>> units_of(np.array([[True, True], [False, False]]), "channel").tolist()
    [False, True]
    """
    left = ~mask.astype(bool)
    if granularity == "channel":
        return left.reshape(len(left), -1)[:, 0] if left.ndim else left.reshape(1)
    return left.reshape(-1)[:1] if granularity == "layer" else left


def mean_density(head: Mapping[str, Any]) -> float:
    known = [float(head[role]) for role in HEAD_ROLES if head.get(role) is not None]
    return sum(known) / len(known) if known else math.nan
