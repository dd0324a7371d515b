"""SEAT: the sentences we make, the published files, damaged files."""

import json
from pathlib import Path
from typing import Any

import pytest

from biasmask.data.seat import NAMES, ROLES, SeatTest, read_seat, seat_tests
from biasmask.errors import ConfigError, DataError

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "data" / "text" / "seat"
SIZES = {
    "6": (64, 64, 101, 112),
    "6b": (80, 80, 101, 112),
    "7": (72, 82, 80, 80),
    "7b": (72, 82, 64, 64),
    "8": (56, 76, 80, 80),
    "8b": (56, 76, 64, 64),
}


def content(**changes: Any) -> dict[str, Any]:
    whole = {key: {"category": key.upper(), "examples": [f"{key} {i}." for i in range(2)]} for key in ROLES.values()}
    return {key: value for key, value in (whole | changes).items() if value is not None}


def written(folder: Path, value: Any, name: str = "sent-weat9z.jsonl") -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_the_sets_that_are_made() -> None:
    tests = seat_tests()
    assert tuple(tests) == NAMES
    for name, test in tests.items():
        assert tuple(len(getattr(test, role)) for role in ROLES) == SIZES[name]
        for role in ROLES:
            sentences = getattr(test, role)
            assert len(set(sentences)) == len(sentences)
            assert all(text[0].isupper() and text.endswith(".") and "{" not in text for text in sentences)
    assert "The person's name is Amy." in tests["6"].y
    assert "An executive is a thing." in tests["6b"].a and "Children are things." in tests["6b"].b
    assert "Here she is." in tests["7"].b and "It is NASA." in tests["8"].x
    assert "This is an uncle." in tests["8"].a and "Shakespeare is there." in tests["8b"].y


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published SEAT files (shared/data/text/seat) are not here")
@pytest.mark.parametrize("name", NAMES)
def test_ours_are_the_published_sentences(name: str) -> None:
    ours, published = seat_tests((name,))[name], seat_tests((name,), PUBLISHED)[name]
    assert published.name == name
    for role in ROLES:
        if name[0] in "78" and role == "y":
            # Arts: the published set is a part of ours, as large as X
            assert set(published.y) < set(ours.y) and len(published.y) == len(published.x)
        else:
            assert getattr(ours, role) == getattr(published, role)


def test_a_published_file_is_read(tmp_path: Path) -> None:
    written(tmp_path, content())
    test = seat_tests(("9z",), tmp_path)["9z"]
    assert test == SeatTest(
        "9z",
        x=("targ1 0.", "targ1 1."),
        y=("targ2 0.", "targ2 1."),
        a=("attr1 0.", "attr1 1."),
        b=("attr2 0.", "attr2 1."),
        labels=("TARG1", "TARG2", "ATTR1", "ATTR2"),
    )
    written(tmp_path, content(), "sent-weat5.json")
    assert list(seat_tests(("5", "9z"), str(tmp_path))) == ["5", "9z"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "isn't JSON, line 1"),
        ('{"targ1": ', "isn't JSON, line 1"),
        ("[]", "holds a list"),
        (content(attr2=None), "has no key 'attr2': expected targ1, targ2, attr1, attr2"),
        (content(targ2={"category": "Y"}), "key 'targ2': expected an object with a list 'examples'"),
        (content(targ2=["a"]), "key 'targ2': expected an object"),
        (content(attr1={"examples": []}), "key 'attr1': 'examples' is empty"),
        (content(attr1={"examples": ["fine", 3]}), "key 'attr1', example 1: expected text, got 3"),
        (content(attr1={"examples": ["  "]}), "key 'attr1', example 0: expected text"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, value: Any, words: str) -> None:
    path = written(tmp_path, value)
    with pytest.raises(DataError) as caught:
        read_seat(path)
    text = str(caught.value)
    assert str(path) in text and words in text and "\n" not in text


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no SEAT file .*sent-weat6\.jsonl"):
        seat_tests(("6",), tmp_path)
    path = tmp_path / "sent-weat6.jsonl"
    path.write_bytes('{"targ1": "é"}'.encode("latin-1"))
    with pytest.raises(DataError, match="isn't UTF-8"):
        read_seat(path)
    with pytest.raises(DataError, match="can't read"):
        read_seat(tmp_path)


def test_a_name_can_be_a_number_as_yaml_gives_it() -> None:
    assert list(seat_tests([6, "8b"])) == ["6", "8b"]


def test_an_unknown_test_is_refused() -> None:
    with pytest.raises(ConfigError, match="no SEAT test '5': choose of 6, 6b"):
        seat_tests(("6", "5"))
