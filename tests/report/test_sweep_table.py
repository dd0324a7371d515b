"""The content of a comparison: figures, paired differences, order, Pareto set, failures, budget."""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from fake_sweep_runs import write_run, write_sweep
from fake_text_run import write_fake_text_run

from biasmask.report.sweep_content import compare_folders

AUROC, GAP = "test/auroc", "test/equalized_odds_mean/age"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = write_sweep(tmp_path_factory.mktemp("sweep"), test_sets=("test", "other"))
    write_run(folder / "soft", "bmft_soft", 1, needs_attribute=True)
    for seed in (1, 2, 3):
        write_run(folder / f"broken{seed}", "broken", seed, collapsed=seed == 2, lean=0.0)
    return compare_folders([folder])


@pytest.fixture(scope="module")
def one(content: dict[str, Any]) -> dict[str, Any]:
    (comparison,) = content["comparisons"]
    return comparison  # type: ignore[no-any-return]


def figure(comparison: dict[str, Any], row: str, key: str) -> dict[str, Any]:
    return next(own["figures"][row][key] for own in comparison["test_sets"] if key.split("/")[0] == own["key"])  # type: ignore[no-any-return]


def row(comparison: dict[str, Any], name: str) -> dict[str, Any]:
    return next(own for own in comparison["rows"] if own["id"] == name)  # type: ignore[no-any-return]


def test_it_is_plain_json_and_reads_no_path(content: dict[str, Any]) -> None:
    text = json.dumps(content, allow_nan=False)
    assert "/tmp" not in text and "patient_" not in text and content["schema"] == 1


def test_mean_and_spread_are_those_of_the_runs_own_figures(one: dict[str, Any]) -> None:
    for name in ("base", "bmft", "full_ft"):
        for key in (AUROC, GAP, "test/tpr/age=below_60"):
            found = figure(one, name, key)
            assert found["mean"] == pytest.approx(mean(found["values"]), abs=1e-9)
            assert found["spread"] == pytest.approx(stdev(found["values"]), abs=1e-9)
            assert found["low"] <= found["mean"] <= found["high"] and found["n_runs"] == 3


def test_differences_are_paired_by_run_and_tested_over_runs(one: dict[str, Any]) -> None:
    for which, other in (("vs_base", "base"), ("vs_reference", "full_ft")):
        found, before = figure(one, "bmft", GAP), figure(one, other, GAP)
        compared = found[which]
        differences = [b - a for a, b in zip(before["values"], found["values"], strict=True)]
        assert compared["value"] == pytest.approx(mean(differences), abs=1e-9)
        assert compared["wins"] == sum(d < 0 for d in differences) and compared["n_runs"] == 3
        assert compared["p"] >= 0.25 and compared["p_holm"] >= compared["p"]
        assert compared["t_low"] < compared["value"] < compared["t_high"]
    assert figure(one, "full_ft", GAP)["vs_reference"] is None and figure(one, "base", GAP)["vs_base"] is None


def test_a_collapsed_run_is_a_loss_and_its_method_never_first(one: dict[str, Any]) -> None:
    test = one["test_sets"][0]
    assert row(one, "broken")["collapsed"] == 1
    assert test["order"][0] == "base" and test["order"][-1] == "broken"
    assert "broken" not in test["front"] and "broken" not in test["dominated"]
    against = figure(one, "broken", GAP)["vs_base"]
    assert (against["wins"], against["losses"]) == (2, 1)


def test_rows_are_ordered_by_gap_and_the_pareto_set_is_that_of_the_means(one: dict[str, Any]) -> None:
    test = one["test_sets"][0]
    gaps = [figure(one, name, GAP)["mean"] for name in test["order"][1:-1]]
    assert gaps == sorted(gaps)
    places = {name: (figure(one, name, GAP)["mean"], figure(one, name, AUROC)["mean"]) for name in test["order"][:-1]}
    for name, (gap, auroc) in places.items():
        beaten = any(g <= gap and a >= auroc and (g, a) != (gap, auroc) for g, a in places.values())
        assert (name in test["dominated"]) == beaten and (name in test["front"]) == (not beaten)


def test_missing_runs_and_missing_test_sets_are_marked(one: dict[str, Any]) -> None:
    soft = row(one, "bmft_soft")
    assert soft["n_runs"] == 1 and [unit["seed"] for unit in soft["missing"]] == [2, 3]
    assert any("bmft_soft: 1 of 3 runs" in note for note in one["notes"])
    other = one["test_sets"][1]
    assert other["key"] == "other" and other["figures"]["bmft_soft"] == {} and other["interval"] == "bootstrap"
    assert figure(one, "bmft_soft", GAP)["vs_base"]["p"] is None


