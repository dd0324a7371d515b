"""The Python way gives the figures of the command line, bit for bit, and leaves the process as it was."""

import logging
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from biasmask import api
from biasmask.errors import BiasmaskError, CheckpointError, ConfigError
from tests.conftest import Runner, UserTable, net_writer

N = {"train": 64, "debias": 96, "val": 64, "test": 64}
STAGES: dict[str, Any] = {"impair": {"epochs": 1}, "repair": {"epochs": 2}}


@pytest.fixture
def workspace(tmp_path: Path, shared_folder: Path) -> api.Workspace:
    return api.Workspace(store=tmp_path / "store", cache=shared_folder / "pixels", threads=1, trainer="cpu")


def lesions(workspace: api.Workspace) -> api.Images:
    return api.load_images("rendered", image_size=32, workspace=workspace, source={"n": N}, batch_size=32)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> api.Images:
    """Its store is shared by the tests of this file, so that one of them trains the model."""
    store = tmp_path_factory.mktemp("api") / "store"
    return lesions(api.Workspace(store=store, cache=shared_folder / "pixels", threads=1, trainer="cpu"))


@pytest.fixture
def untrained(workspace: api.Workspace) -> api.Images:
    """The same with an empty store: everything is done anew."""
    return lesions(workspace)


def same_figures(table: pd.DataFrame, figures: dict[str, Any], models: tuple[str, str] = ("before", "after")) -> int:
    """Compare a table with metrics.json; the number of figures."""
    parts = {"base": models[0], "debiased": models[1]}
    expected = {(parts[name], key): entry for name, entries in figures["models"].items() for key, entry in entries.items()}
    expected |= {(f"{models[1]} - {models[0]}", key): entry for key, entry in figures["difference"].items()}
    for (name, key), entry in expected.items():
        for column in ("value", "low", "high"):
            found = table.loc[key, (name, column)]
            assert found == entry[column] or (entry[column] is None and np.isnan(found)), (name, key, column)
    return len(expected)


def test_images_give_the_figures_of_the_command_line(untrained: api.Images, runner: Runner) -> None:
    run = runner.rendered("debias.edit_fraction=0.05")
    model = api.train(untrained, "test_resnet", epochs=1)
    mask = api.locate(model, untrained, edit_fraction=0.05)
    fair = api.repair(model, untrained, mask, **STAGES)
    table = api.evaluate({"before": model, "after": fair}, untrained, n_bootstrap=20)
    assert same_figures(table, run.figures) > 60
    assert mask.info["selected"] == run.read("mask.json")["selected"]
    weights = torch.load(run.folder / "debiased_timm.pt", weights_only=True)
    assert all(torch.equal(weights[name], tensor) for name, tensor in fair.state.weights.items())
    assert [record.stage for record in fair.records] == ["baseline", "locate", "impair", "repair"]


def test_a_table_and_a_checkpoint_of_ones_own(
    user_table: UserTable, workspace: api.Workspace, runner: Runner, tmp_path: Path
) -> None:
    file = net_writer(tmp_path)()
    run = runner.train(*user_table.overrides, f"model.ckpt_path={file}", "data.image_size=40", "debias.impair.epochs=1")
    data = api.load_images(user_table.path, target="target", attribute="sex", image_size=40, workspace=workspace)
    model = api.load_model(file, backbone="test_resnet")
    whole = api.repair(model, data, **STAGES)
    table = api.evaluate({"before": model, "after": whole}, data, n_bootstrap=20)
    same_figures(table, run.figures)
    stepwise = api.repair(model, data, api.locate(model, data), **STAGES)
    assert stepwise.state.key == whole.state.key


def test_a_model_is_saved_and_loaded_in_both_forms(rendered: api.Images, tmp_path: Path) -> None:
    model = api.train(rendered, "test_resnet", epochs=1)
    again = [
        api.load_model(model.save(tmp_path / "fair.pt"), backbone="test_resnet", image_size=32),
        api.load_model(model.save(tmp_path / "fair.ckpt")),
    ]
    assert all(torch.equal(loaded.state.weights[k], v) for loaded in again for k, v in model.state.weights.items())
    frames = [api.predict(each, rendered) for each in (model, *again)]
    assert frames[0].equals(frames[2]) and len(frames[0]) == 64
    with pytest.raises(ConfigError, match="end the name in .pt"):
        model.save(tmp_path / "fair.onnx")
    with pytest.raises(ConfigError, match="say its backbone"):
        api.load_model(tmp_path / "fair.pt")


def test_a_rule_chooses_the_epochs_as_it_does_in_a_run(rendered: api.Images, runner: Runner) -> None:
    run = runner.rendered("selection=best_auroc")
    model = api.train(rendered, "test_resnet", epochs=1)
    fair = api.repair(model, rendered, selection="best_auroc", **STAGES)
    assert fair.selections.keys() == {"impair", "repair"} == run.read("selection.json").keys()
    assert fair.selections["repair"]["rule"] == "best_auroc" and len(fair.selections["repair"]["candidates"]) == 2
    weights = torch.load(run.folder / "debiased_timm.pt", weights_only=True)
    assert all(torch.equal(weights[name], tensor) for name, tensor in fair.state.weights.items())
    assert api.repair(model, rendered, **STAGES).selections.get("repair", {}).get("rule") != "best_auroc"


