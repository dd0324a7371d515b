"""Attributes: value groups, bins, crossing, and what is missing or unknown."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from biasmask.data.attributes import encode_attribute
from biasmask.data.table import Table
from biasmask.errors import BiasmaskError

AGE = {"age": {"column": "age", "bins": [60]}}
SEX = {"sex": {"column": "sex", "groups": {"female": ["f"], "male": ["m"]}, "missing": ["u"]}}


def table(**columns) -> Table:
    count = len(next(iter(columns.values())))
    frame = pd.DataFrame({f"raw:{name}": values for name, values in columns.items()})
    frame.insert(0, "id", [f"img{n}" for n in range(count)])
    return Table("t", frame, Path("."), ("no", "yes"))


def message(name, definitions, rows) -> str:
    with pytest.raises(BiasmaskError) as caught:
        encode_attribute(name, definitions, rows)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_bins_are_right_open():
    encoded = encode_attribute("age", AGE, table(age=[59.9, 60, 61, None, 0]))
    assert encoded.group_names == ("below_60", "60_and_over")
    assert encoded.index.tolist() == [0, 1, 1, -1, 0]
    assert encoded.index.dtype == np.int64
    assert encoded.missing == {"age is empty": 1}


def test_several_bins_and_labels():
    definition = {"a": {"column": "age", "bins": [30, 60]}}
    assert encode_attribute("a", definition, table(age=[1, 30, 90])).group_names == (
        "below_30", "30_to_60", "60_and_over"
    )  # fmt: skip
    definition["a"]["labels"] = ["young", "middle", "old"]
    assert encode_attribute("a", definition, table(age=[1, 30, 90])).index.tolist() == [0, 1, 2]


def test_groups_keep_their_order_and_read_numbers_of_any_type():
    definition = {"tone": {"column": "scale", "groups": {"IV-VI": [4, 5, 6], "I-III": [1, 2, 3]}, "missing": [-1]}}
    for values in ([1, 4, -1, 6], [1.0, 4.0, np.nan, 6.0], ["1", "4", "", "6"]):
        encoded = encode_attribute("tone", definition, table(scale=values))
        assert encoded.group_names == ("IV-VI", "I-III")
        assert encoded.index.tolist() == [1, 0, -1, 0]
        assert sum(encoded.missing.values()) == 1


def test_listed_and_empty_values_are_counted_by_reason():
    encoded = encode_attribute("sex", SEX, table(sex=["f", "m", "u", None, " ", "u"]))
    assert encoded.missing == {"sex is 'u'": 2, "sex is empty": 2}


def test_plain_column_is_sorted_by_name():
    encoded = encode_attribute("site", {}, table(site=["back", "arm", "back"]))
    assert encoded.group_names == ("arm", "back")
    assert encoded.index.tolist() == [1, 0, 1]


def test_plain_numbers_are_sorted_as_numbers():
    assert encode_attribute("n", None, table(n=[10, 2, 1])).group_names == ("1", "2", "10")


def test_boolean_column():
    assert encode_attribute("b", {}, table(b=[True, False])).group_names == ("false", "true")


def test_several_definitions_on_one_column():
    both = AGE | {"decade": {"column": "age", "bins": [30, 60]}}
    rows = table(age=[20, 40, 70])
    assert encode_attribute("age", both, rows).index.tolist() == [0, 0, 1]
    assert encode_attribute("decade", both, rows).index.tolist() == [0, 1, 2]


def test_crossed():
    encoded = encode_attribute("sex+age", AGE | SEX, table(sex=["f", "m", "u", "f", "u"], age=[50, 70, 50, None, None]))
    assert encoded.name == "sex+age"
    assert encoded.group_names == ("female & below_60", "female & 60_and_over", "male & below_60", "male & 60_and_over")
    assert encoded.index.tolist() == [0, 3, -1, -1, -1]
    assert encoded.missing == {"sex is 'u'": 2, "age is empty": 1}


def test_crossing_three():
    rows = table(sex=["f", "m"], age=[50, 70], site=["arm", "back"])
    encoded = encode_attribute("sex+age+site", AGE | SEX, rows)
    assert len(encoded.group_names) == 8 and encoded.index.tolist() == [0, 7]


def test_column_with_a_plus_in_its_name():
    assert encode_attribute("a+b", {}, table(**{"a+b": ["x", "y"]})).group_names == ("x", "y")


def test_a_group_without_rows_keeps_its_place():
    definition = {"s": {"column": "s", "groups": {"a": ["a"], "b": ["b"], "c": ["c"]}}}
    assert encode_attribute("s", definition, table(s=["a", "c"])).index.tolist() == [0, 2]


def test_unknown_value_names_row_column_value_and_known():
    text = message("sex", SEX, table(sex=["f", "m", "x"]))
    for part in ("row 2 (id img2)", "column 'sex'", "'x'", "known: f, m", "missing: u"):
        assert part in text


def test_unknown_value_can_be_missing():
    definition = {"sex": SEX["sex"] | {"unknown": "exclude"}}
    encoded = encode_attribute("sex", definition, table(sex=["f", "m", "x"]))
    assert encoded.index.tolist() == [0, 1, -1]
    assert encoded.missing == {"sex is 'x', in no group": 1}


def test_word_among_numbers():
    assert "holds 'old'" in message("age", AGE, table(age=["50", "70", "old"]))


def test_one_group():
    text = message("sex", SEX, table(sex=["f", "f", "u"]))
    assert "only the group 'female' among 3 rows" in text and "1 rows: sex is 'u'" in text


def test_no_group_at_all():
    assert "no row with a known group" in message("sex", SEX, table(sex=["u", None]))


def test_many_numbers_propose_bins():
    assert "bins: [5.5]" in message("n", {}, table(n=[float(n) for n in range(12)]))


def test_many_names():
    assert "too many groups" in message("n", {}, table(n=[f"p{n}" for n in range(60)]))


def test_unknown_attribute_lists_what_there_is():
    text = message("sexx", SEX | AGE, table(sex=["f", "m"], age=[1, 2]))
    assert "did you mean 'sex'" in text and "defined: sex, age" in text


def test_definition_of_a_column_that_is_not_there():
    assert "no column 'sex' (for the attribute 'sex')" in message("sex", SEX, table(gender=["f", "m"]))


@pytest.mark.parametrize(
    ("definition", "part"),
    [
        ({"groups": {"a": [1], "b": [1]}}, "stands in two groups"),
        ({"groups": {"a": [1]}}, "two or more groups"),
        ({"groups": {"a": [1], "b": [2]}, "bins": [1]}, "not both"),
        ({"bins": [60, 30]}, "must be numbers that increase"),
        ({"bins": ["x"]}, "must be numbers that increase"),
        ({"bins": []}, "must be numbers that increase"),
        ({"bins": [60], "labels": ["one"]}, "2 groups"),
        ({"bins": [60], "labels": ["one", "one"]}, "different labels"),
        ({"bin": [60]}, "unknown key bin"),
        ({"bins": [60], "unknown": "skip"}, "must be error or exclude"),
    ],
)
def test_definitions_that_contradict(definition, part):
    assert part in message("n", {"n": definition}, table(n=[1, 2]))


@pytest.mark.parametrize("name", ["sex+sex", "sex+", "+"])
def test_bad_crossing(name):
    assert "cross two or more different" in message(name, SEX, table(sex=["f", "m"]))


def test_permuted_rows_give_permuted_groups():
    rows = table(sex=["f", "m", "u", "m"], age=[1, 70, 80, 2])
    order = np.array([2, 0, 3, 1])
    shuffled = SimpleNamespace(name="t", frame=rows.frame.iloc[order].reset_index(drop=True))
    whole = encode_attribute("sex+age", AGE | SEX, rows)
    assert encode_attribute("sex+age", AGE | SEX, shuffled).index.tolist() == whole.index[order].tolist()
