"""Tables that are read, split and looked up in blocks are those of one piece, and of the plain loops that the rules speak of."""

import hashlib
import json
import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biasmask.data import image_files, large_table, read_table, same_files, values
from biasmask.data.attributes import encode_values
from biasmask.data.own_table import own_table
from biasmask.data.pixel_store import store_key
from biasmask.data.splits import _unit, stratified_split
from biasmask.data.table import Table

SHARES = {"debias": 0.5, "val": 0.2, "test": 0.3}


def split_by_loops(subjects: list[str], strata: list[int], seed: int) -> list[str]:
    """The rule of `stratified_split`, subject by subject."""
    rows_of = defaultdict(list)
    for row, subject in enumerate(subjects):
        rows_of[subject].append(row)
    size = Counter(strata)

    def order(subject: str):
        rows = rows_of[subject]
        stratum = min(Counter(strata[r] for r in rows).items(), key=lambda item: (-item[1], item[0]))[0]
        return -size[stratum], stratum, -len(rows), _unit(subject, seed)

    names, filled, seen, out = list(SHARES), [0, 0, 0], 0, [""] * len(subjects)
    for subject in sorted(rows_of, key=order):
        seen += len(rows_of[subject])
        place = max(range(3), key=lambda s: (SHARES[names[s]] * seen - filled[s], -s))
        filled[place] += len(rows_of[subject])
        for row in rows_of[subject]:
            out[row] = names[place]
    return out


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(-1, 3)), max_size=60), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_the_walk_is_that_of_plain_loops(rows, seed):
    subjects, strata = [f"s{subject}" for subject, _ in rows], [stratum for _, stratum in rows]
    found = stratified_split(subjects, np.array(strata, dtype=np.int64), SHARES, seed)
    assert found.tolist() == split_by_loops(subjects, strata, seed)
    packed = stratified_split(pd.Series(subjects, dtype=values.TEXT), np.array(strata, dtype=np.int64), SHARES, seed)
    assert packed.tolist() == found.tolist()


def test_blocks_and_parts_give_the_table_of_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    count = 300
    frame = pd.DataFrame({
        "image": [f"img/{n:03d}.jpg" if n % 50 else None for n in range(count)],
        "target": [n % 2 if n % 40 else None for n in range(count)],
        "person": [f"p{n // 3}" if n % 7 else None for n in range(count)],
        "late": [None] * 250 + ["text"] * 50,
        "mixed": ["007"] * 250 + ["text"] * 50,
        "whole": [3] * 250 + [2.5] * 50,
        "flag": [True] * 200 + [None] * 100,
    })  # fmt: skip
    frame.to_csv(tmp_path / "mine.csv", index=False)
    (tmp_path / "img").mkdir()
    for name in frame["image"].dropna()[::2]:
        (tmp_path / name).touch()
    source = own_table(str(tmp_path / "mine.csv"), target="target", subject="person", fractions=SHARES)
    whole = source.load()
    for module, name in ((large_table, "BLOCK"), (image_files, "LISTED")):
        monkeypatch.setattr(module, name, 11)
    blocks = source.load()
    pd.testing.assert_frame_equal(blocks.frame, whole.frame)
    assert blocks.exclusions == whole.exclusions
    assert list(blocks.frame["raw:mixed"].unique()) == ["007", "text"], "a column of numbers and text is text throughout"


def test_a_column_whose_parts_are_of_kinds_that_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    frame = pd.DataFrame({"late": [None] * 6 + ["text"] * 3, "whole": [3] * 6 + [2.5] * 3, "number": range(9)})
    frame.to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr(large_table, "BLOCK", 3)
    read = read_table.read_table(tmp_path / "a.csv").frame
    pd.testing.assert_frame_equal(read, pd.read_csv(tmp_path / "a.csv"))


def test_the_key_of_a_store_is_the_one_it_always_was(tmp_path: Path):
    """Each row as json.dumps writes it: a change of the key would have all images decoded again."""
    names = ["a.png", 'quote".png', "ümlaut/b.png", "gone.png"]
    (tmp_path / "ümlaut").mkdir()
    for name in names[:3]:
        (tmp_path / name).write_text(name)
    table = Table("t", pd.DataFrame({"id": names, "path": names}), tmp_path, ("no", "yes"), [])
    digest = hashlib.sha256(json.dumps([1, 16]).encode())
    for name in names:
        status = os.stat(tmp_path / name) if name != "gone.png" else None
        digest.update(json.dumps([name, *([status.st_size, status.st_mtime_ns] if status else [])]).encode())
    assert store_key(table, 16) == digest.hexdigest()


@pytest.mark.parametrize("size", [10, 20_000])
def test_same_files_are_told_by_their_bytes(size: int, tmp_path: Path):
    """Of one size and with the same ends, and yet different; the third is the first one again."""
    middle = {"a": b"1", "b": b"2", "c": b"1", "d": b"3"}
    for name, byte in middle.items():
        (tmp_path / name).write_bytes(b"0" * (size // 2) + byte + b"0" * (size // 2))
    paths = pd.Series(["a", "b", "c", "d", "a", "gone"])
    memory = tmp_path / "memory.json"
    assert same_files.same_files(paths, tmp_path, memory) == [[0, 2]]
    (tmp_path / "c").write_text("other")
    assert same_files.same_files(paths, tmp_path, memory) == [[0, 2]], "kept"
    assert same_files.same_files(paths, tmp_path) == []
    memory.write_text("{")
    assert same_files.same_files(paths, tmp_path, memory) == [], "a damaged memory is made again"


def test_reasons_of_missing_groups_stand_in_the_order_of_the_rows():
    frame = pd.DataFrame({"id": list("abcde"), "raw:sex": ["?", "f", None, "m", "?"]})
    encoded = encode_values("sex", {"sex": {"missing": ["?"]}}, frame, "t")
    assert list(encoded.missing.items()) == [("sex is '?'", 2), ("sex is empty", 1)]
    assert encoded.index.tolist() == [-1, 0, -1, 1, -1]
