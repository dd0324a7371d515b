"""`bias_map.json`: where a run selected and changed parameters, in one form for CNN, ViT and text encoders."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from biasmask.errors import BiasmaskError, StoreError
from biasmask.files import write_json
from biasmask.methods.block_mask import expand, rows_kept
from biasmask.methods.weight_delta import different_bits
from biasmask.models.network_parts import Region, network_regions, shared_names
from biasmask.models.prune_map import NEURON_ROLES, NEURONS, grid_of
from biasmask.pipeline.checkpoints import load_model
from biasmask.pipeline.family import is_text
from biasmask.pipeline.structure import read_block_mask
from biasmask.report.bias_map import MAP_FILE, SCHEMA

State = Any  # a ModelState, or a TextState, whose module an image run doesn't import: transformers takes seconds


def write_bias_map(run_dir: Path | str, base: State | None = None, debiased: State | None = None) -> Path | None:
    """Write `bias_map.json` into a run folder, from what the folder holds.

    Args:
        run_dir: folder of a finished run.
        base, debiased: the two models, where they are at hand; else they are loaded. Without a base model (a text run whose
            encoder is gone) what changed isn't known.
    Returns:
        Path of the file; None for a run that debiased nothing.
    Raises:
        StoreError: no run folder.
        CheckpointError: a model that can't be loaded.
    """
    path = Path(run_dir)
    if not (path / "run.json").is_file():
        raise StoreError(f"{path} is no finished run: it holds no run.json")
    if debiased is None:
        base, debiased = load_pair(path)
    if debiased is None:
        return None
    info = json.loads((path / "mask.json").read_text(encoding="utf-8")) if (path / "mask.json").is_file() else None
    mask = load_file(path / "mask.safetensors") if (path / "mask.safetensors").is_file() else None
    blocks = read_block_mask(path)
    net = debiased.network()
    regions = network_regions(net)
    selected = cut_by_blocks(net, regions, blocks[0]) if mask is None and blocks else mask
    rows = map_rows(regions, base.weights if base else None, debiased.weights, selected, importances_of(info))
    content = {
        "schema": SCHEMA,
        "family": "text" if is_text(path) else "image",
        "architecture": debiased.model_class if is_text(path) else debiased.hyper["backbone"],
        "selected_by": "mask" if mask is not None else "block_mask" if blocks else None,
        "changed_known": base is not None,
        "shared": shared_names(net),
        "rows": rows,
    }
    write_json(path / MAP_FILE, content)
    return path / MAP_FILE


def load_pair(path: Path) -> tuple[State | None, State | None]:
    """Base and debiased model of a run folder; None for what there isn't."""
    if is_text(path):
        return load_text_pair(path)
    files = {name: path / "checkpoints" / f"{name}.ckpt" for name in ("base", "debiased")}
    found = {name: load_model(file)[0] for name, file in files.items() if file.is_file()}
    return found.get("base"), found.get("debiased")


def load_text_pair(path: Path) -> tuple[State | None, State | None]:
    """As `load_pair`; the base encoder is None where it is gone, or another one than the run's."""
    from biasmask.models.text_encoder import find_encoder
    from biasmask.pipeline.text_state import TextState, read_masks

    folder = path / "debiased_hf"
    if not folder.is_dir():
        return None, None
    about = json.loads((path / "run.json").read_text(encoding="utf-8"))
    debiased = read_masks(path, TextState.load(str(folder)))
    try:
        base = TextState.load(find_encoder(**about["model_source"]))
    except BiasmaskError:  # a map without what changed is still a map
        return None, debiased
    return (base if base.key == about["source_checkpoint"] else None), debiased


