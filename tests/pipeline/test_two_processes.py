"""trainer=ddp_sim: two forked processes give the importances and the mask of one, and every stage runs and is recorded.

The runs on two processes are made by a process of their own, since one that has ever gone backward can't fork a training.
"""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import REPOSITORY, FinishedRun, Runner, make_user_table, net_writer, strict_json

pytestmark = pytest.mark.slow

TWO = ("trainer=ddp_sim", "trainer.devices=2")
WALKS = {
    "group_target": ("debias.locate.batches=group_target", "debias.locate.per_sample=false"),
    "per_sample": ("debias.locate.batches=sequential", "debias.locate.per_sample=true"),
}
WALK = ("debias=impair_only", "debias.locate.batch_size=10", "debias.impair.epochs=1", "debias.edit_fraction=0.5")
METHODS = {
    "adapt_norm": ("debias=adapt_norm", "debias.impair.epochs=2"),
    "full_ft": ("debias=full_ft", "debias.finetune.epochs=2", "debias.finetune.batch_size=8"),
    "group_dro": ("debias=group_dro", "debias.finetune.epochs=2", "debias.finetune.batch_size=8"),
    "gradient_reversal": ("debias=gradient_reversal", "debias.finetune.epochs=2", "debias.finetune.batch_size=8"),
}


def runs_on_two(home: Path, common: list[str]) -> None:
    """What the process of its own does: all runs on two processes, each with a store of its own."""
    runner = Runner(home, home)
    for name, words in {**{k: (*WALK, *v) for k, v in WALKS.items()}, **METHODS}.items():
        runner.train(*common, *words, *TWO, folder=home / name, store=home / f"{name}_store")
    small = ("debias.impair.batch_size=16", "debias.repair.batch_size=16")
    runner.rendered("trainer.max_epochs=2", *small, *TWO, folder=home / "rendered", store=home / "rendered_store")
    huge = ("baseline.optimizer.lr=1e20", "trainer.max_epochs=3", "data.batch_size=16")
    try:
        text = runner.error(lambda: runner.rendered(*huge, *TWO, store=home / "broken_store"))
    except BaseException as error:
        text = f"{type(error).__name__} {error}"
    (home / "error.txt").write_text(text)


def in_own_process(python: Path, module: str, function: str, home: Path, common: list[str]) -> None:
    """Call `function(home, common)` of a test module in a process that has never gone backward."""
    script = home / "own_process.py"
    call = f"{function}(Path({str(home)!r}), {common!r})"
    script.write_text(f"from pathlib import Path\nfrom tests.pipeline.{module} import {function}\n\n{call}\n")
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    own = {"cwd": REPOSITORY, "env": environment}
    done = subprocess.run([python, script], capture_output=True, text=True, timeout=250, check=False, **own)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, warm_python: Path) -> tuple[Path, list[str]]:
    home = tmp_path_factory.mktemp("two")
    overrides = [word for word in make_user_table(home).overrides if not word.startswith("debias.")]
    common = [*overrides, f"model.ckpt_path={net_writer(home)()}"]
    in_own_process(warm_python, "test_two_processes", "runs_on_two", home, common)
    return home, common


def importances(store: Path) -> dict[str, torch.Tensor]:
    (file,) = store.glob("importance/[!.]*/importance.safetensors")
    return load_file(file)


@pytest.mark.parametrize("walk", WALKS)
def test_importances_and_mask_are_those_of_one_process(
    walk: str, two: tuple[Path, list[str]], runner: Runner, tmp_path: Path
) -> None:
    """The batches are the same ones, summed in float64: equal to float32's last digit. 48 rows make 5 batches, an odd number."""
    home, common = two
    one = runner.train(*common, *WALK, *WALKS[walk], store=tmp_path / "store")
    first, second = importances(tmp_path / "store"), importances(home / f"{walk}_store")
    for name in first:
        torch.testing.assert_close(second[name], first[name], rtol=1e-6, atol=0)
    assert strict_json(home / walk / "mask.json")["importance"] == one.read("mask.json")["importance"]
    masks = [load_file(folder / "mask.safetensors") for folder in (one.folder, home / walk)]
    assert all(torch.equal(masks[0][name], masks[1][name]) for name in masks[0])


def test_all_stages_run_on_two_processes(two: tuple[Path, list[str]], runner: Runner) -> None:
    run = FinishedRun(two[0] / "rendered", None)
    stages = run.read("stages.json")
    assert [s["stage"] for s in stages] == ["baseline", "locate", "impair", "repair"]
    assert (run.stage("baseline")["epochs"], run.stage("repair")["epochs"]) == (2, 2)
    assert run.stage("repair")["edited"] > 0 and all(s["changed_outside"] in (None, 0) for s in stages)
    history = run.read("history.json")
    losses = [row for row in history if (row["stage"], row["split"], row["metric"]) == ("baseline", "train", "loss")]
    assert [row["epoch"] for row in losses] == [0, 1], "each epoch once, from one process"
    assert runner.evaluate(run.folder).figures == run.figures


@pytest.mark.parametrize("method", METHODS)
def test_methods_on_two_processes(method: str, two: tuple[Path, list[str]]) -> None:
    run = FinishedRun(two[0] / method, None)
    assert all(record["changed_outside"] in (None, 0) for record in run.read("stages.json"))
    assert run.stage("impair" if method == "adapt_norm" else "finetune")["epochs"] == 2


def test_a_training_on_two_processes_is_not_taken_for_one(two: tuple[Path, list[str]], runner: Runner) -> None:
    """Two processes do half the steps on twice the rows: another result, so another key."""
    home, common = two
    one = runner.train(*common, *METHODS["full_ft"], store=home / "full_ft_store")
    assert not one.stage("finetune")["reused"]


def test_a_walk_on_two_processes_serves_one(two: tuple[Path, list[str]], runner: Runner) -> None:
    """The importances are the same, so a run on one process needn't walk again."""
    home, common = two
    assert runner.train(*common, *WALK, *WALKS["per_sample"], store=home / "per_sample_store").stage("locate")["reused"]


def test_an_error_on_two_processes_is_one_line(two: tuple[Path, list[str]]) -> None:
    text = (two[0] / "error.txt").read_text()
    assert text.startswith("the loss is") and "\n" not in text
