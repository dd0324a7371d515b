"""A sweep that was killed in the middle and is started again goes on, and ends as if nothing had been."""

import json
import os
import runpy
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import RENDERED, REPOSITORY, TINY, FinishedRun, Runner, in_fork, start_fork

GRID = ("debias=full_ft,last_layer", "seed=1,2")
SHORT = ("debias.repair.epochs=1", "name=killed")


def command(home: Path, pixels: Path, *more: str) -> list[str]:
    tiny = [word for word in TINY if not word.startswith("logger")]
    paths = [f"paths.log_dir={home}", f"paths.cache_dir={pixels}"]
    return ["-m", "experiment=rivals_rendered", *tiny, "logger=none", *RENDERED, *paths, *GRID, *SHORT, *more]


def sweep(words: list[str]) -> None:
    """What `python src/train.py ...` does, in this process."""
    os.chdir(REPOSITORY)
    sys.argv = ["src/train.py", *words]
    runpy.run_path("src/train.py", run_name="__main__")


def run_sweep(words: list[str], output: Path) -> str:
    ended = in_fork(lambda: sweep(words), output, seconds=280)
    assert ended.code == 0, ended.output[-3000:]
    return ended.output


def folder_of(home: Path) -> Path:
    (folder,) = (home / "sweeps" / "killed").iterdir()
    return folder


