"""Reading a table: what is kept, what is left out with its reason, and the one line that bad input gets."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biasmask.data.own_table import own_table
from biasmask.data.table import MISSING_IMAGE, Table, TableSource
from biasmask.errors import BiasmaskError, ConfigError, DataError

FRACTIONS = {"train": 0, "debias": 0.5, "val": 0.2, "test": 0.3}


@pytest.fixture
def make(tmp_path: Path):
    """Writes mine.csv and an empty file for each `image`, and gives the source's arguments."""

    def write(frame: pd.DataFrame | None = None, files: bool = True, **keys) -> TableSource:
        frame = rows() if frame is None else frame
        frame.to_csv(tmp_path / "mine.csv", index=False)
        for name in frame["image"].dropna() if files and "image" in frame else ():
            if ".." not in str(name) and not str(name).startswith("/"):
                (tmp_path / str(name)).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / str(name)).touch()
        return own_table(str(tmp_path / "mine.csv"), **{"target": "target", "fractions": FRACTIONS} | keys)

    return write


def rows(count: int = 12) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": [f"img/{n:03d}.jpg" for n in range(count)],
            "target": [n % 2 for n in range(count)],
            "sex": ["m", "f", "f"] * (count // 3),
        }
    )


def message(call) -> str:
    with pytest.raises(BiasmaskError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


def text_source(tmp_path: Path, text: str | bytes, name: str = "mine.csv", **keys) -> TableSource:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return own_table(str(tmp_path / name), **{"target": "target", "fractions": FRACTIONS} | keys)


def test_columns_of_a_table(make):
    table = make().load()
    assert isinstance(table, Table)
    assert list(table.frame.columns) == [
        "id", "path", "target", "split", "subject", "raw:image", "raw:target", "raw:sex"
    ]  # fmt: skip
    assert table.frame["target"].dtype == np.int64
    assert table.frame.index.equals(pd.RangeIndex(12))
    assert set(table.frame["split"]) == {"debias", "val", "test"}
    assert table.class_names == ("negative", "positive")
    assert table.exclusions == []
    assert sorted(np.concatenate([table.rows(s) for s in ("train", "debias", "val", "test")])) == list(range(12))


def test_ids_keep_leading_zeros_and_bom_is_skipped(tmp_path):
    text = "\ufeffid,target\n007,1\n010,0\n"
    for name in ("007.png", "010.png"):
        (tmp_path / name).touch()
    table = text_source(tmp_path, text, id="id", image="{id}.png").load()
    assert table.frame["id"].tolist() == ["007", "010"]
    assert table.frame["path"].tolist() == ["007.png", "010.png"]


def test_parquet_gives_the_same_table_as_csv(make, tmp_path):
    from_csv = make().load()
    rows().to_parquet(tmp_path / "mine.parquet")
    from_parquet = own_table(str(tmp_path / "mine.parquet"), target="target", fractions=FRACTIONS).load()
    columns = ["id", "path", "target", "split", "subject"]
    pd.testing.assert_frame_equal(from_csv.frame[columns], from_parquet.frame[columns])


def test_table_of_another_folder_than_the_images(make, tmp_path):
    make()
    other = tmp_path / "tables"
    other.mkdir()
    frame = rows()
    frame["image"] = frame["image"].str.removeprefix("img/")
    frame.to_csv(other / "t.csv", index=False)
    source = own_table(str(other / "t.csv"), target="target", images=str(tmp_path / "img"), fractions=FRACTIONS)
    assert len(source.load().frame) == 12


@pytest.mark.parametrize("words", [("yes", "no"), ("TRUE", "FALSE"), ("1.0", "0")])
def test_targets_that_need_no_list(make, words):
    table = make(rows().assign(target=list(words) * 6)).load()
    assert table.frame["target"].tolist() == [1, 0] * 6


def test_target_lists_exclude_the_rest_with_counts(make):
    frame = rows().assign(target=["mel", "nv", "?", None] * 3)
    table = make(frame, positive=["mel"], negative=["nv"]).load()
    assert table.frame["target"].tolist() == [1, 0] * 3
    assert table.class_names == ("nv", "mel")
    assert {e.reason: e.count for e in table.exclusions} == {
        "target target is '?', neither positive nor negative": 3,
        "target target is empty": 3,
    }
    assert table.exclusions[0].examples == ["img/002.jpg", "img/006.jpg", "img/010.jpg"]


def test_positive_alone_makes_all_others_negative(make):
    frame = rows().assign(target=["mel", "nv", "bkl"] * 4)
    assert make(frame, positive="mel").load().frame["target"].tolist() == [1, 0, 0] * 4


DIAGNOSES = {"diagnosis": ["mel", "nv", "bkl", "?"] * 3}


@pytest.mark.parametrize(
    ("classes", "names", "index"),
    [
        (["nv", "mel", "bkl"], ("nv", "mel", "bkl"), [1, 0, 2]),
        ({"naevus": "nv", "other": ["mel", "bkl"]}, ("naevus", "other"), [1, 0, 1]),
        ({"b": ["bkl"], "a": ["mel"], "absent": ["df"], "n": ["nv"]}, ("b", "a", "absent", "n"), [1, 3, 0]),
    ],
)
def test_listed_classes_keep_their_order(make, classes, names, index):
    table = make(rows().assign(**DIAGNOSES), target="diagnosis", classes=classes).load()
    assert table.class_names == names
    assert table.frame["target"].tolist() == index * 3
    assert {e.reason: e.count for e in table.exclusions} == {"target diagnosis is '?', in none of the classes": 3}


def test_two_listed_classes_are_negative_and_positive(make):
    frame = rows().assign(**DIAGNOSES)
    listed = make(frame, target="diagnosis", classes=["nv", "mel"]).load()
    lists = make(frame, target="diagnosis", positive="mel", negative="nv").load()
    assert listed.class_names == lists.class_names
    pd.testing.assert_frame_equal(listed.frame, lists.frame)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"classes": ["nv"]}, "two or more different names"),
        ({"classes": ["nv", "a/b"]}, "without '/'"),
        ({"classes": ["nv", "mel"], "positive": "mel"}, "give `classes` or positive, not both"),
        ({"classes": {"a": ["nv", "mel"], "b": ["mel"]}}, "the value 'mel' stands in two of `classes`"),
        ({"classes": ["df", "vasc"]}, "no usable row is left"),
        ({"classes": ["df", "nv", "vasc"]}, "all 3 usable rows have the target 'nv' and none 'df' or 'vasc'"),
    ],
)
def test_classes_that_cannot_be_used_are_named(make, keys, words):
    assert words in message(lambda: make(rows().assign(**DIAGNOSES), target="diagnosis", **keys).load())


