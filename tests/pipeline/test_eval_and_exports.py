"""What a run hands over: eval gives the same figures, thresholds stay frozen, exports load elsewhere, deltas go both ways."""

from pathlib import Path

import pandas as pd
import pytest
import timm
import torch
from safetensors import safe_open

from biasmask.pipeline.checkpoints import load_model
from biasmask.pipeline.export import apply_delta_file, hash_of_weights
from tests.conftest import FinishedRun, Runner, UserTable, compose_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> FinishedRun:
    """One BMFT run on rendered lesions for all tests of this file."""
    runner = Runner(tmp_path_factory.mktemp("eval"), shared_folder)
    return runner.rendered("debias.impair.guard=null", "debias.impair.optimizer.lr=0.01", "trainer.max_epochs=2")


def test_eval_of_a_run_folder_gives_the_figures_of_training(finished: FinishedRun, runner: Runner) -> None:
    again = runner.evaluate(finished.folder)
    assert again.figures == finished.figures
    for model in ("base", "debiased"):
        name = f"predictions/{model}_test.parquet"
        pd.testing.assert_frame_equal(pd.read_parquet(again.folder / name), pd.read_parquet(finished.folder / name))
    assert again.read("run.json")["backbone"] == "test_resnet"
    assert (again.folder / "report.html").is_file()


@pytest.mark.parametrize("model", ["base", "debiased"])
def test_eval_of_one_checkpoint(model: str, finished: FinishedRun, runner: Runner) -> None:
    again = runner.evaluate(finished.folder / "checkpoints" / f"{model}.ckpt")
    assert again.read("metrics.json")["models"] == {model: finished.read("metrics.json")["models"][model]}


def test_eval_on_another_data_set_keeps_the_thresholds(finished: FinishedRun, runner: Runner, user_table: UserTable) -> None:
    again = runner.evaluate(finished.folder, "data=csv", f"data.table={user_table.path}", "attribute=site")
    frozen, used = finished.read("metrics.json")["threshold"], again.read("metrics.json")["threshold"]
    assert {k: used[k] for k in ("base", "debiased")} == {k: frozen[k] for k in ("base", "debiased")}
    values = again.read("metrics.json")["models"]["debiased"]
    assert values["test/auroc"]["n"] == 16
    assert {key.partition("site=")[2] for key in values if "site=" in key} == {"a", "b", "c"}
    frame = pd.read_parquet(again.folder / "predictions" / "debiased_test.parquet")
    assert "attribute:site" in frame and "attribute:skin_tone" not in frame
    prediction = (frame["score"] >= frozen["debiased"]).astype(int)
    assert values["test/accuracy"]["value"] == pytest.approx((prediction == frame["target"]).mean())


def test_eval_on_another_split(finished: FinishedRun, runner: Runner) -> None:
    again = runner.evaluate(finished.folder, "split=debias")
    assert again.read("metrics.json")["models"]["base"]["debias/auroc"]["n"] == 96


def test_eval_takes_metric_settings_that_were_typed(finished: FinishedRun, runner: Runner) -> None:
    assert runner.evaluate(finished.folder, "metrics.n_bootstrap=7").read("metrics.json")["n_bootstrap"] == 7


def test_eval_into_the_runs_own_folder_is_refused(finished: FinishedRun, runner: Runner) -> None:
    before = (finished.folder / "metrics.json").read_bytes()
    text = runner.error(lambda: runner.evaluate(finished.folder, folder=finished.folder))
    assert "holds a run of another configuration" in text
    assert (finished.folder / "metrics.json").read_bytes() == before


def test_eval_says_what_is_wrong_with_a_path(finished: FinishedRun, runner: Runner, tmp_path: Path) -> None:
    assert "doesn't exist" in runner.error(lambda: runner.evaluate(tmp_path / "nothing.ckpt"))
    assert "no finished run" in runner.error(lambda: runner.evaluate(tmp_path))
    plain = finished.folder / "debiased_timm.pt"
    assert "model.ckpt_path" in runner.error(lambda: runner.evaluate(plain))


def test_eval_asks_for_a_checkpoint(runner: Runner, tmp_path: Path) -> None:
    from biasmask.pipeline.eval_run import evaluate

    text = runner.error(lambda: evaluate(compose_config("eval", ["trainer=cpu"], tmp_path)))
    assert "ckpt_path" in text


def test_eval_of_a_checkpoint_without_a_threshold(finished: FinishedRun, runner: Runner, shared_folder: Path) -> None:
    """A stage's own model in the store was never judged."""
    stored = next((shared_folder / "store" / "baseline").glob("*/model.ckpt"))
    text = runner.error(
        lambda: runner.evaluate(stored, "data=rendered", "data.source.n={train: 64, debias: 96, val: 64, test: 64}")
    )
    assert "holds no frozen threshold" in text


