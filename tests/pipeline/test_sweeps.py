"""A sweep trains each baseline once and walks each importance once; parallel jobs give the numbers of jobs one by one."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, SHORT_STAGES, TINY, FinishedRun, Runner
from tests.data.fake_layouts import fake_ham10000

HAM = ("experiment=bmft_ham10000", "data.image_size=32", "data.batch_size=16", "trainer.max_epochs=1", *SHORT_STAGES)


def kept(store: Path, kind: str) -> int:
    return len([p for p in (store / kind).iterdir() if not p.name.startswith(".")])


@pytest.mark.slow
def test_what_a_sweep_computes_once(runner: Runner, tmp_path: Path) -> None:
    fake_ham10000(tmp_path / "data")
    store = tmp_path / "store"
    masks = {}
    for seed, attribute, fraction in itertools.product((1, 2), ("age", "sex"), (0.05, 0.5)):
        run = runner.train(
            *HAM, f"paths.data_dir={tmp_path / 'data'}", f"attribute={attribute}", f"debias.edit_fraction={fraction}",
            f"seed={seed}", "debias.impair.epochs=1", "debias.repair.epochs=1", store=store,
        )  # fmt: skip
        assert run.stage("baseline")["reused"] == ((attribute, fraction) != ("age", 0.05))
        assert run.stage("locate")["reused"] == (fraction != 0.05)
        info = run.read("mask.json")
        assert info["selected"] == pytest.approx(fraction * info["parameters"], abs=1)
        masks[seed, attribute, fraction] = info["selected"]
    assert kept(store, "baseline") == 2, "one baseline a seed"
    assert kept(store, "importance") == 4, "one walk for each attribute and seed"
    assert kept(store, "finetune") == 16, "impair and repair of each of the eight jobs"


OWN = ("name=changes", "seed=5", "debias.impair.guard=null")  # a seed that no other test puts into the shared store


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> FinishedRun:
    return Runner(tmp_path_factory.mktemp("unchanged"), shared_folder).rendered(*OWN)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("metrics.n_bootstrap=7", []),
        ("debias.repair.epochs=1", ["repair"]),
        ("debias.impair.optimizer.lr=0.002", ["impair", "repair"]),
        ("debias.locate.granularity=channel", ["impair", "repair"]),
        ("debias.bias_loss.reduce=max", ["locate", "impair", "repair"]),
        ("trainer.max_epochs=2", ["baseline", "locate", "impair", "repair"]),
        ("seed=9", ["baseline", "locate", "impair", "repair"]),
        ("data.source.seed=4", ["baseline", "locate", "impair", "repair"]),
        ("callbacks=early_stopping", ["baseline"]),
        ("data.eval_batch_size=50", []),
    ],
)
def test_a_change_runs_again_what_depends_on_it_and_nothing_else(override: str, stages: list[str], runner: Runner) -> None:
    run = runner.rendered(*OWN, override)
    again = [record["stage"] for record in run.read("stages.json") if not record["reused"]]
    if "callbacks" in override:  # the baseline may come out the same, and then the rest is the same too
        again = again[:1]
    assert again == stages


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_multirun_one_by_one_and_in_parallel(tmp_path: Path) -> None:
    """The command of the docs through the real entry point: same metrics.json with the joblib launcher on two jobs."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra `sweeps` isn't installed")
    fake_ham10000(tmp_path / "data")
    runs = {}
    for launcher in ("basic", "joblib"):
        log = tmp_path / launcher
        more = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
        tiny = [word for word in TINY if not word.startswith("threads")]
        command = [
            sys.executable, "src/train.py", "-m", *HAM, *tiny, "attribute=age,sex", "debias.edit_fraction=0.5", "seed=1",
            f"paths.data_dir={tmp_path / 'data'}", f"paths.log_dir={log}", f"hydra.sweep.dir={log / 'sweep'}", *more,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=os.environ, timeout=600, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        runs[launcher] = [FinishedRun(log / "sweep" / str(number), None) for number in range(2)]
        assert kept(log / "store", "baseline") == 1 and kept(log / "store", "importance") == 2
    for one, other in zip(*runs.values(), strict=True):
        assert (one.folder / "overrides.txt").read_text().splitlines()[-3:]
        assert (one.folder / "metrics.json").read_bytes() == (other.folder / "metrics.json").read_bytes()
        assert (one.folder / "mask.safetensors").read_bytes() == (other.folder / "mask.safetensors").read_bytes()
