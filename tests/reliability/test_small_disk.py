"""A disk that fills up for real: a small tmpfs under store, pixels and run folder, then the same command on a larger one."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import FinishedRun, in_fork
from tests.reliability.killed_runs import METHODS, job


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs of a size, or gives the mounted one another size."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: str) -> Path:
        options = f"size={size}" + (",remount" if place.is_mount() else "")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["image", "text"])
def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_once_there_is_room(
    family: str, disk: Callable[[str], Path], tmp_path: Path
) -> None:
    method = next(iter(METHODS[family]))
    job(family, method, tmp_path / "whole")()
    whole = FinishedRun(tmp_path / "whole" / "run", None)
    used = sum(path.stat().st_size for path in (tmp_path / "whole").rglob("*") if path.is_file()) // 1024
    for percent in (10, 30, 50, 70, 85, 95):
        place = disk(f"{max(64, used * percent // 100)}k") / "files"
        run = job(family, method, place, tmp_path / "parts")
        ended = in_fork(run, tmp_path / "output.txt")
        assert ended.code == 2 and "Traceback" not in ended.output, (percent, ended.output[-3000:])
        assert "disk full" in ended.output or "can't write" in ended.output or "make room" in ended.output
    disk(f"{used * 3}k")
    ended = in_fork(job(family, method, place, tmp_path / "parts"), tmp_path / "output.txt")
    assert ended.code == 0, ended.output[-3000:]
    assert FinishedRun(place / "run", None).figures == whole.figures
