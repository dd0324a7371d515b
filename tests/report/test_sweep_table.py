"""The content of a comparison: figures, paired differences, order, Pareto set, failures, budget."""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd
import pytest
from fake_sweep_runs import write_run, write_sweep
from fake_text_run import write_fake_text_run

from biasmask.report.sweep_content import compare_folders
from biasmask.report.sweep_formats import markdown

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
    assert (against["wins"], against["losses"], against["collapsed"]) == (2, 1, 1)
    assert against["p"] is None and against["p_holm"] is None and "1 of 3 runs collapsed" in against["reason"]
    assert figure(one, "broken", AUROC)["vs_base"]["p"] is not None  # a fall of AUROC is no merit of the constant
    tested = sorted(figure(one, name, GAP)["vs_base"]["p"] for name in ("bmft", "full_ft", "random_mask"))
    assert figure(one, "bmft", GAP)["vs_base"]["p_holm"] <= min(1, 3 * tested[0])  # Holm counts three rows, and not four


def test_a_reference_that_collapsed_wins_nothing(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(tmp_path / f"f{seed}", "full_ft", seed, collapsed=True)
        write_run(tmp_path / f"b{seed}", "bmft", seed, lean=6.0)
        write_run(tmp_path / f"x{seed}", "broken", seed, collapsed=True)
    one = compare_folders([tmp_path], n_bootstrap=0)["comparisons"][0]
    sound, lost = (figure(one, name, GAP)["vs_reference"] for name in ("bmft", "broken"))
    assert sound["value"] > 0 and (sound["wins"], sound["losses"], sound["ties"], sound["p"]) == (2, 0, 0, None)
    assert (lost["wins"], lost["losses"], lost["ties"], lost["p"]) == (0, 0, 2, None)


def test_rows_are_ordered_by_paired_gaps_and_the_pareto_set_is_that_of_these_places(one: dict[str, Any]) -> None:
    test = one["test_sets"][0]
    places = {}
    for name in test["order"][:-1]:
        base, changes = (figure(one, "base", key)["mean"] for key in (GAP, AUROC)), [0.0, 0.0]
        if name != "base":
            changes = [figure(one, name, key)["vs_base"]["value"] for key in (GAP, AUROC)]
        places[name] = tuple(mean + change for mean, change in zip(base, changes, strict=True))
        assert test["places"][name] == pytest.approx(dict(zip(("gap", "quality"), places[name], strict=True)))
        if name != "bmft_soft":  # all three runs: the place is the mean
            assert places[name][0] == pytest.approx(figure(one, name, GAP)["mean"])
    gaps = [places[name][0] for name in test["order"][1:-1]]
    assert gaps == sorted(gaps)
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


def test_a_test_set_with_attributes_of_its_own(tmp_path: Path) -> None:
    """Debiased by age, tested elsewhere, where tone is known and age is not."""
    write_sweep(tmp_path, ("bmft", "full_ft"), (1, 2), test_sets=("test", "clinic"), extra_tests=["clinic"])
    for file in tmp_path.glob("*/predictions/*_clinic.parquet"):
        frame = pd.read_parquet(file).drop(columns="attribute:sex").rename(columns={"attribute:age": "attribute:tone"})
        frame["attribute:tone"] = frame["attribute:tone"].map({"below_60": "light", "60_and_over": "dark"})
        frame.to_parquet(file, index=False)
    for file in tmp_path.glob("*/metrics.json"):
        metrics = json.loads(file.read_text())
        for figures in [*metrics["models"].values(), metrics["difference"]]:
            for key in [key for key in figures if key.startswith("clinic/")]:
                entry = figures.pop(key)
                if "/sex" not in key:
                    new = key.replace("/age", "/tone").replace("below_60", "light").replace("60_and_over", "dark")
                    figures[new] = entry
        file.write_text(json.dumps(metrics))
    own, clinic = compare_folders([tmp_path])["comparisons"][0]["test_sets"]
    assert (own["gap"], clinic["gap"]) == (GAP, "clinic/equalized_odds_mean/tone")
    change = clinic["figures"]["bmft"][clinic["gap"]]["vs_base"]
    assert clinic["interval"] == own["interval"] and change["low"] < change["value"] < change["high"]


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


def test_curves_are_over_allowed_epochs_and_early_stopping_takes_none_away(tmp_path: Path) -> None:
    for place, (allowed, done) in enumerate(((5, 3), (10, 4), (20, 4))):
        lengths = {"debias.step1.epochs": allowed, "debias.step2.epochs": allowed}
        write_run(tmp_path / str(place), overrides=lengths, done=done)
    (one,) = compare_folders([tmp_path], n_bootstrap=0)["comparisons"]
    (curve,) = one["curves"]
    assert curve["x"] == "epochs" and [point["x"] for point in curve["points"]] == [10, 20, 40]
    assert "6 / 10" in markdown(compare_folders([tmp_path], n_bootstrap=0))


def test_a_method_without_epochs_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, "dfr", done=None)
    content = compare_folders([tmp_path], n_bootstrap=0)
    dfr = row(content["comparisons"][0], "dfr")
    assert dfr["epochs"] is None and dfr["epochs_allowed"] is None and "no stage" in dfr["epochs_reason"]
    assert "| dfr | 1 | none |" in markdown(content)


