"""The map and the effects of parts on real runs of the three kinds of network: sums agree with masks, stages and models."""

import json
import runpy
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from biasmask.errors import MethodError, StoreError
from biasmask.pipeline.bias_map import load_pair, write_bias_map
from biasmask.pipeline.checkpoints import load_model, save_model
from biasmask.pipeline.context import ModelState
from biasmask.pipeline.part_effect import Change, write_part_effect
from biasmask.report.bias_map import GROUPINGS, read_bias_map, sums_by
from biasmask.report.html import write_report
from tests.conftest import REPOSITORY, FinishedRun, Runner, make_user_table, net_writer

PRUNE = "debias.prune.optimizer={_target_: torch.optim.AdamW, lr: 0.5}"
Edit = Callable[[dict[str, torch.Tensor]], None]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("maps")


@pytest.fixture(scope="module")
def images(home: Path, shared_folder: Path) -> dict[str, FinishedRun]:
    runner, table = Runner(home / "runs", shared_folder), make_user_table(home)
    found = {}
    for backbone, args in (("test_resnet", {}), ("test_vit", {"img_size": 32})):
        path = net_writer(home)(backbone, name=f"{backbone}.pt", **args)
        own = [f"model.ckpt_path={path}", f"model.backbone={backbone}", "debias=impair_only", "debias.impair.guard=null"]
        overrides = [word for word in table.overrides if not word.startswith("debias.repair")]
        found[backbone] = runner.train(*overrides, *own, "debias.impair.optimizer.lr=0.05")
    return found


@pytest.fixture(scope="module")
def text(home: Path, shared_folder: Path) -> FinishedRun:
    return Runner(home / "texts", shared_folder).text(home / "parts", "debias=text/block_pruning", PRUNE)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_an_image_run_has_a_map_whose_sums_are_the_runs(backbone: str, images: dict[str, FinishedRun]) -> None:
    run = images[backbone]
    rows = run.read("bias_map.json")["rows"]
    info, record = run.read("mask.json"), run.stage("impair")
    for by in GROUPINGS:
        parts = sums_by(rows, by)
        assert sum(part.selected for part in parts) == info["selected"]
        assert sum(part.changed for part in parts) == record["edited"] > 0
        assert sum(part.parameters for part in parts) == record["parameters"]
    assert max(row["largest_change"] for row in rows) == pytest.approx(record["largest_change"])
    known = [row for row in rows if row["bias_importance"] is not None]
    assert sum(row["parameters"] for row in known) == info["parameters"] and all(row["bias_importance"] >= 0 for row in known)
    assert any(row["head"] is not None for row in rows) == (backbone == "test_vit")
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "The map by block, kind and head" in page and ("Map by layer and head" in page) == (backbone == "test_vit")


def test_the_share_of_a_head_is_that_of_its_rows_and_columns(images: dict[str, FinishedRun]) -> None:
    run = images["test_vit"]
    mask = load_file(run.folder / "mask.safetensors")
    qkv, proj, bias = (mask[f"blocks.2.attn.{name}"].float() for name in ("qkv.weight", "proj.weight", "qkv.bias"))
    rows = [torch.arange(32, 64) + 64 * part for part in range(3)]
    want = sum(qkv[own].sum() + bias[own].sum() for own in rows) + proj[:, 32:].sum()
    part = next(part for part in sums_by(run.read("bias_map.json")["rows"], "head") if part.name == "layer 2, head 1")
    assert part.selected == float(want) and part.parameters == 3 * (32 * 64 + 32) + 64 * 32


def test_a_text_run_has_the_same_map(text: FinishedRun) -> None:
    content = text.read("bias_map.json")
    weights = [row for row in content["rows"] if row["kind"] != "bias"]
    assert content["family"] == "text" and content["selected_by"] == "block_mask"
    assert sum(row["selected"] for row in weights) == text.read("block_mask.json")["weights_pruned"]
    assert sum(row["changed"] for row in content["rows"]) == text.stage("prune")["edited"]
    cut = next(m for m in text.read("block_mask.json")["matrices"] if m["name"] == "1.query")
    assert sum(row["selected"] for row in weights if row["matrix"] == "1.query") == cut["weights_pruned"]
    assert "The map by block, kind and head" in (text.folder / "report.html").read_text(encoding="utf-8")


def test_the_map_is_made_again_from_the_folder(images: dict[str, FinishedRun], text: FinishedRun, tmp_path: Path) -> None:
    for run in (images["test_vit"], text):
        before = run.read("bias_map.json")
        folder = tmp_path / run.folder.parent.name
        shutil.copytree(run.folder, folder)
        (folder / "bias_map.json").unlink()
        assert write_bias_map(folder) == folder / "bias_map.json"
        assert json.loads((folder / "bias_map.json").read_text(encoding="utf-8")) == before


def test_without_the_base_model_what_changed_is_unknown(images: dict[str, FinishedRun], tmp_path: Path) -> None:
    shutil.copytree(images["test_resnet"].folder, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "base.ckpt").unlink()
    write_bias_map(tmp_path / "run")
    content = read_bias_map(tmp_path / "run")
    assert content is not None and not content["changed_known"] and all(row["changed"] is None for row in content["rows"])
    assert "What changed isn't known" in write_report(tmp_path / "run").read_text(encoding="utf-8")
    with pytest.raises(StoreError, match=r"no run\.json"):
        write_bias_map(tmp_path)


