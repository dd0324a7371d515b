"""A rule chooses one candidate of each method on validation rows, and the test split has no say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_sweep_runs import write_run
from sklearn.metrics import roc_auc_score

from biasmask.errors import ConfigError
from biasmask.report.sweep_content import compare_folders
from biasmask.report.sweep_formats import markdown
from biasmask.report.sweep_selection import load_rule
from tests.conftest import CONFIGS

RULES = CONFIGS / "selection"
LEANS = {0.01: 4.0, 0.05: 0.1, 0.1: 6.0}


def write_candidates(folder: Path, **more: Any) -> Path:
    for seed in (1, 2):
        for fraction, lean in LEANS.items():
            overrides = {"debias.edit_fraction": fraction}
            write_run(folder / f"{seed}-{fraction}", "bmft", seed, overrides=overrides, lean=lean, **more)
        write_run(folder / f"{seed}-full", "full_ft", seed)
    return folder


def selected(folder: Path, rule: str = "smallest_gap", per: str = "method") -> dict[str, Any]:
    return compare_folders([folder], rule=load_rule(RULES, rule, per), n_bootstrap=0)["comparisons"][0]


def test_the_smallest_validation_gap_is_chosen_and_all_candidates_are_told(tmp_path: Path) -> None:
    one = selected(write_candidates(tmp_path))
    (choice,) = one["selection"]
    assert choice["chosen"] == "bmft[edit_fraction=0.05]" and len(choice["candidates"]) == 3
    assert [row["id"] for row in one["rows"] if row["method"] == "bmft"] == [choice["chosen"]]
    gaps = {c["id"]: c["figures"]["equalized_odds_mean"] for c in choice["candidates"]}
    assert min(gaps, key=gaps.get) == choice["chosen"] and choice["base"]["equalized_odds_mean"] > min(gaps.values())  # type: ignore[arg-type]
    content = compare_folders([tmp_path], rule=load_rule(RULES, "smallest_gap"), n_bootstrap=0)
    assert "chosen on validation rows by smallest_gap" in markdown(content) and content["selection_rule"]["settings"]


def test_test_predictions_change_no_choice(tmp_path: Path) -> None:
    before = selected(write_candidates(tmp_path))["selection"]
    for file in tmp_path.rglob("debiased_test.parquet"):
        frame = pd.read_parquet(file)
        frame["score"] = np.random.default_rng(0).random(len(frame))
        frame.to_parquet(file)
    assert selected(tmp_path)["selection"] == before


def test_a_candidate_with_a_collapsed_or_missing_run_is_never_chosen(tmp_path: Path) -> None:
    write_candidates(tmp_path)
    for seed in (1, 2):
        overrides = {"debias.edit_fraction": 0.2}
        write_run(tmp_path / f"c{seed}", "bmft", seed, overrides=overrides, lean=0.0, collapsed=seed == 2)
    write_run(tmp_path / "lone", "bmft", 1, overrides={"debias.edit_fraction": 0.3}, lean=0.0)
    (choice,) = selected(tmp_path)["selection"]
    refused = {c["setting"]: c["refused"] for c in choice["candidates"] if c["refused"]}
    assert refused["edit_fraction=0.2"] == "collapsed: 1 of 2 runs"
    assert refused["edit_fraction=0.3"] == "no run of seed 2, split 0"
    assert choice["chosen"] == "bmft[edit_fraction=0.05]"


def test_one_choice_for_each_run(tmp_path: Path) -> None:
    one = selected(write_candidates(tmp_path), per="run")
    assert [choice["units"][0]["seed"] for choice in one["selection"]] == [1, 2]
    (row,) = [row for row in one["rows"] if row["method"] == "bmft"]
    assert row["setting"] == "chosen run by run" and row["n_runs"] == 2


def test_another_budget_is_no_setting_to_choose(tmp_path: Path) -> None:
    for place, share in enumerate((0.25, 1.0)):
        write_run(tmp_path / str(place), overrides={"data.debias_share": share})
    one = selected(tmp_path)
    assert not one["selection"] and sum(row["method"] == "bmft" for row in one["rows"]) == 2


def test_where_no_candidate_is_allowed_the_base_model_is_kept_and_said(tmp_path: Path) -> None:
    for seed in (1, 2):
        for fraction in (0.01, 0.05):
            write_run(tmp_path / f"{seed}-{fraction}", seed=seed, overrides={"debias.edit_fraction": fraction}, collapsed=True)
    one = selected(tmp_path)
    assert one["selection"][0]["chosen"] is None and [row["id"] for row in one["rows"]] == ["base", "bmft"]
    kept = one["rows"][1]
    assert (kept["setting"], kept["kept_base"], kept["collapsed"]) == ("kept the base model", 2, 0)
    assert kept["epochs"] is None and "base model" in kept["epochs_reason"]
    gap = one["test_sets"][0]["figures"]["bmft"]["test/equalized_odds_mean/age"]["vs_base"]
    assert (gap["value"], gap["wins"], gap["losses"], gap["ties"], gap["p"]) == (0.0, 0, 0, 2, 1.0)
    assert any("keeps the base model in all runs" in note for note in one["notes"])


def test_a_run_in_which_the_base_model_is_kept_stays_in_the_row(tmp_path: Path) -> None:
    write_candidates(tmp_path)
    for fraction in LEANS:
        write_run(tmp_path / f"3-{fraction}", "bmft", 3, overrides={"debias.edit_fraction": fraction}, collapsed=True)
    one = selected(tmp_path, per="run")
    (row,) = [row for row in one["rows"] if row["method"] == "bmft"]
    assert (row["n_runs"], row["kept_base"], row["collapsed"]) == (3, 1, 0)
    assert [run["kept_base"] for run in row["runs"]] == [False, False, True]
    figures = one["test_sets"][0]["figures"]
    gap, base = (figures[name]["test/equalized_odds_mean/age"] for name in ("bmft", "base"))
    assert gap["values"][2] == base["values"][2] and gap["vs_base"]["ties"] == 1 and gap["vs_base"]["n_runs"] == 3
    assert "kept the base model: 1 of 3" in markdown(compare_folders([tmp_path], rule=load_rule(RULES, "smallest_gap", "run")))


def test_two_budgets_chosen_run_by_run_are_two_rows(tmp_path: Path) -> None:
    for share in (0.25, 1.0):
        for fraction in (0.01, 0.05):
            overrides = {"data.debias_share": share, "debias.edit_fraction": fraction}
            write_run(tmp_path / f"{share}-{fraction}", overrides=overrides, lean=20 * fraction)
    rows = [row for row in selected(tmp_path, per="run")["rows"] if row["method"] == "bmft"]
    assert sorted(row["id"] for row in rows) == ["bmft[share 0.25, 20 epochs in all]", "bmft[share 1, 20 epochs in all]"]
    assert all("share" in row["setting"] and "chosen run by run" in row["setting"] for row in rows)


def test_stopped_early_is_the_same_budget(tmp_path: Path) -> None:
    for place, (fraction, done) in enumerate(((0.01, 3), (0.05, 10))):
        write_run(tmp_path / str(place), overrides={"debias.edit_fraction": fraction}, lean=30 * fraction, done=done)
    one = selected(tmp_path)
    assert len(one["selection"]) == 1 and len(one["rows"]) == 2
    assert (one["rows"][1]["epochs"], one["rows"][1]["epochs_allowed"]) == (6, 20)
    unchosen = compare_folders([tmp_path], n_bootstrap=0)["comparisons"][0]
    assert any("settings shown side by side" in note and "--select" in note for note in unchosen["notes"])
    assert not any("side by side" in note for note in one["notes"])


def test_candidates_are_compared_on_the_same_units(tmp_path: Path) -> None:
    for seeds, fraction, lean in (((1, 2), 0.01, 2.0), ((2, 3), 0.05, 0.1)):
        for seed in seeds:
            write_run(tmp_path / f"{seed}-{fraction}", seed=seed, overrides={"debias.edit_fraction": fraction}, lean=lean)
    (choice,) = selected(tmp_path)["selection"]
    assert choice["units"] == [{"seed": 2, "split_seed": 0}]  # the one that both have, for the base model too
    alone = selected(write_two(tmp_path / "alone"))["selection"][0]
    assert choice["base"] == alone["base"] and [c["figures"] for c in choice["candidates"]] == [
        c["figures"] for c in alone["candidates"]
    ]


def write_two(folder: Path) -> Path:
    for fraction, lean in ((0.01, 2.0), (0.05, 0.1)):
        write_run(folder / str(fraction), seed=2, overrides={"debias.edit_fraction": fraction}, lean=lean)
    return folder


def test_figures_of_candidates_are_those_of_the_epochs(tmp_path: Path) -> None:
    (choice,) = selected(write_two(tmp_path), "worst_group_auroc")["selection"]
    frame = pd.read_parquet(tmp_path / "0.01" / "predictions" / "debiased_val.parquet")
    groups = {name: frame[f"attribute:{name}"].astype("category").cat.codes.to_numpy() for name in ("age", "sex")}
    worst = min(
        roc_auc_score(frame["target"][codes == code], frame["score"][codes == code])
        for name, codes in groups.items() if name == "age" for code in (0, 1)
    )  # fmt: skip
    assert choice["candidates"][0]["figures"]["auroc_worst_group"] == pytest.approx(worst)
    for file in tmp_path.rglob("run.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "attributes": ["age", "sex"]}))
    both = selected(tmp_path, "worst_group_auroc")["selection"][0]["candidates"][0]["figures"]["auroc_worst_group"]
    assert both == pytest.approx(
        min(
            roc_auc_score(frame["target"][codes == code], frame["score"][codes == code])
            for codes in groups.values() for code in (0, 1)
        )
    )  # fmt: skip


def test_without_validation_predictions_nothing_is_chosen(tmp_path: Path) -> None:
    write_candidates(tmp_path)
    next(tmp_path.rglob("debiased_val.parquet")).unlink()
    one = selected(tmp_path)
    assert not one["selection"] and any("no validation predictions" in note for note in one["notes"])


@pytest.mark.parametrize("rule", sorted(path.stem for path in RULES.glob("*.yaml") if path.stem != "default"))
def test_every_rule_of_the_configs_can_choose(rule: str, tmp_path: Path) -> None:
    assert selected(write_candidates(tmp_path), rule)["selection"][0]["candidates"]


def test_an_unknown_rule_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="smallest_gap"):
        load_rule(RULES, "nonsense")
    with pytest.raises(ConfigError, match="no rule"):
        load_rule(RULES, "default")
