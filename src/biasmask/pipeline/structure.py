"""What the pruning stages of both families share: the structure, masks and folded weights, their files, notes and facts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from biasmask.files import write_atomically, write_json
from biasmask.methods.threshold_schedule import Schedule
from biasmask.models.pruner import Pruner

MASK_FILE, INFO_FILE = "block_mask.safetensors", "block_mask.json"
Masks = dict[str, Tensor]


@dataclass
class Structure:
    """What a score switches off; the node `structure` of a stage, and of `block_mask.json`.

    Args:
        kind: `block` (squares of `block_size`) or `head`.
        block_size: side of a block; not looked at for heads.
        attention, feed_forward: whether attention matrices and intermediate neurons have scores.
        trainable: `all`, or `values_only` (only the value matrices have scores).
        shared: one score matrix for query, key and value of a layer.
        min_kept: share of the blocks of a matrix that stays, whatever its scores.
    """

    kind: str
    block_size: int | None
    attention: bool
    feed_forward: bool
    trainable: str
    shared: bool
    min_kept: float

    def attach(self, net: nn.Module) -> Pruner:
        """Put scores on a network."""
        return Pruner(
            net, self.kind, self.block_size if self.kind == "block" else None, self.attention, self.feed_forward,
            self.min_kept, self.trainable, self.shared,
        )  # fmt: skip


def fold_masks(pruner: Pruner) -> tuple[Masks, dict[str, Any]]:
    """Make the masks part of the weights, and give them with what they keep (the content of `block_mask.json`)."""
    masks = {name: mask.cpu().clone() for name, mask in pruner.masks().items()}
    info = pruner.describe()
    pruner.fold()
    return masks, info


def write_block_mask(folder: Path, masks: Masks | None, info: dict[str, Any] | None) -> None:
    """`block_mask.safetensors` and `block_mask.json`, where there is a mask."""
    if masks is not None:
        write_atomically(folder / MASK_FILE, save({name: mask.contiguous() for name, mask in masks.items()}))
        write_json(folder / INFO_FILE, info)


def read_block_mask(folder: Path) -> tuple[Masks, dict[str, Any]] | None:
    """The mask that lies in a folder and its description, if there is one."""
    if not (folder / MASK_FILE).is_file():
        return None
    return load_file(folder / MASK_FILE), json.loads((folder / INFO_FILE).read_text(encoding="utf-8"))


def kept_label(info: Mapping[str, Any]) -> str:
    """How many blocks are left, in words.

    >>> kept_label({"kept": 1200, "total": 1728, "structure": "block"})
    '1,200 of 1,728 blocks kept'
    """
    what = f"{info['structure']}s" + (" and neurons" if info.get("neurons") else "")
    return f"{info['kept']:,} of {info['total']:,} {what} kept"


def pruning_notes(info: Mapping[str, Any], scores: Mapping[str, Tensor], schedule: Schedule) -> tuple[str, ...]:
    """What looks wrong about a mask; where nothing went, how far the scores were from it."""
    notes = list(info["warnings"])
    if info["kept"] == info["total"]:
        lowest = min(float(score.min()) for score in scores.values())
        limit = float(torch.logit(torch.tensor(schedule.final)))
        notes.append(f"the lowest score reached {lowest:.2f}; a block goes below {limit:.2f}: train longer or raise optimizer.lr")
    return tuple(notes)


def weight_facts(before: Mapping[str, Tensor], after: Mapping[str, Tensor], frozen: bool) -> dict[str, Any]:
    """What changed, bit for bit; under frozen weights nothing may change but by becoming 0, and what did is counted."""
    edited, outside, largest, total = 0, 0, 0.0, 0
    for name, old in before.items():
        new = after[name]
        changed = old != new
        total += old.numel()
        edited += int(changed.sum())
        if changed.any():
            outside += int((changed & (new != 0)).sum())
            largest = max(largest, float((new - old).abs().max()))
    facts = {"edited": edited, "parameters": total, "largest_change": largest}
    return {**facts, "changed_outside": outside if frozen else None}
