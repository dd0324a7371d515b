"""SWiFT from end to end: what the soft mask stops stays, and what of the head carries the bias starts from 0."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import FinishedRun, Runner, UserTable


@pytest.fixture
def swift(runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]) -> Callable[..., FinishedRun]:
    path = trained_net()

    def make(*overrides: str) -> FinishedRun:
        epochs = ["debias.impair.epochs=2", "debias.repair.epochs=1"]
        own = ["experiment=bmft", *user_table.overrides[1:4], *epochs, f"model.ckpt_path={path}"]
        return runner.train(*own, "debias=swift", *overrides)

    return make


def weights(run: FinishedRun) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    both = (torch.load(run.folder / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("base", "debiased"))
    before, after = ({k.removeprefix("net."): v for k, v in content["state_dict"].items()} for content in both)
    return before, after


def test_step_1_moves_the_backbone_as_far_as_the_mask_lets_it(swift: Callable[..., FinishedRun]) -> None:
    decay = ("debias.impair.optimizer.lr=0.01", "debias.impair.optimizer.weight_decay=0.5")
    run = swift("debias.stages=[locate,impair]", "debias.impair.guard=null", *decay)
    before, after = weights(run)
    mask = load_file(run.folder / "mask.safetensors")
    stopped = 0
    for name, old in before.items():
        still = mask[name] == 0 if name in mask and not name.startswith("fc.") else torch.ones_like(old, dtype=torch.bool)
        assert old[still].numpy().tobytes() == after[name][still].numpy().tobytes(), name
        stopped += int(still.sum()) if name in mask and not name.startswith("fc.") else 0
    record = run.stage("impair")
    assert stopped > 0 and record["changed_outside"] == 0 and 0 < record["edited"] <= record["parameters"] - stopped


def test_step_2_resets_part_of_the_head_and_leaves_the_backbone(swift: Callable[..., FinishedRun]) -> None:
    run = swift("debias.stages=[locate,repair]", "debias.repair.optimizer.lr=0")
    before, after = weights(run)
    mask = load_file(run.folder / "mask.safetensors")["fc.weight"]
    reset = mask > mask.mean()
    assert 0 < int(reset.sum()) < reset.numel()
    assert after["fc.weight"].equal(before["fc.weight"].masked_fill(reset, 0.0)) and after["fc.bias"].equal(before["fc.bias"])
    assert all(after[name].equal(before[name]) for name in before if not name.startswith("fc."))
    assert run.stage("repair")["edited"] == int(reset.sum())


def test_a_run_without_a_soft_mask_is_named(swift: Callable[..., FinishedRun], runner: Runner) -> None:
    assert "soft mask" in runner.error(lambda: swift("debias.stages=[repair]"))
    hard = "debias.locate._target_=biasmask.pipeline.locate.Locate"
    assert "soft mask" in runner.error(lambda: swift(hard))
    assert "bias_only" in runner.error(lambda: swift("debias.locate.source=bias_only"))
