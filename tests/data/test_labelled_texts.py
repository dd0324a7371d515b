"""Labelled texts: reading, errors with their line, a split that is stratified and keeps equal texts together."""

from pathlib import Path

import numpy as np
import pytest

from biasmask.data.labelled_texts import LabelledTexts, read_labelled_texts, split_labelled_texts
from biasmask.errors import DataError

POLARITY = Path(__file__).resolve().parents[3] / "shared" / "data" / "text" / "sentence_polarity.csv"


def written(folder: Path, text: str) -> Path:
    path = folder / "texts.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_is_read(tmp_path: Path) -> None:
    table = read_labelled_texts(written(tmp_path, 'target,text\n1," a, b "\n0,007\n'))
    assert table.texts == ("a, b", "007")
    assert table.target.tolist() == [1, 0] and len(table) == 2
    other = read_labelled_texts(written(tmp_path, "label,sentence\n2,x\n5,y\n"), text="sentence", target="label")
    assert other.target.tolist() == [2, 5]


@pytest.mark.skipif(not POLARITY.is_file(), reason="sentence_polarity.csv (shared/data/text) is not here")
def test_the_film_reviews() -> None:
    table = read_labelled_texts(POLARITY)
    assert len(table) == 10_662 and np.bincount(table.target).tolist() == [5331, 5331]
    train, test = split_labelled_texts(table)
    assert np.bincount(table.target[test]).tolist() == [1066, 1066] and len(train) == 10_662 - 2132


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("text,label\na,1\n", "no column 'target': it has text, label"),
        ("text,target\na,1\n ,0\n", "line 3, column 'text': the text is empty"),
        ("text,target\na,1\nNA,0\n", "line 3, column 'text': the text is empty or NA"),
        ("text,target\na,1\nb,0.5\n", "line 3, column 'target': expected a whole number of at most 64 bits, got"),
        ("text,target\na,1\nb,pos\n", "line 2, column 'target': expected a whole number of at most 64 bits, got '1'"),
        ("text,target\na,1\nb,9999999999999999999\n", "line 3, column 'target': expected a whole number of at most 64 bits, got"),
        ("text,target\na,1\nb,1e300\n", "line 3, column 'target': expected a whole number of at most 64 bits, got"),
        ("text,target\na,1\nb,\n", "line 3, column 'target': expected a whole number of at most 64 bits, got"),
        ("text,target\na,1\nb,1\n", "column 'target': all labels are 1"),
        ("text,target\n", "no row below its header"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_labelled_texts(path)
    assert str(path) in str(caught.value) and words in str(caught.value)


def table(n: int = 60) -> LabelledTexts:
    return LabelledTexts(tuple(f"text {i}" for i in range(n)), np.arange(n) % 3)


def test_the_split_is_stratified_and_the_same_for_a_seed() -> None:
    train, test = split_labelled_texts(table(), seed=1, test_share=0.25)
    assert np.bincount(table().target[test]).tolist() == [5, 5, 5]
    assert sorted([*train, *test]) == list(range(60))
    again = split_labelled_texts(table(), seed=1, test_share=0.25)
    assert again[1].tolist() == test.tolist() != split_labelled_texts(table(), seed=2, test_share=0.25)[1].tolist()


def test_equal_texts_stay_on_one_side() -> None:
    texts = tuple(f"  Text {i % 10}" if i % 2 else f"text {i % 10}  " for i in range(40))
    twice = LabelledTexts(texts, np.arange(40) % 2)
    train, test = split_labelled_texts(twice, test_share=0.4)
    sides = [{texts[row].strip().lower() for row in rows} for rows in (train, test)]
    assert not sides[0] & sides[1] and len(test) == 16


def test_a_label_of_one_text_and_a_wrong_share_are_refused() -> None:
    with pytest.raises(DataError, match="label 7 has 1 text"):
        split_labelled_texts(LabelledTexts(("a", "b", "c"), np.array([1, 1, 7])))
    with pytest.raises(DataError, match="test_share is 1"):
        split_labelled_texts(table(), test_share=1.0)
    train, test = split_labelled_texts(table(6), test_share=0.01)
    assert len(test) == 3 and len(train) == 3