def map_rows(
    regions: list[Region],
    base: Mapping[str, Tensor] | None,
    debiased: Mapping[str, Tensor],
    selected: Mapping[str, Tensor] | None,
    importances: Mapping[tuple[str, int, int], tuple[float, float]],
) -> list[dict[str, Any]]:
    """The rows of `bias_map.json`.

    Args:
        regions: of the network.
        base, debiased: state dicts of equal names.
        selected: name -> bool (or, of a soft mask, float in [0, 1]) tensor of the same shape; tensors that aren't there could
            not be selected.
        importances: (tensor, axis, start) -> mean bias and task importance.
    """
    differs = {name: different_bits(base[name], tensor) for name, tensor in debiased.items()} if base is not None else {}
    rows = []
    for region in regions:
        weight = debiased[region.tensor]
        parameters = region.of(weight).numel()
        chosen = None
        if selected is not None:
            mask = selected.get(region.tensor)
            chosen = 0.0 if mask is None else float(region.of(mask).sum(dtype=torch.float64))
        changed, largest = None, None
        if base is not None:
            moved = region.of(differs[region.tensor])
            changed = int(moved.sum())
            step = (region.of(weight).double() - region.of(base[region.tensor]).double())[moved].abs()
            largest = float(step.max()) if changed else 0.0
        importance = importances.get((region.tensor, region.axis, region.start), (None, None))
        rows.append(
            {
                "tensor": region.tensor,
                "matrix": region.matrix,
                "layer": region.layer,
                "block": region.block,
                "head": region.head,
                "kind": region.kind,
                "axis": region.axis,
                "start": region.start,
                "stop": region.stop,
                "parameters": parameters,
                "selected": chosen,
                "share": None if chosen is None else chosen / parameters if parameters else None,
                "changed": changed,
                "largest_change": largest if largest is None or largest < float("inf") else None,
                "bias_importance": importance[0],
                "task_importance": importance[1],
            }
        )
    return rows


def cut_by_blocks(net: nn.Module, regions: list[Region], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Which weights and bias entries a block mask switches off: state dict name -> bool tensor of its shape."""
    shapes = {name: tensor.shape for name, tensor in net.state_dict().items()}
    found: dict[str, Tensor] = {}
    for matrix, tensor, start, stop in matrices_of(regions, shapes):
        role = matrix.partition(".")[2]
        key = f"{matrix.partition('.')[0]}.{NEURONS}" if role in NEURON_ROLES else matrix
        if key not in masks:
            continue
        grid = grid_of(masks[key], role).to(torch.float32)
        whole = found.setdefault(tensor, torch.zeros(shapes[tensor], dtype=torch.bool))
        if tensor.endswith("bias"):
            whole[start:stop] = rows_kept(grid, stop - start) == 0
        else:
            whole[start:stop] = expand(grid == 0, (stop - start, shapes[tensor][1]))
    return found


def matrices_of(regions: list[Region], shapes: Mapping[str, torch.Size]) -> list[tuple[str, str, int, int]]:
    """Matrix, tensor, and first and last row of each matrix of a layer and of its bias."""
    rows: dict[tuple[str, str], tuple[int, int]] = {}
    for region in regions:
        if region.matrix is None:
            continue
        own = (region.start, region.stop) if region.axis == 0 else (0, shapes[region.tensor][0])
        start, stop = rows.get((region.matrix, region.tensor), own)
        rows[region.matrix, region.tensor] = min(start, own[0]), max(stop, own[1])
    return [(*names, *ends) for names, ends in rows.items()]


def importances_of(info: Mapping[str, Any] | None) -> dict[tuple[str, int, int], tuple[float, float]]:
    """Mean bias and task importance of each region, where `mask.json` holds them."""
    entries = (info or {}).get("region_importance") or []
    return {(e["tensor"], e["axis"], e["start"]): (e["bias"], e["task"]) for e in entries}


def region_importances(net: nn.Module, importances: Mapping[str, Mapping[str, Tensor]]) -> list[dict[str, Any]]:
    """Mean bias and task importance of each region, for `mask.json`.

    Args:
        net: the network that was looked at.
        importances: `bias` and `task`, each name -> tensor.
    """
    return [
        {
            "tensor": region.tensor,
            "axis": region.axis,
            "start": region.start,
            **{loss: float(region.of(importances[loss][region.tensor]).mean(dtype=torch.float64)) for loss in ("bias", "task")},
        }
        for region in network_regions(net)
        if region.tensor in importances["bias"]
    ]
