"""The experiments on HAM10000 and Fitzpatrick17k, on fake copies of their official layouts."""

from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import SHORT_STAGES, Runner
from tests.data.fake_layouts import fake_fitzpatrick17k, fake_ham10000

TONES = {
    "skin_tone": ["I-III", "IV-VI"],
    "skin_tone_v_vi": ["I-IV", "V-VI"],
    "skin_tone_pairs": ["I-II", "III-IV", "V-VI"],
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    fake_ham10000(folder)
    fake_fitzpatrick17k(folder)
    return folder


@pytest.mark.parametrize("attribute", ["age", "sex", "sex+age"])
def test_ham10000(attribute: str, runner: Runner, data_dir: Path) -> None:
    run = runner.train(
        "experiment=bmft_ham10000", f"paths.data_dir={data_dir}", f"attribute={attribute}", "data.image_size=32",
        "trainer.max_epochs=1", "data.batch_size=16", *SHORT_STAGES,
    )  # fmt: skip
    about = run.read("run.json")
    assert about["attribute"] == attribute and about["dataset"] == "ham10000"
    assert list(about["group_names"])[0] == attribute
    assert len(about["group_names"][attribute]) == (4 if "+" in attribute else 2)
    frame = pd.read_parquet(run.folder / "predictions" / "debiased_test.parquet")
    assert len(frame) == 42 and frame["id"].str.startswith("ISIC_00345").all(), "tested on the ISIC 2018 test table"
    assert {"attribute:age", "attribute:sex", f"attribute:{attribute}"} <= set(frame.columns)
    reasons = {e["reason"]: e["count"] for e in run.read("checker.json")["exclusions"]}
    assert sum(reasons.values()) == 5, "four rows without an image and the `healthy` one"


@pytest.mark.parametrize("attribute", TONES)
def test_fitzpatrick(attribute: str, runner: Runner, data_dir: Path) -> None:
    run = runner.train(
        "experiment=bmft_fitzpatrick", f"paths.data_dir={data_dir}", f"attribute={attribute}", "data.image_size=32",
        "trainer.max_epochs=1", *SHORT_STAGES,
    )  # fmt: skip
    about = run.read("run.json")
    assert about["attribute"] == attribute and about["group_names"][attribute] == TONES[attribute]
    values = run.read("metrics.json")["models"]["debiased"]
    for group in TONES[attribute]:
        assert f"test/tpr/{attribute}={group}" in values
    assert f"test/equalized_odds_max/{attribute}" in values


@pytest.mark.parametrize(
    ("experiment", "file", "homepage", "script"),
    [
        ("bmft_ham10000", "ham10000/HAM10000_metadata.csv", "doi.org/10.7910/DVN/DBW86T", "scripts/prepare_dataset.py ham10000"),
        (
            "bmft_fitzpatrick",
            "fitzpatrick17k/fitzpatrick17k.csv",
            "github.com/mattgroh/fitzpatrick17k",
            "scripts/prepare_dataset.py fitzpatrick17k",
        ),
    ],
)
def test_missing_data_set(experiment: str, file: str, homepage: str, script: str, runner: Runner, tmp_path: Path) -> None:
    text = runner.error(lambda: runner.train(f"experiment={experiment}", f"paths.data_dir={tmp_path}"))
    for word in (file, homepage, script):
        assert word in text


def test_the_baseline_is_one_for_all_attributes(runner: Runner, data_dir: Path, tmp_path: Path) -> None:
    common = ("experiment=bmft_ham10000", f"paths.data_dir={data_dir}", "data.image_size=32", "trainer.max_epochs=1",
              "data.batch_size=16", *SHORT_STAGES)  # fmt: skip
    runs = [runner.train(*common, f"attribute={a}", store=tmp_path / "store") for a in ("age", "sex")]
    assert [run.stage("baseline")["reused"] for run in runs] == [False, True]
    assert [run.stage("locate")["reused"] for run in runs] == [False, False]
