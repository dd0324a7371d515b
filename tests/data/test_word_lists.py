"""Word lists: packaged, from YAML, from a folder; what can't work is told with the word and the list."""

import pytest
import yaml

from biasmask.data.word_lists import load_word_lists, make_word_lists, normalise
from biasmask.errors import DataError
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY.parent / "shared" / "data" / "text" / "word_lists"


@pytest.mark.parametrize(
    "entry, word",
    [("mr.", "mr"), ("Ballet_Dancer", "ballet dancer"), ("home-maker", "home maker"), ("FIANCÉE", "fiancee"), ("ma’am", "ma'am"),
     ("seamstress'", "seamstress"), ("  great   uncle ", "great uncle"), ("fiance\u0301", "fiance"), ("Straße", "straße")],
)  # fmt: skip
def test_normal_form(entry, word):
    assert normalise(entry) == word


@pytest.mark.parametrize("name, groups", [("gender", 2), ("race", 2), ("religion", 3)])
def test_packaged_lists(name, groups):
    lists = load_word_lists(name)
    assert len(lists.groups) == groups and lists.kinds == (*lists.groups, "stereotype") and lists.name == name
    assert all(len(lists.words(kind)) >= 30 for kind in lists.kinds)


def test_the_two_words_of_both_kinds_in_the_gender_lists_are_named():
    lists = load_word_lists("gender")
    assert {word for word, _ in lists.impossible} == {"tailor", "waiter"}
    assert all("male" in reason and "stereotype" in reason for _, reason in lists.impossible)
    assert "waiter" in lists.groups["male"] and "waiter" in lists.stereotype
    assert "mr" in lists.groups["male"] and "ballet dancer" in lists.groups["male"]


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the shared data folder is absent")
def test_packaged_gender_lists_are_the_published_ones():
    from_folder, packaged = load_word_lists(FOLDER), load_word_lists("gender")
    assert from_folder.kinds == ("male", "female", "stereotype")
    assert (from_folder.groups, from_folder.stereotype) == (packaged.groups, packaged.stereotype)


def test_yaml_and_folder_give_the_same(tmp_path):
    lists = {"young": ["Girl", "girl", "new_born"], "old": ["élder"]}
    (tmp_path / "age.yaml").write_text(yaml.safe_dump({"groups": lists, "stereotype": ["nurse"]}), encoding="utf-8")
    folder = tmp_path / "age"
    folder.mkdir()
    for name, words in {**lists, "stereotype": ["nurse", ""]}.items():
        (folder / f"{name}.txt").write_text("\n".join(words), encoding="utf-8")
    from_yaml, from_folder = load_word_lists(tmp_path / "age.yaml"), load_word_lists(folder)
    assert from_yaml.groups == {"young": ("girl", "new born"), "old": ("elder",)} and from_yaml.name == from_folder.name == "age"
    assert from_folder.groups == dict(sorted(from_yaml.groups.items())) and from_folder.stereotype == ("nurse",)


def test_entries_that_can_never_match_are_named_with_the_reason():
    lists = make_word_lists("x", {"a": ["good", "??", "q&a"], "b": ["other"]}, ["nurse", "b @ c"])
    assert dict(lists.impossible) == {
        "??": "has no letter and no digit",
        "q&a": "holds &, which is part of no word",
        "b @ c": "holds @, which is part of no word",
    }
    assert lists.groups["a"] == ("good",)


@pytest.mark.parametrize(
    "groups, stereotype, told",
    [
        ({"male": ["king"]}, ["nurse"], "two or more"),
        ({}, ["nurse"], "two or more"),
        ({"male": ["king", "Héir"], "female": ["heir"]}, ["nurse"], "'heir' is in the lists male and female"),
        ({"male": ["king"], "female": []}, ["nurse"], "the list female has no word"),
        ({"male": ["king"], "female": ["!"]}, ["nurse"], "the list female has no word"),
        ({"male": ["king"], "female": ["queen"]}, [], "the list stereotype has no word"),
        ({"male": "king", "female": ["queen"]}, ["nurse"], "male is not a list"),
        ({"male": ["king", True], "female": ["queen"]}, ["nurse"], "quote a word"),
        ({"male": ["king"], "stereotype": ["queen"]}, ["nurse"], "third kind"),
    ],
)
def test_lists_that_cannot_work(groups, stereotype, told):
    with pytest.raises(DataError, match=told):
        make_word_lists("x", groups, stereotype)


@pytest.mark.parametrize("content, told", [("a: [b", "not YAML"), ("[a, b]", "keys groups"), ("groups: {a: [b]}", "keys groups")])
def test_yaml_that_cannot_work(tmp_path, content, told):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(DataError, match=told):
        load_word_lists(tmp_path / "x.yaml")


def test_files_that_cannot_work(tmp_path):
    with pytest.raises(DataError, match="there are gender, race, religion"):
        load_word_lists("sex")
    with pytest.raises(DataError, match=r"stereotype\.txt is missing"):
        load_word_lists(tmp_path)
    (tmp_path / "x.yaml").write_bytes("groups: {a: [é]}".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        load_word_lists(tmp_path / "x.yaml")
