"""Each file of configs/debias runs end to end on a few rendered lesions and leaves a complete run folder."""

from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from biasmask.modules.classifier import ClassifierModule
from tests.conftest import CONFIGS, RENDERED, Runner, compose_config

METHODS = sorted(path.stem for path in CONFIGS.glob("debias/*.yaml"))


def as_parameter(method: str) -> Any:
    """A method that gives other settings to the stages of another one is a slow test: no code is run that isn't run there."""
    own = OmegaConf.load(CONFIGS / "debias" / f"{method}.yaml")
    derived = own.get("defaults", [None])[0] in METHODS and "stages" not in own
    brings = any(OmegaConf.is_dict(node) and "_target_" in node for node in own.values())
    return pytest.param(method, marks=pytest.mark.slow if derived and not brings else ())


WRITTEN = [
    *("config.yaml", "overrides.txt", "command.txt", "environment.txt", "checker.json", "history.json", "stages.json"),
    *("run.json", "metrics.json", "metrics.csv", "report.html", "predictions/base_test.parquet", "predictions/base_val.parquet"),
]
DEBIASED = ["predictions/debiased_test.parquet", "debiased_timm.pt", "delta.safetensors", "checkpoints/debiased.ckpt"]
DEBIASED += ["bias_map.json", "model_card.md", "model_card.json"]
RECORD = {"stage", "label", "seconds", "spent", "reused", "epochs", "edited", "parameters"}
RECORD |= {"largest_change", "changed_outside", "notes"}
VALUE = {"value", "low", "high", "n", "n_positive", "reason"}


def short(method: str, tmp_path: Any) -> list[str]:
    """One epoch for each stage of the method that has epochs."""
    debias = compose_config("train", [f"debias={method}"], tmp_path).debias
    return [f"debias.{stage}.epochs=1" for stage in debias.stages if "epochs" in debias[stage]]


@pytest.mark.parametrize("method", [as_parameter(method) for method in METHODS])
def test_method_end_to_end(method: str, runner: Runner, tmp_path: Any) -> None:
    vit = ["model.backbone=test_vit"] if method.endswith("_vit") else []  # these need a transformer
    run = runner.train("experiment=bmft_rendered", *RENDERED, f"debias={method}", "name=contract", *vit, *short(method, tmp_path))
    stages = run.read("stages.json")
    names = [record["stage"] for record in stages]
    listed = list(compose_config("train", [f"debias={method}"], tmp_path).debias.stages)
    assert names == ["baseline", *listed]
    assert all(set(record) == RECORD for record in stages)
    for name in WRITTEN + (DEBIASED if listed else []):
        assert (run.folder / name).is_file(), name
    assert not list(run.folder.rglob("*.part")), "a temporary file was left"

    check_metrics(run.read("metrics.json"), debiased=bool(listed))
    for name in ("checker.json", "history.json", "run.json"):
        assert run.read(name)
    assert run.read("run.json")["method"] == method
    check_predictions(run, debiased=bool(listed))
    for checkpoint in run.folder.glob("checkpoints/*.ckpt"):
        content = torch.load(checkpoint, weights_only=True)
        module = ClassifierModule.load_from_checkpoint(checkpoint, weights_only=True)
        assert all(torch.equal(module.state_dict()[k], v) for k, v in content["state_dict"].items())
    for record in stages:
        assert record["changed_outside"] in (None, 0), record
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "</html>" in report and 'src="http' not in report
    if "locate" in listed:
        check_mask(run)


def check_metrics(content: dict[str, Any], debiased: bool) -> None:
    assert content["schema"] == 1 and content["threshold"]["split"] == "val"
    assert set(content["models"]) == ({"base", "debiased"} if debiased else {"base"})
    for values in content["models"].values():
        for key, value in values.items():
            assert set(value) >= VALUE, key
            assert value["value"] is not None or value["reason"], (key, value)
        for key in (
            "test/auroc",
            "test/equalized_odds_mean/skin_tone",
            "test/equalized_odds_max/skin_tone",
            "test/tpr/skin_tone=dark",
        ):
            assert values[key]["value"] is not None, key
    assert bool(content["difference"]) == debiased