def test_missing_images_are_left_out_counted_and_named(make, tmp_path):
    source = make()
    whole = source.load().frame.set_index("id")["split"]
    (tmp_path / "img/003.jpg").unlink()
    (tmp_path / "img/004.jpg").unlink()
    (tmp_path / "img/004.jpg").mkdir()
    table = source.load()
    assert [(e.reason, e.count, e.examples) for e in table.exclusions] == [
        (MISSING_IMAGE, 2, ["img/003.jpg", "img/004.jpg"])
    ]
    assert table.frame.set_index("id")["split"].equals(whole.drop(["img/003.jpg", "img/004.jpg"]))


def test_missing_image_can_be_an_error(make, tmp_path):
    source = make(on_missing="error")
    (tmp_path / "img/003.jpg").unlink()
    assert "mine.csv line 5: there is no image file" in message(source.load)


def test_all_images_missing(make):
    text = message(make(files=False).load)
    assert "none of the 12 images" in text and "img/000.jpg" in text


def test_empty_image_path_is_an_exclusion(make):
    frame = rows()
    frame.loc[3, "image"] = None
    assert [(e.reason, e.count) for e in make(frame).load().exclusions] == [("image path is empty", 1)]


@pytest.mark.parametrize("path", ["../secret.jpg", "img/../../secret.jpg", "/etc/passwd", "..\\secret.jpg"])
def test_path_outside_of_the_root(make, path):
    frame = rows()
    frame.loc[4, "image"] = path
    text = message(make(frame).load)
    assert "mine.csv line 6" in text and "outside of the data root" in text


def test_absolute_path_below_the_root_is_made_relative(make, tmp_path):
    frame = rows()
    make(frame)
    frame["image"] = [str(tmp_path / name) for name in frame["image"]]
    assert make(frame, files=False).load().frame["path"].iloc[0] == "img/000.jpg"


@pytest.mark.parametrize("link", ["file", "folder"])
def test_link_out_of_the_root(make, tmp_path, tmp_path_factory, link):
    outside = tmp_path_factory.mktemp("outside")
    source = make()
    if link == "file":
        (outside / "x.jpg").touch()
        (tmp_path / "img/002.jpg").unlink()
        (tmp_path / "img/002.jpg").symlink_to(outside / "x.jpg")
        assert "mine.csv line 4" in message(source.load)
    else:
        os.rename(tmp_path / "img", outside / "img")
        (tmp_path / "img").symlink_to(outside / "img")
        assert "link out of the data root" in message(source.load)
    source.follow_symlinks = True
    assert len(source.load().frame) == 12


def test_missing_column_lists_near_names_and_columns(make):
    text = message(make(rows().rename(columns={"target": "Targets"})).load)
    assert "no column 'target'" in text and "did you mean 'Targets'" in text and "image, Targets, sex" in text


@pytest.mark.parametrize("key", ["image", "id", "subject"])
def test_each_missing_column_says_what_it_is_for(make, key):
    text = message(make(**{key: "nope"}).load)
    assert "no column 'nope'" in text and f"for the {key}" in text


