"""Sweeps through launchers for many machines give what jobs one by one give: submitit, and SLURM with a stand-in queue."""

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import RENDERED, REPOSITORY, SHORT_STAGES, TINY, FinishedRun, in_fork
from tests.pipeline.fake_slurm import put_slurm
from tests.pipeline.test_sweep_goes_on import sweep as train

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="the extra `clusters` isn't installed")
pytestmark = pytest.mark.slow

WORDS = ("experiment=bmft_rendered", *TINY[:-1], *RENDERED, *SHORT_STAGES, "debias=bmft,last_layer")
SLURM = ("hydra/launcher=slurm", "hydra.launcher.partition=short")


def sweep(home: Path, launcher: tuple[str, ...], python: Path, path: str = "") -> list[FinishedRun]:
    """A sweep in a copy of this process; the jobs of a launcher are processes of `python`."""
    folder = home / "sweep"
    words = ["-m", *WORDS, *launcher, f"paths.log_dir={home}", f"hydra.sweep.dir={folder}"]

    def job() -> None:
        os.chdir(REPOSITORY)
        os.environ["PATH"] = os.pathsep.join(filter(None, [path, os.environ["PATH"]]))
        sys.executable = str(python)
        train(words)

    home.mkdir()
    ended = in_fork(job, home / "output.txt", seconds=280)
    assert ended.code == 0, ended.output[-3000:]
    assert (folder / "compare.html").is_file()
    return [FinishedRun(folder / str(number), None) for number in range(2)]


@pytest.mark.timeout(900)
def test_submitit_gives_what_jobs_one_by_one_give(tmp_path: Path, warm_python: Path) -> None:
    """The two jobs start at once and share one baseline: one of them waits for the other."""
    found = {
        "basic": sweep(tmp_path / "basic", (), warm_python),
        "submitit": sweep(tmp_path / "submitit", ("hydra/launcher=submitit_local",), warm_python),
        "slurm": sweep(tmp_path / "slurm", SLURM, warm_python, str(put_slurm(tmp_path / "bin"))),
    }
    script = next((tmp_path / "slurm").glob("sweep/.submitit/*/*submission.sh")).read_text()
    assert "#SBATCH --array=0-1%2" in script and "#SBATCH --partition=short" in script and "#SBATCH --time=240" in script
    for name in ("submitit", "slurm"):
        assert len([p for p in (tmp_path / name / "store" / "baseline").iterdir() if not p.name.startswith(".")]) == 1
        for one, other in zip(found["basic"], found[name], strict=True):
            for file in ("metrics.json", "mask.safetensors", "debiased_timm.pt"):
                if (one.folder / file).is_file():
                    assert (one.folder / file).read_bytes() == (other.folder / file).read_bytes(), (name, file)
