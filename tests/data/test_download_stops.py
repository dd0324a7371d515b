"""Downloads that are stopped, that meet another process, or that fill the disk."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from biasmask.data.download import download_files
from biasmask.data.download_file import DownloadFile
from biasmask.data.host_gate import HostGate
from biasmask.errors import DataError
from tests.data.bad_server import BODY, SHA, BadServer, bad_server

ROOT = Path(__file__).resolve().parents[2]
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BadServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with bad_server() as running:
        yield running
        running.release.set()


def process(server: BadServer, folder: Path, name: str) -> subprocess.Popen[str]:
    """Another process that wants the same file; says what came of it."""
    code = f"""
        import sys; sys.path.insert(0, {str(ROOT / "src")!r})
        from pathlib import Path
        from biasmask.data.download import DownloadFile, download_files
        try:
            files = [DownloadFile({server.url(name)!r}, "x.bin", sha256={SHA!r})]
            print(download_files(files, Path({str(folder)!r}), stall=30).outcomes[0].status)
        except KeyboardInterrupt:
            print("stopped")
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def test_two_processes_want_one_file_and_ask_for_it_once(server: BadServer, tmp_path: Path) -> None:
    both = [process(server, tmp_path, "held") for _ in range(2)]
    until(lambda: size(tmp_path / ".x.bin.part") >= 100_000)
    time.sleep(0.3)
    server.release.set()
    said = sorted(child.communicate(timeout=60)[0].strip() for child in both)
    assert said == ["downloaded", "present"] and server.calls["held"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"] and (tmp_path / "x.bin").read_bytes() == BODY


def test_ctrl_c_does_not_wait_for_a_stall_and_leaves_a_part(server: BadServer, tmp_path: Path) -> None:
    child = process(server, tmp_path, "held")
    until(lambda: size(tmp_path / ".x.bin.part") >= 100_000)
    begun = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60)[0].strip() == "stopped" and time.monotonic() - begun < 10
    assert size(tmp_path / ".x.bin.part") == 100_000 and not (tmp_path / "x.bin").exists()
    server.release.set()
    files = [DownloadFile(server.url("held"), "x.bin")]
    download_files(files, tmp_path, gate=HostGate(pause=0))
    assert server.ranges == [None, "bytes=100000-"]


def test_ctrl_c_ends_a_wait_for_another_process(server: BadServer, tmp_path: Path) -> None:
    first = process(server, tmp_path, "held")
    until(lambda: size(tmp_path / ".x.bin.part") >= 100_000)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        download_files([DownloadFile(server.url("held"), "x.bin")], tmp_path)
    server.release.set()
    assert first.communicate(timeout=60)[0].strip() == "downloaded" and server.calls["held"] == 1


def test_a_disk_that_fills_stops_all_files(server: BadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**6, 0, 1000))
    files = [DownloadFile(server.url(f"good-{n}"), f"{n}.bin") for n in range(20)]
    with pytest.raises(DataError, match="0.0 GB more, 0.0 GB are free: make room, then go on"):
        download_files(files, tmp_path, gate=HostGate(pause=0), workers=2)
    assert sum(server.calls.values()) <= 2


def test_what_is_there_of_a_part_needs_no_room(server: BadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".x.part").write_bytes(BODY[:-10])
    (tmp_path / ".x.part.json").write_text(f'{{"url": "{server.url("good")}", "ETag": "\\"one\\""}}')
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**6, 0, 100))
    report = download_files([DownloadFile(server.url("good"), "x", sha256=SHA, size=len(BODY))], tmp_path)
    assert report.outcomes[0].status == "downloaded" and report.outcomes[0].bytes == 10


def test_progress_tells_bytes_and_its_failure_is_not_swallowed(
    server: BadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biasmask.data.download.TICK", 0.0)
    told: list[tuple[int, int, int]] = []
    files = [DownloadFile(server.url(f"good-{n}"), f"{n}.bin") for n in range(4)]
    download_files(files, tmp_path, gate=HostGate(4, 0), progress=lambda *now: told.append(now))
    assert told == sorted(told) and told[-1] == (4, 4, 4 * len(BODY)) and any(0 < n < len(BODY) for _, _, n in told)

    def broken(*_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        download_files(files, tmp_path, gate=HostGate(4, 0), progress=broken)


def test_a_link_in_the_folder_is_not_followed(server: BadServer, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "images").symlink_to(tmp_path / "outside")
    report = download_files([DownloadFile(server.url("good"), "images/x.bin")], tmp_path / "in", gate=HostGate(pause=0))
    assert "leads out of" in report.failed[0].reason and not list((tmp_path / "outside").iterdir()) and not server.calls


def test_a_folder_where_a_file_should_be(server: BadServer, tmp_path: Path) -> None:
    (tmp_path / "x.bin").mkdir()
    report = download_files([DownloadFile(server.url("good"), "x.bin")], tmp_path, gate=HostGate(pause=0))
    assert report.failed[0].reason == f"can't write {tmp_path / 'x.bin'}: Is a directory"
