"""The shipped data configs on fake copies of the official layouts, and on the real data where it is there."""

import os
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from biasmask.data.attributes import encode_attribute
from biasmask.data.config_table import load_config
from biasmask.data.own_table import own_table
from biasmask.data.table import MISSING_IMAGE, Table
from biasmask.errors import DataError
from tests.data.fake_layouts import fake_fitzpatrick17k, fake_ham10000

REPO = Path(__file__).resolve().parents[2]
CONFIGS = REPO / "configs" / "data"
DATA = Path(os.environ.get("BIASMASK_DATA_DIR") or REPO.parent / "shared" / "data")


def needs(name: str) -> pytest.MarkDecorator:
    reason = f"no {name} below {DATA}; set BIASMASK_DATA_DIR to the data folder"
    return pytest.mark.skipif(not (DATA / name / "images").is_dir(), reason=reason)


def excluded(table: Table) -> dict[str, int]:
    return {e.reason: e.count for e in table.exclusions}


@pytest.mark.parametrize("name", ["ham10000", "fitzpatrick17k"])
def test_without_the_data_the_error_says_what_to_do(tmp_path, name):
    with pytest.raises(DataError) as caught:
        load_config(CONFIGS / f"{name}.yaml", tmp_path)
    text = str(caught.value)
    assert str(tmp_path / name) in text and "https://" in text and f"scripts/prepare_dataset.py {name}" in text
    assert "\n" not in text
    assert (REPO / "scripts" / "prepare_dataset.py").is_file()


@pytest.mark.parametrize("name", ["ham10000", "fitzpatrick17k", "csv"])
def test_config_is_short_and_explains_its_keys(name):
    lines = (CONFIGS / f"{name}.yaml").read_text().splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 140


def test_fake_ham10000(tmp_path):
    fake_ham10000(tmp_path)
    table, report = load_config(CONFIGS / "ham10000.yaml", tmp_path)
    assert table.class_names == ("benign", "malignant")
    assert excluded(table) == {"target dx is 'healthy', neither positive nor negative": 1, MISSING_IMAGE: 4}
    assert (table.frame["split"] == "test").sum() == 42
    assert list(report.counts["debias"]) == ["age", "sex"]
    assert report.subjects_in_two_splits["count"] == 0
    assert report.errors == []


def test_fake_ham10000_by_diagnosis(tmp_path):
    fake_ham10000(tmp_path)
    table, report = load_config(CONFIGS / "ham10000_diagnoses.yaml", tmp_path)
    whole, _ = load_config(CONFIGS / "ham10000.yaml", tmp_path)
    assert table.class_names == ("nv", "mel", "bkl", "bcc", "akiec", "vasc", "df")
    assert table.frame["raw:dx"].tolist() == [table.class_names[index] for index in table.frame["target"]]
    assert table.frame["id"].tolist() == whole.frame["id"].tolist()
    assert table.frame.groupby("split")["target"].nunique().to_dict() == {"train": 7, "debias": 7, "val": 7, "test": 7}
    assert report.errors == []


def test_other_groups_of_an_attribute_leave_the_split_as_it_is(tmp_path):
    fake_ham10000(tmp_path)
    before, _ = load_config(CONFIGS / "ham10000.yaml", tmp_path)
    after, report = load_config(CONFIGS / "ham10000.yaml", tmp_path, attributes={"age": {"bins": [50]}})
    assert list(report.counts["test"]["age"]) == ["below_50", "50_and_over", "(missing)"]
    pd.testing.assert_series_equal(before.frame["split"], after.frame["split"])


def test_fake_fitzpatrick17k(tmp_path):
    fake_fitzpatrick17k(tmp_path)
    table, report = load_config(CONFIGS / "fitzpatrick17k.yaml", tmp_path)
    assert excluded(table) == {MISSING_IMAGE: 40}
    assert list(report.counts["test"]) == ["skin_tone", "skin_tone_v_vi", "skin_tone_pairs"]
    assert report.errors == []


def test_csv_config_names_every_argument_of_its_source(tmp_path):
    frame = pd.DataFrame(
        {"image": [f"{n}.jpg" for n in range(20)], "target": [0, 1] * 10, "sex": ["f", "f", "m", "m"] * 5}
    )
    frame.to_csv(tmp_path / "mine.csv", index=False)
    for name in frame["image"]:
        (tmp_path / name).touch()
    tree = OmegaConf.create({"data": OmegaConf.load(CONFIGS / "csv.yaml")})
    tree.data.table = str(tmp_path / "mine.csv")
    keys = OmegaConf.to_container(tree.data.source, resolve=True)
    target = keys.pop("_target_")
    assert target == f"{own_table.__module__}.{own_table.__name__}" and keys.pop("_convert_") == "all"
    table = own_table(**keys).load()
    assert table.frame["split"].value_counts().to_dict() == {"debias": 10, "test": 6, "val": 4}


@needs("ham10000")
def test_real_ham10000():
    table, report = load_config(CONFIGS / "ham10000.yaml", DATA)
    frame = table.frame
    assert len(frame) == 5984 + 1512
    assert excluded(table) == {"target dx is 'healthy', neither positive nor negative": 109, MISSING_IMAGE: 4031}
    cut = frame[frame["split"] != "test"]
    for split, fraction in {"train": 0.5, "debias": 0.3, "val": 0.2}.items():
        part = cut[cut["split"] == split]
        assert len(part) / len(cut) == pytest.approx(fraction, abs=0.02)
        assert part["target"].mean() == pytest.approx(cut["target"].mean(), abs=0.02)
    assert report.subjects_in_two_splits["count"] == 0 and report.errors == []
    totals = {
        (attribute, group): tuple(
            sum(report.counts[s][attribute][group][c] for s in report.counts) for c in table.class_names
        )
        for attribute, group in (("age", "below_60"), ("age", "60_and_over"), ("sex", "female"), ("sex", "male"))
    }
    assert totals == {
        ("age", "below_60"): (4380, 367), ("age", "60_and_over"): (1605, 826),
        ("sex", "female"): (2849, 450), ("sex", "male"): (3124, 742),
    }  # fmt: skip
    crossed = encode_attribute("sex+age", OmegaConf.load(CONFIGS / "ham10000.yaml").attributes, table)
    assert len(crossed.group_names) == 4 and (crossed.index >= 0).sum() > 7000


@needs("fitzpatrick17k")
def test_real_fitzpatrick17k():
    table, report = load_config(CONFIGS / "fitzpatrick17k.yaml", DATA)
    assert len(table.frame) == 2853 and excluded(table) == {MISSING_IMAGE: 13724}
    light = sum(report.counts[s]["skin_tone"]["I-III"]["malignant"] for s in report.counts)
    dark = sum(report.counts[s]["skin_tone"]["IV-VI"]["malignant"] for s in report.counts)
    assert (light, dark) == (1058, 358)
    for split, fraction in {"train": 0.45, "debias": 0.25, "val": 0.1, "test": 0.2}.items():
        assert len(table.rows(split)) / 2853 == pytest.approx(fraction, abs=0.02)
    assert report.missing_attributes["skin_tone"] == {"fitzpatrick_scale is '-1'": 93}
    assert report.errors == []
