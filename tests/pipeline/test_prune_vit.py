"""Pruning of a vision transformer from end to end: what is cut is 0, all else keeps every bit, and the report says so."""

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from biasmask.models.image_classifier import create_network
from biasmask.models.pruner import Pruner
from biasmask.pipeline.checkpoints import load_model
from tests.conftest import RENDERED, FinishedRun, Runner

VIT = (
    "experiment=debias_block_pruning_vit", "backbone=test_resnet", "model.backbone=test_vit", *RENDERED,
    "trainer.precision=32-true",
)  # fmt: skip
FAST = ("debias.epochs=3", "debias.prune.optimizer.lr=1.0", "debias.prune.batch_size=32", "debias.prune.penalty=4.0")
HEADS = ("debias=head_pruning_vit", "debias.structure.min_kept=0.5")  # of two heads one stays
STRUCTURES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "block": (("prune_block_size=32",), {"structure": "block", "block_size": 32}),
    "attention_only": (
        ("prune_block_size=16", "debias.structure.feed_forward=false"),
        {"structure": "block", "block_size": 16, "feed_forward": False},
    ),
    "values_only": (HEADS, {"structure": "head", "feed_forward": False, "trainable": "values_only"}),
    "shared": (
        (*HEADS, "debias.structure.trainable=all", "debias.structure.shared=true"),
        {"structure": "head", "feed_forward": False, "shared": True},
    ),
}


def prune(runner: Runner, *overrides: str, **where: Any) -> FinishedRun:
    return runner.train(*VIT, *FAST, *overrides, **where)


def weights_of(run: FinishedRun, model: str) -> dict[str, torch.Tensor]:
    return load_model(run.folder / "checkpoints" / f"{model}.ckpt")[0].weights


@pytest.mark.parametrize("kind", STRUCTURES)
def test_what_is_cut_is_zero_and_all_else_keeps_every_bit(kind: str, runner: Runner) -> None:
    overrides, arguments = STRUCTURES[kind]
    run = prune(runner, *overrides, "debias.prune.max_auroc_drop=-1.0")
    masks, info = load_file(run.folder / "block_mask.safetensors"), run.read("block_mask.json")
    assert 0 < info["kept"] < info["total"] and info["kept"] == sum(int(mask.sum()) for mask in masks.values())
    record = run.stage("prune")
    assert record["edited"] > 0 and record["changed_outside"] == 0 and record["epochs"] == 3
    assert record["label"].startswith(f"{info['kept']:,} of {info['total']:,} {arguments['structure']}s")
    assert any("AUROC fell by more than -1" in note for note in record["notes"])
    before, after = weights_of(run, "base"), weights_of(run, "debiased")
    assert sum(int((old != after[name]).sum()) for name, old in before.items()) == record["edited"]
    # The same mask put on the base model gives the same weights, to the bit.
    net = create_network("test_vit", 1, 32)
    net.load_state_dict(before)
    pruner = Pruner(net, **arguments)
    pruner.set_masks(masks)
    expected = pruner.fold().state_dict()
    for name, tensor in after.items():
        assert tensor.numpy().tobytes() == expected[name].numpy().tobytes(), name
    if kind == "shared":
        assert all(masks["0.query"].equal(masks[f"0.{role}"]) for role in ("key", "value"))


def test_run_folder_and_report(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    run = prune(runner, *HEADS)
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    info = run.read("block_mask.json")
    assert "The map: what was cut" in report and "Kept share by layer and head" in report and ".heat" in report
    assert "slim model" not in report and "locate" not in report
    assert f"pruned whole: {len(info['whole_heads'])} head" in capsys.readouterr().out
    about = run.read("run.json")
    assert (about["structure"], about["block_size"], about["method"]) == ("head", None, "head_pruning_vit")
    assert about["source_checkpoint"]
    metrics = {row["metric"] for row in run.read("history.json") if row["stage"] == "prune"}
    assert metrics >= {"loss", "bias_loss", "penalty", "auroc", "kept_share", "threshold"}
    evaluated = runner.evaluate(run.folder / "checkpoints" / "debiased.ckpt").read("metrics.json")["models"]
    figures = run.read("metrics.json")["models"]["debiased"]["test/auroc"]["value"]
    assert figures in {values["test/auroc"]["value"] for values in evaluated.values()}


def test_random_heads_are_as_many_on_the_base_models_weights(runner: Runner) -> None:
    found = prune(runner, *HEADS)
    run = prune(runner, "debias=random_heads_vit", HEADS[1])
    assert run.stage("prune")["reused"], "the control costs no second training"
    masks, drawn = (load_file(r.folder / "block_mask.safetensors") for r in (found, run))
    assert {n: int(m.sum()) for n, m in masks.items()} == {n: int(m.sum()) for n, m in drawn.items()}
    record = run.stage("random")
    assert record["changed_outside"] == 0 and record["edited"] > 0
    before, after = weights_of(run, "base"), weights_of(run, "debiased")
    assert all(bool(((old == after[name]) | (after[name] == 0)).all()) for name, old in before.items())


def test_blocks_of_another_size_keep_apart_in_the_random_control(runner: Runner) -> None:
    run = prune(runner, "debias=random_blocks_vit", "prune_block_size=32", "debias.random.within=network")
    info, record = run.read("block_mask.json"), run.stage("random")
    assert record["label"] == f"{info['kept']:,} of {info['total']:,} blocks and neurons kept, at random"
    pruned = run.stage("prune")["label"].partition(" of ")[0]
    assert record["label"].startswith(pruned)


def test_nothing_pruned_is_said_in_the_last_line(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    run = runner.train(*VIT, "debias.epochs=1")
    info = run.read("block_mask.json")
    assert info["kept"] == info["total"] and run.stage("prune")["edited"] == 0
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("nothing pruned:")
    notes = run.stage("prune")["notes"]
    assert any("the lowest score reached" in note and "a block goes below -2.20" in note for note in notes)
    figures = run.read("metrics.json")["models"]
    assert figures["base"]["test/auroc"] == figures["debiased"]["test/auroc"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("model.backbone=test_resnet",), "no encoder layer found in ResNet"),
        (("prune_block_size=48",), "prune_block_size=48: blocks of 48 x 48 don't divide blocks.0.attn.qkv"),
        (("debias.structure.kind=row",), "structure=row: it is one of block, head"),
        (("debias.prune.penalty_schedule=cubic",), "penalty_schedule=cubic"),
        (("debias.prune.schedule.final=1.5",), "the final threshold is 1.5"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_trained(
    overrides: tuple[str, ...], words: str, runner: Runner, tmp_path: Any
) -> None:
    store = tmp_path / "store"
    text = runner.error(lambda: prune(runner, *overrides, store=store))
    assert words in text
    assert not list(store.rglob("model.ckpt"))


def test_the_random_control_needs_a_mask(runner: Runner) -> None:
    text = runner.error(lambda: prune(runner, "debias=random_heads_vit", "debias.stages=[random]"))
    assert "random needs the block mask of a stage before" in text
