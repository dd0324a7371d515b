"""The commands that compare runs and make docs/results.md, without a process of their own."""

import io
import json
import runpy
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest

from tests.conftest import REPOSITORY
from tests.report.fake_sweep_runs import write_run, write_sweep


def here(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What a script does and prints when it is started with these words, without importing everything again."""
    out, errors = io.StringIO(), io.StringIO()
    typed = mock.patch("sys.argv", [script, *words])
    with typed, redirect_stdout(out), redirect_stderr(errors), pytest.raises(SystemExit) as end:
        runpy.run_path(str(REPOSITORY / script), run_name="__main__")
    return subprocess.CompletedProcess([script, *words], int(end.value.code or 0), out.getvalue(), errors.getvalue())


def test_one_command_writes_every_format_and_prints_the_table(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", ("bmft", "full_ft"), (1, 2))
    write_run(tmp_path / "sweep" / "9", "bmft", 1, overrides={"debias.edit_fraction": 0.05})
    words = ("--out", str(tmp_path / "out"), "--reference", "full_ft", "--select", "smallest_gap", "--draws", "20")
    done = here("scripts/compare_runs.py", str(tmp_path / "sweep"), *words)
    assert done.returncode == 0, done.stderr
    assert "full fine-tuning" in done.stdout and str(tmp_path / "out" / "compare.html") in done.stdout
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".csv", ".html", ".json", ".md", ".tex"]
    content = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert content["n_bootstrap"] == 20 and content["selection_rule"]["name"] == "smallest_gap"
    done = here(
        "scripts/compare_runs.py", str(tmp_path / "sweep"), "--out", str(tmp_path / "docs"), "--name", "ham", "--draws", "0"
    )
    assert done.returncode == 0 and [path.name for path in (tmp_path / "docs").iterdir()] == ["ham.json"]


def test_mistakes_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for words, shown in (
        ((str(tmp_path / "nothing"),), "no such folder"),
        ((str(tmp_path / "empty"),), "no finished run"),
        ((str(tmp_path / "empty"), "--select", "nonsense"), "choose from"),
    ):
        done = here("scripts/compare_runs.py", *words)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and shown in done.stderr
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_an_exploration_shows_no_test_figure(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", ("bmft",), (1, 2))
    done = here("scripts/compare_runs.py", str(tmp_path / "sweep"), "--validation", "--name", "tried", "--out", str(tmp_path))
    assert done.returncode == 0 and "validation rows" in done.stdout and "Test set" not in done.stdout
    assert [row[0] for row in json.loads((tmp_path / "tried.json").read_text())["rows"]] == ["base model", "BMFT"]
    (tmp_path / "empty").mkdir()
    done = here("scripts/compare_runs.py", str(tmp_path / "empty"), "--validation")
    assert done.returncode == 2 and done.stderr.startswith("error: 0 comparisons in these folders")


def test_scores_moved_by_group(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", ("bmft", "full_ft"), (1, 2), overrides={"metrics.threshold_rule": "balanced_accuracy"})
    words = ("--strengths", "0", "1", "--name", "shift", "--out", str(tmp_path))
    done = here("scripts/score_shift.py", str(tmp_path / "sweep"), *words)
    assert done.returncode == 0 and "2 base models" in done.stdout, done.stderr
    none, all_ = json.loads((tmp_path / "shift.json").read_text())["rows"]
    assert (none[0], all_[0], none[2]) == ("0", "1", "0.000") and float(none[1][:5]) > 2 * float(all_[1][:5])
    write_run(tmp_path / "sweep" / "other", attribute="sex", overrides={"metrics.threshold_rule": "balanced_accuracy"})
    done = here("scripts/score_shift.py", str(tmp_path / "sweep"))
    assert done.returncode == 2
    assert done.stderr == "error: 2 data sets or attributes have finished runs in these folders; it takes one\n"


def test_the_results_page_is_up_to_date() -> None:
    done = here("scripts/write_results.py", "--check")
    assert done.returncode == 0 and "up to date" in done.stdout