@pytest.mark.parametrize("target", ["os.system", "biasmask.data.decode.os.system", "subprocess.run"])
def test_data_settings_of_a_checkpoint_call_nothing_of_their_own(
    target: str, finished: FinishedRun, runner: Runner, tmp_path: Path
) -> None:
    path = tmp_path / "stranger.ckpt"
    content = torch.load(finished.folder / "checkpoints" / "base.ckpt", weights_only=True)
    content["biasmask"]["data"]["source"] = {"_target_": target, "_args_": [f"touch {tmp_path / 'sprung'}"]}
    torch.save(content, path)
    told = runner.error(lambda: runner.evaluate(path))
    assert target in told and "as data=..." in told
    assert not (tmp_path / "sprung").exists()


def test_exported_weights_load_with_timm_alone(finished: FinishedRun) -> None:
    alone = timm.create_model("test_resnet", num_classes=1)
    alone.load_state_dict(torch.load(finished.folder / "debiased_timm.pt", weights_only=True), strict=True)
    module = load_model(finished.folder / "checkpoints" / "debiased.ckpt")[0].classifier().eval()
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(alone.eval()(module.normalized(images)).flatten(), module(images))


def test_delta_goes_both_ways_bit_for_bit(finished: FinishedRun) -> None:
    base = load_model(finished.folder / "checkpoints" / "base.ckpt")[0].weights
    debiased = load_model(finished.folder / "checkpoints" / "debiased.ckpt")[0].weights
    delta = finished.folder / "delta.safetensors"
    assert any(not torch.equal(base[k], debiased[k]) for k in base)
    there, back = apply_delta_file(base, delta), apply_delta_file(debiased, delta)
    for name in base:
        assert there[name].dtype == base[name].dtype
        assert there[name].numpy().tobytes() == debiased[name].numpy().tobytes(), name
        assert back[name].numpy().tobytes() == base[name].numpy().tobytes(), name


def test_delta_names_both_models(finished: FinishedRun) -> None:
    with safe_open(str(finished.folder / "delta.safetensors"), "pt") as file:
        metadata = file.metadata()
    for name in ("base", "debiased"):
        assert metadata[name] == hash_of_weights(load_model(finished.folder / "checkpoints" / f"{name}.ckpt")[0].weights)


def test_predictions_make_the_figures_again(finished: FinishedRun) -> None:
    """Every number can be made from the Parquet file without the model."""
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    content = finished.read("metrics.json")
    for model in ("base", "debiased"):
        frame = pd.read_parquet(finished.folder / "predictions" / f"{model}_test.parquet")
        values, threshold = content["models"][model], content["threshold"][model]
        assert values["test/auroc"]["value"] == pytest.approx(roc_auc_score(frame["target"], frame["score"]))
        predicted = frame["score"] >= threshold
        assert values["test/balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(frame["target"], predicted))
        light = frame[(frame["attribute:skin_tone"] == "light") & (frame["target"] == 1)]
        assert values["test/tpr/skin_tone=light"]["value"] == pytest.approx((light["score"] >= threshold).mean())


def test_the_threshold_comes_from_validation_rows_alone(finished: FinishedRun) -> None:
    from biasmask.metrics.threshold import select_threshold

    content = finished.read("metrics.json")["threshold"]
    for model in ("base", "debiased"):
        frame = pd.read_parquet(finished.folder / "predictions" / f"{model}_val.parquet")
        target = torch.tensor(frame["target"].to_numpy())
        assert content[model] == pytest.approx(select_threshold(torch.tensor(frame["score"].to_numpy()), target, content["rule"]))


def test_the_same_run_twice_is_the_same(finished: FinishedRun, runner: Runner, tmp_path: Path) -> None:
    """Not from the store: everything is computed again."""
    again = runner.rendered(
        "debias.impair.guard=null", "debias.impair.optimizer.lr=0.01", "trainer.max_epochs=2", store=tmp_path / "store"
    )
    assert not any(record["reused"] for record in again.read("stages.json"))
    assert again.figures == finished.figures
    assert (again.folder / "mask.safetensors").read_bytes() == (finished.folder / "mask.safetensors").read_bytes()


def test_command_of_the_run_can_be_typed_again(finished: FinishedRun) -> None:
    command = (finished.folder / "command.txt").read_text()
    assert command.startswith("python src/train.py ")
    lines = (finished.folder / "overrides.txt").read_text().splitlines()
    assert "experiment=bmft_rendered" in lines and "trainer.max_epochs=2" in lines
