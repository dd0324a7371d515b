"""Overlap of weight masks: both levels of chance against simulation, masks of whole channels, and runs that are told apart."""

import csv
import json
import math
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from biasmask.report.mask_chance import chance_iou, normal_iou, overlap_z, shared_places
from biasmask.report.mask_overlap import compare_masks, compare_runs
from biasmask.report.masked_runs import find_masked_runs, units_of
from biasmask.report.overlap_page import summaries
from tests.conftest import REPOSITORY

SHAPES = {"conv.weight": (40, 5, 3, 3), "norm.weight": (40,), "deep.weight": (30, 40)}
DENSITY = {"conv.weight": 0.02, "norm.weight": 0.5, "deep.weight": 0.2}


def random_mask(rng: np.random.Generator, density: dict[str, float]) -> dict[str, np.ndarray]:
    return {name: rng.random(shape) < density[name] for name, shape in SHAPES.items()}


def write_run(folder: Path, mask: dict[str, np.ndarray], granularity: str = "weight", **run: Any) -> Path:
    folder.mkdir(parents=True)
    about = {"backbone": "test_resnet", "dataset": "mine", "attribute": "sex", "label": "BMFT", "seed": 0, **run}
    (folder / "run.json").write_text(json.dumps(about), encoding="utf-8")
    info = {"granularity": granularity, "source_checkpoint": f"base of seed {about['seed']}"}
    (folder / "mask.json").write_text(json.dumps(info), encoding="utf-8")
    save_file(mask, folder / "mask.safetensors")
    rows = [
        {
            **{"tensor": name, "layer": place, "block": name.partition(".")[0], "head": None, "kind": "conv"},
            **{"parameters": own.size, "selected": float(own.sum()), "changed": None},
            **{"bias_importance": None, "task_importance": None},
        }
        for place, (name, own) in enumerate(mask.items())
    ]
    content = {"schema": 1, "rows": rows, "selected_by": "mask", "changed_known": False}
    (folder / "bias_map.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "overrides.txt").write_text(f"attribute={about['attribute']}\nseed={about['seed']}\n", encoding="utf-8")
    return folder


def test_independent_masks_of_equal_densities_lie_at_the_level_of_the_same_layers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for place in range(8):
        write_run(tmp_path / str(place), random_mask(rng, DENSITY), seed=place)
    overlaps = compare_runs(find_masked_runs([tmp_path]))
    assert abs(np.mean([o.z_within for o in overlaps])) < 0.5 and 0.7 < np.std([o.z_within for o in overlaps]) < 1.4
    assert np.mean([o.iou for o in overlaps]) == pytest.approx(np.mean([o.within.mean for o in overlaps]), abs=0.01)
    # they agree in which tensors they take: far above masks that lie anywhere
    assert min(o.z_anywhere for o in overlaps) > 4 and all(o.iou > o.anywhere.high for o in overlaps)
    assert all(o.spearman_blocks == 1.0 and o.n_blocks == 3 for o in overlaps)
    assert all(o.kind == "other seeds" and o.reason is None and math.isnan(o.attention) for o in overlaps)


def test_both_levels_equal_a_simulation() -> None:
    rng = np.random.default_rng(1)
    sizes = [(500, 20, 30), (40, 25, 10)]
    shared = [
        sum(len(set(rng.permutation(n)[:a]) & set(rng.permutation(n)[:b])) for n, a, b in sizes) for _ in range(3000)
    ]  # fmt: skip
    mean, deviation = shared_places(sizes)
    assert [mean, deviation] == pytest.approx([np.mean(shared), np.std(shared)], rel=0.05)
    assert overlap_z(sizes, round(mean + 2 * deviation)) == pytest.approx(2.0, abs=0.5 / deviation)


def test_many_places_are_taken_as_normal() -> None:
    sizes = [(9000, 2000, 3000), (4000, 300, 100)]
    exact, normal = chance_iou(sizes), normal_iou(sizes, 5400)
    assert normal.mean == pytest.approx(exact.mean, rel=1e-5)
    assert [normal.low, normal.high] == pytest.approx([exact.low, exact.high], rel=0.01)
    large = chance_iou([(10**7, 10**5, 10**5)])
    assert large.mean == pytest.approx(0.01 / 1.99, rel=1e-3) and large.low < large.mean < large.high
    assert math.isnan(overlap_z([(10, 10, 4)], 4))  # a mask that takes everything leaves nothing to chance


def test_whole_channels_and_tensors_are_one_choice_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = [rng.random(40) < 0.3 for _ in range(2)]
    runs = [
        write_run(tmp_path / str(i), {"conv.weight": np.repeat(own, 45).reshape(40, 5, 3, 3)}, "channel", seed=i)
        for i, own in enumerate(rows)
    ]
    first, second = find_masked_runs(runs)
    overlap = compare_masks(first, second)
    assert first.unit == "channels" and first.pruned == int(rows[0].sum())
    assert overlap.iou == pytest.approx((rows[0] & rows[1]).sum() / (rows[0] | rows[1]).sum())
    assert units_of(np.ones((2, 3), bool), "layer").tolist() == [False]
    weights = write_run(tmp_path / "w", {"conv.weight": rng.random((40, 5, 3, 3)) < 0.3})
    assert "different grids" in str(compare_masks(first, find_masked_runs([weights])[0]).reason)


def test_pairs_are_told_apart_by_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    about = [{"seed": 1}, {"seed": 2}, {"seed": 1, "attribute": "age"}, {"seed": 1, "label": "random mask"}]
    for place, own in enumerate(about):
        write_run(tmp_path / "sweep" / str(place), random_mask(rng, DENSITY), **own)
    overlaps = compare_runs(find_masked_runs([tmp_path]))
    assert [o.kind for o in overlaps] == [
        *("other seeds", "other attributes, same seed", "other methods, same seed", "other attributes", "other methods"),
        "different settings",
    ]
    assert len(summaries(overlaps)) == 6
    monkeypatch.setattr(sys, "argv", ["mask_overlap.py", str(tmp_path / "sweep"), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(REPOSITORY / "scripts" / "mask_overlap.py"), run_name="__main__")
    assert left.value.code == 0
    rows = list(csv.DictReader((tmp_path / "mask_overlap.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["unit"] for row in rows} == {"weights"} and {row["same_base"] for row in rows} == {"0", "1"}
    page = (tmp_path / "mask_overlap.html").read_text(encoding="utf-8")
    assert "Rank correlation of blocks" in page and "random mask" in page


def test_other_backbones_and_soft_masks_say_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    runs = [write_run(tmp_path / str(i), random_mask(rng, DENSITY), seed=i) for i in range(2)]
    other = write_run(tmp_path / "other", random_mask(rng, DENSITY), backbone="test_vit")
    first, second, third = find_masked_runs([*runs, other])
    assert compare_masks(first, third).reason == "different encoders"
    (runs[1] / "mask.json").write_text(json.dumps({"kind": "soft"}), encoding="utf-8")
    soft = find_masked_runs([runs[1]])[0]
    overlap = compare_masks(first, soft)
    assert "soft mask" in str(overlap.reason) and math.isnan(overlap.iou) and overlap.spearman_blocks == 1.0
    assert second.pruned > 0 and soft.pruned == 0
