"""From a fake download of a public set to a finished run: an official split with a test set, and a patient's X-rays."""

import importlib
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import SHORT_STAGES, Runner
from tests.data.scripts import prepare_dataset


@pytest.mark.parametrize(("name", "attribute", "groups"), [("isic2019", "sex", 2), ("chexpert", "race", 3)])
def test_a_prepared_set_runs(name: str, attribute: str, groups: int, runner: Runner, tmp_path: Path) -> None:
    source = importlib.import_module(f"tests.data.fake_releases.{name}").write(tmp_path / "download")
    assert prepare_dataset(name, source, tmp_path / "data", "--short-side", "24") == 0
    run = runner.train(
        "experiment=bmft", f"data={name}", f"attribute={attribute}", f"paths.data_dir={tmp_path / 'data'}", "data.batch_size=16",
        *SHORT_STAGES,
    )  # fmt: skip
    about = run.read("run.json")
    assert about["dataset"] == name and len(about["group_names"][attribute]) == groups
    tested = pd.read_parquet(run.folder / "predictions" / "debiased_test.parquet")
    table = pd.read_parquet(tmp_path / "data" / name / "table.parquet")
    assert 0 < len(tested) < len(table) and set(tested["id"]) <= set(table["id"])
    if name == "isic2019":
        assert set(tested["id"]) == set(table.loc[table["split"] == "test", "id"]), "the official test set"
