"""Ctrl-C and SIGKILL in each stage: the next run goes on from the last finished stage and ends as if nothing had been."""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from biasmask.pipeline.context import Context
from tests.conftest import Ended, FinishedRun, Runner, in_fork, start_fork

STAGES = ["baseline", "locate", "impair", "repair"]
SETTINGS = ("debias.impair.guard=null", "debias.impair.optimizer.lr=0.01", "debias.impair.epochs=2", "name=interrupted")


class End(Callback):
    """Sends this process a signal in the middle of a walk: at its second batch, or its first where there is one."""

    def __init__(self, number: int):
        self.number = number

    def on_train_batch_start(self, trainer: Any, _module: Any, _batch: Any, index: int) -> None:
        if index == min(1, trainer.num_training_batches - 1):
            os.kill(os.getpid(), self.number)

    def on_predict_batch_start(self, *_: Any) -> None:
        os.kill(os.getpid(), self.number)


def end_at(stage: str, number: int) -> None:
    """From now on in this process, the walk of that name is ended by the signal."""
    original = Context.trainer

    def trainer(self: Context, name: str, history: Path | None = None, extra: Any = None, **overrides: Any) -> Any:
        more = [End(number)] if name == stage else []
        return original(self, name, history, [*(extra or []), *more], **overrides)

    Context.trainer = trainer  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> FinishedRun:
    home = tmp_path_factory.mktemp("undisturbed")
    return Runner(home, shared_folder).rendered(*SETTINGS, store=home / "store")


def interrupted(runner: Runner, folder: Path, store: Path, stage: str, number: int) -> Ended:
    def job() -> None:
        end_at(stage, number)
        runner.rendered(*SETTINGS, folder=folder, store=store)

    return in_fork(job, folder.parent / "output.txt")


MOMENTS = [(stage, number) for stage in (*STAGES, "debiased test") for number in (signal.SIGKILL, signal.SIGINT)]
FAST = (("impair", signal.SIGKILL), ("baseline", signal.SIGINT))  # the others are slow tests


@pytest.mark.parametrize(
    "stage, number",
    [
        pytest.param(*moment, id=f"{moment[0]}-{moment[1].name}", marks=() if moment in FAST else pytest.mark.slow)
        for moment in MOMENTS
    ],
)
def test_goes_on_from_the_last_finished_stage(
    stage: str, number: int, runner: Runner, undisturbed: FinishedRun, tmp_path: Path
) -> None:
    folder, store = tmp_path / "run", tmp_path / "store"
    ended = interrupted(runner, folder, store, stage, number)
    if number == signal.SIGKILL:
        assert ended.code == -signal.SIGKILL, ended.output
    else:
        assert ended.code == 130, ended.output
        assert "interrupted: finished stages are kept" in ended.output
        assert "Traceback" not in ended.output
    assert not (folder / "metrics.json").exists()

    again = runner.rendered(*SETTINGS, folder=folder, store=store)
    reused = {record["stage"]: record["reused"] for record in again.read("stages.json")}
    finished = STAGES[: STAGES.index(stage)] if stage in STAGES else STAGES
    assert reused == {name: name in finished for name in STAGES}
    assert again.figures == undisturbed.figures
    assert all(again.stage(name)["changed_outside"] == 0 for name in ("impair", "repair"))
    assert not list(store.rglob(".*.building")) and not list(folder.rglob("*.part"))
    first = torch.load(undisturbed.folder / "debiased_timm.pt", weights_only=True)
    second = torch.load(folder / "debiased_timm.pt", weights_only=True)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_kill_while_the_results_are_written(runner: Runner, undisturbed: FinishedRun, tmp_path: Path) -> None:
    folder, store = tmp_path / "run", tmp_path / "store"

    def job() -> None:
        import biasmask.pipeline.train_run as train_run

        train_run.write_metrics_csv = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        runner.rendered(*SETTINGS, folder=folder, store=store)

    assert in_fork(job, tmp_path / "output.txt").code == -signal.SIGKILL
    again = runner.rendered(*SETTINGS, folder=folder, store=store)
    assert again.figures == undisturbed.figures and (folder / "report.html").is_file()


def test_two_runs_in_one_folder_at_once(runner: Runner, tmp_path: Path) -> None:
    from biasmask.pipeline import run_folder

    folder, held = tmp_path / "run", tmp_path / "held"

    def hold() -> None:
        with run_folder.claimed(folder, "a: 1\n"):
            held.touch()
            time.sleep(60)

    pid = start_fork(hold, tmp_path / "output.txt")
    try:
        deadline = time.monotonic() + 30
        while not held.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        text = runner.error(lambda: runner.rendered(folder=folder))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert "is in use by another run" in text and str(folder) in text and "hydra.run.dir" in text
    assert not (folder / "metrics.json").exists()


def test_the_lock_of_a_killed_run_is_free(runner: Runner, tmp_path: Path) -> None:
    from biasmask.pipeline import run_folder

    def die() -> None:
        with run_folder.claimed(tmp_path / "run", "a: 1\n"):
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_fork(die, tmp_path / "output.txt").code == -signal.SIGKILL
    with run_folder.claimed(tmp_path / "run", "a: 1\n"):
        pass


def test_another_configuration_into_a_finished_folder(runner: Runner, undisturbed: FinishedRun, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(undisturbed.folder, folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    text = runner.error(lambda: runner.rendered(*SETTINGS, "seed=5", folder=folder))
    assert "holds a run of another configuration" in text and "hydra.run.dir" in text
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_two_jobs_train_one_baseline(runner: Runner, tmp_path: Path) -> None:
    """Started together on one store; the second waits, and both end with the same figures."""
    store = tmp_path / "store"
    pids = [
        start_fork(
            lambda n=n: runner.rendered("debias.stages=[]", "name=pair", folder=tmp_path / f"run{n}", store=store),
            tmp_path / f"{n}.txt",
        )  # type: ignore[misc]
        for n in range(2)
    ]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert codes == [0, 0], [(tmp_path / f"{n}.txt").read_text() for n in range(2)]
    runs = [FinishedRun(tmp_path / f"run{n}", None) for n in range(2)]
    assert sorted(run.stage("baseline")["reused"] for run in runs) == [False, True]
    assert runs[0].figures == runs[1].figures
    assert len([p for p in (store / "baseline").iterdir() if not p.name.startswith(".")]) == 1
