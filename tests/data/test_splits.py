"""Splits: the hash never looks at other rows, subjects are never divided, strata keep their proportions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biasmask.data.own_table import own_table
from biasmask.data.splits import SPLITS, column_split, fold_split, hash_split, strata_of, stratified_split
from biasmask.data.table import TableSource
from biasmask.errors import BiasmaskError, ConfigError, DataError

FRACTIONS = {"train": 0.45, "debias": 0.25, "val": 0.1, "test": 0.2}
SHARES = {"debias": 0.4, "val": 0.2, "test": 0.4}


def shares(splits: np.ndarray) -> dict[str, float]:
    return {name: float((splits == name).mean()) for name in SPLITS}


def test_hash_split_of_an_id_ignores_the_other_rows():
    ids = [f"{n:08x}" for n in range(4000)]
    whole = hash_split(ids, FRACTIONS)
    half = np.random.default_rng(0).permutation(4000)[:2000]
    assert (hash_split([ids[n] for n in half], FRACTIONS) == whole[half]).all()
    assert shares(whole) == pytest.approx(FRACTIONS, abs=0.02)


def test_hash_split_is_the_same_on_every_machine():
    """Computed with sha256sum: .7259, .8088, .3934, .4101. A change here gives every published test set other rows."""
    expected = ["val", "test", "train", "train"]
    ids = ["5e82a45bc5d78bd24ae9202d194423f8", "fa2911a9b13b6f8af79cb700937cc14f",
           "d2bac3c9e4499032ca8e9b07c7d3bc40", "0a94359e7eaacd7178e06b2823777789"]  # fmt: skip
    assert hash_split(ids, FRACTIONS).tolist() == expected


def test_hash_split_has_a_salt():
    ids = [str(n) for n in range(1000)]
    assert (hash_split(ids, FRACTIONS, 0) != hash_split(ids, FRACTIONS, 1)).mean() > 0.5


def test_stratified_split_keeps_subjects_whole_and_strata_in_proportion():
    random = np.random.default_rng(0)
    size = random.choice([1, 1, 1, 2, 3, 6], 1500)
    subject = np.repeat(np.arange(1500), size)
    stratum = np.repeat(random.choice(5, 1500, p=[0.6, 0.2, 0.1, 0.08, 0.02]), size)
    names = [f"s{n}" for n in subject]
    splits = stratified_split(names, stratum, FRACTIONS)
    assert pd.DataFrame({"s": names, "split": splits}).groupby("s")["split"].nunique().max() == 1
    assert shares(splits) == pytest.approx(FRACTIONS, abs=0.005)
    for n in range(5):
        inside = splits[stratum == n]
        assert shares(inside) == pytest.approx(FRACTIONS, abs=0.005 + 6 / len(inside))


def test_stratified_split_ignores_row_order_and_has_a_seed():
    names = [f"s{n % 70}" for n in range(200)]
    stratum = np.array([n % 70 % 3 for n in range(200)])
    whole = stratified_split(names, stratum, FRACTIONS)
    order = np.random.default_rng(0).permutation(200)
    again = stratified_split([names[n] for n in order], stratum[order], FRACTIONS)
    assert (again == whole[order]).all()
    assert (stratified_split(names, stratum, FRACTIONS, seed=1) != whole).any()


def test_a_subject_in_several_strata_is_not_divided():
    splits = stratified_split(["a", "a", "b", "b"], np.array([0, 1, 1, 0]), {"debias": 0.5, "val": 0.5})
    assert splits[0] == splits[1] and splits[2] == splits[3] and splits[0] != splits[2]


def test_rare_strata_do_not_all_fall_into_the_largest_split():
    splits = stratified_split([str(n) for n in range(200)], np.arange(200), {"train": 0.6, "val": 0.4})
    assert shares(splits)["val"] == pytest.approx(0.4, abs=0.01)


def test_no_row():
    assert len(stratified_split([], np.zeros(0, int), FRACTIONS)) == 0
    assert len(hash_split([], FRACTIONS)) == 0
    assert len(strata_of([], 0)) == 0


def test_column_names_are_understood():
    values = np.array(["Train", "training", "valid", "validation", "VAL", "debias", "test", None], dtype=object)
    expected = ["train", "train", "val", "val", "val", "debias", "test", None]
    assert column_split(values, None, str).tolist() == expected
    assert column_split(np.array(["a"], dtype=object), {"a": "debias"}, str).tolist() == ["debias"]


def test_unknown_split_name():
    with pytest.raises(DataError, match="line 0: 'holdout' is no split"):
        column_split(np.array(["holdout"], dtype=object), None, lambda row: f"t.csv line {row}")
    with pytest.raises(ConfigError, match="mapped to 'x'"):
        column_split(np.array([], dtype=object), {"a": "x"}, str)


@pytest.fixture
def own(tmp_path: Path):
    def make(frame: pd.DataFrame, **keys) -> TableSource:
        frame.to_csv(tmp_path / "t.csv", index=False)
        for name in frame["image"]:
            (tmp_path / name).touch()
        return own_table(
            str(tmp_path / "t.csv"), **{"target": "target", "fractions": {"debias": 0.5, "val": 0.5}} | keys
        )

    return make


def rows(count: int = 40) -> pd.DataFrame:
    return pd.DataFrame({"image": [f"{n}.jpg" for n in range(count)], "target": [n % 2 for n in range(count)]})


def test_auto_takes_the_column_where_there_is_one(own):
    frame = rows().assign(split=["debias", "validation", "test", None] * 10)
    table = own(frame).load()
    assert table.frame["split"].tolist() == ["debias", "val", "test"] * 10
    assert [(e.reason, e.count) for e in table.exclusions] == [("split is empty", 10)]


def test_auto_splits_by_subject_where_there_is_no_column(own):
    table = own(rows().assign(person=[f"p{n // 4}" for n in range(40)]), subject="person").load()
    assert table.frame.groupby("subject")["split"].nunique().max() == 1
    assert table.frame["split"].value_counts().to_dict() == {"debias": 20, "val": 20}


def test_folds_of_an_own_table(own):
    tested = [own(rows(), fractions=SHARES, folds=4, fold=fold).load().rows("test").tolist() for fold in range(4)]
    assert sorted(sum(tested, [])) == list(range(40)) and {len(fold) for fold in tested} == {10}
    with pytest.raises(ConfigError, match="the column 'split' splits the rows; folds need data.split=stratified or hash"):
        own(rows().assign(split="test"), folds=4).load()


def test_a_named_column(own):
    assert own(rows().assign(fold=["val", "test"] * 20), split="fold").load().rows("test").tolist() == list(
        range(1, 40, 2)
    )


def test_unknown_value_in_the_split_column_names_its_line(own):
    frame = rows().assign(split=["debias"] * 30 + ["holdout"] * 10)
    with pytest.raises(BiasmaskError, match=r"t.csv line 32: 'holdout' is no split"):
        own(frame).load()
    table = own(frame, split_names={"holdout": "test"}).load()
    assert len(table.rows("test")) == 10


def test_hash_split_by_subject(own):
    frame = rows().assign(person=[f"p{n // 4}" for n in range(40)])
    table = own(frame, subject="person", split="hash").load()
    assert table.frame.groupby("subject")["split"].nunique().max() == 1


def test_hash_split_of_a_table_cut_in_half(own):
    whole = own(rows(), split="hash").load().frame.set_index("id")["split"]
    half = own(rows().iloc[5:25], split="hash").load().frame.set_index("id")["split"]
    assert half.equals(whole[half.index])


def test_rows_without_subject_stand_for_themselves(own):
    table = own(rows().assign(person=[None] * 40), subject="person").load()
    assert table.frame["subject"].tolist() == table.frame["id"].tolist()


def test_each_file_may_have_a_split_of_its_own(own, tmp_path):
    source = own(rows())
    extra = rows(4).assign(image=["a", "b", "c", "d"])
    extra.to_csv(tmp_path / "extra.csv", index=False)
    for name in extra["image"]:
        (tmp_path / name).touch()
    source.files = [*source.files, {"file": "extra.csv", "split": "test"}]
    assert source.load().frame["split"].tolist()[-4:] == ["test"] * 4
    source.files[1]["split"] = {"method": "hash", "fractions": {"train": 1}}
    assert source.load().frame["split"].tolist()[-4:] == ["train"] * 4
    source.files[1]["split"] = "holdout"
    with pytest.raises(ConfigError, match="must be one of"):
        source.load()


@pytest.mark.parametrize("hashed", [False, True], ids=["stratified", "hash"])
def test_every_subject_is_tested_on_in_one_fold(hashed: bool):
    random = np.random.default_rng(0)
    subject = np.repeat(np.arange(300), random.integers(1, 4, 300))
    target = (subject % 4 == 0).astype(np.int64)
    names = [f"s{n}" for n in subject]
    cuts = [fold_split(names, None if hashed else target, SHARES, 5, fold) for fold in range(5)]
    tested = np.stack([cut == "test" for cut in cuts])
    assert (tested.sum(0) == 1).all()
    for cut in cuts:
        assert pd.DataFrame({"subject": subject, "split": cut}).groupby("subject")["split"].nunique().max() == 1
        assert 0.5 < (cut == "debias").sum() / (cut != "test").sum() < 0.85  # two to one
    if not hashed:
        assert tested.sum(1).max() - tested.sum(1).min() <= 4
        assert all(0.15 <= target[cut == "test"].mean() <= 0.35 for cut in cuts)
    again = fold_split(names, None if hashed else target, SHARES, 5, 0)
    other = fold_split(names, None if hashed else target, SHARES, 5, 0, seed=1)
    assert (again == cuts[0]).all() and (other != cuts[0]).any()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"folds": 1}, "data.folds=1 must be at least 2"),
        ({"fold": 2}, "data.fold=2: with data.folds=2 the folds are 0 to 1"),
        ({"fractions": {"debias": 0.5, "val": 0.5}}, "repeat splits with data.split_seed"),
        ({"folds": 5}, "4 subjects can't make 5 folds"),
    ],
)
def test_folds_that_can_not_be_made(change: dict, message: str):
    settings = {"fractions": SHARES, "folds": 2, "fold": 0, **change}
    with pytest.raises((ConfigError, DataError), match=message):
        fold_split(list("aabcd"), np.zeros(5, dtype=np.int64), **settings)
