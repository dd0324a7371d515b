"""Extraction: what is kept and why the rest is not, the cache, files of every sort, several processes."""

import bz2
import gzip
import json
import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import biasmask.data.sentence_cache as cache_module
import biasmask.data.sentence_files as files_module
from biasmask.data.sentences import SentenceTable, extract
from biasmask.data.word_lists import make_word_lists
from biasmask.errors import ConfigError, DataError, StoreError
from tests.data.tiny_tokenizers import tiny_bert

LISTS = make_word_lists("small", {"male": ["king", "boys"], "female": ["queen"]}, ["engineer", "nurse"])
LINES = ["The king met a king", "a queen", "", "the engineer", "king and queen", "none of them", "  Boys!  ", "queen \tof hair"]
TOKENIZER = tiny_bert()


def run(files, cache, **options):
    return extract(files, LISTS, TOKENIZER, "tiny", cache, **options)


@pytest.fixture
def corpus(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return file


def all_of(table):
    batch = table.batch(np.arange(len(table)))
    return {**{name: value.tolist() for name, value in batch.items()}, "place": [table.place(r) for r in range(len(table))]}


def test_rows_are_in_the_order_of_the_lines(tmp_path, corpus):
    table = run(corpus, tmp_path / "cache")
    assert table.kinds == ("male", "female", "stereotype") and len(table) == 5
    assert [table.text(row) for row in range(5)] == ["The king met a king", "a queen", "the engineer", "Boys!", "queen \tof hair"]
    assert [table.place(row).rsplit(":", 1)[1] for row in range(5)] == ["1", "2", "4", "7", "8"]
    assert table.kind.tolist() == [0, 1, 2, 0, 1] and table.counts() == {"male": 2, "female": 2, "stereotype": 1}
    assert table.rows("female").tolist() == [1, 4] and table.kind.dtype == np.int8
    excluded = {reason: (entry["count"], entry["first"]) for reason, entry in table.report["excluded"].items()}
    assert excluded == {"blank": (1, f"{corpus}:3"), "no_word": (1, f"{corpus}:6"), "several_kinds": (1, f"{corpus}:5")}
    assert table.report["lines"] == 8 and table.report["rows"] == 5 and json.dumps(table.report, allow_nan=False)


def test_batch_is_what_the_tokenizer_gives(tmp_path, corpus):
    table = run(corpus, tmp_path / "cache")
    batch = table.batch([4, 0, 3])
    assert batch["row"].tolist() == [4, 0, 3] and batch["kind"].tolist() == [1, 0, 0]
    for place, row in enumerate([4, 0, 3]):
        real = batch["attention_mask"][place] == 1
        ids = TOKENIZER(table.text(row))["input_ids"]
        assert batch["input_ids"][place][real].tolist() == ids and table.lengths[row] == len(ids)
        assert (batch["input_ids"][place][~real] == TOKENIZER.pad_token_id).all()
        assert not batch["keyword_mask"][place][~real].any()
    marked = TOKENIZER.convert_ids_to_tokens(batch["input_ids"][1][batch["keyword_mask"][1]])
    assert marked == ["king", "king"]
    assert batch["keyword_mask"].dtype == torch.bool
    assert {batch[name].dtype for name in ("input_ids", "attention_mask", "kind", "row")} == {torch.int64}


def test_batches_reach_over_record_batches_and_match_one_by_one(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    words = ["the", "met", "hair", "and", "adult"]
    lines = [" ".join([*rng.choice(words, rng.integers(1, 9)), rng.choice(["king", "queen", "nurse"])]) for _ in range(500)]
    file = tmp_path / "a.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(files_module, "CHUNK", 700)
    table = run(file, tmp_path / "cache", processes=1)
    assert len(table._batches) > 5 and len(table) == 500
    rows = rng.permutation(500)[:64]
    batch = table.batch(rows)
    for place, row in enumerate(rows):
        alone = SentenceTable.from_texts([lines[row]], LISTS, TOKENIZER).batch([0])
        length = alone["input_ids"].shape[1]
        assert table.text(row) == lines[row] and table.place(row) == f"{file}:{row + 1}"
        for name in ("input_ids", "attention_mask", "keyword_mask"):
            assert batch[name][place][:length].tolist() == alone[name][0].tolist() and not batch[name][place][length:].any()


def test_number_of_processes_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "CHUNK", 200)
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("\n".join(f"{line} {name}" for line in LINES * 20), encoding="utf-8")
    seen = []
    one = run(tmp_path, tmp_path / "one", processes=1)
    two = run(tmp_path, tmp_path / "two", processes=2, progress=lambda done, total: seen.append((done, total)))
    assert all_of(one) == all_of(two) and one.key == two.key
    assert {k: v for k, v in one.report.items() if k != "hit"} == {k: v for k, v in two.report.items() if k != "hit"}
    total = sum((tmp_path / f"{name}.txt").stat().st_size for name in ("a", "b"))
    assert seen[-1] == (total, total) and seen == sorted(seen) and len(seen) > 5


def test_gz_folder_pattern_and_list(tmp_path, corpus):
    packed = tmp_path / "b.txt.gz"
    packed.write_bytes(gzip.compress(corpus.read_bytes()) + gzip.compress(b"boys\n"))  # two members
    (tmp_path / "notes.md").write_text("king")
    whole = run(tmp_path, tmp_path / "cache")
    assert len(whole) == 11 and whole.text(10) == "boys" and whole.place(5) == f"{packed}:1"
    assert len(run(str(tmp_path / "*.txt"), tmp_path / "cache")) == 5
    assert len(run([packed, corpus, packed], tmp_path / "cache")) == 11  # a file named twice is read once
    assert all_of(run([corpus, packed], tmp_path / "cache")) == all_of(whole)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_parquet_is_read_like_lines_whatever_the_encoding_of_other_files(tmp_path, monkeypatch, encoding):
    texts = ["The king met a king", None, "a queen\nof Málaga", "the engineer", "", "Boys!"]
    pd.DataFrame({"id": range(6), "text": texts}).to_parquet(tmp_path / "a.parquet", row_group_size=4)
    whole = all_of(run(tmp_path, tmp_path / "cache", encoding=encoding))
    table = run(tmp_path / "a.parquet", tmp_path / "cache", encoding=encoding)
    assert [table.text(row) for row in range(4)] == ["The king met a king", "a queen of Málaga", "the engineer", "Boys!"]
    assert [table.place(row).rsplit(":", 1)[1] for row in range(4)] == ["1", "3", "4", "6"]
    monkeypatch.setattr(files_module, "ROWS", 2)
    assert all_of(run(tmp_path / "a.parquet", tmp_path / "other", encoding=encoding)) == whole


def test_parquet_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"sentence": ["a king"]}).to_parquet(path)
    with pytest.raises(DataError, match="a.parquet has no column text: it has sentence"):
        run(path, tmp_path / "cache")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="is the file whole?"):
        run(path, tmp_path / "cache")


