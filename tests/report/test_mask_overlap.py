"""Overlap of block masks: against simulation and scipy, what can't be compared, and the script as a person calls it."""

import csv
import json
import math
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from edit_json import edited
from fake_text_run import write_fake_text_run
from scipy.stats import spearmanr
from test_report_html import Outline

from biasmask.errors import StoreError
from biasmask.report.mask_chance import chance_iou
from biasmask.report.mask_overlap import compare_masks, compare_runs, jaccard, rank_correlation
from biasmask.report.masked_runs import MaskedRun, find_masked_runs
from biasmask.report.overlap_page import CSV_COLUMNS, summaries, write_overlap_csv, write_overlap_page
from tests.conftest import REPOSITORY


def sweep(folder: Path, hostile: bool = False) -> Path:
    """Three block runs (the third with another label) and a head run."""
    for place, (seed, mask) in enumerate(((0, "block"), (1, "block"), (2, "block"), (3, "head"))):
        run_dir = write_fake_text_run(folder / str(place), mask=mask, seed=seed)
        with edited(run_dir / "run.json") as run:
            run["seed"] = seed
            run["label"] = ("<script>x</script>" if hostile else "random blocks") if place == 2 else run["label"]
        (run_dir / "overrides.txt").write_text(f"experiment=debias_text_demo\nseed={seed}\n", encoding="utf-8")
    return folder


def run_of(name: str, pruned: np.ndarray, **run: object) -> MaskedRun:
    return MaskedRun(name, run, {"0.query": ~pruned}, {(0, head): float(head) for head in range(4)})  # type: ignore[arg-type]


def test_chance_equals_a_simulation() -> None:
    rng = np.random.default_rng(0)
    sizes = [(60, 20, 30), (40, 35, 5), (10, 0, 10)]
    found = []
    for _ in range(4000):
        both = sum(len(set(rng.permutation(n)[:a]) & set(rng.permutation(n)[:b])) for n, a, b in sizes)
        found.append(both / (sum(a + b for _, a, b in sizes) - both))
    chance = chance_iou(sizes)
    assert chance.mean == pytest.approx(np.mean(found), abs=0.002)
    assert [chance.low, chance.high] == pytest.approx(list(np.quantile(found, [0.025, 0.975])), abs=0.02)


def test_chance_of_full_and_empty_masks() -> None:
    assert chance_iou([(50, 50, 20)]).mean == pytest.approx(0.4)  # one mask prunes all: the other is its part, whatever it is
    assert chance_iou([(50, 50, 20)]).low == chance_iou([(50, 50, 20)]).high
    assert chance_iou([(50, 0, 20)]).mean == 0.0 and math.isnan(chance_iou([(50, 0, 0)]).mean)


def test_random_masks_overlap_by_chance() -> None:
    rng = np.random.default_rng(1)
    found = [compare_masks(run_of("a", rng.random((40, 40)) < 0.3), run_of("b", rng.random((40, 40)) < 0.5)) for _ in range(60)]
    inside = [o.within.low <= o.iou <= o.within.high for o in found]
    assert np.mean(inside) > 0.85
    assert found[0].anywhere == found[0].within  # with one matrix the two levels are one


def test_equal_masks_overlap_whole() -> None:
    pruned = np.random.default_rng(2).random((12, 12)) < 0.4
    overlap = compare_masks(run_of("a", pruned, seed=0), run_of("b", pruned, seed=1))
    assert overlap.iou == 1.0 and overlap.same_setting and overlap.spearman == pytest.approx(1.0)
    assert jaccard({"a": ~pruned}, {"a": pruned}) == 0.0


def test_shared_scores_count_once() -> None:
    rng = np.random.default_rng(4)
    grids = [rng.random((2, 12, 1)) < 0.5 for _ in range(2)]
    tied, single = [], []
    for name, (query, output) in zip("ab", grids, strict=True):
        single.append(MaskedRun(name, {}, {"0.query": query, "0.output": output}, {}))
        tied.append(MaskedRun(name, {}, {"0.query": query, "0.key": query, "0.value": query, "0.output": output}, {}))
    assert compare_masks(*tied).iou == compare_masks(*single).iou and compare_masks(*tied).within == compare_masks(*single).within
    apart = [MaskedRun(run.name, {}, run.masks | {"0.key": run.masks["0.output"]}, {}) for run in tied]
    assert compare_masks(*apart).within != compare_masks(*single).within