def test_budget_roles_and_levelling_down(one: dict[str, Any]) -> None:
    bmft, full = row(one, "bmft"), row(one, "full_ft")
    assert (bmft["role"], full["role"], row(one, "random_mask")["role"]) == ("ours", "rival", "control")
    assert bmft["epochs"] == 20 and bmft["seconds"] == 30 and bmft["reused"] and bmft["edited"] == 4281
    assert full["levelling_down"] == [1, 1, 1] and not full["needs_attribute"] and row(one, "bmft_soft")["needs_attribute"]
    assert all("baseline" not in run["reused"] for run in bmft["runs"])


def test_columns_are_the_usual_ones_or_those_asked_for(one: dict[str, Any], tmp_path: Path) -> None:
    keys = [metric["key"] for metric in one["test_sets"][0]["metrics"]]
    assert keys[:2] == [AUROC, GAP] and "test/balanced_accuracy" in keys and "test/auroc_worst_group/age" in keys
    assert {m["group"] for m in one["test_sets"][0]["group_metrics"]} == {"below_60", "60_and_over"}
    asked = compare_folders([write_sweep(tmp_path, ("bmft",), (1,))], metrics=["fpr_gap"], n_bootstrap=0)
    assert [m["key"] for m in asked["comparisons"][0]["test_sets"][0]["metrics"]] == ["test/fpr_gap/age"]


def test_another_reference_and_one_that_is_not_there(tmp_path: Path) -> None:
    write_sweep(tmp_path, ("bmft", "random_mask"), (1, 2))
    plain = compare_folders([tmp_path], n_bootstrap=0)["comparisons"][0]
    assert plain["reference"] is None and figure(plain, "bmft", GAP)["vs_reference"] is None
    named = compare_folders([tmp_path], reference="random_mask", n_bootstrap=0)["comparisons"][0]
    assert named["reference"] == "random_mask" and figure(named, "bmft", GAP)["vs_reference"]["n_runs"] == 2
    absent = compare_folders([tmp_path], reference="nothing", n_bootstrap=0)["comparisons"][0]
    assert any("nothing" in note for note in absent["notes"])


def test_without_predictions_intervals_are_over_runs(tmp_path: Path) -> None:
    write_sweep(tmp_path, ("bmft",), (1, 2, 3))
    for file in tmp_path.rglob("*.parquet"):
        file.unlink()
    (one,) = compare_folders([tmp_path])["comparisons"]
    found = figure(one, "bmft", AUROC)
    assert one["test_sets"][0]["interval"] == "student" and found["vs_base"]["low"] == found["vs_base"]["t_low"]


def test_budgets_that_were_swept_give_curves(tmp_path: Path) -> None:
    for place, share in enumerate((0.25, 0.5, 1.0)):
        write_run(tmp_path / str(place), overrides={"data.debias_share": share})
    (one,) = compare_folders([tmp_path], n_bootstrap=0)["comparisons"]
    (curve,) = one["curves"]
    assert curve["x"] == "debias_share" and [point["x"] for point in curve["points"]] == [0.25, 0.5, 1.0]
    assert [point["row"] for point in curve["points"]][0] == "bmft[debias_share=0.25]"


def test_text_runs_are_compared_over_seeds_by_what_they_measured(tmp_path: Path) -> None:
    for seed in (1, 2):
        for place, loss in enumerate((0.004, 0.3)):
            folder = write_fake_text_run(tmp_path / f"{seed}{place}", mask=None if place else "block", probe_loss=loss)
            about = json.loads((folder / "run.json").read_text())
            about |= {"seed": seed, "method": ("block_pruning", "debias_only")[place]}
            (folder / "run.json").write_text(json.dumps(about))
    (one,) = compare_folders([tmp_path])["comparisons"]
    (test,) = one["test_sets"]
    assert test["key"] == "text" and test["gap"] == "seat_mean/mean_abs_effect_size/gender" and test["interval"] == "student"
    assert row(one, "debias_only")["collapsed"] == 2 and test["order"][-1] == "debias_only"
    found = test["figures"]["block_pruning"]
    assert found[test["gap"]]["vs_base"]["value"] < 0 and found["cost/cosine_mean"]["vs_base"] is None
