"""Downloads from a server that behaves badly: what comes is whole, what doesn't is told, and nobody is pestered."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasmask.data.download import DownloadReport, download_files
from biasmask.data.download_file import DownloadFile
from biasmask.data.host_gate import HostGate
from biasmask.errors import DataError
from tests.data.bad_server import BODY, SHA, BadServer, Clock, bad_server

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server() -> Iterator[BadServer]:
    with bad_server() as running:
        yield running


def bring(server: BadServer, folder: Path, *names: str, **file: object) -> DownloadReport:
    files = [DownloadFile(server.url(name), f"{name}.bin", **file) for name in names]  # type: ignore[arg-type]
    return download_files(files, folder, gate=HostGate(pause=0), stall=0.5, tries=3, backoff=0)


def only_whole_files(folder: Path) -> bool:
    return all(path.read_bytes() == BODY for path in folder.iterdir() if not path.name.startswith("."))


def test_a_good_server_and_a_second_call(server: BadServer, tmp_path: Path) -> None:
    assert bring(server, tmp_path, "good", sha256=SHA, size=len(BODY)).counts() == {"downloaded": 1, "present": 0, "failed": 0}
    assert bring(server, tmp_path, "good", sha256=SHA).counts()["present"] == 1
    assert server.calls["good"] == 1 and only_whole_files(tmp_path)
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == ["good.bin"]


def test_cut_off_connections_go_on_where_they_were(server: BadServer, tmp_path: Path) -> None:
    outcome = bring(server, tmp_path, "cut").outcomes[0]
    assert outcome.status == "downloaded" and outcome.bytes == len(BODY)
    assert server.calls["cut"] == 4 and server.ranges == [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"]
    assert only_whole_files(tmp_path)


@pytest.mark.parametrize("name", ["stall", "norange", "changed"])
def test_a_stall_a_server_without_ranges_and_a_file_that_changed(name: str, server: BadServer, tmp_path: Path) -> None:
    assert bring(server, tmp_path, name, sha256=SHA).counts()["downloaded"] == 1
    assert server.calls[name] == 2 and only_whole_files(tmp_path)


def test_busy_servers_are_asked_again_when_they_say(server: BadServer, tmp_path: Path) -> None:
    assert bring(server, tmp_path, "busy").counts()["downloaded"] == 1
    assert server.calls["busy"] == 3


@pytest.mark.parametrize(
    ("name", "reason", "calls"),
    [
        ("gone", "HTTP 404", 1),
        ("never", "3 tries in a row brought nothing", 3),
        ("loop", "more than 5 redirects", 6),
    ],
)
def test_what_does_not_come_is_told_and_stops_nothing(
    name: str, reason: str, calls: int, server: BadServer, tmp_path: Path
) -> None:
    report = bring(server, tmp_path, name, "good")
    assert report.counts() == {"downloaded": 1, "present": 0, "failed": 1}
    assert reason in report.failed[0].reason and server.calls[name] == calls
    report.write_failed(tmp_path / "failed.csv")
    assert f"{name}.bin,{server.url(name)}," in (tmp_path / "failed.csv").read_text()


def test_redirects_lead_to_the_web_only(server: BadServer, tmp_path: Path) -> None:
    report = bring(server, tmp_path, "moved", "elsewhere")
    assert report.counts() == {"downloaded": 1, "present": 0, "failed": 1}
    assert only_whole_files(tmp_path) and not (tmp_path / "elsewhere.bin").exists()
    assert report.failed[0].reason == "it leads to 'file:///etc/passwd', which is no address of http or https"
    assert server.calls["elsewhere"] == 1


def test_a_page_in_place_of_a_picture(server: BadServer, tmp_path: Path) -> None:
    report = bring(server, tmp_path, "page", picture=True)
    assert "a page of HTML" in report.failed[0].reason and not (tmp_path / "page.bin").exists()


def test_a_wrong_checksum_keeps_nothing(server: BadServer, tmp_path: Path) -> None:
    report = bring(server, tmp_path, "good", sha256="0" * 64)
    assert f"sha256 is {SHA}, expected {'0' * 64}" in report.failed[0].reason
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".bin", ".part")]


def test_a_part_of_other_content_is_found_by_the_checksum(server: BadServer, tmp_path: Path) -> None:
    (tmp_path / ".good.bin.part").write_bytes(b"x" * 1000)
    (tmp_path / ".good.bin.part.json").write_text(f'{{"url": "{server.url("good")}", "ETag": "\\"one\\""}}')
    assert bring(server, tmp_path, "good", sha256=SHA).counts()["downloaded"] == 1
    assert server.ranges == ["bytes=1000-", None] and only_whole_files(tmp_path)


def test_a_host_gets_few_connections(server: BadServer, tmp_path: Path) -> None:
    files = [DownloadFile(server.url(f"slow-{n}"), f"{n}.bin") for n in range(6)]
    report = download_files(files, tmp_path, workers=6, gate=HostGate(connections=2, pause=0))
    assert report.counts()["downloaded"] == 6 and server.most_at_once <= 2


def test_a_host_gets_a_pause_between_two_requests_and_another_host_none() -> None:
    clock, stop, starts = Clock(), threading.Event(), []
    gate = HostGate(pause=0.25, clock=clock, wait=clock.wait)
    for host in ("a", "b", "a", "a"):
        with gate.through(host, stop):
            starts.append((host, clock.now))
    assert starts == [("a", 0.0), ("b", 0.0), ("a", 0.25), ("a", 0.5)]


def test_killed_in_the_middle_and_started_again(server: BadServer, tmp_path: Path) -> None:
    code = f"""
        import sys; sys.path.insert(0, {str(ROOT / "src")!r})
        from pathlib import Path
        from biasmask.data.download import DownloadFile, download_files
        download_files([DownloadFile({server.url("stall")!r}, "stall.bin")], Path({str(tmp_path)!r}), stall=30)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    part = tmp_path / ".stall.bin.part"
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert part.stat().st_size and not (tmp_path / "stall.bin").exists()
    outcome = bring(server, tmp_path, "stall").outcomes[0]
    assert outcome.resumed and outcome.bytes < len(BODY) and only_whole_files(tmp_path)


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "C:/x", "..\\x", "a\0b", ""])
def test_a_path_that_leaves_the_folder(path: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leads out"):
        download_files([DownloadFile("http://a.example/x", path)], tmp_path)


def test_other_addresses_two_files_of_one_name_and_too_little_room(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no address of http"):
        download_files([DownloadFile("file:///etc/passwd", "x")], tmp_path)
    with pytest.raises(DataError, match="two downloads go to"):
        download_files([DownloadFile("http://a.example/1", "x"), DownloadFile("http://a.example/2", "x")], tmp_path)
    with pytest.raises(DataError, match="make room"):
        download_files([DownloadFile("http://a.example/1", "x", size=10**18)], tmp_path)


@given(st.text(min_size=1, max_size=30))
def test_no_path_whatever_leaves_the_folder(path: str) -> None:
    folder = Path("/data/here")
    try:
        place = DownloadFile("http://a.example/x", path).place(folder)
    except DataError:
        return
    assert Path(os.path.normpath(place)).is_relative_to(folder) and Path(os.path.normpath(place)) != folder
