"""Debias on one data set, test on others: thresholds stay frozen, figures stand beside the run's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from biasmask.metrics.evaluation import compare_predictions, evaluate_predictions, to_json
from biasmask.pipeline.extra_tests import data_node
from tests.conftest import CONFIGS, FinishedRun, Runner, UserTable, compose_config
from tests.data.fake_layouts import fake_fitzpatrick17k

FEW = "n: {train: 16, debias: 16, val: 16, test: 48}"
THREE = f"{{data: rendered, name: three, with: {{source: {{tones: 3, {FEW}}}}}}}"
MODELS = ("base", "debiased")


def with_tests(runner: Runner, *tests: str, overrides: tuple[str, ...] = (), **where: Any) -> FinishedRun:
    return runner.rendered(f"data.extra_tests=[{','.join(tests)}]", *overrides, **where)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> FinishedRun:
    return with_tests(Runner(tmp_path_factory.mktemp("three"), shared_folder), THREE)


def test_figures_follow_from_predictions_and_the_frozen_thresholds(three: FinishedRun) -> None:
    run, content = three, three.read("metrics.json")
    assert run.read("run.json")["extra_tests"] == ["three"]
    frames = {model: pd.read_parquet(run.folder / "predictions" / f"{model}_three.parquet") for model in MODELS}
    groups = {"skin_tone": ("dark", "light", "medium")}
    how = {"n_bootstrap": 20, "confidence": 0.95, "seed": 0}
    for model, frame in frames.items():
        assert len(frame) == 48
        again = to_json(evaluate_predictions(frame, groups, content["threshold"][model], "three", **how))
        assert again == {key: value for key, value in content["models"][model].items() if key.startswith("three/")}
    thresholds = tuple(content["threshold"][model] for model in MODELS)
    again = to_json(compare_predictions(*frames.values(), groups, thresholds, "three", **how))
    assert again == {key: value for key, value in content["difference"].items() if key.startswith("three/")}
    assert "three/tpr/skin_tone=medium" in again


def test_the_runs_own_figures_stay_as_they_are(three: FinishedRun, runner: Runner) -> None:
    content, plain = three.read("metrics.json"), runner.rendered().read("metrics.json")
    assert content["threshold"] == plain["threshold"]
    for model in MODELS:
        own = {key: value for key, value in content["models"][model].items() if key.startswith("test/")}
        assert own == plain["models"][model]


def test_report_terminal_table_and_checker_show_it(runner: Runner, capsys: Any) -> None:
    run = with_tests(runner, THREE)
    assert "Test set: three" in capsys.readouterr().out
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Gaps per test set" in report and "three" in report
    assert set(pd.read_csv(run.folder / "metrics.csv")["split"]) == {"test", "three"}
    assert run.read("checker_three.json")["counts"]["test"]["skin_tone"]["medium"]


def test_another_split_and_two_sets_at_once(runner: Runner) -> None:
    other = f"{{data: rendered, name: other, split: val, with: {{source: {{seed: 5, {FEW}}}}}}}"
    run = with_tests(runner, THREE, other)
    assert run.read("run.json")["extra_tests"] == ["three", "other"]
    assert len(pd.read_parquet(run.folder / "predictions" / "base_other.parquet")) == 16


def test_a_public_data_set_by_its_name_with_the_paths_of_the_run(runner: Runner, tmp_path: Path) -> None:
    fake_fitzpatrick17k(tmp_path / "data")
    paths = (f"paths.data_dir={tmp_path / 'data'}",)
    run = with_tests(runner, "fitzpatrick17k", overrides=paths)
    figures = run.read("metrics.json")["models"]["debiased"]
    assert "fitzpatrick17k/auroc/skin_tone=IV-VI" in figures, "the attribute of the run, by the groups of the other data set"
    assert "fitzpatrick17k/auroc/skin_tone_v_vi=V-VI" in figures, "and those that the other data set reports"


def test_a_users_table_and_an_attribute_of_its_own(runner: Runner, user_table: UserTable) -> None:
    entry = f"{{data: csv, attribute: site, with: {{name: clinic, table: {user_table.path}}}}}"
    figures = with_tests(runner, entry).read("metrics.json")["models"]["base"]
    assert "clinic/tpr/site=c" in figures and "clinic/tpr/skin_tone=dark" not in figures


def test_evaluation_again_gives_the_same_and_can_leave_it_out(three: FinishedRun, runner: Runner) -> None:
    run = three
    again = runner.evaluate(run.folder)
    assert again.figures == run.figures
    assert again.read("run.json")["extra_tests"] == ["three"]
    assert not runner.evaluate(run.folder, "extra_tests=[]").read("run.json")["extra_tests"]
    assert not runner.evaluate(run.folder, "split=val").read("run.json")["extra_tests"]
    typed = runner.evaluate(run.folder, f"extra_tests=[{THREE.replace('three', 'mine')}]")
    assert "mine/auroc" in typed.read("metrics.json")["difference"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("fitzpatrick17k", "there is no table file"),
        ("nowhere", "nowhere"),
        ("text_corpus", "holds no images"),
        ("{data: rendered, name: test}", "the name test is taken"),
        ("{data: rendered, name: 'a/b'}", "the name a/b is taken, or holds"),
        ("rendered,rendered", "the name rendered is taken"),
        ("{data: rendered, splits: val}", "unknown key splits"),
        ("{data: rendered, with: {tones: 3}}", "tones"),
        ("{data: rendered, attribute: age}", "age"),
        ("{data: '../rendered'}", "names no file"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_trained(entry: str, words: str, runner: Runner, tmp_path: Path) -> None:
    store = tmp_path / "store"
    nothing = (f"paths.data_dir={tmp_path / 'nothing'}",)
    assert words in runner.error(lambda: with_tests(runner, entry, overrides=nothing, store=store))
    assert not store.exists()


def test_other_classes_are_refused(runner: Runner, class_table: UserTable, tmp_path: Path) -> None:
    same = f"data: csv, with: {{name: again, table: {class_table.path}, target: diagnosis, classes"
    run = runner.train(*class_table.overrides, f"data.extra_tests=[{{{same}: [nv,mel,bkl]}}}}]")
    assert "again:mel/auroc" in run.read("metrics.json")["difference"]
    for classes in ("[mel,nv,bkl]", "[nv,mel]"):
        text = runner.error(lambda c=classes: runner.train(*class_table.overrides, f"data.extra_tests=[{{{same}: {c}}}}}]"))
        assert "give its target the same classes in the same order" in text


def test_a_running_application_keeps_its_state(tmp_path: Path) -> None:
    config = compose_config("train", [f"paths.data_dir={tmp_path}"], tmp_path)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        running = GlobalHydra.instance().hydra
        node = data_node("ham10000", {"image_size": 48}, config)
        assert GlobalHydra.instance().hydra is running
    assert (node.source.root, node.image_size) == (f"{tmp_path}/ham10000", 48)


def test_a_smaller_share_of_the_debias_split(runner: Runner, tmp_path: Path) -> None:
    """One baseline, and fewer rows for all that comes after it."""
    store, taken = tmp_path / "store", []
    for share in (0.25, 0.5, 1.0):
        run = runner.rendered(f"data.debias_share={share}", store=store)
        assert run.stage("baseline")["reused"] == (share > 0.25)
        assert not run.stage("locate")["reused"]
        about = run.read("run.json")
        assert about["debias_share"] == share
        taken.append(about["debias_rows"])
        words = "of it, " in (run.folder / "report.html").read_text(encoding="utf-8")
        assert words == (share < 1)
    assert taken == [24, 48, 96]


def test_a_share_of_several_attributes_and_whole_subjects(
    runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]
) -> None:
    user_table.save(user_table.frame.assign(person=[f"p{n // 2}" for n in range(len(user_table.frame))]))
    words = ["attribute=[sex,site]", "data.debias_share=0.5", "data.subject=person", f"model.ckpt_path={trained_net()}"]
    run = runner.train(*user_table.overrides, *words)
    assert 24 <= run.read("run.json")["debias_rows"] < 48
    assert run.read("run.json")["debias_rows"] % 2 == 0, "a person has two rows"
    text = runner.error(lambda: runner.train(*user_table.overrides, *words, "data.debias_share=0"))
    assert text.startswith("data.debias_share=0: ")
