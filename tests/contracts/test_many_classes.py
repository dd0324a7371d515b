"""Three classes, three groups and several attributes at once run end to end, with figures for the whole and for each class."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from biasmask.pipeline.checkpoints import load_model
from biasmask.report.terminal import print_summary
from tests.conftest import FinishedRun, Runner, UserTable, make_class_table, strict_json

SLOW = pytest.mark.slow  # what the others hold already, but for the pair
CASES = [
    *(("bmft", "site"), ("bmft", "[site,sex]"), ("full_ft", "[site,sex]"), ("last_layer", "site")),
    *(pytest.param(("full_ft", "site"), marks=SLOW), pytest.param(("last_layer", "[site,sex]"), marks=SLOW)),
]
CLASSES = ["nv", "mel", "bkl"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> UserTable:
    return make_class_table(tmp_path_factory.mktemp("classes"))


def overrides(table: UserTable, method: str, attribute: str) -> list[str]:
    stage = {"bmft": ["impair", "repair"], "full_ft": ["finetune"], "last_layer": ["repair"]}[method]
    own = [part for part in table.overrides if not part.startswith(("debias.", "attribute="))]
    return [*own, f"attribute={attribute}", f"debias={method}", *(f"debias.{name}.epochs=1" for name in stage)]


@pytest.fixture(scope="module", params=CASES)
def finished(request: Any, table: UserTable, tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> FinishedRun:
    method, attribute = request.param
    runner = Runner(tmp_path_factory.mktemp("runs"), shared_folder)
    return runner.train(*overrides(table, method, attribute))


def test_figures_of_the_whole_and_of_each_class(finished: FinishedRun) -> None:
    content, about = finished.read("metrics.json"), finished.read("run.json")
    assert about["class_names"] == CLASSES and about["attribute"] == "site"
    assert list(content["threshold"]["base"]) == CLASSES
    for model in ("base", "debiased"):
        values = content["models"][model]
        for split in ("test", *(f"test:{name}" for name in CLASSES)):
            for attribute in about["attributes"]:
                assert values[f"{split}/equalized_odds_mean/{attribute}"]["value"] is not None
        of_classes = [values[f"test:{name}/auroc"]["value"] for name in CLASSES]
        assert values["test/auroc"]["value"] == pytest.approx(np.mean(of_classes))
    assert finished.objective is not None and np.isfinite(finished.objective)


def test_predictions_and_checkpoints_hold_an_output_a_class(finished: FinishedRun) -> None:
    frame = pd.read_parquet(finished.folder / "predictions" / "debiased_test.parquet")
    scores = frame[[f"score:{name}" for name in CLASSES]]
    assert "score" not in frame and np.allclose(scores.sum(axis=1), 1) and set(frame["target"]) == {0, 1, 2}
    state, about = load_model(finished.folder / "checkpoints" / "debiased.ckpt")
    assert state.hyper["num_outputs"] == 3 and about["class_names"] == CLASSES
    assert about["threshold"] == finished.read("metrics.json")["threshold"]["debiased"]
    assert torch.load(finished.folder / "debiased_timm.pt", weights_only=True)["fc.weight"].shape[0] == 3


def test_nothing_outside_of_the_part_moves_and_something_inside_does(finished: FinishedRun) -> None:
    for record in finished.read("stages.json"):
        assert record["changed_outside"] in (None, 0), record
    assert finished.stage("repair" if finished.read("run.json")["method"] != "full_ft" else "finetune")["edited"] > 0


def test_the_report_has_a_part_for_each_class(finished: FinishedRun) -> None:
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert 'id="classes"' in page and "mel against the rest" in page
    assert page.index("Test set: test.") < page.index("nv against the rest")
    for attribute in finished.read("run.json")["attributes"]:
        assert f"Gaps by {attribute} on test" in page


def test_the_terminal_lists_the_classes_and_judges_each_attribute(finished: FinishedRun) -> None:
    console = Console(width=140, file=io.StringIO())
    print_summary(finished.folder, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    attributes = finished.read("run.json")["attributes"]
    for attribute in attributes:
        assert f"Class by class on test: equalized-odds gap (mean) by {attribute}" in text
        assert len(attributes) == 1 or f"{attribute}: The " in text


def test_eval_gives_the_figures_of_training(finished: FinishedRun, tmp_path: Path, shared_folder: Path) -> None:
    assert Runner(tmp_path, shared_folder).evaluate(finished.folder).figures == finished.figures


def test_the_bias_loss_of_two_attributes_is_another_one(table: UserTable, tmp_path: Path, shared_folder: Path) -> None:
    runner = Runner(tmp_path, shared_folder)
    runs = [runner.train(*overrides(table, "bmft", attribute)) for attribute in ("site", "sex", "[site,sex]")]
    masks = [torch.load(run.folder / "debiased_timm.pt", weights_only=True) for run in runs]
    assert runs[2].read("run.json")["attributes"] == ["site", "sex"]
    assert [run.stage("baseline")["reused"] for run in runs[1:]] == [True, True]
    assert not all(torch.equal(masks[0][name], masks[2][name]) for name in masks[0])
    assert not all(torch.equal(masks[1][name], masks[2][name]) for name in masks[1])


def test_absent_classes_and_empty_cells_are_told_and_undefined(table: UserTable, tmp_path: Path, shared_folder: Path) -> None:
    """No `bkl` in test and val, none of the `mel` of one site in debias: NaN with reasons, and no error."""
    frame = table.frame.copy()
    frame = frame[~((frame["split"].isin(["test", "val"])) & (frame["diagnosis"] == "bkl"))]
    frame = frame[~((frame["split"] == "debias") & (frame["site"] == "arm") & (frame["diagnosis"] == "mel"))]
    path = table.path.with_name("holes.csv")
    frame.to_csv(path, index=False)
    runner = Runner(tmp_path, shared_folder)
    run = runner.train(*overrides(table, "bmft", "site+sex"), f"data.table={path}")
    values = run.read("metrics.json")["models"]["debiased"]
    gone = values["test:bkl/auroc"]
    assert gone["value"] is None and gone["reason"]
    assert values["test/auroc"]["value"] is not None and "bkl" in values["test/auroc"]["reason"]
    assert run.read("metrics.json")["threshold"]["base"]["bkl"] == pytest.approx(1 / 3)
    warnings = run.read("checker.json")["warnings"]
    assert any("split 'test' has no row with the target 'bkl'" in text for text in warnings)
    small = run.read("checker.json")["small_cells"]
    assert {"split": "debias", "attribute": "site+sex", "group": "arm & male", "target": "mel", "count": 0} in small
    assert strict_json(run.folder / "checker.json")["errors"] == []


def test_a_split_of_one_class_is_refused(table: UserTable, runner: Runner) -> None:
    frame = table.frame[~((table.frame["split"] == "val") & (table.frame["diagnosis"] != "mel"))]
    path = table.path.with_name("one.csv")
    frame.to_csv(path, index=False)
    text = runner.error(lambda: runner.train(*overrides(table, "bmft", "site"), f"data.table={path}"))
    assert "split 'val' has no row with the target 'nv' or 'bkl'" in text


def test_outputs_and_classes_that_do_not_fit_are_named(
    table: UserTable, runner: Runner, trained_net: Any, tmp_path: Path
) -> None:
    own = overrides(table, "bmft", "site")
    text = runner.error(lambda: runner.train(*own, f"model.ckpt_path={trained_net(outputs=4)}"))
    assert "its head has 4 outputs" in text and "nv, mel, bkl" in text
    assert "3 outputs" in runner.error(lambda: runner.train(*own, "model.num_outputs=5"))
    run = runner.train(*own, f"model.ckpt_path={trained_net(outputs=3)}")
    data = ["data=csv", f"data.table={table.path}", "data.target=diagnosis", "attribute=site"]
    other = runner.error(lambda: runner.evaluate(run.folder, *data, "data.classes=[mel,nv,bkl]"))
    assert "tells the classes nv, mel, bkl" in other
    assert "3 outputs" in runner.error(lambda: runner.evaluate(run.folder, *data, "data.classes=[mel,nv]"))


def test_two_listed_classes_are_the_binary_case(table: UserTable, runner: Runner) -> None:
    own = [part for part in overrides(table, "last_layer", "site") if not part.startswith("data.classes")]
    listed = runner.train(*own, "data.classes=[nv,mel]")
    lists = runner.train(*own, "data.positive=[mel]", "data.negative=[nv]")
    assert listed.figures == lists.figures and "test:mel/auroc" not in listed.figures["models"]["base"]


@pytest.mark.parametrize("attribute", ["[]", "[sex,sex]"])
def test_attributes_that_are_none_or_twice_are_refused(attribute: str, table: UserTable, runner: Runner) -> None:
    text = runner.error(lambda: runner.train(*overrides(table, "last_layer", attribute)))
    assert text.startswith("attribute=[")
