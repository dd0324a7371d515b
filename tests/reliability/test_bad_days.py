"""A removed image, a loader process that dies, a clock that jumps: the run ends well, or in one line."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import get_worker_info

from biasmask.data import image_data
from biasmask.data.batches import PixelDataset
from tests.conftest import RENDERED, Runner, UserTable

READABLE = (".html", ".json", ".md", ".csv", ".txt", ".yaml", ".log")
SETTINGS = ("debias=none", "name=bad_day")


def test_an_image_removed_after_the_table_was_read(
    runner: Runner, user_table: UserTable, trained_net: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = image_data.open_pixel_store

    def remove_one_first(*args: Any, **keys: Any) -> Any:
        (user_table.path.parent / "images" / "007.png").unlink(missing_ok=True)
        return opened(*args, **keys)

    monkeypatch.setattr(image_data, "open_pixel_store", remove_one_first)
    run = runner.train(*user_table.overrides, f"model.ckpt_path={trained_net()}")
    assert run.read("checker.json")["unreadable"]["count"] == 1
    assert run.read("run.json")["final"] == "debiased"


def test_no_file_name_stands_in_what_is_handed_on(
    runner: Runner, user_table: UserTable, trained_net: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    images = user_table.path.parent / "images"
    (images / "004.png").write_text("this is no image\n")
    (images / "006.png").unlink()
    (images / "009.png").write_bytes((images / "008.png").read_bytes())
    run = runner.train(*user_table.overrides, f"model.ckpt_path={trained_net()}")
    printed = capsys.readouterr()
    texts = {path.name: path.read_text(encoding="utf-8") for path in run.folder.iterdir() if path.suffix in READABLE}
    assert {"report.html", "checker.json", "model_card.md", "run.json", "metrics.csv"} <= set(texts)
    for name, text in {**texts, "printed": printed.out + printed.err}.items():
        assert not [number for number in range(80) if f"{number:03d}.png" in text], name
    checker = run.read("checker.json")
    assert (checker["missing_images"]["count"], checker["unreadable"]["count"]) == (1, 1)
    assert "1 images can't be read (1 " in " ".join(checker["warnings"])


def test_images_removed_once_the_pixels_are_read(
    runner: Runner, user_table: UserTable, trained_net: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = image_data.open_pixel_store

    def remove_all_then(*args: Any, **keys: Any) -> Any:
        store = opened(*args, **keys)
        for path in (user_table.path.parent / "images").glob("*.png"):
            path.unlink()
        return store

    monkeypatch.setattr(image_data, "open_pixel_store", remove_all_then)
    run = runner.train(*user_table.overrides, f"model.ckpt_path={trained_net()}")
    assert run.read("checker.json")["unreadable"]["count"] == 0
    assert run.read("run.json")["final"] == "debiased"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_loader_process_that_dies_is_one_line(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = PixelDataset.__getitems__

    def die(self: PixelDataset, places: Any) -> Any:
        if get_worker_info() is not None:
            os._exit(9)
        return read(self, places)

    monkeypatch.setattr(PixelDataset, "__getitems__", die)
    text = runner.error(lambda: runner.train(*RENDERED, *SETTINGS, "data.num_workers=1", store=tmp_path / "store"))
    assert "a process that loads images ended" in text and "data.num_workers=0" in text


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0])
def test_a_clock_that_jumps_changes_no_figure(
    step: float, runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = runner.train(*RENDERED, *SETTINGS, store=tmp_path / "steady")
    now, calls = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: now() + step * next(calls))
    jumped = runner.train(*RENDERED, *SETTINGS, store=tmp_path / "jumped")
    assert jumped.figures == steady.figures
    seconds = [record["seconds"] for record in jumped.read("stages.json")]
    assert all(0 <= value < 600 for value in seconds)
