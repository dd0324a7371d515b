"""Layer freezing from end to end: frozen layers keep every bit, norm statistics included."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import Runner, UserTable


@pytest.mark.parametrize(("method", "share", "head_moves"), [("freeze_early", 0.5, True), ("freeze_late", 0.3, False)])
@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_frozen_layers_keep_every_bit(
    backbone: str,
    method: str,
    share: float,
    head_moves: bool,
    runner: Runner,
    user_table: UserTable,
    trained_net: Callable[..., Path],
) -> None:
    path = trained_net(backbone, **({"img_size": 32} if backbone == "test_vit" else {}))
    own = [*user_table.overrides[:4], f"model.ckpt_path={path}", f"model.backbone={backbone}", f"debias={method}"]
    run = runner.train(*own, "debias.finetune.epochs=1", f"debias.edit_fraction={share}")
    before, after = (torch.load(file, weights_only=True) for file in (path, run.folder / "debiased_timm.pt"))
    mask = load_file(run.folder / "mask.safetensors")
    frozen = [name for name in before if name in mask and not mask[name].any()]
    statistics = [name for name in before if "running" in name or "num_batches" in name]
    assert frozen and all(torch.equal(before[name], after[name]) for name in [*frozen, *statistics])
    moved = [name for name in mask if name not in frozen and not torch.equal(before[name], after[name])]
    assert moved, "the layers that aren't frozen move"
    info = run.read("mask.json")
    order = [tensor["name"] for tensor in info["tensors"]]  # of the network
    inside = [order.index(name) for name in order if name not in frozen]
    assert inside[-1] == len(order) - 1 if method == "freeze_early" else inside[0] == 0
    head = [name for name in before if name not in mask and name not in statistics]
    assert all(torch.equal(before[name], after[name]) != head_moves for name in head if name.endswith("weight"))
    assert 0 < info["selected"] <= share * info["parameters"] and run.stage("finetune")["changed_outside"] == 0
