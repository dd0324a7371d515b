"""Callbacks of the stages: a progress bar with the stage's name, the training curves as a file."""

import json
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from biasmask.modules.clock import TimeLeft


class StageProgress(Callback):
    """One bar a stage that counts batches over all epochs, with the time left and the last validation figures.

    Where no bar is seen (`shown` is false, or standard error is a file) a line tells the time left now and then.
    """

    def __init__(self, stage: str, shown: bool = True):
        self.stage, self.shown = stage, shown
        self.progress: Progress | None = None
        self.lines: TimeLeft | None = None
        self.done = 0

    def __getstate__(self) -> dict[str, Any]:  # a live bar can't be sent to another process
        return {"stage": self.stage, "shown": self.shown, "progress": None, "lines": None, "done": 0}

    def _start(self, trainer: lightning.Trainer, total: float) -> None:
        if not trainer.is_global_zero:
            return
        known, self.done = total if total != float("inf") else None, 0
        console = Console(stderr=True)
        if not (self.shown and console.is_terminal):
            self.lines = TimeLeft(self.stage, known)
        if not self.shown:
            return
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        self.progress = Progress(*columns, console=console)
        self.progress.start()
        self.task = self.progress.add_task(self.stage, total=known, figures="")

    def _advance(self) -> None:
        self.done += 1
        if self.lines is not None:
            self.lines.update(self.done)
        if self.progress is not None:
            self.progress.advance(self.task)

    def _stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def on_train_start(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        self._start(trainer, trainer.num_training_batches * (trainer.max_epochs or 1))

    def on_train_batch_end(self, *_: Any) -> None:
        self._advance()

    def on_validation_end(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        if self.progress is not None and not trainer.sanity_checking:
            figures = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
            text = "  ".join(f"{name.removeprefix('val/')} {value:.3f}" for name, value in sorted(figures.items()))
            self.progress.update(self.task, figures=text)

    def on_predict_start(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        self._start(trainer, sum(trainer.num_predict_batches))

    def on_predict_batch_end(self, *_: Any) -> None:
        self._advance()

    def on_train_end(self, *_: Any) -> None:
        self._stop()

    def on_predict_end(self, *_: Any) -> None:
        self._stop()

    def on_exception(self, *_: Any) -> None:
        self._stop()


class HistoryWriter(Callback):
    """Appends each epoch's figures to a JSON-lines file; a file, since a spawned process can't hand back a list."""

    def __init__(self, stage: str, path: Path):
        self.stage, self.path = stage, Path(path)

    def on_train_epoch_end(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        with open(self.path, "a", encoding="utf-8") as file:
            for key, value in sorted(trainer.callback_metrics.items()):
                split, _, metric = key.partition("/")
                number = float(value)
                row = {"stage": self.stage, "epoch": trainer.current_epoch, "split": split, "metric": metric}
                file.write(json.dumps({**row, "value": number if number == number else None}) + "\n")
