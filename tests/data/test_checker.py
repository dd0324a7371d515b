"""The checker's counts against a hand table, each problem it names, and what stops a run."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biasmask.data.attributes import encode_attribute
from biasmask.data.checker import check_table
from biasmask.data.table import MISSING_IMAGE, Exclusion, Table
from biasmask.errors import DataError


def table(root: Path = Path("nowhere"), exclusions: list[Exclusion] | None = None, **columns) -> Table:
    hand = {
        "split": ["debias"] * 6 + ["val"] * 4 + ["test"] * 2,
        "target": [0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1],
        "raw:sex": ["f", "m", "f", "f", "m", None, "f", "m", "m", "f", "f", "m"],
    }
    frame = pd.DataFrame(hand | columns)
    frame["id"] = columns.get("id", [f"i{n}" for n in range(12)])
    frame["path"] = columns.get("path", [f"{n}.jpg" for n in range(12)])
    frame["subject"] = columns.get("subject", [f"s{n}" for n in range(12)])
    return Table("hand", frame, root, ("benign", "malignant"), exclusions or [])


def check(rows: Table, unreadable: dict[int, str] | None = None, minimum_cell: int = 0):
    return check_table(rows, [encode_attribute("sex", {}, rows)], unreadable, minimum_cell)


def test_counts_of_a_hand_table():
    report = check(table())
    assert report.counts["debias"]["sex"] == {
        "f": {"benign": 1, "malignant": 2},
        "m": {"benign": 1, "malignant": 1},
        "(missing)": {"benign": 1, "malignant": 0},
    }
    assert report.splits["val"] == {"rows": 4, "subjects": 4, "target": {"benign": 2, "malignant": 2}}
    assert "train" not in report.counts
    assert report.missing_attributes == {"sex": {"sex is empty": 1}}
    assert report.errors == []
    report.raise_if_fatal()


def test_report_is_json():
    assert json.loads(json.dumps(check(table()).to_dict()))["table"] == "hand"


def test_no_attribute():
    assert check_table(table(), []).counts["test"] == {}


def test_unreadable_rows_leave_the_counts():
    report = check(table(), {0: "truncated", 1: "not an image", 7: "truncated"})
    assert report.rows == 9
    assert report.splits["debias"]["target"]["benign"] == 1
    assert report.unreadable == {
        "count": 3,
        "reasons": {"truncated": 2, "not an image": 1},
        "examples": ["i0: truncated", "i1: not an image", "i7: truncated"],
    }


def test_at_most_five_ids_stand_under_a_problem():
    rows = table(id=["same"] + [f"i{n}" for n in range(11)], subject=["s"] * 12, path=["a"] * 12, target=[0, 1] * 6)
    report = check(rows, dict.fromkeys(range(9), "truncated")).to_dict()
    for problem in ("unreadable", "duplicate_rows", "duplicate_files", "subjects_in_two_splits", "missing_images"):
        assert len(report[problem]["examples"]) <= 5


def test_missing_images_come_from_the_exclusions():
    report = check(table(exclusions=[Exclusion(MISSING_IMAGE, 7, ["a", "b"]), Exclusion("other", 1, ["c"])]))
    assert report.missing_images == {"count": 7, "examples": ["a", "b"]}
    assert "7 rows left out: image file not found (a, b, …)" in report.warnings


def test_subject_in_two_splits():
    report = check(table(subject=["p"] * 7 + [f"s{n}" for n in range(5)]))
    assert report.subjects_in_two_splits == {"count": 1, "examples": ["p"]}
    assert any("1 subjects are in two splits (p)" in w for w in report.warnings)


def test_duplicate_rows():
    report = check(
        table(id=["i0", "i0"] + [f"i{n}" for n in range(2, 12)], path=["0.jpg", "0.jpg", *map(str, range(10))])
    )
    assert report.duplicate_rows == {"count": 1, "examples": ["i0"], "with_two_targets": 0}


def test_one_image_with_two_targets_is_fatal():
    report = check(table(path=["x", "1", "x", *map(str, range(3, 12))]))
    with pytest.raises(DataError, match="1 images stand in the table with both targets"):
        report.raise_if_fatal()


def test_duplicate_files(tmp_path):
    for n in range(12):
        (tmp_path / f"{n}.jpg").write_bytes(bytes([n]) * 10)
    (tmp_path / "11.jpg").write_bytes(bytes([1]) * 10)
    (tmp_path / "3.jpg").write_bytes(bytes([2]) * 10)
    report = check(table(tmp_path))
    assert report.duplicate_files == {
        "count": 2, "sets": 2, "across_splits": 1, "with_two_targets": 1, "examples": ["i1", "i11", "i2", "i3"]
    }  # fmt: skip


def test_small_cells():
    report = check(table(), minimum_cell=2)
    cells = {(c["split"], c["group"], c["target"]): c["count"] for c in report.small_cells}
    assert cells[("debias", "f", "benign")] == 1
    assert ("debias", "f", "malignant") not in cells
    assert cells[("test", "f", "malignant")] == 0
    assert any("test: sex=f has 0 rows with target 'malignant'" in w and "undefined" in w for w in report.warnings)


@pytest.mark.parametrize(("split", "fatal"), [("debias", True), ("val", True), ("test", False)])
def test_split_of_one_class(split, fatal):
    rows = table()
    rows.frame.loc[rows.frame["split"] == split, "target"] = 0
    report = check(rows)
    text = f"split '{split}' has no row with the target 'malignant'"
    assert text in (report.errors if fatal else report.warnings)
    assert bool(report.errors) == fatal


def three_classes(**columns) -> Table:
    rows = table(**{"target": [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]} | columns)
    return Table("hand", rows.frame, rows.root, ("nv", "mel", "bkl"), [])


def test_counts_and_small_cells_of_three_classes():
    report = check(three_classes(), minimum_cell=2)
    assert report.counts["debias"]["sex"]["f"] == {"nv": 2, "mel": 0, "bkl": 1}
    assert {"split": "debias", "attribute": "sex", "group": "f", "target": "mel", "count": 0} in report.small_cells
    lines = [text for text in report.warnings if text.startswith("debias: sex=f")]
    words = "debias: sex=f has fewer than 2 rows of 2 of 3 targets (mel 0, bkl 1)"
    assert lines == [f"{words}: their rates are uncertain, with 0 rows undefined"]


def test_an_absent_class_of_three_is_a_warning_until_one_is_left():
    one_gone = check(three_classes(target=[0, 1, 2, 0, 1, 2, 0, 1, 0, 0, 1, 2]))
    assert "split 'val' has no row with the target 'bkl'" in one_gone.warnings and not one_gone.errors
    two_gone = check(three_classes(target=[0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 1, 2]))
    assert two_gone.errors == ["split 'val' has no row with the target 'mel' or 'bkl'"]


def test_debias_split_of_one_group_is_fatal():
    rows = table()
    rows.frame.loc[:5, "raw:sex"] = "f"
    with pytest.raises(DataError, match=r"hand: split 'debias' has 1 group of 'sex' \(f\); debiasing needs two"):
        check(rows).raise_if_fatal()


def test_only_the_first_attribute_can_be_fatal():
    rows = table(**{"raw:site": ["arm", "back"] * 6})
    rows.frame.loc[:5, "raw:sex"] = "f"
    both = [encode_attribute("site", {}, rows), encode_attribute("sex", {}, rows)]
    assert check_table(rows, both).errors == []
    assert len(check_table(rows, both, debiased=2).errors) == 1, "unless the second one is debiased too"


def test_all_errors_stand_in_one_line():
    rows = table(target=np.array([0] * 11 + [1]))
    with pytest.raises(DataError) as caught:
        check(rows).raise_if_fatal()
    assert "debias" in str(caught.value) and "val" in str(caught.value) and "\n" not in str(caught.value)
