"""Every data set of configs/prepare on a fake copy in its official layout: prepared, its card, and the table its config makes."""

import importlib
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image

from biasmask.data.config_table import load_config
from biasmask.files import write_atomically
from tests.conftest import CONFIGS, REPOSITORY
from tests.data.scripts import prepare_dataset

NAMES = [path.stem for path in sorted((CONFIGS / "prepare").glob("*.yaml")) if OmegaConf.load(path).family == "image"]


def fake(name: str, folder: Path) -> Path:
    return importlib.import_module(f"tests.data.fake_releases.{name}").write(folder / "download")


@pytest.mark.parametrize("name", NAMES)
def test_from_the_official_layout_to_a_checked_table(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = importlib.import_module(f"tests.data.fake_releases.{name}")
    source, output = fake(name, tmp_path), tmp_path / "data"
    assert prepare_dataset(name, source, output, "--short-side", "20", "--workers", "2") == 0, capsys.readouterr().err
    frame = pd.read_parquet(output / name / "table.parquet")
    assert len(frame) == expected.ROWS and frame["id"].is_unique
    with Image.open(output / name / frame["image"][0]) as picture:
        assert min(picture.size) == 20 and picture.format == "JPEG"
    card = OmegaConf.to_container(OmegaConf.load(output / name / "card.json"))
    assert {e["reason"]: e["count"] for e in card["exclusions"]} == expected.LEFT_OUT
    attributes = {cell["attribute"] for cell in card["cells"]}
    for attribute in attributes:
        assert sum(cell["rows"] for cell in card["cells"] if cell["attribute"] == attribute) == expected.ROWS
    table, report = load_config(CONFIGS / "data" / f"{name}.yaml", output)
    assert set(table.frame["split"]) == {"train", "debias", "val", "test"}
    assert len(table.frame) == getattr(expected, "USED", expected.ROWS) and report.errors == []
    assert report.subjects_in_two_splits["count"] == 0
    if hasattr(expected, "SPLITS"):
        assert table.frame["split"].value_counts().to_dict() == expected.SPLITS
    assert attributes == set(OmegaConf.load(CONFIGS / "data" / f"{name}.yaml").attributes)
    assert prepare_dataset(name, source, output, "--short-side", "20") == 0
    assert f"0 written, {expected.ROWS} were there" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_download_is_told_in_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare_dataset(name, tmp_path, tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "https://" in error
    assert not (tmp_path / "data").exists()


def test_without_a_source_the_steps_and_the_terms_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare_dataset("ddi", tmp_path / "nope", tmp_path) == 2
    assert "Stanford AIMI" in (error := capsys.readouterr().err) and "not for commercial use" in error


def test_an_unknown_option_of_a_reader_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare_dataset("chexpert", tmp_path, tmp_path / "data", "--set", "uncertin=positive") == 2
    assert "did you mean 'uncertain'?" in capsys.readouterr().err


def chexpert(tmp_path: Path, *options: str) -> pd.DataFrame:
    assert prepare_dataset("chexpert", fake("chexpert", tmp_path), tmp_path / "data", "--short-side", "0", *options) == 0
    return pd.read_parquet(tmp_path / "data" / "chexpert" / "table.parquet")


def test_chexpert_policies(tmp_path: Path) -> None:
    frame = chexpert(tmp_path, "--set", "label=Edema", "--set", "uncertain=positive", "--set", "view=all")
    assert len(frame) == 104
    by_label = frame.groupby(frame["Edema"].astype(str).fillna("nan"))["target"].agg(set)
    assert by_label.to_dict() == {"nan": {"absent"}, "1.0": {"present"}, "0.0": {"absent"}, "-1.0": {"present"}}
    with Image.open(tmp_path / "data/chexpert" / frame["image"][0]) as picture:
        assert picture.mode == "L"


def test_chexpert_official_split_and_no_demographics(tmp_path: Path) -> None:
    source = fake("chexpert", tmp_path)
    next(source.glob("CHEXPERT DEMO.*")).unlink()
    assert prepare_dataset("chexpert", source, tmp_path / "data") == 0
    assert pd.read_parquet(tmp_path / "data/chexpert/table.parquet")["race_group"].isna().all()
    changes = {"split": "split", "report_attributes": ["sex"]}
    table, _ = load_config(CONFIGS / "data" / "chexpert.yaml", tmp_path / "data", **changes)
    assert table.frame.groupby("split")["raw:split"].unique().map(list).to_dict() == {
        "train": ["train"], "debias": ["train"], "val": ["train"], "test": ["test"],
    }  # fmt: skip


def test_isic2019_without_its_test_set_is_split_by_lesion(tmp_path: Path) -> None:
    source = fake("isic2019", tmp_path)
    for path in source.glob("ISIC_2019_Test_*.csv"):
        path.unlink()
    assert prepare_dataset("isic2019", source, tmp_path / "data") == 0
    assert "split" not in pd.read_parquet(tmp_path / "data/isic2019/table.parquet")
    table, report = load_config(CONFIGS / "data" / "isic2019.yaml", tmp_path / "data")
    assert len(table.frame) == 98 and report.subjects_in_two_splits["count"] == 0


def test_near_duplicates_leave_the_earlier_split_or_stay_together(tmp_path: Path) -> None:
    assert prepare_dataset("pad_ufes_20", fake("pad_ufes_20", tmp_path), tmp_path / "data") == 0
    config, data = CONFIGS / "data" / "pad_ufes_20.yaml", tmp_path / "data"
    before = load_config(config, data)[0].frame.set_index("id")
    train, test = before.index[before["split"] == "train"][0], before.index[before["split"] == "test"][0]
    rows = f"id_a,id_b,distance\n{train},{test},1\n{before.index[5]},{before.index[50]},7\n"
    write_atomically(data / "pad_ufes_20" / "near_duplicates.csv", rows)
    excluded, report = load_config(config, data, near_duplicates={"use": "exclude", "distance": 3})
    assert set(before.index) - set(excluded.frame["id"]) == {train}
    assert {"near duplicate of a test row"} <= {e["reason"] for e in report.exclusions}
    together = load_config(config, data, near_duplicates={"use": "together"})[0].frame.set_index("id")
    assert together["split"][train] == together["split"][test]
    assert together["split"][before.index[5]] == together["split"][before.index[50]]


def test_list_names_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare_dataset() == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in NAMES) and (REPOSITORY / "scripts/prepare_dataset.py").is_file()
