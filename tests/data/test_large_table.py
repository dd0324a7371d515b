"""Large tables lie in a file, block by block: the same rows as in memory, no room left behind, clear errors."""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from biasmask.data import large_table
from biasmask.data.disk_columns import ColumnFile
from biasmask.data.image_files import find_files
from biasmask.data.large_table import collect, joined, kept_rows
from biasmask.data.near_rows import NearRows
from biasmask.data.read_table import read_table
from biasmask.data.repeated import repeated
from biasmask.data.splits import _most_frequent, divide_splits, fold_split, strata_of
from biasmask.data.table import TableSource
from biasmask.data.values import TEXT
from biasmask.errors import DataError

NUMBERS = (st.integers(-5, 5), st.floats(-2, 2).map(lambda x: round(x, 2)))
CELLS = st.one_of(st.none(), st.booleans(), *NUMBERS, st.sampled_from(["a", "007", "ü,\n"]))
FEW = settings(max_examples=60, deadline=None)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_table, "BLOCK", 3)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=12), st.integers(1, 4))
@FEW
def test_a_csv_in_blocks_is_the_csv_whole(tmp_path_factory: pytest.TempPathFactory, rows: list, block: int):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    pd.DataFrame(rows, columns=["x", "y"], dtype=object).assign(n=range(len(rows))).to_csv(path, index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_table, "BLOCK", block)
        pd.testing.assert_frame_equal(read_table(path).frame, pd.read_csv(path, low_memory=False))


def test_parquet_in_blocks_is_parquet_whole(tmp_path: Path, small_blocks: None):
    frame = pd.DataFrame({
        "text": ["a", None, "c", "d", "e", None, "g", "h"],
        "number": pd.array([1, 2, 3, 4, None, 6, 7, 8], dtype="Int32"),
        "plain": np.arange(8, dtype=np.int32),
        "small": np.arange(8, dtype=np.float32),
        "flag": [True, False, None, True, True, True, True, True],
        "kind": pd.Categorical(list("xyzxyzab")),
        "day": pd.to_datetime(["2026-01-01", None] * 4),
        "hour": pd.to_datetime(["2026-01-01"] * 8).tz_localize("UTC"),
        "none": [None] * 8,
        "list": [[1]] * 8,
    })  # fmt: skip
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=5)
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.parquet").frame, pd.read_parquet(tmp_path / "a.parquet"))
    frame.set_index("text").to_parquet(tmp_path / "b.parquet")
    assert list(read_table(tmp_path / "b.parquet").frame) == list(frame)[1:]


def test_files_one_below_the_other_are_as_pandas_joins_them(small_blocks: None):
    first = pd.DataFrame({"a": [1, 2, 3, 4], "t": ["x", None, "y", "z"], "flag": [True] * 4})
    second = pd.DataFrame({"a": [1.5, None], "new": ["n", "m"], "kind": pd.Categorical(["u", "v"])})
    pd.testing.assert_frame_equal(joined([first, second]), pd.concat([first, second], ignore_index=True))
    assert joined([first]) is first


@pytest.mark.parametrize("first", [[None, True, False, True], [None, "yes", None, "no"], [None, 1.5, None, 2.5], [None] * 4])
@pytest.mark.parametrize("second", [[0.5, 1.0], [1, 2], ["a", None], [None] * 2, [True, False], [pd.Timestamp("2026-01-01")] * 2])
def test_a_column_of_two_kinds_is_as_pandas_joins_it(first: list, second: list, small_blocks: None):
    parts = [pd.DataFrame({"a": first}), pd.DataFrame({"a": second}), pd.DataFrame({"b": [1]})]
    pd.testing.assert_frame_equal(joined(parts), pd.concat(parts, ignore_index=True))


def test_a_parquet_column_that_stands_twice_is_refused(tmp_path: Path, small_blocks: None):
    columns = pa.Table.from_arrays([pa.array(range(5)), pa.array(range(5))], names=["a", "a"])
    parquet.write_table(columns, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column a stands more than once"):
        read_table(tmp_path / "a.parquet")


def test_rows_of_a_mask_are_as_pandas_takes_them(small_blocks: None):
    frame = pd.DataFrame({"a": range(20), "t": [None, "long" * 5, "", "ü"] * 5, "kind": pd.Categorical(list("uv") * 10)})
    keep = np.arange(20) % 7 != 0
    expected = frame[keep].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept_rows(frame, keep), expected)
    again = kept_rows(kept_rows(frame, keep), np.ones(keep.sum(), dtype=bool))
    pd.testing.assert_frame_equal(again, expected)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(again)), expected)
    assert kept_rows(frame, np.zeros(20, dtype=bool)).empty


@given(st.lists(st.text(max_size=2), max_size=30))
@FEW
def test_repeated_texts_are_those_of_pandas(texts: list[str]):
    column = pd.Series(texts, dtype=TEXT)
    assert repeated(column).tolist() == column.duplicated(keep=False).tolist()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 4), st.integers(0, 6)), min_size=1, max_size=40), st.integers(1, 9))
@FEW
def test_strata_and_the_most_frequent_one_are_those_of_plain_counting(rows: list, block: int):
    a, b, code = np.array(rows, dtype=np.int64).T
    code = pd.factorize(code)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_table, "BLOCK", block)
        strata = strata_of([a, b], len(rows))
        frequent = _most_frequent(code, strata)
    places = {pair: number for number, pair in enumerate(sorted(set(zip(a, b, strict=True))))}
    assert strata.tolist() == [places[pair] for pair in zip(a, b, strict=True)]
    for subject in range(code.max() + 1):
        own = strata[code == subject].tolist()
        assert frequent[subject] == min(own, key=lambda stratum: (-own.count(stratum), stratum))


