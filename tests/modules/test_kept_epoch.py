"""The guard against collapse, and the choice of an epoch by a rule."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from biasmask.metrics.selection_rules import Candidate, SmallestGap
from biasmask.modules.kept_epoch import CollapseGuard, EpochSelection, KeptEpoch, RunningChoice, selection_note
from tests.conftest import strict_json


class Fake:
    """A trainer and a module with one weight, whose value is the number of the epoch that set it."""

    def __init__(self, guard: KeptEpoch):
        self.guard = guard
        net = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(net.weight, -1.0)
        self.module: Any = SimpleNamespace(net=net, kept_epoch=torch.tensor(-1), stopped_epoch=torch.tensor(-1))
        flags = {"sanity_checking": False, "should_stop": False, "is_global_zero": True}
        self.trainer: Any = SimpleNamespace(current_epoch=0, callback_metrics={}, **flags)

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


def test_the_guard_writes_what_it_chose_from(tmp_path: Path) -> None:
    fake = guard(path=tmp_path / "selection.json")
    fake.run((0.9, 0.2, 0.25), (0.5, 0.01, float("nan")), (0.89, 0.2, 0.2))
    record = strict_json(tmp_path / "selection.json")
    assert (record["rule"], record["split"], record["chosen"]) == ("guard", "val", "epoch 3")
    assert [one["name"] for one in record["candidates"]] == ["epoch 1", "epoch 2", "epoch 3"]
    assert record["candidates"][1]["figures"] == {"auroc": 0.5, "score_std": pytest.approx(0.01), "bias_loss": None}
    assert "AUROC 0.500 is below 0.880" in record["candidates"][1]["refused"]
    assert "score spread 0.010 is below 0.100" in record["candidates"][1]["refused"]


def test_the_weights_before_the_stage_are_those_given_not_those_of_a_reset_head() -> None:
    fake = guard(weights={"weight": torch.full((1, 1), 7.0)})
    assert fake.run((0.5, 0.2, 0.0)) == 7.0


BASE = Candidate("base", {"auroc": 1.0, "equalized_odds_mean": 0.5, "score_std": 0.3}, "val")
TARGET = torch.tensor([0, 0, 1, 1] * 4)
GROUP = {"sex": torch.tensor([0, 1] * 8)}


def logits_with(gap: bool, lost: bool) -> torch.Tensor:
    """Scores that rank the targets rightly but for one group's negatives, and fail wholly where they are lost."""
    logits = 4.0 * (TARGET - 0.5)
    logits = torch.where((TARGET == 0) & (GROUP["sex"] == 1), logits + (8.0 if gap else 0.0), logits)
    return torch.zeros(16) if lost else logits + 0.01 * torch.arange(16)


class SelectionFake(Fake):
    """Epochs of (gap, lost), judged by their logits."""

    def choose(self, *epochs: tuple[bool, bool]) -> float:
        self.guard.on_fit_start(self.trainer, self.module)
        for number, (gap, lost) in enumerate(epochs):
            self.trainer.current_epoch = number
            torch.nn.init.constant_(self.module.net.weight, float(number))
            self.trainer.callback_metrics = {"val/bias_loss": torch.tensor(float("nan"))}
            self.module.validation_rows = logits_with(gap, lost), TARGET, GROUP
            self.guard.on_validation_end(self.trainer, self.module)
            if self.trainer.should_stop:
                break
        self.guard.on_train_end(self.trainer, self.module)
        return float(self.module.net.weight.detach())


def selecting(path: Path | None = None, patience: int | None = None, tolerance: float = 0.5) -> SelectionFake:
    rule = SmallestGap(unedited=True, patience=patience, gap="equalized_odds_mean", auroc_tolerance=tolerance)
    return SelectionFake(EpochSelection(RunningChoice(rule, BASE, BASE), {"sex": 2}, "balanced_accuracy", path=path))


def test_the_rule_chooses_the_epoch_by_its_own_figures(tmp_path: Path) -> None:
    fake = selecting(tmp_path / "selection.json")
    assert fake.choose((True, False), (False, False), (False, True), (True, False)) == 1.0
    assert int(fake.module.kept_epoch) == 1 and int(fake.module.stopped_epoch) == -1
    record = strict_json(tmp_path / "selection.json")
    assert record["chosen"] == "epoch 2" and record["rule"] == "smallest_gap" and record["settings"]["auroc_tolerance"] == 0.5
    assert record["candidates"][1]["figures"]["equalized_odds_mean"] == 0.0
    assert record["candidates"][2]["refused"].startswith("collapsed: ")
    assert selection_note(tmp_path / "selection.json").startswith("smallest_gap on val: epoch 2: equalized_odds_mean 0.000")


def test_no_better_epoch_keeps_what_was_there() -> None:
    fake = selecting(tolerance=0.0)
    assert fake.choose((True, False), (False, True)) == -1.0
    assert int(fake.module.kept_epoch) == -1


def test_patience_ends_the_stage_after_epochs_that_are_no_better(tmp_path: Path) -> None:
    fake = selecting(tmp_path / "selection.json", patience=2)
    assert fake.choose((False, False), (True, False), (True, False), (False, False)) == 0.0
    assert int(fake.module.stopped_epoch) == 2
    note = selection_note(tmp_path / "selection.json", "epoch 3")
    assert note.endswith("stopped in epoch 3, 2 in a row were no better")


def test_what_was_kept_on_the_way_is_what_the_rule_chooses_in_the_end() -> None:
    choice = RunningChoice(SmallestGap(True, None, "fpr_gap", 0.1), BASE, BASE)
    kept = []
    for number, gap in enumerate((0.4, 0.2, 0.3, 0.2, 0.1)):
        keep, _ = choice.add(Candidate(f"epoch {number + 1}", {"auroc": 1.0, "fpr_gap": gap}, "val"))
        kept += [number + 1] * keep
    assert kept == [1, 2, 5] and choice.record()["chosen"] == "epoch 5"
