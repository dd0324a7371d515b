"""trainer=ddp_sim: two forked processes give the importances and the mask of one, and every stage runs and is recorded."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import FinishedRun, Runner, UserTable

TWO = ("trainer=ddp_sim", "trainer.devices=2")


def importances(store: Path) -> dict[str, torch.Tensor]:
    (file,) = store.glob("importance/[!.]*/importance.safetensors")
    return load_file(file)


def on_two(runner: Runner, tmp_path: Path, *overrides: str, rendered: bool = False) -> FinishedRun:
    run = runner.rendered if rendered else runner.train
    return run(*overrides, *TWO, folder=tmp_path / "two", store=tmp_path / "two_store")


@pytest.mark.parametrize("per_sample", [False, True], ids=["batches", "per_sample"])
@pytest.mark.parametrize("batches", ["sequential", "group_target"])
def test_importances_and_mask_are_those_of_one_process(
    batches: str, per_sample: bool, runner: Runner, user_table: UserTable, trained_net: Callable[..., Path], tmp_path: Path
) -> None:
    """The batches are the same ones, summed in float64: equal to float32's last digit. 48 rows make 5 batches, an odd number."""
    walk = (f"debias.locate.batches={batches}", "debias.locate.batch_size=10", f"debias.locate.per_sample={per_sample}")
    common = (*user_table.overrides, f"model.ckpt_path={trained_net()}", "debias=impair_only", *walk, "debias.impair.epochs=1")
    common = tuple(word for word in common if not word.startswith("debias.repair"))
    one = runner.train(*common, store=tmp_path / "one_store")
    two = on_two(runner, tmp_path, *common)
    first, second = importances(tmp_path / "one_store"), importances(tmp_path / "two_store")
    for name in first:
        torch.testing.assert_close(second[name], first[name], rtol=1e-6, atol=0)
    assert two.read("mask.json")["importance"] == one.read("mask.json")["importance"]
    masks = [load_file(run.folder / "mask.safetensors") for run in (one, two)]
    assert all(torch.equal(masks[0][name], masks[1][name]) for name in masks[0])


def test_all_stages_run_on_two_processes(runner: Runner, tmp_path: Path) -> None:
    run = on_two(runner, tmp_path, "trainer.max_epochs=2", rendered=True)
    stages = run.read("stages.json")
    assert [s["stage"] for s in stages] == ["baseline", "locate", "impair", "repair"]
    assert run.stage("baseline")["epochs"] == 2
    assert run.stage("repair")["edited"] > 0 and all(s["changed_outside"] in (None, 0) for s in stages)
    history = run.read("history.json")
    losses = [row for row in history if (row["stage"], row["split"], row["metric"]) == ("baseline", "train", "loss")]
    assert [row["epoch"] for row in losses] == [0, 1], "each epoch once, from one process"
    again = runner.evaluate(run.folder)
    assert again.figures == run.figures


@pytest.mark.parametrize("method", ["adapt_norm", "full_ft", "bmft_published"])
def test_methods_on_two_processes(
    method: str, runner: Runner, user_table: UserTable, trained_net: Callable[..., Path], tmp_path: Path
) -> None:
    common = [word for word in user_table.overrides if not word.startswith("debias.")]
    stage = "finetune" if method == "full_ft" else "impair"
    run = on_two(runner, tmp_path, *common, f"model.ckpt_path={trained_net()}", f"debias={method}", f"debias.{stage}.epochs=2")
    assert all(record["changed_outside"] in (None, 0) for record in run.read("stages.json"))
    assert run.stage(stage)["epochs"] == 2


def test_a_training_on_two_processes_is_not_taken_for_one(
    runner: Runner, user_table: UserTable, trained_net: Callable[..., Path], tmp_path: Path
) -> None:
    """Two processes do half the steps on twice the rows: another result, so another key."""
    settings = ("debias=full_ft", "debias.finetune.batch_size=8", "debias.finetune.epochs=1")
    common = (*user_table.overrides, f"model.ckpt_path={trained_net()}", *settings)
    common = tuple(word for word in common if not word.startswith(("debias.repair", "debias.impair")))
    on_two(runner, tmp_path, *common)
    one = runner.train(*common, store=tmp_path / "two_store")
    assert not one.stage("finetune")["reused"]


def test_an_error_on_two_processes_is_one_line(runner: Runner, tmp_path: Path) -> None:
    huge = ("baseline.optimizer.lr=1e20", "trainer.max_epochs=3", "data.batch_size=16")
    text = runner.error(lambda: runner.rendered(*huge, *TWO, store=tmp_path / "store"))
    assert text.startswith("the loss is")
