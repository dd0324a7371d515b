"""The section on which epoch was kept: every candidate with its figures, the choice, and no markup from names."""

import json
from pathlib import Path
from typing import Any

from biasmask.report.html import write_report
from biasmask.report.run_folder import load_run_folder
from biasmask.report.selection_section import stage_choices
from tests.report.fake_run import write_fake_run

BASE = {"auroc": 0.9, "equalized_odds_mean": 0.2, "fpr_gap": 0.3, "score_std": None}


def chosen_from(**changes: Any) -> dict[str, Any]:
    candidates = [
        {"name": "epoch 1", "figures": {**BASE, "fpr_gap": 0.1}, "refused": None},
        {"name": "epoch 2", "figures": {**BASE, "auroc": 0.7}, "refused": "collapsed: AUROC <fell>"},
    ]
    about = {"rule": "pareto", "settings": {"gap": "fpr_gap", "unedited": True, "patience": None}, "split": "val"}
    choice = {"base": BASE, "start": BASE, "candidates": candidates, "chosen": "epoch 1", "front": ["epoch 1"], "reason": "best"}
    return {**about, **choice, **changes}


def section(folder: Path, **changes: Any) -> Any:
    write_fake_run(folder)
    (folder / "selection.json").write_text(json.dumps({"impair": chosen_from(**changes)}), encoding="utf-8")
    return stage_choices(load_run_folder(folder))[0]


def test_rows_columns_and_notes(tmp_path: Path) -> None:
    found = section(tmp_path)
    assert found.columns == ["AUROC", "FPR", "Equalized odds (mean)", "Spread of scores"], "the gap of the rule comes first"
    assert [row.name for row in found.rows] == ["base model", "epoch 1", "epoch 2"]
    assert found.rows[1].figures == ["0.900", "0.100", "0.200", "undefined"]
    assert [row.note for row in found.rows] == ["", "chosen, on the Pareto front", "collapsed: AUROC <fell>"]
    assert [row.chosen for row in found.rows] == [False, True, False]
    assert found.settings == "gap fpr_gap, unedited yes, patience none"


def test_where_none_was_chosen_the_model_before_is_marked(tmp_path: Path) -> None:
    found = section(tmp_path, chosen=None, front=[], start={**BASE, "auroc": 0.89})
    assert [(row.name, row.note) for row in found.rows[:2]] == [("base model", ""), ("before this stage", "kept")]
    assert found.rows[1].figures[0] == "0.890"


def test_the_page_shows_it_and_escapes_it(tmp_path: Path) -> None:
    section(tmp_path)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert 'href="#selection"' in page and "Which epoch was kept" in page
    assert "AUROC &lt;fell&gt;" in page and "<fell>" not in page


def test_a_folder_without_the_file_has_no_such_section(tmp_path: Path) -> None:
    write_fake_run(tmp_path)
    assert "Which epoch was kept" not in write_report(tmp_path).read_text(encoding="utf-8")
