"""A disk that is full or can't be written: one line, and what stood there before is kept."""

import ctypes
import errno
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biasmask.errors import StoreError
from biasmask.files import write_atomically, write_json
from biasmask.pipeline.store import ArtefactStore
from tests.conftest import Runner, in_fork


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_old_content_is_kept(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"a": 1})
    monkeypatch.setattr(os, call, full)
    with pytest.raises(StoreError, match="disk full while writing .*metrics.json: free some space") as caught:
        write_json(path, {"a": 2})
    assert "\n" not in str(caught.value)
    assert path.read_text() == '{\n "a": 1\n}\n'
    assert os.listdir(tmp_path) == ["metrics.json"], "no temporary file is left"


def test_no_nan_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"value": float("nan")})


def test_a_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)

    def half(folder: Path) -> None:
        (folder / "weights").write_bytes(b"half")
        full()

    with pytest.raises(StoreError, match="disk full"):
        store.obtain("baseline", "k" * 40, half, {})
    assert not store.folder("baseline", "k" * 40).exists()
    folder, reused = store.obtain("baseline", "k" * 40, lambda f: write_atomically(f / "weights", b"whole"), {})
    assert not reused and (folder / "weights").read_bytes() == b"whole"
    assert store.obtain("baseline", "k" * 40, half, {}) == (folder, True)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_loses_no_result_of_a_finished_run(call: str, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runner.rendered("debias=last_layer", "debias.repair.epochs=1", "name=full")
    before = {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()}
    monkeypatch.setattr(os, call, full)
    text = runner.error(lambda: runner.rendered("debias=last_layer", "debias.repair.epochs=1", "name=full", folder=run.folder))
    assert "disk full" in text
    assert {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("stage", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("baseline", "locate")), "impair"])
def test_a_file_that_grows_too_large_in_a_stage(stage: str, runner: Runner, tmp_path: Path) -> None:
    """The system itself refuses to write: no file may be larger than 100 kB."""
    store = tmp_path / "store"
    runner.rendered("debias.stages=[]")  # the pixels are decoded already
    if stage == "locate":
        runner.rendered("debias.stages=[]", store=store)
    if stage == "impair":
        runner.rendered("debias.stages=[]", store=store)
        runner.rendered("debias.stages=[locate]", store=store)

    def job() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        runner.rendered(folder=tmp_path / "run", store=store)

    ended = in_fork(job, tmp_path / "output.txt")
    assert ended.code == 2, ended.output
    assert "Traceback" not in ended.output and "error: can't write" in ended.output
    assert str(store / ("importance" if stage == "locate" else "finetune" if stage == "impair" else stage)) in ended.output
    run = runner.rendered("name=after", store=store)
    assert (run.folder / "metrics.json").is_file()


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A folder that even root can't make: below a file."""
    (tmp_path / "file").touch()
    return tmp_path / "file"


PLACES: dict[str, Callable[[Path], str]] = {
    "store": lambda place: f"paths.store_dir={place / 'store'}",
    "pixels": lambda place: f"paths.cache_dir={place / 'pixels'}",
}


@pytest.mark.parametrize("what", PLACES)
def test_a_folder_that_cannot_be_written(what: str, runner: Runner, unwritable: Path) -> None:
    text = runner.error(lambda: runner.rendered(PLACES[what](unwritable)))
    assert str(unwritable) in text


def test_a_run_folder_that_cannot_be_written(runner: Runner, unwritable: Path) -> None:
    assert "can't write" in runner.error(lambda: runner.rendered(folder=unwritable / "run"))


def without_capabilities() -> None:
    """From now on permissions bind this process, even root's (capset(2) with none, version 3 of its structs)."""
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
@pytest.mark.parametrize("what", ["store", "pixels", "run"])
def test_a_folder_that_is_read_only(what: str, runner: Runner, tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("store", "pixels", "run")}
    for name, place in places.items():
        place.mkdir(mode=0o500 if name == what else 0o700)

    def job() -> None:
        without_capabilities()
        cache = f"paths.cache_dir={places['pixels']}"
        runner.rendered("debias.stages=[]", cache, folder=places["run"], store=places["store"])

    ended = in_fork(job, tmp_path / "output.txt")
    assert ended.code == 2, ended.output
    assert "Traceback" not in ended.output and "Permission denied" in ended.output and str(places[what]) in ended.output
    assert os.listdir(places[what]) == []