def test_ours_is_compared_with_its_own_control(tmp_path: Path) -> None:
    write_sweep(tmp_path, ("bmft", "bmft_sharp", "random_mask", "full_ft"), (1, 2, 3))
    (one,) = compare_folders([tmp_path], n_bootstrap=30)["comparisons"]
    assert {own["id"]: own["control"] for own in one["rows"] if own["control"]} == {"bmft": "random_mask"}
    compared = figure(one, "bmft", GAP)["vs_control"]
    pair = [figure(one, name, GAP)["values"] for name in ("random_mask", "bmft")]
    assert compared["value"] == pytest.approx(mean(b - a for a, b in zip(*pair, strict=True)))
    assert compared["p_holm"] == compared["p"] and compared["low"] < compared["high"]  # one row tested
    assert compared["wins"] + compared["losses"] + compared["ties"] == 3
    assert figure(one, "full_ft", GAP)["vs_control"] is None


def test_crossed_seeds_and_splits_count_as_splits(tmp_path: Path) -> None:
    for seed in (1, 2):
        for split in (0, 1, 2):
            write_run(tmp_path / f"{seed}{split}", "bmft", seed, split_seed=split)
    content = compare_folders([tmp_path], n_bootstrap=40)
    (one,) = content["comparisons"]
    compared = figure(one, "bmft", GAP)["vs_base"]
    assert one["clusters"] == {"name": "split", "n": 3} and (compared["n_runs"], compared["n_clusters"]) == (6, 3)
    assert compared["p"] >= 0.25  # of six independent runs it could be 0.031
    text = markdown(content)
    assert "the smallest p that 3 splits can give is 0.25" in text and "| splits |" in text and "fold" not in text


def test_several_attributes_are_ordered_by_their_mean_gap(tmp_path: Path) -> None:
    write_sweep(tmp_path, ("bmft", "full_ft"), (1, 2), attributes=["age", "sex"])
    (one,) = compare_folders([tmp_path])["comparisons"]
    (test,) = one["test_sets"]
    assert test["gap"] == "test/equalized_odds_mean/mean of age and sex" and any("mean gap over" in note for note in one["notes"])
    found = {key: figure(one, "bmft", f"test/equalized_odds_mean/{key}") for key in ("age", "sex", "mean of age and sex")}
    assert found["mean of age and sex"]["mean"] == pytest.approx((found["age"]["mean"] + found["sex"]["mean"]) / 2)
    assert found["mean of age and sex"]["vs_base"]["low"] is not None and test["interval"] == "bootstrap"
    assert [m["label"] for m in test["metrics"]][1] == "Equalized-odds gap (mean), mean over age and sex"


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