def test_bz2_is_read_and_told_when_cut_off(tmp_path, corpus):
    path = tmp_path / "a.bz2"
    path.write_bytes(bz2.compress(corpus.read_bytes()))
    assert len(run(path, tmp_path / "cache")) == 5
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="is the file whole?"):
        run(path, tmp_path / "cache")


def test_second_call_is_a_hit_and_any_change_is_noticed(tmp_path, corpus, monkeypatch):
    first = run(corpus, tmp_path / "cache")
    assert not first.report["hit"]
    status = corpus.stat()
    with monkeypatch.context() as context:
        context.setattr(cache_module, "_extract", lambda *_: pytest.fail("extracted again"))
        again = run(corpus, tmp_path / "cache")
        assert again.report["hit"] and all_of(again) == all_of(first)
    content = corpus.read_bytes().replace(b"a queen", b"a QUEEN")
    corpus.write_bytes(content)
    os.utime(corpus, ns=(status.st_atime_ns, status.st_mtime_ns))  # same size, same date
    changed = run(corpus, tmp_path / "cache")
    assert not changed.report["hit"] and changed.text(1) == "a QUEEN"
    keys = {first.key, changed.key, run(corpus, tmp_path / "cache", max_length=16).key}
    other = make_word_lists("small", {"male": ["king"], "female": ["queen"]}, ["engineer"])
    keys.add(extract(corpus, other, TOKENIZER, "tiny", tmp_path / "cache").key)
    keys.add(extract(corpus, LISTS, TOKENIZER, "other", tmp_path / "cache").key)
    keys.add(run(corpus, tmp_path / "cache", encoding="latin-1").key)
    assert len(keys) == 6