def test_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 6, 72) / 6, rng.integers(0, 6, 72) / 6
    assert rank_correlation(list(x), list(y)) == pytest.approx(spearmanr(x, y).statistic)
    assert math.isnan(rank_correlation([1.0, 2.0], [1.0, 2.0]))


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (run_of("a", np.zeros((4, 4), bool)), run_of("b", np.ones((4, 4), bool)), "a pruned nothing"),
        (run_of("a", np.ones((4, 4), bool), model_name="x"), run_of("b", np.ones((4, 4), bool), model_name="y"), "encoders"),
        (run_of("a", np.ones((4, 4), bool)), run_of("b", np.ones((2, 2), bool)), "different grids"),
    ],
)
def test_what_cannot_be_compared_has_its_reason(first: MaskedRun, second: MaskedRun, reason: str) -> None:
    overlap = compare_masks(first, second)
    assert math.isnan(overlap.iou) and overlap.reason is not None and reason in overlap.reason
    assert math.isfinite(overlap.spearman) == (reason == "different grids")


def test_runs_of_a_sweep_are_found_and_told_apart(tmp_path: Path) -> None:
    runs = find_masked_runs([sweep(tmp_path)])
    assert [run.name for run in runs] == ["0", "1", "2", "3"]
    overlaps = compare_runs(runs)
    assert len(overlaps) == 6 and [o.same_setting for o in overlaps] == [True, False, False, False, False, False]
    seeds, methods, settings = summaries(overlaps)
    assert seeds.pairs == 1 and "block pruning, frozen" in seeds.title and seeds.title.endswith("other seeds")
    assert (methods.title, methods.pairs, settings.title, settings.pairs) == ("other methods", 3, "different settings", 2)
    (tmp_path / "1" / "overrides.txt").write_text("seed=1\ndebias.prune.optimizer.lr=0.1\n", encoding="utf-8")
    assert not any(o.same_setting for o in compare_runs(find_masked_runs([tmp_path / "0", tmp_path / "1"])))


def test_files_and_page(tmp_path: Path) -> None:
    runs = find_masked_runs([sweep(tmp_path / "sweep", hostile=True)])
    overlaps = compare_runs(runs)
    rows = list(csv.DictReader(write_overlap_csv(overlaps, tmp_path / "o.csv").read_text(encoding="utf-8").splitlines()))
    assert list(rows[0]) == list(CSV_COLUMNS) and float(rows[0]["iou"]) == overlaps[0].iou
    assert rows[2]["iou"] == "" and "different grids" in rows[2]["reason"] and rows[2]["spearman_heads"]
    page = write_overlap_page(runs, overlaps, tmp_path / "o.html").read_text(encoding="utf-8")
    outline = Outline(page)
    assert not outline.broken and not outline.open and not outline.unlabelled and not outline.links
    assert "<script" not in page and "&lt;script&gt;x" in page and not re.search(r"https?://", page)
    assert page.count('class="heat"') == 2 and "1 and 2: 0." in page


def test_script_prints_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    folder = sweep(tmp_path / "sweep")
    assert run_script(monkeypatch, str(folder)) == 0
    shown = capsys.readouterr().out
    assert "different settings" in shown and "mask_overlap.html" in shown and "only heads are compared" in shown
    assert (folder / "mask_overlap.csv").is_file() and (folder / "mask_overlap.html").is_file()
    assert run_script(monkeypatch, str(folder / "0")) == 2 and "it takes two" in capsys.readouterr().err
    assert run_script(monkeypatch, str(tmp_path / "none")) == 2 and "no such folder" in capsys.readouterr().err


def run_script(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["mask_overlap.py", *arguments])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(REPOSITORY / "scripts" / "mask_overlap.py"), run_name="__main__")
    return left.value.code


def test_damaged_mask_is_named(tmp_path: Path) -> None:
    run_dir = write_fake_text_run(tmp_path / "run")
    (run_dir / "block_mask.safetensors").write_bytes(b"cut off")
    with pytest.raises(StoreError, match=r"block_mask\.safetensors"):
        find_masked_runs([run_dir])
    assert json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["family"] == "text"
