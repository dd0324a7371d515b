"""The history file and the progress bar."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from biasmask.modules.callbacks import HistoryWriter
from tests.conftest import Runner


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
