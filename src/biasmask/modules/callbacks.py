"""Callbacks of the stages: a progress bar with the stage's name, the training curves as a file, the guard against collapse."""

import json
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from biasmask.errors import ConfigError


class StageProgress(Callback):
    """One bar a stage that counts batches over all epochs, with the time left and the last validation figures."""

    def __init__(self, stage: str):
        self.stage = stage
        self.progress: Progress | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"stage": self.stage, "progress": None}  # a live bar can't be sent to another process

    def _start(self, trainer: lightning.Trainer, total: float) -> None:
        if not trainer.is_global_zero:
            return
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        self.progress = Progress(*columns, console=Console(stderr=True))
        self.progress.start()
        self.task = self.progress.add_task(self.stage, total=total if total != float("inf") else None, figures="")

    def _advance(self) -> None:
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


class CollapseGuard(Callback):
    """Keeps the weights of the best allowed epoch and stops when the model is about to be lost.

    An epoch is allowed while AUROC on the validation split stays above `base_auroc - max_auroc_drop` and the scores' spread
    above `min_spread` times the base model's. Among the allowed ones `keep="best"` takes the smallest bias loss (the unedited
    model included), `keep="last"` the last. `patience` disallowed epochs in a row end the step.
    """

    def __init__(
        self,
        base_auroc: float,
        base_score_std: float,
        base_bias: float,
        max_auroc_drop: float,
        min_spread: float,
        keep: str = "best",
        patience: int = 2,
    ):
        if keep not in ("best", "last"):
            raise ConfigError(f"guard.keep={keep}: choose best or last")
        self.floor = base_auroc - max_auroc_drop
        self.spread = base_score_std * min_spread
        self.keep, self.patience = keep, patience
        self.best_bias, self.best_epoch, self.refused, self.stopped_at = base_bias, -1, 0, -1
        self.weights: dict[str, Tensor] | None = None

    def on_fit_start(self, _trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._remember(module)

    def _remember(self, module: lightning.LightningModule) -> None:
        self.weights = {name: tensor.detach().clone() for name, tensor in module.net.state_dict().items()}  # type: ignore[union-attr, operator]

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        allowed = figures["val/auroc"] >= self.floor and figures["val/score_std"] >= self.spread
        if not allowed:
            self.refused += 1
            if self.refused >= self.patience:
                self.stopped_at = trainer.current_epoch
                trainer.should_stop = True
            return
        self.refused = 0
        if self.keep == "last" or figures["val/bias_loss"] < self.best_bias:
            self.best_bias, self.best_epoch = figures["val/bias_loss"], trainer.current_epoch
            self._remember(module)

    def on_train_end(self, _trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        module.net.load_state_dict(self.weights)  # type: ignore[union-attr, operator, arg-type]
        module.kept_epoch.fill_(self.best_epoch)  # type: ignore[union-attr, operator]
        module.stopped_epoch.fill_(self.stopped_at)  # type: ignore[union-attr, operator]
