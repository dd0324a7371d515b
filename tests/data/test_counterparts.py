"""Sentences written again for every group, by the parallel words of the lists."""

import pytest
import yaml

from biasmask.data.counterparts import Counterparts
from biasmask.data.word_lists import load_word_lists, make_word_lists
from biasmask.errors import ConfigError, DataError
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY.parent / "shared" / "data" / "text" / "word_lists"


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("He is a king.", "She is a queen."),
        ("her mother, the Actress", "his father, the Actor"),
        ("MOTHER and mom", "FATHER and dad"),
        ("the ballet dancer's brother", "the ballerina's sister"),
        ("ask Mr. Jones", "ask Mrs. Jones"),
    ],
)
def test_every_word_is_swapped_and_nothing_else(text: str, other: str) -> None:
    found = Counterparts(load_word_lists("gender")).variants(text)
    assert found is not None and set(found) == {text, other}


@pytest.mark.parametrize("text", ["the tea is good", "he met her", "a nurse reads"])
def test_a_sentence_of_no_one_group_has_no_variants(text: str) -> None:
    assert Counterparts(load_word_lists("gender")).variants(text) is None


def test_a_word_without_counterpart_leaves_the_sentence_out() -> None:
    lists = make_word_lists("x", {"a": ["lad", "sir"], "b": ["lass"]}, ["nurse"], [["lad", "lass"]])
    swap = Counterparts(lists)
    assert swap.variants("a lad") == ("a lad", "a lass") and swap.variants("a lad, sir") is None


def test_three_groups_give_three_variants() -> None:
    lists = make_word_lists("x", {"a": ["church"], "b": ["synagogue"], "c": ["mosque"]}, ["rich"])
    assert Counterparts(lists).variants("Mosques and a mosque") == (
        "Mosques and a church",
        "Mosques and a synagogue",
        "Mosques and a mosque",
    )


def test_every_packaged_gender_word_has_a_counterpart_of_its_own_group() -> None:
    lists = load_word_lists("gender")
    for number, words in enumerate(lists.groups.values()):
        assert set(words) == {row[number] for row in lists.parallel}


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the shared data folder is absent")
def test_the_packaged_pairs_are_the_published_lines() -> None:
    assert load_word_lists("gender").parallel == load_word_lists(FOLDER).parallel


@pytest.mark.parametrize("name", ["race", "religion"])
def test_lists_that_are_not_parallel_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"word lists {name}: the groups have no parallel words"):
        Counterparts(load_word_lists(name))


@pytest.mark.parametrize(
    ("parallel", "match"),
    [([["he"]], "one word of each group, a, b"), ([["he", "queen"]], "'queen', which isn't in the list b"), ("he", "holds 'he'")],
)
def test_wrong_pairs_are_told(parallel: object, match: str, tmp_path) -> None:
    content = {"groups": {"a": ["he"], "b": ["she"]}, "stereotype": ["nurse"], "parallel": parallel}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(DataError, match=match):
        load_word_lists(tmp_path / "x.yaml")
