"""The guard against collapse, the history file and the progress bar."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from biasmask.modules.callbacks import CollapseGuard, HistoryWriter
from tests.conftest import Runner


class Fake:
    """A trainer and a module with one weight, whose value is the number of the epoch that set it."""

    def __init__(self, guard: CollapseGuard):
        self.guard = guard
        net = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(net.weight, -1.0)
        self.module: Any = SimpleNamespace(net=net, kept_epoch=torch.tensor(-1), stopped_epoch=torch.tensor(-1))
        self.trainer: Any = SimpleNamespace(current_epoch=0, sanity_checking=False, should_stop=False, callback_metrics={})

    def run(self, *epochs: tuple[float, float, float]) -> float:
        """Epochs of (AUROC, spread, bias loss); gives the weight that is left."""
        self.guard.on_fit_start(self.trainer, self.module)
        for number, (auroc, spread, bias) in enumerate(epochs):
            self.trainer.current_epoch = number
            torch.nn.init.constant_(self.module.net.weight, float(number))
            figures = {"val/auroc": auroc, "val/score_std": spread, "val/bias_loss": bias}
            self.trainer.callback_metrics = {name: torch.tensor(value) for name, value in figures.items()}
            self.guard.on_validation_end(self.trainer, self.module)
            if self.trainer.should_stop:
                break
        self.guard.on_train_end(self.trainer, self.module)
        return float(self.module.net.weight.detach())


def guard(**changes: Any) -> Fake:
    limits = {"base_auroc": 0.9, "base_score_std": 0.2, "base_bias": 0.3, "max_auroc_drop": 0.02, "min_spread": 0.5}
    return Fake(CollapseGuard(**{**limits, **changes}))


def test_keeps_the_allowed_epoch_of_the_smallest_gap() -> None:
    fake = guard()
    assert fake.run((0.9, 0.2, 0.25), (0.89, 0.2, 0.1), (0.89, 0.2, 0.2), (0.5, 0.2, 0.0)) == 1.0
    assert int(fake.module.kept_epoch) == 1 and int(fake.module.stopped_epoch) == -1


def test_goes_back_to_the_start_when_nothing_is_better() -> None:
    fake = guard()
    assert fake.run((0.9, 0.2, 0.31), (0.9, 0.2, 0.4)) == -1.0
    assert int(fake.module.kept_epoch) == -1


def test_keep_last_takes_the_last_allowed_epoch() -> None:
    assert guard(keep="last").run((0.9, 0.2, 0.1), (0.9, 0.2, 0.2), (0.1, 0.2, 0.0)) == 1.0


@pytest.mark.parametrize("lost", [(0.8, 0.2, 0.0), (0.9, 0.05, 0.0)], ids=["auroc", "spread"])
def test_stops_after_as_many_bad_epochs_as_patience(lost: tuple[float, float, float]) -> None:
    fake = guard(patience=2)
    assert fake.run((0.9, 0.2, 0.2), lost, (0.9, 0.2, 0.25), lost, lost, (0.9, 0.2, 0.0)) == 0.0
    assert int(fake.module.stopped_epoch) == 4


def test_an_undefined_gap_is_never_the_best() -> None:
    fake = guard()
    assert fake.run((0.9, 0.2, float("nan")), (0.9, 0.2, 0.1)) == 1.0


def test_an_undefined_auroc_is_not_allowed() -> None:
    assert guard().run((float("nan"), 0.2, 0.1)) == -1.0


def test_history_has_one_row_a_figure_and_null_for_nan(tmp_path: Path) -> None:
    writer = HistoryWriter("impair", tmp_path / "history.jsonl")
    for epoch in range(2):
        figures = {"train/loss": torch.tensor(0.5), "val/auroc": torch.tensor(float("nan"))}
        trainer: Any = SimpleNamespace(is_global_zero=True, current_epoch=epoch, callback_metrics=figures)
        writer.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    writer.on_train_epoch_end(SimpleNamespace(is_global_zero=False), None)  # type: ignore[arg-type]
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert rows[0] == {"stage": "impair", "epoch": 0, "split": "train", "metric": "loss", "value": 0.5}
    assert rows[1] == {"stage": "impair", "epoch": 0, "split": "val", "metric": "auroc", "value": None}


def test_history_of_a_run_counts_every_epoch(runner: Runner, tmp_path: Path) -> None:
    run = runner.rendered("trainer.max_epochs=2", "debias.impair.guard=null", "debias.impair.epochs=2", store=tmp_path / "store")
    rows = run.read("history.json")
    for stage in ("baseline", "impair", "repair"):
        for split in ("train", "val"):
            epochs = [r["epoch"] for r in rows if (r["stage"], r["split"], r["metric"]) == (stage, split, "loss")]
            assert epochs == [0, 1], (stage, split)


def test_progress_names_each_stage_where_there_is_no_terminal(runner: Runner, capfd: Any, tmp_path: Path) -> None:
    runner.rendered("progress=true", "trainer.max_epochs=2", store=tmp_path / "store")
    shown = capfd.readouterr().err
    for stage in ("baseline", "locate", "impair", "repair"):
        assert stage in shown
    assert "\x1b" not in shown, "no control characters in a file"
    assert len(shown.splitlines()) < 60, "a bar in a file is a line, not a line a batch"


def test_no_progress_when_not_asked_for(runner: Runner, capfd: Any, tmp_path: Path) -> None:
    runner.rendered(store=tmp_path / "store")
    assert capfd.readouterr().err == ""
