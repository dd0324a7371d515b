"""At the end of a sweep its runs are compared: by the real entry point, also where a job failed."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from biasmask.pipeline.sweep_end import CompareRuns
from tests.cli.test_entry_points import run
from tests.conftest import RENDERED, SHORT_STAGES, TINY, in_fork
from tests.pipeline.test_sweep_goes_on import sweep as train
from tests.report.fake_sweep_runs import write_run, write_sweep

FILES = {"compare.html", "compare.md", "compare.csv", "compare.tex", "compare.json"}


def ended(folder: Path) -> CompareRuns:
    callback = CompareRuns()
    callback.on_multirun_start(OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}}))
    callback.on_multirun_end(OmegaConf.create())
    return callback


def test_the_files_lie_beside_the_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended(write_sweep(tmp_path, ("bmft", "full_ft"), (1, 2)))
    assert {path.name for path in tmp_path.iterdir()} >= FILES
    printed = capsys.readouterr()
    assert "full fine-tuning" in printed.out and f"comparison: {tmp_path / 'compare.html'}" in printed.out and not printed.err


@pytest.mark.parametrize("runs", [0, 1])
def test_fewer_than_two_runs_are_nothing_to_compare(runs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(runs):
        write_run(tmp_path / str(number))
    ended(tmp_path)
    assert not FILES & {path.name for path in tmp_path.iterdir()} and capsys.readouterr() == ("", "")


def test_an_error_is_two_lines_and_the_sweep_is_fine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> None:
        raise RuntimeError("no space left\nat all")

    monkeypatch.setattr("biasmask.pipeline.sweep_end.compare_sweep", broken)
    ended(tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("no space left") and str(tmp_path) in lines[1] and len(lines) == 2


def test_it_is_done_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callback = ended(write_sweep(tmp_path, ("bmft",), (1, 2)))
    capsys.readouterr()
    callback.finish()
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_real_sweep_of_two_methods_and_two_seeds_with_a_failed_job(tmp_path: Path) -> None:
    words = ("experiment=bmft_rendered", *TINY, *RENDERED, *SHORT_STAGES, f"paths.log_dir={tmp_path}", "seed=1,2")
    sweep = tmp_path / "sweep"
    grid = ["debias=bmft,last_layer", f"hydra.sweep.dir={sweep}"]
    done = in_fork(lambda: train(["-m", *words, *grid]), tmp_path / "output.txt")
    assert done.code == 0, done.output
    content = json.loads((sweep / "compare.json").read_text())
    (one,) = content["comparisons"]
    assert {row["id"]: row["n_runs"] for row in one["rows"]} == {"base": 2, "bmft": 2, "last_layer": 2}
    assert f"comparison: {sweep / 'compare.html'}" in done.output and not content["skipped"]
    failing = tmp_path / "failing"
    grid = ["debias=bmft", "debias.edit_fraction=0.05,2", f"hydra.sweep.dir={failing}"]
    ended = run("src/train.py", "-m", *words, *grid)  # its runs are compared as the interpreter ends
    assert ended.returncode != 0 and "error: debias.edit_fraction=2" in ended.stderr
    content = json.loads((failing / "compare.json").read_text())
    assert {row["id"]: row["n_runs"] for row in content["comparisons"][0]["rows"]} == {"base": 2, "bmft": 2}
    assert len(content["skipped"]) == 2
