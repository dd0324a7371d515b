"""Runs of a sweep are found, sorted into questions and candidates, and what is unfinished or damaged is named."""

import json
from pathlib import Path

import pytest
from fake_sweep_runs import write_run, write_sweep
from fake_text_run import write_fake_text_run

from biasmask.errors import StoreError
from biasmask.report.setting_words import setting_words
from biasmask.report.sweep_candidates import RunComparison, sort_runs
from biasmask.report.sweep_runs import read_runs


def compared(*folders: Path) -> list[RunComparison]:
    return sort_runs(read_runs(folders)[0])[0]


def test_methods_are_sorted_over_seeds_and_splits(tmp_path: Path) -> None:
    write_sweep(tmp_path, ("bmft", "full_ft"), (1, 2))
    write_run(tmp_path / "split", "bmft", 1, split_seed=1, overrides={"data.split_seed": 1})
    (one,) = compared(tmp_path)
    assert one.units == [(1, 0), (1, 1), (2, 0)]
    assert {c.id: list(c.runs) for c in one.candidates} == {"bmft": [(1, 0), (1, 1), (2, 0)], "full_ft": [(1, 0), (2, 0)]}


def test_folds_are_splits(tmp_path: Path) -> None:
    for fold in (0, 2):
        write_run(tmp_path / str(fold), "bmft", 1, split_seed=1, overrides={"data.folds": 5, "data.fold": fold})
    (one,) = compared(tmp_path)
    assert one.units == [(1, 5), (1, 7)] and len(one.candidates) == 1


def test_settings_of_one_method_are_candidates_named_by_what_differs(tmp_path: Path) -> None:
    write_run(tmp_path / "0", overrides={"threads": 2})
    write_run(tmp_path / "1", overrides={"debias.edit_fraction": 0.05, "paths.data_dir": "/elsewhere"})
    write_run(tmp_path / "2", overrides={"debias.edit_fraction": 0.05, "debias.repair.epochs": 5})
    (one,) = compared(tmp_path)
    ids = [candidate.id for candidate in one.candidates]
    assert ids == [
        "bmft[edit_fraction=0.01, epochs=null]", "bmft[edit_fraction=0.05, epochs=null]", "bmft[edit_fraction=0.05, epochs=5]"
    ]  # fmt: skip


def test_where_a_run_lay_is_no_setting(tmp_path: Path) -> None:
    for place, folder in enumerate(("/home/a/data", "/mnt/b")):
        more = {"paths.data_dir": folder, "data.source.root": f"{folder}/ham10000", "progress": bool(place)}
        write_run(tmp_path / str(place), seed=place, overrides=more)
    (one,) = compared(tmp_path)
    assert len(one.candidates) == 1 and one.candidates[0].setting == ""


def test_what_a_method_is_called_is_no_setting(tmp_path: Path) -> None:
    for seed, label in ((1, "BMFT"), (2, "BMFT, as it was called")):
        write_run(tmp_path / str(seed), seed=seed, overrides={"debias.label": label})
    (one,) = compared(tmp_path)
    assert [candidate.id for candidate in one.candidates] == ["bmft"] and one.units == [(1, 0), (2, 0)]


@pytest.mark.parametrize(
    "about",
    [
        {"dataset": "other"}, {"backbone": "resnet50"}, {"class_names": ["a", "b", "c"]}, {"attribute": "sex"},
        {"attributes": ["age", "sex"]}, {"image_size": 128},
    ],
    ids=lambda about: next(iter(about)),
)  # fmt: skip
def test_another_question_is_another_comparison(about: dict, tmp_path: Path) -> None:
    write_run(tmp_path / "0")
    write_run(tmp_path / "1", **about)
    assert len(compared(tmp_path)) == 2


