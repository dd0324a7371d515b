"""Which epoch of a stage is kept: the guard against collapse, or a selection rule; both write down what they chose from."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from biasmask.errors import ConfigError
from biasmask.files import write_json
from biasmask.metrics.selection_rules import Candidate, SelectionRule
from biasmask.metrics.validation_figures import validation_figures
from biasmask.models.image_classifier import scores_of


class KeptEpoch(Callback):
    """Keeps the weights of one epoch of a stage, or those before it, and may end the stage early.

    Subclasses say of each epoch whether it is the one to keep (`judge`) and write down what they saw (`record`). All processes
    see all validation rows, so they come to the same choice.

    Args:
        weights: state dict of the model before the stage; None = the network's as the training begins.
        path: JSON file for the record; a file, since a spawned process can't hand anything back. None = not written.
    """

    def __init__(self, weights: dict[str, Tensor] | None = None, path: Path | None = None):
        self.weights, self.path = weights, path
        self.best_epoch, self.stopped_at = -1, -1

    def judge(self, epoch: int, module: lightning.LightningModule, figures: dict[str, float]) -> tuple[bool, bool]:
        """Whether this epoch is the one to keep so far, and whether the stage ends here."""
        raise NotImplementedError

    def record(self) -> dict[str, Any]:
        """JSON-able description of the candidates and the choice."""
        raise NotImplementedError

    def on_fit_start(self, _trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.weights is None:
            self._remember(module)

    def _remember(self, module: lightning.LightningModule) -> None:
        self.weights = {name: tensor.detach().clone() for name, tensor in module.net.state_dict().items()}  # type: ignore[union-attr, operator]

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        keep, stop = self.judge(trainer.current_epoch, module, figures)
        if keep:
            self.best_epoch = trainer.current_epoch
            self._remember(module)
        if stop:
            self.stopped_at = trainer.current_epoch
            trainer.should_stop = True

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        module.net.load_state_dict(self.weights)  # type: ignore[union-attr, operator, arg-type]
        module.kept_epoch.fill_(self.best_epoch)  # type: ignore[union-attr, operator]
        module.stopped_epoch.fill_(self.stopped_at)  # type: ignore[union-attr, operator]
        if self.path is not None and trainer.is_global_zero:
            write_json(self.path, self.record())


class CollapseGuard(KeptEpoch):
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
        weights: dict[str, Tensor] | None = None,
        path: Path | None = None,
    ):
        super().__init__(weights, path)
        if keep not in ("best", "last"):
            raise ConfigError(f"guard.keep={keep}: choose best or last")
        self.floor = base_auroc - max_auroc_drop
        self.spread = base_score_std * min_spread
        self.keep, self.patience = keep, patience
        self.best_bias, self.refused = base_bias, 0
        self.start = {"auroc": base_auroc, "score_std": base_score_std, "bias_loss": base_bias}
        self.settings = {"max_auroc_drop": max_auroc_drop, "min_spread": min_spread, "keep": keep, "patience": patience}
        self.seen: list[dict[str, Any]] = []

    def judge(self, epoch: int, _module: lightning.LightningModule, figures: dict[str, float]) -> tuple[bool, bool]:
        auroc, spread, bias = (figures[f"val/{name}"] for name in ("auroc", "score_std", "bias_loss"))
        causes = [f"AUROC {auroc:.3f} is below {self.floor:.3f}"] * (not auroc >= self.floor)
        causes += [f"score spread {spread:.3f} is below {self.spread:.3f}"] * (not spread >= self.spread)
        own = {"auroc": auroc, "score_std": spread, "bias_loss": bias}
        self.seen.append(told(epoch, own, " and ".join(causes) or None))
        if causes:
            self.refused += 1
            return False, self.refused >= self.patience
        self.refused = 0
        if self.keep == "best" and not bias < self.best_bias:
            return False, False
        self.best_bias = bias
        return True, False

    def record(self) -> dict[str, Any]:
        what = "the smallest bias loss" if self.keep == "best" else "the last epoch"
        kept = self.best_epoch >= 0
        reason = f"{what} within the limits of the guard" if kept else "no epoch was better within the limits of the guard"
        return {
            "rule": "guard",
            "settings": self.settings,
            "split": "val",
            "base": None,  # a guard knows the model before its stage alone
            "start": plain(self.start),
            "candidates": self.seen,
            "chosen": f"epoch {self.best_epoch + 1}" if kept else None,
            "front": [],
            "reason": reason,
        }


class RunningChoice:
    """A rule that sees its candidates one after another, so that only the best one so far has to be kept.

    Args:
        rule: the rule, with its patience.
        base: the run's base model.
        start: the model before the stage.
    """

    def __init__(self, rule: SelectionRule, base: Candidate, start: Candidate):
        self.rule, self.base, self.start = rule, base, start
        self.candidates: list[Candidate] = []
        self.best = -1

    def add(self, candidate: Candidate) -> tuple[bool, bool]:
        """Whether this candidate is the best one so far, and whether the rule's patience is at its end."""
        self.candidates.append(candidate)
        newest = len(self.candidates) - 1
        keep = self.rule(self.candidates, self.base, self.start).index == newest
        if keep:
            self.best = newest
        return keep, self.rule.patience is not None and newest - self.best >= self.rule.patience

    def record(self) -> dict[str, Any]:
        """JSON-able description of the choice: the rule, all candidates with their figures, which one and why."""
        choice = self.rule(self.candidates, self.base, self.start)
        return {
            "rule": self.rule.name,
            "settings": asdict(self.rule),
            "split": self.base.split,
            "base": plain(self.base.figures),
            "start": plain(self.start.figures),
            "candidates": [
                {"name": one.name, "figures": plain(one.figures), "refused": choice.refused.get(one.name)}
                for one in self.candidates
            ],
            "chosen": None if choice.index is None else self.candidates[choice.index].name,
            "front": list(choice.front),
            "reason": choice.reason,
        }