@pytest.mark.parametrize("name", ["sentences.arrow", "sentences.json"])
def test_damaged_cache_is_built_again(tmp_path, corpus, name):
    first = run(corpus, tmp_path / "cache")
    file = tmp_path / "cache" / first.key / name
    file.write_bytes(file.read_bytes()[:-3])
    again = run(corpus, tmp_path / "cache")
    assert not again.report["hit"] and all_of(again) == all_of(first)


def test_interrupted_build_leaves_no_cache(tmp_path, corpus):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(corpus, tmp_path / "cache", progress=stop)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] in ([], [".lock"])
    left = tmp_path / "cache" / f"{run(corpus, tmp_path / 'other').key}.tmp-killed"
    left.mkdir()
    assert len(run(corpus, tmp_path / "cache")) == 5 and not left.exists()


def test_cache_folder_that_cannot_be_made(tmp_path, corpus):
    with pytest.raises(StoreError, match="can't write"):
        run(corpus, corpus / "cache")


def test_latin_1_read_as_utf_8_is_counted_and_read_right_when_told(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("the king\na café queen\nqueen\nnurse\nolé king\n".encode("latin-1"))
    table = run(file, tmp_path / "cache")
    assert table.report["excluded"]["invalid_encoding"] == {
        "count": 2,
        "what": "bytes that the encoding doesn't know; set data.encoding (latin-1 takes any byte)",
        "first": f"{file}:2",
    }
    assert [table.place(row)[-1] for row in range(3)] == ["1", "3", "4"] and "2 lines left out" in table.report["notes"][0]
    told = run(file, tmp_path / "cache", encoding="latin-1")
    assert told.text(1) == "a café queen" and "invalid_encoding" not in told.report["excluded"]


def test_nul_bom_and_carriage_returns(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfking\r\nthe \0 king\r\nqueen\r\n\r\nnurse")
    table = run(file, tmp_path / "cache")
    assert [table.text(row) for row in range(3)] == ["king", "queen", "nurse"]
    assert table.report["excluded"]["nul"]["first"] == f"{file}:2" and table.report["excluded"]["blank"]["count"] == 1


@pytest.mark.parametrize("size", [1_000_001, 5_000_000])
@pytest.mark.parametrize("last", [True, False])
def test_line_of_a_megabyte_is_left_out_and_the_numbers_go_on(tmp_path, size, last):
    file = tmp_path / "a.txt"
    long = "king " * (size // 5) + "x" * (size % 5)
    file.write_text("king\n" + ("" if last else long + "\n") + "queen\nnurse\n" + (long if last else ""), encoding="utf-8")
    table = run(file, tmp_path / "cache")
    assert [table.place(row)[-1] for row in range(3)] == (["1", "2", "3"] if last else ["1", "3", "4"])
    entry = table.report["excluded"]["line_above_1_mb"]
    assert (entry["count"], entry["first"]) == (1, f"{file}:{4 if last else 2}") and table.report["lines"] == 4


def test_line_just_below_a_megabyte_is_read(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("king" + " " * 999_996 + "\nqueen\nnurse\n", encoding="utf-8")
    assert len(run(file, tmp_path / "cache")) == 3


def test_long_sentences_are_cut_but_never_at_the_cost_of_every_keyword():
    hair = "hair " * 10
    texts = [
        "king " + hair,
        hair + "king",
        "king " + hair + "king",
        hair[:-5] + "boys",
        "hair " * 5 + "grandnurse",
        "adult nurse",
    ]
    table = SentenceTable.from_texts(texts, LISTS, TOKENIZER, max_length=8)
    assert [table.text(row) for row in range(len(table))] == [texts[0].strip(), texts[2], texts[5]]
    assert table.lengths.tolist() == [8, 8, 4] and table.report["truncated"] == 2
    assert table.report["excluded"]["too_long"]["count"] == 2  # "grandnurse" is no list word
    assert table.batch([1])["keyword_mask"][0].tolist() == [False, True] + [False] * 6
    assert table.batch([0])["input_ids"][0, -1] == TOKENIZER.sep_token_id


def test_a_keyword_cut_in_two_is_no_keyword():
    lists = make_word_lists("x", {"male": ["king", "xyzzy"], "female": ["queen"]}, ["nurse"])
    table = SentenceTable.from_texts(["king hair xyzzy", "hair hair xyzzy"], lists, TOKENIZER, max_length=6)
    assert len(table) == 1 and table.batch([0])["keyword_mask"][0].tolist() == [False, True, False, False, False, False]
    assert table.report["excluded"]["too_long"]["first"] == "texts:2"


def test_no_sentence_of_a_kind_is_told_with_the_counts(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("king\nqueen\nqueen\nhair\n", encoding="utf-8")
    for _ in range(2):  # built, then from the cache
        with pytest.raises(
            DataError, match=r"kind stereotype in 4 lines \(found: male 1, female 2, stereotype 0; left out: no_word 1\)"
        ):
            run(file, tmp_path / "cache")
    file.write_bytes(b"")
    with pytest.raises(DataError, match="kind male or female or stereotype in 0 lines"):
        run(file, tmp_path / "cache")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="no pattern that fits"):
        run(tmp_path / "absent.txt", tmp_path / "cache")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no \.txt, \.gz or \.parquet"):
        run(tmp_path / "empty", tmp_path / "cache")
    with pytest.raises(DataError, match="no file was named"):
        run([], tmp_path / "cache")
    packed = tmp_path / "a.gz"
    for content in (gzip.compress(b"king\n" * 5000)[:-9], b"king\n", gzip.compress(b"king\n" * 9)[:12] + b"\xff" * 40):
        packed.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.gz, after line 0: .*is the file whole"):
            run(packed, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.tmp-*"))


def test_settings_that_cannot_work(tmp_path, corpus):
    class SlowTokenizer:
        is_fast = False

    with pytest.raises(ConfigError, match=r"SlowTokenizer gives no character offsets.*use_fast=True"):
        extract(corpus, LISTS, SlowTokenizer(), "slow", tmp_path / "cache")
    with pytest.raises(ConfigError, match="max_length=2 has no room"):
        run(corpus, tmp_path / "cache", max_length=2)
    for encoding in ("utf-16", "klingon"):
        with pytest.raises(ConfigError, match=f"encoding={encoding}"):
            run(corpus, tmp_path / "cache", encoding=encoding)
    with pytest.raises(ConfigError, match="processes=0"):
        run(corpus, tmp_path / "cache", processes=0)


def test_a_process_that_dies_is_an_error_of_one_line(tmp_path):
    chunk = files_module.Chunk(0, 1, b"king", (), 4)
    with pytest.raises(DataError, match=r"ended without a word .*data\.processes=1"):
        list(cache_module._scanned(iter([chunk]), (LISTS, "no tokenizer", 8, "utf-8", ["a"]), processes=2))


def test_from_texts_may_lack_kinds_and_knows_its_rows():
    table = SentenceTable.from_texts(["hair", "a\nking"], LISTS, TOKENIZER)
    assert table.counts() == {"male": 1, "female": 0, "stereotype": 0} and table.text(0) == "a king"
    assert len(SentenceTable.from_texts([], LISTS, TOKENIZER)) == 0
    with pytest.raises(DataError, match="row 1"):
        table.text(1)
    assert table.key != SentenceTable.from_texts(["a king"], LISTS, TOKENIZER).key


def test_pad_id_is_the_tokenizer_s():
    inner = SimpleNamespace(
        is_fast=True, pad_token_id=7, num_special_tokens_to_add=lambda pair: 2, backend_tokenizer=TOKENIZER.backend_tokenizer
    )  # fmt: skip
    batch = SentenceTable.from_texts(["king", "the king"], LISTS, inner).batch([0, 1])
    assert batch["input_ids"][0, -1] == 7 and batch["attention_mask"][0, -1] == 0