def stored(home: Path, kind: str) -> list[Path]:
    return [path for path in (home / "store" / kind).iterdir() if not path.name.startswith(".")]


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> Path:
    home = tmp_path_factory.mktemp("undisturbed")
    run_sweep(command(home, shared_folder / "pixels"), home / "output.txt")
    return home


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_and_started_again(undisturbed: Path, tmp_path: Path, shared_folder: Path) -> None:
    """SIGKILL to the whole process group while the third of four jobs runs."""
    words = command(tmp_path, shared_folder / "pixels")
    pid = start_fork(lambda: sweep(words), tmp_path / "first.txt")
    try:
        deadline = time.monotonic() + 280
        # checker.json is written as a run begins, before its first stage
        while not list((tmp_path / "sweeps").glob("killed/*/2/checker.json")) and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        os.killpg(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, (tmp_path / "first.txt").read_text()
    folder = folder_of(tmp_path)
    done = [(folder / str(n) / "finished.json").is_file() for n in range(4)]
    assert done == [True, True, False, False]
    before = times(folder / "0") | times(folder / "1")

    output = run_sweep(words, tmp_path / "second.txt")
    assert folder_of(tmp_path) == folder, "the same command has the same folder"
    assert output.count("already finished") == 2
    assert times(folder / "0") | times(folder / "1") == before, "what was finished isn't touched"
    for n in range(4):
        ours, theirs = (FinishedRun(home_folder / str(n), None) for home_folder in (folder, folder_of(undisturbed)))
        assert ours.figures == theirs.figures
        assert ours.read("finished.json") == theirs.read("finished.json")
    for kind in ("baseline", "finetune"):
        assert len(stored(tmp_path, kind)) == len(stored(undisturbed, kind))
    assert len(stored(tmp_path, "baseline")) == 2, "one baseline a seed"
    reused = [FinishedRun(folder / str(n), None).stage("baseline")["reused"] for n in range(4)]
    assert reused.count(False) <= 2
    assert not list(tmp_path.rglob("*.part")) and not list((tmp_path / "store").rglob(".*.building"))


@pytest.mark.slow
def test_a_finished_sweep_costs_no_training(undisturbed: Path, shared_folder: Path, tmp_path: Path) -> None:
    folder = folder_of(undisturbed)
    before = {n: times(folder / str(n)) for n in range(4)}
    output = run_sweep(command(undisturbed, shared_folder / "pixels"), tmp_path / "again.txt")
    assert output.count("already finished") == 4
    assert {n: times(folder / str(n)) for n in range(4)} == before


@pytest.mark.slow
def test_a_run_of_another_version_is_not_taken_for_finished(undisturbed: Path, tmp_path: Path) -> None:
    from biasmask.pipeline.run_folder import finished_objective

    run = tmp_path / "run"
    run.mkdir()
    assert finished_objective(run) is None
    shutil.copy(folder_of(undisturbed) / "0" / "finished.json", run)
    content = json.loads((run / "finished.json").read_text())
    assert finished_objective(run) == content["objective"]
    (run / "finished.json").write_text(json.dumps({**content, "version": "0.0.1"}))
    assert finished_objective(run) is None


@pytest.mark.slow
@pytest.mark.slow
def test_a_typed_folder_is_kept_and_refuses_other_settings(undisturbed: Path, shared_folder: Path, tmp_path: Path) -> None:
    typed = f"hydra.sweep.dir={tmp_path / 'mine'}"
    run_sweep([*command(tmp_path, shared_folder / "pixels", "seed=1"), typed, "debias=last_layer"], tmp_path / "out.txt")
    assert FinishedRun(tmp_path / "mine" / "0", None).read("run.json")["method"] == "last_layer"
    assert not (tmp_path / "sweeps").exists()
    other = [*command(tmp_path, shared_folder / "pixels"), typed, "debias=full_ft", "seed=1"]
    ended = in_fork(lambda: sweep(other), tmp_path / "refused.txt")
    assert ended.code != 0 and "holds a run of another configuration" in ended.output and "hydra.sweep.dir" in ended.output
    assert FinishedRun(tmp_path / "mine" / "0", None).read("run.json")["method"] == "last_layer"


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.slow
def test_two_sweeps_at_once_train_one_baseline(tmp_path: Path, shared_folder: Path) -> None:
    """Two people start different methods on one store; whoever comes second waits for the baseline."""
    words = {name: command(tmp_path, shared_folder / "pixels", f"debias={name}", "seed=3") for name in ("full_ft", "last_layer")}
    pids = {name: start_fork(lambda own=own: sweep(own), tmp_path / f"{name}.txt") for name, own in words.items()}  # type: ignore[misc]
    codes = {name: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for name, pid in pids.items()}
    assert set(codes.values()) == {0}, [(tmp_path / f"{name}.txt").read_text()[-2000:] for name in words]
    runs = [FinishedRun(path.parent, None) for path in (tmp_path / "sweeps").rglob("run.json")]
    assert sorted(run.read("run.json")["method"] for run in runs) == ["full_ft", "last_layer"]
    assert sorted(run.stage("baseline")["reused"] for run in runs) == [False, True]
    assert len(stored(tmp_path, "baseline")) == 1


def test_the_grid_of_the_experiment_and_what_is_typed_instead(tmp_path: Path) -> None:
    """Nine methods, three seeds without a word; typed methods and seeds take the place of the experiment's."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    for data in ("ham10000", "rendered", "fitzpatrick"):
        file = OmegaConf.load(REPOSITORY / "configs" / "experiment" / f"rivals_{data}.yaml")
        grid = [f"{key}={value}" for key, value in file.hydra.sweeper.params.items()]
        parser = OverridesParser.create()
        (jobs,) = BasicSweeper.split_arguments(parser.parse_overrides([*grid, f"experiment=rivals_{data}"]), None)
        assert len(jobs) == 27 and len({tuple(job) for job in jobs}) == 27
        typed = parser.parse_overrides([*grid, "debias=none,swift", "seed=7"])
        (jobs,) = BasicSweeper.split_arguments(typed, None)
        assert [tuple(job) for job in jobs] == [("debias=none", "seed=7"), ("debias=swift", "seed=7")]


def test_a_rerun_outside_of_a_sweep_runs(runner: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    runner.rendered("debias=last_layer", "debias.repair.epochs=1", folder=folder)
    (folder / "report.html").unlink()
    runner.rendered("debias=last_layer", "debias.repair.epochs=1", folder=folder)
    assert (folder / "report.html").is_file() and (folder / "finished.json").is_file()
