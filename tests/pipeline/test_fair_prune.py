"""FairPrune from end to end: what is pruned, what stays, and the guard that stops it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import FinishedRun, Runner, UserTable


@pytest.fixture
def pruned(runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]) -> Callable[..., FinishedRun]:
    path = trained_net()

    def make(*overrides: str) -> FinishedRun:
        own = [*user_table.overrides[:4], f"model.ckpt_path={path}", "debias=fairprune", "debias.prune.steps=2"]
        return runner.train(*own, *overrides)

    return make


def weights(run: FinishedRun, name: str) -> dict[str, torch.Tensor]:
    content = torch.load(run.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    return {key.removeprefix("net."): value for key, value in content.items()}


def test_the_share_of_weights_is_0_and_all_else_stays(pruned: Callable[..., FinishedRun]) -> None:
    run = pruned("debias.prune.max_auroc_drop=1", "debias.prune.prune_fraction=0.3")
    before, after = weights(run, "base"), weights(run, "debiased")
    mask = load_file(run.folder / "mask.safetensors")
    assert all(before[name].ndim == 4 for name in mask), "convolutions alone: no norm layer, no bias, no head"
    for name, old in before.items():
        inside = mask.get(name, torch.zeros_like(old, dtype=torch.bool))
        assert not bool(after[name][inside].any()) and after[name][~inside].equal(old[~inside]), name
    info, record = run.read("mask.json"), run.stage("prune")
    assert info["selected"] == pytest.approx(0.3 * info["parameters"], abs=1) and record["changed_outside"] == 0
    assert record["edited"] == info["selected"] and record["epochs"] == 2
    assert "worst group" in record["notes"][0]
    assert [row["metric"] for row in run.read("history.json") if row["stage"] == "prune"] == ["auroc", "auroc"]


def test_a_step_that_costs_too_much_is_taken_back(pruned: Callable[..., FinishedRun]) -> None:
    run = pruned("debias.prune.max_auroc_drop=-1")
    before, after = weights(run, "base"), weights(run, "debiased")
    assert all(torch.equal(before[name], after[name]) for name in before)
    record = run.stage("prune")
    assert record["edited"] == 0 and record["epochs"] == 1 and "kept step 0 of 2" in record["notes"][1]
    assert not (run.folder / "mask.json").exists()


def test_the_head_is_prunable_when_asked_and_the_groups_may_be_told_by_the_loss(pruned: Callable[..., FinishedRun]) -> None:
    run = pruned("debias.prune.include_head=true", "debias.prune.max_auroc_drop=1", "debias.prune.privileged_by=loss")
    assert "fc.weight" in load_file(run.folder / "mask.safetensors")
    assert "by loss on debias" in run.stage("prune")["notes"][0]


def test_settings_that_make_no_sense_are_named(pruned: Callable[..., FinishedRun], runner: Runner) -> None:
    assert "prune_fraction=1" in runner.error(lambda: pruned("debias.prune.prune_fraction=1.0"))
    assert "privileged_by=size" in runner.error(lambda: pruned("debias.prune.privileged_by=size"))
