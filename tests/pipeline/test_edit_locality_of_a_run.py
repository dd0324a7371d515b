"""Edit locality from end to end: what lies outside of the mask leaves a run exactly as it came, statistics included."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import Runner, UserTable

OPTIMIZERS = {
    "SGD": ("debias.impair.optimizer.lr=0.05", "debias.impair.optimizer.weight_decay=0.1"),
    "Adam": (
        "debias.impair.optimizer={_target_: torch.optim.Adam, lr: 0.01, weight_decay: 0.1}",
        "~debias.impair.optimizer.momentum",
    ),
    "AdamW": (
        "debias.impair.optimizer={_target_: torch.optim.AdamW, lr: 0.01, weight_decay: 0.1}",
        "~debias.impair.optimizer.momentum",
    ),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_outside_of_the_mask_nothing_moves(
    backbone: str, optimizer: str, runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]
) -> None:
    args = {"img_size": 32} if backbone == "test_vit" else {}
    path = trained_net(backbone, **args)
    overrides = [word for word in user_table.overrides if not word.startswith("debias.repair")]
    run = runner.train(
        *overrides, f"model.ckpt_path={path}", f"model.backbone={backbone}", "debias=impair_only",
        "debias.impair.guard=null", "debias.edit_fraction=0.5",
        "debias.impair.epochs=4", "debias.impair.batch_size=10", *OPTIMIZERS[optimizer],
    )  # fmt: skip
    before = torch.load(path, weights_only=True)
    after = torch.load(run.folder / "debiased_timm.pt", weights_only=True)
    mask = load_file(run.folder / "mask.safetensors")
    edited = 0
    for name, old in before.items():
        inside = mask.get(name, torch.zeros_like(old, dtype=torch.bool))
        assert old[~inside].numpy().tobytes() == after[name][~inside].numpy().tobytes(), f"{name} moved outside of the mask"
        edited += int((after[name] != old).sum())
    record = run.stage("impair")
    assert edited == record["edited"] > 0.4 * record["parameters"] and record["changed_outside"] == 0
    assert record["largest_change"] > 0


def test_statistics_move_only_where_asked(runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]) -> None:
    path = trained_net()
    overrides = [word for word in user_table.overrides if not word.startswith("debias.repair")]
    run = runner.train(*overrides, f"model.ckpt_path={path}", "debias=adapt_norm")
    before, after = torch.load(path, weights_only=True), torch.load(run.folder / "debiased_timm.pt", weights_only=True)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all("running" in name or "num_batches" in name for name in moved)
    assert run.stage("impair")["edited"] == 0


def test_another_granularity_edits_whole_rows(runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]) -> None:
    run = runner.train(*user_table.overrides, f"model.ckpt_path={trained_net()}", "debias.locate.granularity=channel")
    for name, mask in load_file(run.folder / "mask.safetensors").items():
        rows = mask.reshape(len(mask), -1).float().mean(1)
        assert bool(((rows == 0) | (rows == 1)).all()), name
