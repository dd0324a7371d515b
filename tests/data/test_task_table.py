"""Tables of tasks: labels and grades, a split of their own or none, pairs, damaged tables."""

from pathlib import Path

import pandas as pd
import pytest

from biasmask.data.task_table import read_task
from biasmask.errors import DataError


def written(folder: Path, **columns: object) -> Path:
    path = folder / "mine.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_a_split_of_its_own_is_kept_and_thinned(tmp_path: Path) -> None:
    texts, labels = [f"text {n}" for n in range(20)], [n % 2 for n in range(20)]
    path = written(tmp_path, text=texts, target=labels, split=["train"] * 12 + ["test"] * 8)
    table = read_task(str(path), tmp_path, 100, 0)
    assert table.train.tolist() == list(range(12)) and table.test.tolist() == list(range(12, 20))
    assert table.name == "mine" and not table.graded and table.seconds == ()
    few = read_task(str(path), tmp_path, 10, 0)
    assert len(few.train) == len(few.test) == 5 and set(few.train) < set(range(12))
    assert few.train.tolist() == read_task(str(path), tmp_path, 10, 0).train.tolist() == sorted(few.train)


def test_without_a_split_halves_are_drawn(tmp_path: Path) -> None:
    path = written(tmp_path, text=list("abcdefgh"), target=[0, 1] * 4)
    table = read_task(str(path), tmp_path, 100, 0)
    assert len(table.train) == len(table.test) == 4 and not set(table.train) & set(table.test)


def test_grades_are_of_pairs_and_train_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, text=list("abc"), text_b=list("def"), target=[0.0, 2.5, 5.0])
    table = read_task(str(path), tmp_path, 100, 0)
    assert table.graded and not len(table.train) and table.test.tolist() == [0, 1, 2] and table.seconds == ("d", "e", "f")
    with pytest.raises(DataError, match="no column text_b"):
        read_task(str(written(tmp_path, text=list("abc"), target=[0.0, 2.5, 5.0])), tmp_path, 100, 0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a", "b"], "target": [0, 1], "split": ["train", "train"]}, "no row of test"),
        ({"text": ["a", "b"]}, "has no column 'target'"),
        ({"words": ["a", "b"], "target": [0.5, 1.0]}, "has no column 'text'"),
        ({"text": ["a", None], "text_b": ["a", "b"], "target": [0.5, 1.0]}, "line 3, column 'text': the text is empty"),
        ({"text": ["a", "b"], "text_b": ["a", None], "target": [0, 1]}, "line 3, column 'text_b': the text is empty"),
        ({"text": ["a", "b"], "target": ["x", "y"]}, "expected a whole number of at most 64 bits, got 'x'"),
    ],
)
def test_damaged_tables_are_told(columns: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_task(str(written(tmp_path, **columns)), tmp_path, 100, 0)
