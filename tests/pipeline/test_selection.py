"""A selection rule chooses the epochs of every method alike, by validation figures, and writes down what it chose from."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from biasmask.errors import ConfigError
from biasmask.metrics.threshold import select_threshold
from biasmask.metrics.validation_figures import validation_figures
from biasmask.models.weights import read_checkpoint
from tests.conftest import CONFIGS, RENDERED, FinishedRun, Runner, UserTable

RULES = sorted(path.stem for path in CONFIGS.glob("selection/*.yaml") if path.stem != "default")
FULL = ("debias=full_ft", "debias.finetune.epochs=3", "debias.finetune.optimizer.lr=0.05", "selection.patience=null")


def full(runner: Runner, *overrides: str, **where: Any) -> FinishedRun:
    """Full fine-tuning, which has no guard of its own."""
    return runner.train("experiment=bmft_rendered", *RENDERED, *overrides, *FULL, **where)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_runs_and_records_its_choice(rule: str, runner: Runner) -> None:
    run = full(runner, f"selection={rule}")
    about = run.read("selection.json")["finetune"]
    assert about["rule"] == rule and about["split"] == "val"
    assert [one["name"] for one in about["candidates"]] == ["epoch 1", "epoch 2", "epoch 3"]
    for one in about["candidates"]:
        assert {"auroc", "auroc_worst_group", "equalized_odds_mean", "score_std", "bias_loss"} <= set(one["figures"])
    assert any(note.startswith(f"{rule} on val: ") for note in run.stage("finetune")["notes"])
    assert run.read("run.json")["final"] == "debiased"
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Which epoch was kept" in report and report.count("epoch 3") >= 1


def test_figures_of_the_chosen_epoch_are_those_of_the_model_that_was_kept(runner: Runner) -> None:
    run = full(runner, "selection=best_auroc")
    about = run.read("selection.json")["finetune"]
    figures = {one["name"]: one["figures"] for one in about["candidates"]}
    assert max(figures, key=lambda name: figures[name]["auroc"]) == about["chosen"]
    for model, told in (("base", about["base"]), ("debiased", figures[about["chosen"]])):
        frame = pd.read_parquet(run.folder / "predictions" / f"{model}_val.parquet")
        scores, target = (torch.tensor(frame[name].to_numpy()) for name in ("score", "target"))
        group = {"skin_tone": torch.tensor((frame["attribute:skin_tone"] == "light").astype(int).to_numpy())}
        found = validation_figures(scores, target, group, {"skin_tone": 2}, "balanced_accuracy")
        assert {name: told[name] for name in found} == pytest.approx(found, abs=1e-5)
        assert run.read("metrics.json")["threshold"][model] == select_threshold(scores, target)


def test_where_no_epoch_is_allowed_the_base_model_is_kept_to_the_bit(runner: Runner) -> None:
    """Also by a method that resets the head first."""
    strict = ("selection=smallest_gap", "selection.auroc_tolerance=0", "debias.repair.optimizer.lr=0", "debias.repair.epochs=2")
    run = runner.rendered("debias=last_layer", *strict)
    about = run.read("selection.json")["repair"]
    assert about["chosen"] is None and about["reason"].startswith("the unedited model is kept, none of 2 candidates is allowed")
    assert run.stage("repair")["edited"] == 0
    assert not any(tensor.any() for tensor in load_file(run.folder / "delta.safetensors").values())


def test_a_reused_stage_brings_its_choice_with_it(runner: Runner, tmp_path: Path) -> None:
    one, other = (full(runner, "selection=pareto", store=tmp_path / "store") for _ in range(2))
    assert other.stage("finetune")["reused"] and not one.stage("finetune")["reused"]
    assert one.read("selection.json") == other.read("selection.json")
    assert one.read("selection.json")["finetune"]["front"]


def test_another_rule_chooses_anew_and_the_baseline_stays(runner: Runner, tmp_path: Path) -> None:
    store = tmp_path / "store"
    full(runner, "selection=best_auroc", store=store)
    for words in (("selection=last",), ("selection=best_auroc", "metrics.threshold_rule=f1")):
        run = full(runner, *words, store=store)
        assert run.stage("baseline")["reused"] and not run.stage("finetune")["reused"]


def test_both_stages_of_bmft_are_judged_against_the_base_model(runner: Runner) -> None:
    run = runner.rendered("selection=smallest_gap")
    about = run.read("selection.json")
    assert list(about) == ["impair", "repair"]
    assert about["impair"]["base"] == about["repair"]["base"] == about["impair"]["start"]


def test_the_default_is_the_guard_of_each_stage(runner: Runner) -> None:
    about = runner.rendered().read("selection.json")
    assert list(about) == ["impair"] and about["impair"]["rule"] == "guard"


def test_steps_of_fairprune_are_candidates_too(runner: Runner) -> None:
    run = runner.train("experiment=bmft_rendered", *RENDERED, "debias=fairprune", "debias.prune.steps=3", "selection=last")
    about = run.read("selection.json")["prune"]
    assert [one["name"] for one in about["candidates"]] == ["step 1", "step 2", "step 3"]
    kept = [one["name"] for one in about["candidates"] if not one["refused"]]
    assert about["chosen"] == (kept[-1] if kept else None)


def test_more_than_two_classes_and_several_attributes(runner: Runner, class_table: UserTable) -> None:
    run = runner.train(*class_table.overrides, "attribute=[site,sex]", "selection=worst_group_auroc")
    for about in run.read("selection.json").values():
        for one in about["candidates"]:
            assert one["figures"]["auroc_worst_group"] is not None, one
    assert read_checkpoint(run.folder / "checkpoints" / "debiased.ckpt")


def test_a_wrong_setting_is_told_before_anything_is_trained(runner: Runner, tmp_path: Path) -> None:
    for words, told in (("selection.gap=auroc", "selection.gap=auroc"), ("selection.patience=0", "selection.patience=0")):
        store = tmp_path / "store"
        text = runner.error(lambda words=words, store=store: runner.rendered("selection=smallest_gap", words, store=store))
        assert told in text and not store.exists()


def test_pruning_says_that_its_epochs_are_no_candidates(runner: Runner, capsys: Any) -> None:
    runner.train(
        "experiment=bmft_rendered", *RENDERED, "debias=block_pruning_vit", "model.backbone=test_vit", "debias.prune.epochs=1",
        "selection=last",
    )  # fmt: skip
    assert "stage prune ends with its last epoch" in " ".join(capsys.readouterr().out.split())


def test_a_text_run_refuses_a_rule() -> None:
    from biasmask.pipeline.text_run import require_no_selection  # transformers takes seconds to import

    require_no_selection(OmegaConf.create({"selection": {}}))
    with pytest.raises(ConfigError, match="sentences don't have"):
        require_no_selection(OmegaConf.create({"selection": {"_target_": "x"}}))