def test_unfinished_failed_and_damaged_runs_are_named(tmp_path: Path) -> None:
    for name in ("good", "no_metrics", "cut_json", "cut_parquet", "list", "eval"):
        write_run(tmp_path / name)
    (tmp_path / "started").mkdir()
    (tmp_path / "started" / "config.yaml").write_text("seed: 1\n")
    (tmp_path / "no_metrics" / "metrics.json").unlink()
    (tmp_path / "cut_json" / "metrics.json").write_text('{"models": {')
    parquet = tmp_path / "cut_parquet" / "predictions" / "base_test.parquet"
    parquet.write_bytes(parquet.read_bytes()[:200])
    (tmp_path / "list" / "run.json").write_text("[]")
    (tmp_path / "eval" / "run.json").write_text(json.dumps({"method": "evaluation"}))
    runs, skipped = read_runs([tmp_path])
    assert [run.name for run in runs] == ["good"]
    assert {entry["folder"] for entry in skipped} == {"no_metrics", "cut_json", "cut_parquet", "list", "started"}
    assert all(entry["why"] and str(tmp_path) not in entry["why"] and "\n" not in entry["why"] for entry in skipped)


def test_the_same_run_twice_counts_once(tmp_path: Path) -> None:
    write_run(tmp_path / "0")
    write_run(tmp_path / "again")
    comparisons, twice = sort_runs(read_runs([tmp_path])[0])
    assert len(comparisons[0].candidates[0].runs) == 1
    assert twice == [{"folder": "again", "why": "same method, settings and seeds as 0"}]


def test_levelled_groups_are_those_of_the_own_test_set_and_debiased_attributes(tmp_path: Path) -> None:
    write_run(tmp_path / "0")
    metrics = json.loads((tmp_path / "0" / "metrics.json").read_text())
    where = [("test", "age"), ("test", "sex"), ("clinic", "age"), ("test:mel", "age")]
    metrics["levelling_down"] = [{"split": s, "attribute": a, "group": "g", "metric": "tpr"} for s, a in where]
    (tmp_path / "0" / "metrics.json").write_text(json.dumps(metrics))
    assert read_runs([tmp_path])[0][0].levelling_down == 1


def test_several_attributes_have_a_mean_gap(tmp_path: Path) -> None:
    write_run(tmp_path / "0", attributes=["age", "sex"])
    figures = read_runs([tmp_path])[0][0].folder.estimates["base"]
    gaps = [figures[f"test/equalized_odds_mean/{name}"].value for name in ("age", "sex", "mean of age and sex")]
    assert gaps[2] == pytest.approx((gaps[0] + gaps[1]) / 2)


def test_another_base_model_of_the_same_seed_is_noted(tmp_path: Path) -> None:
    write_run(tmp_path / "0")
    write_run(tmp_path / "1", "full_ft")
    metrics = json.loads((tmp_path / "1" / "metrics.json").read_text())
    metrics["models"]["base"]["test/auroc"]["value"] += 0.01
    (tmp_path / "1" / "metrics.json").write_text(json.dumps(metrics))
    assert "run" in compared(tmp_path)[0].notes[0] and "another base model" in compared(tmp_path)[0].notes[0]
    assert not compared(tmp_path / "0")[0].notes


def test_text_runs_are_read_and_their_collapse_is_judged(tmp_path: Path) -> None:
    write_fake_text_run(tmp_path / "0")
    write_fake_text_run(tmp_path / "1", mask=None, probe_loss=0.2)
    runs, skipped = read_runs([tmp_path])
    assert not skipped and [run.family for run in runs] == ["text", "text"]
    assert runs[0].collapse is None and "probe accuracy fell" in str(runs[1].collapse)


def test_runs_are_named_below_the_common_folder_and_numbers_are_ordered(tmp_path: Path) -> None:
    for name in ("a/10", "a/9", "b/0"):
        write_run(tmp_path / name)
    assert [run.name for run in read_runs([tmp_path / "a", tmp_path / "b"])[0]] == ["a/9", "a/10", "b/0"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        read_runs([tmp_path / "nothing"])


def test_typed_settings_are_named_before_others_and_equal_texts_never_come_out() -> None:
    settings = [{"a.x": 1, "b": 1}, {"a.x": 2, "b": 2}, {"a.x": 2, "b": 3}]
    assert setting_words(settings, ["a.x"]) == ["b=1", "b=2", "b=3"]
    assert setting_words(settings[:2], ["a.x"]) == ["x=1", "x=2"]
    assert setting_words(settings[:1]) == [""]