def check_predictions(run: Any, debiased: bool) -> None:
    for model in ("base", "debiased") if debiased else ("base",):
        frame = pd.read_parquet(run.folder / "predictions" / f"{model}_test.parquet")
        decided = ["prediction"] if model == "debiased" and run.read("run.json")["needs_attribute"] else []
        assert list(frame.columns) == ["row", "id", "score", "logit", "target", "attribute:skin_tone", *decided]
        assert len(frame) == 64 and frame["score"].between(0, 1).all() and frame["row"].dtype == "int64"


def check_mask(run: Any) -> None:
    mask, info = load_file(run.folder / "mask.safetensors"), run.read("mask.json")
    if info["kind"] == "soft":
        return check_soft_mask(mask, info)
    assert all(tensor.dtype == torch.bool for tensor in mask.values())
    assert [t["name"] for t in info["tensors"]] and {t["name"] for t in info["tensors"]} == set(mask)
    assert sum(int(t.sum()) for t in mask.values()) == info["selected"] > 0
    assert sum(t.numel() for t in mask.values()) == info["parameters"]
    assert not any(name.startswith("fc.") for name in mask), "the head is no part of the mask"
    if info["source"] in ("ratio", "random", "bias_only"):
        assert info["selected"] == pytest.approx(info["edit_fraction"] * info["parameters"], abs=1)


def check_soft_mask(mask: dict[str, torch.Tensor], info: dict[str, Any]) -> None:
    assert [t["name"] for t in info["tensors"]] and {t["name"] for t in info["tensors"]} == set(mask)
    assert all(tensor.is_floating_point() and 0 <= float(tensor.min()) <= float(tensor.max()) <= 1 for tensor in mask.values())
    assert sum(t.numel() for t in mask.values()) == info["parameters"] and info["selected"] is None
    assert any(0 < tensor["density"] < 1 for tensor in info["tensors"])
    assert any(name.startswith("fc.") for name in mask), "what of the head starts anew is read off its mask"


def test_only_the_head_moves_in_repair(runner: Runner) -> None:
    run = runner.rendered("debias=last_layer", "debias.repair.epochs=1")
    record = run.stage("repair")
    assert 0 < record["edited"] <= 65 + 32 and record["changed_outside"] == 0


@pytest.mark.parametrize("debug", ["fdr", "overfit", "profiler"])
def test_debug_files_run(debug: str, runner: Runner, capsys: Any) -> None:
    epochs = [] if debug == "fdr" else ["trainer.max_epochs=2"]
    run = runner.train(f"debug={debug}", *RENDERED, *epochs)
    assert run.read("run.json")["experiment"] == f"debug_{debug}"
    assert run.stage("baseline")["epochs"] == (1 if debug == "fdr" else 2)


@pytest.mark.parametrize("choice", ["checkpoint", "early_stopping", "lr_monitor"])
def test_callbacks_run(choice: str, runner: Runner, tmp_path: Any) -> None:
    overrides = [f"callbacks={choice}", *([] if choice != "lr_monitor" else ["logger=csv"])]
    run = runner.train(*overrides, *RENDERED, store=tmp_path / "store")
    if choice == "checkpoint":
        written = list(run.folder.glob("checkpoints/baseline-epoch*.ckpt"))
        assert written
        module = ClassifierModule.load_from_checkpoint(written[0], weights_only=True)
        assert module.hparams["backbone"] == "test_resnet"


@pytest.mark.parametrize("choice", ["csv", "default"])
def test_loggers_write_into_the_run_folder(choice: str, runner: Runner, tmp_path: Any) -> None:
    run = runner.rendered(f"logger={choice}", store=tmp_path / "store")
    for stage in ("baseline", "impair", "repair"):
        assert (run.folder / "csv" / stage / "metrics.csv").is_file()
    assert bool(list(run.folder.glob("tensorboard/*/events*"))) == (choice == "default")