class EpochSelection(KeptEpoch):
    """Keeps the epoch that a rule of `metrics.selection_rules` chooses by the figures of the validation split.

    Args:
        choice: the rule, and the models before the stage.
        n_groups: attribute -> number of its groups, of those that are debiased.
        threshold_rule: how each epoch's own threshold is chosen for the gaps.
        weights, path: as for KeptEpoch.
    """

    def __init__(
        self,
        choice: RunningChoice,
        n_groups: dict[str, int],
        threshold_rule: str,
        weights: dict[str, Tensor] | None = None,
        path: Path | None = None,
    ):
        super().__init__(weights, path)
        self.choice, self.n_groups, self.threshold_rule = choice, n_groups, threshold_rule

    def judge(self, epoch: int, module: lightning.LightningModule, figures: dict[str, float]) -> tuple[bool, bool]:
        logits, target, groups = module.validation_rows  # type: ignore[union-attr, misc]
        own = validation_figures(scores_of(logits), target, groups, self.n_groups, self.threshold_rule)
        key = "val/bias_loss"  # logged over the same rows
        split, _, name = key.partition("/")
        return self.choice.add(Candidate(f"epoch {epoch + 1}", {**own, name: figures[key]}, split))

    def record(self) -> dict[str, Any]:
        return self.choice.record()


def selection_note(path: Path, stopped: str | None = None) -> str:
    """A written choice in one line; read from the file, since a spawned process can't hand anything else back.

    Args:
        path: selection.json of a stage.
        stopped: the epoch (or step) in which the stage ended early.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    note = f"{record['rule']} on val: {record['reason']}"
    return f"{note}; stopped in {stopped}, {record['settings']['patience']} in a row were no better" if stopped else note


def told(epoch: int, figures: dict[str, float], refused: str | None) -> dict[str, Any]:
    return {"name": f"epoch {epoch + 1}", "figures": plain(figures), "refused": refused}


def plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures for JSON, which has no NaN and no infinity."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}
