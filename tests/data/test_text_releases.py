"""Public data sets of text on fake copies in their official layout: prepared, their cards, bad downloads."""

import bz2
import gzip
import importlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from biasmask.data.releases.glue import TASKS
from biasmask.data.releases.glue import read as read_glue
from biasmask.data.sentence_release import Sentence, stream_release, write_sentences
from biasmask.errors import ConfigError, DataError
from tests.conftest import CONFIGS
from tests.data.fake_releases import glue, news_commentary, wikipedia
from tests.data.scripts import prepare_dataset

NAMES = [path.stem for path in sorted((CONFIGS / "prepare").glob("*.yaml")) if OmegaConf.load(path).family == "text"]


def fake(name: str, root: Path) -> tuple[Path, int, dict[str, int]]:
    """The download, its rows, and what is left out of it."""
    if name in TASKS:
        return glue.write(root, name), glue.ROWS[name], glue.LEFT_OUT.get(name, {})
    made = importlib.import_module(f"tests.data.fake_releases.{name}")
    return made.write(root), made.ROWS, made.LEFT_OUT


def prepared(name: str, source: Path, output: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    assert prepare_dataset(name, source, output) == 0
    return pd.read_parquet(output / name / "table.parquet"), json.loads((output / name / "card.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_from_the_official_layout_to_a_table_and_a_card(name: str, tmp_path: Path) -> None:
    source, rows, left_out = fake(name, tmp_path / "download")
    frame, card = prepared(name, source, tmp_path / "data")
    assert len(frame) == rows == card["rows"] and frame["text"].str.strip().ne("").all()
    assert {e["reason"]: e["count"] for e in card["exclusions"]} == left_out
    assert sum(cell["rows"] for cell in card["cells"] if cell["attribute"] == "gender words") == rows
    assert card["terms"] and card["homepage"].startswith("https://")
    assert "| gender words |" in (tmp_path / "data" / name / "card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_download_is_told_in_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare_dataset(name, tmp_path, tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "https://" in error
    assert not (tmp_path / "data" / name / "table.parquet").exists()


def test_the_same_download_gives_the_same_bytes(tmp_path: Path) -> None:
    source = news_commentary.write(tmp_path / "download")
    tables = []
    for output in ("a", "b"):
        prepared("news_commentary", source, tmp_path / output)
        tables.append((tmp_path / output / "news_commentary" / "table.parquet").read_bytes())
    assert tables[0] == tables[1]


def test_a_card_counts_the_kinds_of_sentences(tmp_path: Path) -> None:
    _, card = prepared("news_commentary", news_commentary.write(tmp_path / "download"), tmp_path / "data")
    counts = {cell["group"]: cell["rows"] for cell in card["cells"]}
    assert counts["male"] == counts["female"] == 40 and counts["stereotype"] > 0 and sum(counts.values()) == 160


def test_pairs_give_the_column_of_the_language(tmp_path: Path) -> None:
    frame, card = prepared("news_commentary", news_commentary.write_pairs(tmp_path / "download"), tmp_path / "data")
    assert frame[["text", "line"]].values.tolist() == [["The man reads.", 1], ["The queen walks.", 4]]
    assert {e["reason"]: e["count"] for e in card["exclusions"]} == {"empty": 1, "not two columns": 1}


def test_wikipedia_is_cut_into_sentences(tmp_path: Path) -> None:
    frame, _ = prepared("wikipedia", wikipedia.write(tmp_path / "download"), tmp_path / "data")
    assert frame[["text", "file", "line"]].values.tolist() == [
        ["Ada King was a mathematician.", "AA/wiki_00", 4],
        ['She wrote "notes" & a programme in the U.S. Army.', "AA/wiki_00", 4],
        ["Her father was Lord Byron.", "AA/wiki_00", 4],
        ["Dr. Smith's 3 < 4 holds.", "AA/wiki_00", 6],
        ["The king reads books.", "AB/wiki_00.bz2", 1],
        ["A café is a place.", "AB/wiki_00.bz2", 2],
        ['Its waiter said: "Cafés sell tea!"', "AB/wiki_00.bz2", 2],
    ]


def test_labels_of_glue_are_numbers_with_names(tmp_path: Path) -> None:
    frame, card = prepared("mnli", glue.write(tmp_path / "download", "mnli"), tmp_path / "data")
    names = frame.groupby("label")["target"].unique().map(list).to_dict()
    assert names == {"entailment": [0], "neutral": [1], "contradiction": [2]}
    assert frame["split"].value_counts().to_dict() == {"train": 58, "test": 40}
    assert {cell["target"] for cell in card["cells"]} == {"entailment", "neutral", "contradiction"}
    graded, _ = prepared("stsb", glue.write(tmp_path / "download", "stsb"), tmp_path / "data")
    assert graded["target"].between(0, 5).all() and "label" not in graded


def test_row_groups_and_doubles_across_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biasmask.data.sentence_release.ROW_GROUP", 10)
    sentences = (Sentence(f"word {number % 35}", "f", number) for number in range(70))
    facts, gone = write_sentences(stream_release(sentences), tmp_path / "t.parquet", "mine")
    assert facts["rows"] == 35 and [(e.count, e.examples[0]) for e in gone] == [(35, "f:35")]
    assert pq.ParquetFile(tmp_path / "t.parquet").metadata.num_row_groups == 4
    assert pd.read_parquet(tmp_path / "t.parquet")["text"].tolist() == [f"word {number}" for number in range(35)]


# --- bad downloads: one line that says where ---


def refusal(name: str, source: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert prepare_dataset(name, source, source.parent / "data") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert not list((source.parent / "data").rglob("*.parquet")) and not list((source.parent / "data").rglob("*.part"))
    return error


def test_a_line_in_another_encoding_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "d"
    source.mkdir()
    (source / "news-commentary-v15.en").write_bytes("The man reads.\nA caf\xe9.\n".encode("latin-1"))
    assert "news-commentary-v15.en line 2, byte 6: not utf-8" in refusal("news_commentary", source, capsys)


def test_a_truncated_gzip_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = news_commentary.write(tmp_path / "d") / "training-monolingual" / "news-commentary-v15.en.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert "is the file whole?" in refusal("news_commentary", tmp_path / "d", capsys)
    path.write_bytes(b"no gzip")
    assert "is the file whole?" in refusal("news_commentary", tmp_path / "d", capsys)


def test_pairs_without_a_tab_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "news-commentary-v15.de-en.tsv.gz").write_bytes(gzip.compress(b"a,b\nc,d\n"))
    assert "line 1: 1 columns, expected 2 with a tab between (de-en)" in refusal("news_commentary", tmp_path / "d", capsys)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("wiki_00", b'{"id": "1", "text": "The king', "line 1: not a whole JSON object"),
        ("wiki_00", b'{"id": "1"}\n', "line 1: not a whole JSON object"),
        ("wiki_00", b'<doc id="1" url="u" title="King">\nKing\n\nThe king reads.\n', "the document 'King' has no </doc>"),
        ("wiki_00", b"The king reads.\n", "line 1: expected <doc id="),
        ("wiki_00.bz2", bz2.compress(b'{"id": "1", "text": "a"}\n')[:-5], "is the file whole?"),
        ("enwiki-latest-pages-articles.xml.bz2", b"", "WikiExtractor DUMP --json"),
    ],
)
def test_a_damaged_wikipedia_is_told(
    name: str, content: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d" / "AA").mkdir(parents=True)
    (tmp_path / "d" / "AA" / name).write_bytes(content)
    assert words in refusal("wikipedia", tmp_path / "d", capsys)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("sentence\tlabel", "phrase\tlabel", "line 1 has no column sentence (it has "),
        ("\t", ",", "has no column sentence, label"),
        (' "7 \t1', ' "7 \tgood', "train.tsv line 9, column 'label': expected one of 0, 1, got 'good'"),
        (' \t1', ' \t1\tx', "not 2 fields; is it whole, with tabs?"),
    ],
)
def test_a_damaged_table_of_glue_is_told(
    old: str, new: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = glue.write(tmp_path / "d", "sst2") / "SST-2" / "train.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert words in refusal("sst2", tmp_path / "d", capsys)


def test_a_table_that_is_cut_off_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = glue.write(tmp_path / "d", "rte") / "RTE" / "dev.tsv"
    path.write_text(path.read_text(encoding="utf-8")[:-25], encoding="utf-8")
    assert "dev.tsv line 41, its last: not 4 fields; it is cut off" in refusal("rte", tmp_path / "d", capsys)


def test_json_that_is_cut_off_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fake("stereoset", tmp_path / "d")[0] / "data" / "dev.json"
    path.write_text(path.read_text(encoding="utf-8")[:-100], encoding="utf-8")
    assert "isn't JSON in UTF-8" in refusal("stereoset", tmp_path / "d", capsys)


def test_an_unknown_task_and_an_empty_corpus(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no task 'sst'.*sst2"):
        read_glue(tmp_path, "here", "sst")
    with pytest.raises(DataError, match="mine: no sentence is left .1 rows: no letter"):
        write_sentences(stream_release([Sentence("12", "f", 1)]), tmp_path / "t.parquet", "mine")
    assert not list(tmp_path.iterdir())


def test_mrpc_is_read_as_microsoft_gives_it_out(tmp_path: Path) -> None:
    folder = glue.write(tmp_path / "d", "mrpc") / "MRPC"
    for ours, theirs in (("train.tsv", "msr_paraphrase_train.txt"), ("dev.tsv", "msr_paraphrase_test.txt")):
        (folder / theirs).write_bytes(b"\xef\xbb\xbf" + (folder / ours).read_bytes())
        (folder / ours).unlink()
    assert len(read_glue(tmp_path / "d", "here", "mrpc").frame) == 100
