"""From a download in its official layout to a checked table, pictures and a data card."""

import json

import numpy as np
import pandas as pd
import pytest

from biasmask.data.data_card import card_markdown, count_cells
from biasmask.data.release import Release, check_release, exclude, require_columns
from biasmask.errors import DataError


def test_rows_left_out_are_counted_by_reason():
    gone = []
    frame = exclude(pd.DataFrame({"id": list("abc")}), np.array([True, False, True]), "no label", gone)
    assert frame["id"].tolist() == ["b"]
    assert (gone[0].reason, gone[0].count, gone[0].examples) == ("no label", 2, ["a", "c"])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"id": [], "file": []}, "no row is left"),
        ({"id": ["a", "a"], "file": ["1.png", "2.png"]}, "stands in two rows"),
        ({"id": ["a"]}, "either `file` or `text`"),
        ({"id": ["../a"], "file": ["1.png"]}, "can't be a file name"),
        ({"id": ["a"], "file": ["../1.png"]}, "leads out of the download"),
    ],
)
def test_a_release_is_held_to_its_word(frame, message):
    with pytest.raises(DataError, match=message):
        check_release(Release(pd.DataFrame(frame)), "mine")


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(DataError, match=r"t.csv has no column b .*it has a.*take the table from here"):
        require_columns(pd.DataFrame({"a": [1]}), ["a", "b"], tmp_path / "t.csv", "here")


def test_cells_hold_unknown_groups_and_mark_small_ones():
    frame = pd.DataFrame({"target": ["x"] * 12 + ["y"]})
    cells = count_cells(frame, {"sex": ["f"] * 12 + [None]})
    told = [(c["group"], c["target"], c["rows"], c["small"]) for c in cells]
    assert told == [("(unknown)", "y", 1, True), ("f", "x", 12, False)]
    json.dumps(cells)


def test_a_card_can_not_be_broken_by_its_strings():
    about = dict.fromkeys(("title", "homepage", "terms", "cite"), "a | b <script>\nx")
    empty = dict.fromkeys(("columns", "cells", "exclusions", "notes", "limits"), [])
    card = about | empty | {"rows": 1, "findings": {}, "made": {}}
    text = card_markdown(card)
    assert "<script>" not in text and "a \\| b &lt;script> x |" in text
