"""Four processes give the importances and the mask of one, and the weights that one gives with batches of four times the size."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import FinishedRun, Runner, make_user_table, net_writer
from tests.pipeline.test_two_processes import WALK, WALKS, importances, in_own_process

pytestmark = pytest.mark.slow

WALKED = (*WALK, *WALKS["group_target"])
# Nothing that a process draws for itself (flips, dropout) or sees of its own rows alone (norm statistics).
AUGMENT = "debias.finetune.augment={horizontal_flip: 0, vertical_flip: 0, transpose: 0}"
PLAIN = ("debias=full_ft", "debias.finetune.epochs=2", "debias.finetune.norm_statistics=frozen", "debias.finetune.dropout=false")
ROWS = 16  # of a step, over all processes together


def trained(processes: int) -> tuple[str, ...]:
    more = ("trainer=ddp_sim", f"trainer.devices={processes}") if processes > 1 else ()
    clip = "debias.finetune.gradient_clip_val=null"
    return (*PLAIN, AUGMENT, clip, f"debias.finetune.batch_size={ROWS // processes}", *more)


def runs_on_four(home: Path, common: list[str]) -> None:
    """What the process of its own does."""
    runner = Runner(home, home)
    for processes in (2, 4):
        runner.train(*common, *trained(processes), folder=home / f"on_{processes}", store=home / f"store_{processes}")
    four = ("trainer=ddp_sim", "trainer.devices=4")
    runner.train(*common, *WALKED, *four, folder=home / "walk", store=home / "walk_store")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory, warm_python: Path) -> tuple[Path, list[str]]:
    home = tmp_path_factory.mktemp("four")
    overrides = [word for word in make_user_table(home).overrides if not word.startswith("debias.")]
    common = [*overrides, f"model.ckpt_path={net_writer(home)()}"]
    in_own_process(warm_python, "test_four_processes", "runs_on_four", home, common)
    return home, common


def test_importances_and_mask_are_those_of_one_process(
    four: tuple[Path, list[str]], runner: Runner, tmp_path: Path
) -> None:
    """Five batches for four processes: three of them have nothing to do in the second round."""
    home, common = four
    one = runner.train(*common, *WALKED, store=tmp_path / "store")
    first, second = importances(tmp_path / "store"), importances(home / "walk_store")
    for name in first:
        torch.testing.assert_close(second[name], first[name], rtol=1e-6, atol=0)
    masks = [load_file(folder / "mask.safetensors") for folder in (one.folder, home / "walk")]
    assert all(torch.equal(masks[0][name], masks[1][name]) for name in masks[0])


def test_weights_and_figures_are_those_of_larger_batches(
    four: tuple[Path, list[str]], runner: Runner, tmp_path: Path
) -> None:
    """The rows of a step are the same ones, so the mean gradient is: equal to float32's last digits after six steps."""
    home, common = four
    one = runner.train(*common, *trained(1), store=tmp_path / "store")
    expected = torch.load(one.folder / "debiased_timm.pt", weights_only=True)
    for processes in (2, 4):
        run = FinishedRun(home / f"on_{processes}", None)
        found = torch.load(run.folder / "debiased_timm.pt", weights_only=True)
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)
        figures = [r.figures["models"]["debiased"]["test/auroc"]["value"] for r in (one, run)]
        assert figures[0] == pytest.approx(figures[1], abs=1e-3)