def test_a_run_folder_gives_its_debiased_model(rendered: api.Images, runner: Runner) -> None:
    run = runner.rendered()
    model = api.load_model(run.folder)
    predictions = pd.read_parquet(run.folder / "predictions" / "debiased_test.parquet")
    assert api.predict(model, rendered)["score"].equals(predictions["score"])


def test_other_methods_and_several_models(rendered: api.Images) -> None:
    model = api.train(rendered, "test_resnet", epochs=1)
    rival = api.debias(model, rendered, "last_layer", repair={"epochs": 1})
    random_mask = api.locate(model, rendered, source="random", seed=5)
    assert random_mask.info["source"] == "random"
    table = api.evaluate({"a": model, "b": rival, "c": model}, rendered, n_bootstrap=10)
    assert list(dict.fromkeys(table.columns.get_level_values(0))) == ["a", "b", "c", "b - a", "c - a"]
    assert (table["c - a"]["value"].dropna() == 0).all()
    alone = api.evaluate({"a": model}, rendered, n_bootstrap=10)
    assert alone["a"]["value"].equals(table["a"]["value"])


def test_nothing_of_the_process_is_left_changed(untrained: api.Images) -> None:
    def look() -> tuple[Any, ...]:
        levels = tuple(logging.getLogger(name).level for name in ("lightning.pytorch", "lightning.fabric", ""))
        numbers = torch.get_rng_state().sum().item(), np.random.get_state()[1].sum(), random.getstate()  # type: ignore[union-attr]
        return torch.get_num_threads(), bool(torch.tensor([1e-310], dtype=torch.float64) * 1 == 0), levels, numbers

    torch.set_flush_denormal(False)
    before, environment = look(), dict(os.environ)
    model = api.train(untrained, "test_resnet", epochs=1)
    api.evaluate({"a": model}, untrained, n_bootstrap=10)
    assert look() == before and dict(os.environ) == environment


def test_it_is_quiet(untrained: api.Images, capfd: Any) -> None:
    model = api.train(untrained, "test_resnet", epochs=1)
    api.repair(model, untrained, **STAGES)
    assert capfd.readouterr() == ("", "")


def test_what_is_shown_is_escaped(rendered: api.Images) -> None:
    from dataclasses import replace

    model = api.train(rendered, "test_resnet", epochs=1)
    assert "test_resnet" in repr(model) and "dark, light" in repr(rendered)
    odd = replace(model, records=(replace(model.records[0], label="<b>x</b>"),))
    assert "&lt;b&gt;" in odd._repr_html_() and "<b>" not in odd._repr_html_()
    mask = api.locate(model, rendered)
    assert "densest tensors" in mask._repr_html_() and "backbone parameters" in repr(mask)


def test_the_plots(rendered: api.Images) -> None:
    model = api.train(rendered, "test_resnet", epochs=1)
    mask = api.locate(model, rendered)
    fair = api.repair(model, rendered, mask, **STAGES)
    table = api.evaluate({"before": model, "after": fair}, rendered, n_bootstrap=10)
    left, right = api.plot_gaps(table).figure.axes
    assert "skin_tone" in left.get_title("left") and len(right.get_yticks()) == 4
    assert len(api.plot_mask(mask).figure.axes[0].patches) >= len(mask.tensors)
    assert len(api.plot_mask(fair).figure.axes) == 1
    assert rendered.show(most=2)._repr_png_()[:4] == b"\x89PNG"
    with pytest.raises(ConfigError, match="has no mask"):
        api.plot_mask(model)
    with pytest.raises(ConfigError, match="no figure of the attribute nose"):
        api.plot_gaps(table, "nose")


@pytest.mark.parametrize(
    ("job", "match"),
    [
        (lambda d: api.load_images("no_such_set"), "data/no_such_set"),
        (lambda d: api.load_images("rendered", nonsense=1), "data.nonsense"),
        (lambda d: api.load_images("rendered", target="x"), "says itself"),
        (lambda d: api.load_images("absent.csv", attribute="sex", image_size=32), "absent.csv"),
        (lambda d: api.load_model("absent.pt", backbone="test_resnet"), "no such file"),
        (lambda d: api.train(d, "test_resnet", epoks=3), "epoks: there is no such setting"),
        (lambda d: api.evaluate({}, d), "needs a model"),
    ],
)
def test_errors_are_one_line(job: Callable[[Any], Any], match: str, rendered: api.Images) -> None:
    with pytest.raises(BiasmaskError, match=match) as caught:
        job(rendered)
    assert "\n" not in str(caught.value)


def test_a_method_without_the_stage_is_named(rendered: api.Images) -> None:
    model = api.train(rendered, "test_resnet", epochs=1)
    with pytest.raises(ConfigError, match="method last_layer has no stage `locate`; its stages are repair"):
        api.locate(model, rendered, method="last_layer")


def test_defaults_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from biasmask.pipeline import workspace

    monkeypatch.setattr(workspace, "CONFIGS", tmp_path)
    with pytest.raises(ConfigError, match="pip install -e"):
        api.load_images("rendered")


def test_importing_the_api_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, biasmask.api; assert not {'torch', 'transformers', 'pandas'} & set(sys.modules); print(dir(biasmask.api))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0 and "load_images" in ended.stdout, ended.stderr
    with pytest.raises(AttributeError, match="has no load_image; it has"):
        api.load_image  # noqa: B018
    with pytest.raises(CheckpointError):
        api.load_model("nowhere")