def test_folds_and_divided_splits_are_the_same_of_packed_text():
    keys, strata = [f"p{n // 2}" for n in range(40)], np.arange(40) % 3
    packed, shares = pd.Series(keys), {"debias": 0.5, "test": 0.5}
    for given_strata in (None, strata):
        loose = fold_split(keys, given_strata, shares, 4, 1)
        assert loose.tolist() == fold_split(packed, given_strata, shares, 4, 1).tolist()
        assert 8 <= (loose == "test").sum() <= 12 or given_strata is None
    named = np.array(["train", "test"] * 20, dtype=object)
    divide = {"train": {"train": 0.5, "val": 0.5}}
    cut = divide_splits(named, packed, strata, divide)
    assert cut.tolist() == divide_splits(named, keys, strata, divide).tolist() and set(cut) == {"train", "val", "test"}


def test_near_rows_look_at_the_ids_that_pairs_name():
    near = NearRows((("1", "2"), ("x", "3")), "exclude")
    ids, splits = pd.Series(["1", "2", "3", "2"]), pd.Series(["train", "val", "val", "test"])
    assert near.excluded(ids, splits).tolist() == ["near duplicate of a test row", None, None, None], "of equal ids the last"


def test_files_of_many_folders_are_found_in_blocks(tmp_path: Path, small_blocks: None):
    names = [f"{folder}/{n}.png" for n in range(4) for folder in ("a", "b", "gone")] + ["top.png", "away.png"]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    there = {name for number, name in enumerate(names) if "gone" not in name and "away" not in name and number % 4}
    for name in there:
        (tmp_path / name).touch()
    for paths in (names, pd.Series(names)):
        assert find_files(paths, tmp_path, str).tolist() == [name in there for name in names]


def test_a_full_disk_is_named_and_a_folder_that_cannot_be_written_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    with ColumnFile(tmp_path / "file") as columns:
        assert columns.get(columns.put([pd.Series([1, 2])], 2)).tolist() == [1, 2]

    pd.DataFrame({"a": range(9)}).to_parquet(tmp_path / "a.parquet")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ColumnFile, "_write", full)
    chunks = [pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2]})]
    with pytest.raises(DataError, match=rf"no room is left in {tmp_path}.*paths\.cache_dir"):
        collect(iter(chunks), pd.DataFrame, tmp_path)
    monkeypatch.setattr(large_table, "BLOCK", 3)
    with pytest.raises(DataError, match=r"no room is left.*used because .*file can't be written.*paths\.cache_dir"):
        read_table(tmp_path / "a.parquet", folder=tmp_path / "file")
    monkeypatch.undo()
    assert {name.name for name in tmp_path.iterdir()} == {"file", "a.parquet"}, "a file without a name leaves nothing"


MEASURE = """
import sys
from pathlib import Path
import numpy as np
from biasmask.data.table import TableSource
from biasmask.data.large_table import lean_arrow

def own():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))

def load(rows):
    with lean_arrow():
        split = {"method": "stratified", "fractions": {"debias": .5, "test": .5}}
        source = TableSource("t", sys.argv[1], [{"file": f"{rows}.csv", "split": None}], "image", "target", split=split)
        return source.load(lambda paths, *_: np.ones(len(paths), dtype=bool), Path(sys.argv[1]))

load(10)
before = own()
table = load(300000)
print((own() - before) * 1024 / 300000, len(table.frame))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="what a process has of its own is told by Linux")
def test_a_loaded_table_takes_little_memory_of_its_own(tmp_path: Path):
    """220 bytes a row of eight columns when all of them stood in memory."""
    for rows in (10, 300_000):
        text = np.array([f"{'text' * 5} {n % 1000}" for n in range(rows)])
        columns = {f"text_{i}": text for i in range(5)}
        frame = pd.DataFrame({"image": [f"{n}.jpg" for n in range(rows)], "target": np.arange(rows) % 2, **columns})
        frame.to_csv(tmp_path / f"{rows}.csv", index=False)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], env=os.environ | {"PYTHONPATH": "src"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    bytes_a_row, rows = done.stdout.split()
    assert int(rows) == 300_000
    assert float(bytes_a_row) < 80, f"{bytes_a_row} bytes a row stay in memory"


def test_a_large_table_is_read_only_and_whole_again_after_its_source_is_gone(tmp_path: Path, small_blocks: None):
    (tmp_path / "a.csv").write_text("image,target,age\n" + "".join(f"{n}.jpg,{n % 2},{n}\n" for n in range(30)))
    split = {"method": "stratified", "fractions": {"debias": 0.5, "test": 0.5}}
    source = TableSource("t", tmp_path, [{"file": "a.csv", "split": None}], "image", "target", split=split)
    table = source.load(lambda paths, *_: np.arange(len(paths)) % 3 > 0, tmp_path)
    (tmp_path / "a.csv").unlink()
    assert os.listdir(tmp_path) == []
    assert table.frame["raw:age"].tolist() == [n for n in range(30) if n % 3]
    assert not table.frame["target"].to_numpy().flags.writeable
    assert table.exclusions[0].count == 10 and table.exclusions[0].examples[0] == "0.jpg"
