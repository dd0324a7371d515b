"""Rows of the comparison, the CSV file, the terminal, the run folder's view and the picture."""

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from edit_json import edited, keep_one_model
from rich.console import Console
from sklearn.metrics import roc_curve

from biasmask.errors import StoreError
from biasmask.report.metric_names import samples_behind
from biasmask.report.picture import result_picture
from biasmask.report.plot_history import curve_panels
from biasmask.report.plot_mask import group_blocks
from biasmask.report.plot_scores import roc_points
from biasmask.report.run_folder import Estimate, MetricKey, load_run_folder
from biasmask.report.tables import compare, write_metrics_csv
from biasmask.report.terminal import print_summary

Copy = Callable[[Path], Path]


def printed(run_dir: Path) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    print_summary(run_dir, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_sections_are_ordered(full_run: Path) -> None:
    sections = compare(load_run_folder(full_run), "test")
    assert [section.title for section in sections] == [
        "Gaps by age", "Rates by age", "Overall", "Gaps by skin_tone", "Rates by skin_tone",
    ]  # fmt: skip
    assert [str(row.key) for row in sections[1].rows[:3]] == [
        "test/tpr/age=below_60", "test/tpr/age=60_and_over", "test/fpr/age=below_60",
    ]  # fmt: skip


def test_group_names_may_hold_slashes_and_equal_signs(hostile_run: Path) -> None:
    run = load_run_folder(hostile_run)
    assert run.groups("skin_tone") == ["[red]a/b=c", "{{ 7 }}", "&amp;"]
    key = MetricKey("test", "tpr", "skin_tone", "[red]a/b=c")
    assert MetricKey.parse(str(key)) == key and run.estimate("base", key) is not None


def test_samples_behind_each_metric() -> None:
    estimate = Estimate(0.5, n=100, n_positive=20)
    found = {metric: samples_behind(metric, estimate) for metric in ("tpr", "fpr", "auroc", "accuracy")}
    assert found == {"tpr": 20, "fpr": 80, "auroc": 20, "accuracy": 100}


def test_csv_has_a_row_a_model_and_key_and_reads_back(full_run: Path) -> None:
    run = load_run_folder(full_run)
    frame = pd.read_csv(write_metrics_csv(full_run), keep_default_na=False)
    assert len(frame) == sum(len(entries) for entries in run.estimates.values())
    row = frame[(frame["model"] == "debiased") & (frame["key"] == "test/auroc")].iloc[0]
    assert float(row["value"]) == run.estimates["debiased"]["test/auroc"].value
    assert float(row["difference"]) == run.differences["test/auroc"].value
    undefined = frame[(frame["model"] == "base") & (frame["key"] == "test/tpr/skin_tone=V-VI")].iloc[0]
    assert undefined["value"] == "" and undefined["reason"] == "no positive sample in V-VI"


def test_csv_of_hostile_names_reads_back(hostile_run: Path) -> None:
    frame = pd.read_csv(write_metrics_csv(hostile_run), keep_default_na=False)
    assert set(frame["group"]) >= {'"><img src=x>', "[red]a/b=c"}


def test_terminal_has_gaps_first_and_the_verdict_last(full_run: Path) -> None:
    text = printed(full_run)
    parts = ("Gaps by age", "Rates by age", "Overall", "The equalized")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "difference" in text and "n (positive)" in text and "skin_tone" not in text


def test_terminal_shows_names_as_they_are(hostile_run: Path, copied: Copy) -> None:
    run_dir = copied(hostile_run)
    with edited(run_dir / "run.json") as run:
        run["attribute"] = "skin_tone"
    text = printed(run_dir)
    assert "[red]a/b=c" in text and "undefined" in text and "note: no positive sample in &amp;" in text


def test_terminal_of_one_model_and_of_two_sets(full_run: Path, two_sets_run: Path, copied: Copy) -> None:
    assert "Test set: fitzpatrick17k" in printed(two_sets_run)
    run_dir = copied(full_run)
    keep_one_model(run_dir)
    text = printed(run_dir)
    assert "difference" not in text and "One model, no comparison" in text


def test_model_order_and_extra_stage(full_run: Path, copied: Copy) -> None:
    run_dir = copied(full_run)
    with edited(run_dir / "metrics.json") as metrics:
        metrics["models"] = {name: metrics["models"]["base"] for name in ("debiased", "impair", "base")}
    run = load_run_folder(run_dir)
    assert run.models == ["base", "impair", "debiased"]
    assert len(compare(run, "test")[0].rows[0].estimates) == 3


def test_roc_points_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    score, target = rng.integers(0, 20, 200) / 20, rng.integers(0, 2, 200)
    expected = roc_curve(target, score, drop_intermediate=False)
    for ours, theirs in zip(roc_points(score, target), expected, strict=False):
        np.testing.assert_allclose(ours, theirs)


@pytest.mark.parametrize(
    ("names", "blocks"),
    [
        ([f"layer{i}.{j}.conv{k}.weight" for i in range(4) for j in range(2) for k in range(3)], 8),
        ([f"blocks.{i}.{part}.weight" for i in range(12) for part in ("norm1", "attn.qkv", "mlp.fc1")], 12),
        ([f"layer3.{i}.conv{k}.weight" for i in range(60) for k in range(3)], 1),
        (["weight", "bias"], 1),
    ],
)
def test_blocks_follow_the_names(names: list[str], blocks: int) -> None:
    found = group_blocks([{"name": name} for name in names])
    assert len(found) == blocks
    assert [tensor["name"] for block in found for tensor in block.tensors] == names


def test_curves_skip_what_has_no_value() -> None:
    rows = [
        {"stage": "impair", "epoch": 0, "split": "train", "metric": "loss", "value": 0.5},
        {"stage": "impair", "epoch": 0, "split": "val", "metric": "auroc", "value": None},
        {"stage": "impair", "epoch": 1, "split": "val", "metric": "auroc", "value": math.inf},
    ]
    assert [(panel.stage, panel.metric) for panel in curve_panels(rows)] == [("impair", "loss")]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_picture_is_the_same_twice(full_run: Path, tmp_path: Path, suffix: str) -> None:
    first, second = (result_picture(full_run, tmp_path / f"{name}{suffix}").read_bytes() for name in "ab")
    assert first == second and 10_000 < len(first) < 500_000


def test_picture_of_hostile_names_and_of_one_model(hostile_run: Path, copied: Copy, tmp_path: Path) -> None:
    run_dir = copied(hostile_run)
    keep_one_model(run_dir)
    text = result_picture(run_dir, tmp_path / "one.svg").read_text(encoding="utf-8")
    assert "<script" not in text


def test_picture_into_a_folder_that_does_not_exist(full_run: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="picture.png"):
        result_picture(full_run, tmp_path / "no" / "picture.png")