@pytest.mark.parametrize("by", GROUPINGS)
@pytest.mark.parametrize("kind", ["test_resnet", "test_vit", "text"])
def test_all_parts_together_are_the_debiased_model(kind: str, by: str, images: dict[str, FinishedRun], text: FinishedRun) -> None:
    base, debiased = load_pair((text if kind == "text" else images[kind]).folder)
    change = Change.between(debiased.network(), base.weights, debiased.weights, by)
    assert sum(change.counts.values()) == len(change.labels)
    for most in (100, 2):
        cut = change.joined(most)
        weights = cut.model(torch.ones(len(cut.labels), dtype=torch.bool))
        assert replace(debiased, weights=weights).key == debiased.key
        assert sum(count > 0 for count in cut.counts.values()) <= most and sum(cut.parameters) == sum(change.parameters)
        nothing = cut.model(torch.zeros(len(cut.labels), dtype=torch.bool))
        assert all(torch.equal(nothing[name], tensor) for name, tensor in base.weights.items())


def planted(run: FinishedRun, folder: Path, edit: Edit) -> Path:
    """The run's folder with another debiased model: the base model with an edit of ours."""
    shutil.copytree(run.folder, folder)
    base = load_model(folder / "checkpoints" / "base.ckpt")[0]
    about = load_model(folder / "checkpoints" / "debiased.ckpt")[1]
    weights = {name: tensor.clone() for name, tensor in base.weights.items()}
    edit(weights)
    save_model(folder / "checkpoints" / "debiased.ckpt", ModelState(base.hyper, weights), {**about, "threshold": 0.5})
    return folder


def edit_block(weights: dict[str, torch.Tensor]) -> None:
    weights["layer2.0.conv1.weight"] *= -3


def edit_two(weights: dict[str, torch.Tensor]) -> None:
    """A block that tells, and one whose change makes no difference to any score: a counter of batches."""
    edit_block(weights)
    weights["layer3.0.bn1.num_batches_tracked"] += 1


def test_a_planted_block_has_the_whole_effect(images: dict[str, FinishedRun], tmp_path: Path) -> None:
    folder = planted(images["test_resnet"], tmp_path / "run", edit_block)
    content = json.loads(write_part_effect(folder, draws=1).read_text(encoding="utf-8"))
    assert content["effect"]["val/auroc"]["value"] != 0 and content["threshold"]["value"] == 0.5
    for part in content["parts"]:
        alone, left_out = part["only_effect"], part["without_effect"]
        whole, nothing = (alone, left_out) if part["part"] == "layer2.0" else (left_out, alone)
        assert {key: entry["value"] for key, entry in whole.items()} == {k: e["value"] for k, e in content["effect"].items()}
        assert all(entry["value"] == 0 for entry in nothing.values())


def test_parts_are_judged_apart_and_beside_random_entries(images: dict[str, FinishedRun], tmp_path: Path) -> None:
    folder, told = planted(images["test_resnet"], tmp_path / "run", edit_two), []
    file = write_part_effect(folder, draws=2, out=tmp_path, progress=lambda done, todo: told.append((done, todo)))
    content = json.loads(file.read_text(encoding="utf-8"))
    assert file.parent == tmp_path and told[-1] == (14, 14)
    parts = {part["part"]: part for part in content["parts"]}
    strong, idle = parts["layer2.0"], parts["layer3.0"]
    assert strong["changed"] == content["changed"] - 1 and idle["changed"] == 1
    for key, entry in content["effect"].items():
        assert strong["only_effect"][key]["value"] == entry["value"] and idle["only_effect"][key]["value"] == 0.0
        assert strong["without_effect"][key]["value"] == 0.0 and idle["without_effect"][key]["value"] == entry["value"]
    assert len(strong["random"]["only_effect"]["val/auroc"]["values"]) == 2
    assert strong["only"]["val/auroc"]["low"] <= strong["only"]["val/auroc"]["value"] <= strong["only"]["val/auroc"]["high"]


def test_equal_models_have_no_parts(images: dict[str, FinishedRun], tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="same weights"):
        write_part_effect(planted(images["test_resnet"], tmp_path / "run", lambda weights: None))


def test_the_script_on_an_encoder(
    text: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "180")
    assert run_script(monkeypatch, text.folder, "--by", "layer", "--draws", "1", "--out", tmp_path) == 0
    shown = capsys.readouterr().out
    content = json.loads((tmp_path / "part_effect.json").read_text(encoding="utf-8"))
    assert "layer 1" in shown and "as many at random" in shown and content["split"] == "held_out"
    stored = text.read("metrics.json")["models"]
    for model in ("base", "debiased"):
        assert content[model]["held_out/debias_loss"]["value"] == pytest.approx(stored[model]["held_out/debias_loss"]["value"])
    layers = {part["part"]: part for part in content["parts"] if part["changed"]}
    assert set(layers) == {"layer 0", "layer 1"}
    first, second = layers.values()
    assert first["only_effect"] == second["without_effect"]
    page = (tmp_path / "part_effect.html").read_text(encoding="utf-8")
    assert "Effect of single parts" in page and "<script" not in page and "://" not in page.replace("http://www.w3.org", "")
    assert run_script(monkeypatch, tmp_path) == 2 and "config.yaml" in capsys.readouterr().err


def run_script(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> object:
    monkeypatch.setattr(sys, "argv", ["part_effect.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(REPOSITORY / "scripts" / "part_effect.py"), run_name="__main__")
    return left.value.code