def test_more_than_two_classes_say_how_to_map(make):
    text = message(make(rows().assign(target=["mel", "nv", "bkl"] * 4)).load)
    assert "3 values (bkl, mel, nv)" in text and "data.positive=[...]" in text


def test_one_class(make):
    assert "none 'positive'" in message(make(rows().assign(target=0)).load)


def test_one_class_after_missing_images(make, tmp_path):
    source = make()
    for n in range(1, 12, 2):
        (tmp_path / f"img/{n:03d}.jpg").unlink()
    assert "all 6 usable rows" in message(source.load)


def test_value_in_both_lists(make):
    assert "in `positive` and in `negative`" in message(make(positive=["1"], negative=["1", "0"]).load)


def test_no_value_of_the_lists_occurs(make):
    assert "no usable row is left" in message(make(positive=["mel"], negative=["nv"]).load)


def test_no_row_has_a_split(make):
    assert "12 rows: split is empty" in message(make(rows().assign(split=None)).load)


def test_empty_table(make):
    assert "no row below its header" in message(make(rows().iloc[:0]).load)


def test_empty_file(tmp_path):
    assert "is empty" in message(text_source(tmp_path, "").load)


def test_semicolons(tmp_path):
    source = text_source(tmp_path, "image;target\na.jpg;1\nb.jpg;0\n")
    assert "separated by ';'" in message(source.load)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    source.separator = ";"
    assert len(source.load().frame) == 2


@pytest.mark.parametrize("line", ["c.jpg,1,extra", "c.jpg"])
def test_row_with_another_number_of_fields(tmp_path, line):
    text = message(text_source(tmp_path, f"image,target\na.jpg,1\nb.jpg,0\n{line}\nd.jpg,1\n").load)
    assert "mine.csv line 4" in text and "where the header has 2" in text


def test_open_quote(tmp_path):
    assert "line 3" in message(text_source(tmp_path, 'image,target\na.jpg,1\n"b.jpg,0\nc.jpg,1\n').load)


def test_line_numbers_count_lines_inside_quotes(tmp_path):
    text = message(text_source(tmp_path, 'image,note,target\na.jpg,"two\nlines",1\n../b.jpg,x,0\n').load)
    assert "mine.csv line 4" in text


def test_latin_1_and_utf_16(tmp_path):
    assert "not UTF-8" in message(text_source(tmp_path, "image,target\nä.jpg,1\n".encode("latin-1")).load)
    assert "UTF-16" in message(text_source(tmp_path, "image,target\n".encode("utf-16")).load)


def test_column_twice(tmp_path):
    assert "target stands more than once" in message(text_source(tmp_path, "image,target,target\na,1,1\n").load)


def test_spreadsheet(tmp_path):
    assert "save it as CSV" in message(text_source(tmp_path, b"PK", "mine.xlsx").load)


def test_broken_parquet(tmp_path):
    assert "can't be read as Parquet" in message(text_source(tmp_path, b"text", "mine.parquet").load)


def test_no_table_named():
    assert "data.table=mine.csv" in message(lambda: own_table(None, target="t"))


def test_missing_table_file(tmp_path):
    text = message(own_table(str(tmp_path / "nope.csv"), target="t").load)
    assert "there is no table file" in text and "nope.csv" in text


def test_folder_instead_of_a_table(tmp_path):
    assert "is a folder" in message(own_table(str(tmp_path), target="t").load)


def test_missing_data_set_says_where_to_get_it(tmp_path):
    source = TableSource(
        "ham", tmp_path / "ham", [{"file": "t.csv", "split": None}], "{id}.jpg", "target",
        homepage="https://example.org/ham", prepare_script="scripts/prepare_ham.py",
    )  # fmt: skip
    text = message(source.load)
    assert str(tmp_path / "ham" / "t.csv") in text
    assert "https://example.org/ham" in text and "scripts/prepare_ham.py" in text and "paths.data_dir" in text


def test_empty_id(make):
    frame = rows().assign(code=["a"] * 11 + [None])
    assert "mine.csv line 13: the id column 'code' is empty" in message(make(frame, id="code").load)


@pytest.mark.parametrize(
    ("keys", "part"),
    [
        ({"fractions": {"debias": 0.5, "val": 0.2}}, "sum to 1"),
        ({"fractions": {"debias": 0.5, "hold": 0.5}}, "unknown split hold"),
        ({"fractions": None}, "needs `fractions`"),
        ({"image": "{"}, "image template"),
        ({"image": "{}.jpg"}, "names no column"),
        ({"on_missing": "ignore"}, "on_missing=ignore"),
        ({"split": "fold"}, "no column 'fold' (for the split)"),
        ({"stratify": ["target", "agee"]}, "no attribute 'agee'"),
    ],
)
def test_arguments_that_contradict(make, keys, part):
    assert part in message(make(**keys).load)


def test_config_errors_are_config_errors(make):
    with pytest.raises(ConfigError):
        make(fractions={"debias": 2.0}).load()
    with pytest.raises(DataError):
        make(split="fold").load()
