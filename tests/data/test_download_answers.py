"""What an answer means: parts that don't fit, compressed bodies, pages that call themselves pictures, hosts that want rest."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from biasmask.data.download import DownloadReport, download_files
from biasmask.data.download_file import DownloadFile, web_host, wrong_with
from biasmask.data.host_gate import HostGate
from tests.data.bad_server import BODY, SHA, BadServer, Clock, bad_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BadServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with bad_server() as running:
        yield running


def bring(server: BadServer, folder: Path, *names: str, gate: HostGate | None = None, **file: object) -> DownloadReport:
    files = [DownloadFile(server.url(name), f"{name}.bin", **file) for name in names]  # type: ignore[arg-type]
    return download_files(files, folder, gate=gate or HostGate(pause=0), workers=1, stall=0.5, tries=3, backoff=0)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("name", "calls"), [("tiny", 4), ("shifted", 3), ("deaf", 3), ("chunked", 2)])
def test_parts_are_joined_only_where_they_fit(name: str, calls: int, server: BadServer, tmp_path: Path) -> None:
    assert bring(server, tmp_path, name).counts()["downloaded"] == 1
    assert (tmp_path / f"{name}.bin").read_bytes() == BODY
    assert server.calls[name] == calls and left(tmp_path) == [f"{name}.bin"]


def test_old_bytes_never_stand_beside_new_notes(server: BadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".good.bin.part").write_bytes(b"old" * 1000)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("biasmask.data.part_file.write_atomically", killed)
        bring(server, tmp_path, "good")
    assert not (tmp_path / ".good.bin.part").exists()
    assert bring(server, tmp_path, "good").counts()["downloaded"] == 1
    assert (tmp_path / "good.bin").read_bytes() == BODY


def test_a_part_of_another_address_is_not_gone_on_with(server: BadServer, tmp_path: Path) -> None:
    (tmp_path / ".good.bin.part").write_bytes(b"old" * 1000)
    (tmp_path / ".good.bin.part.json").write_text('{"url": "http://a.example/good", "ETag": "\\"one\\""}')
    assert bring(server, tmp_path, "good").counts()["downloaded"] == 1
    assert server.ranges == [None] and (tmp_path / "good.bin").read_bytes() == BODY


def test_a_whole_part_of_a_killed_call_is_used(server: BadServer, tmp_path: Path) -> None:
    (tmp_path / ".good.bin.part").write_bytes(BODY)
    (tmp_path / ".good.bin.part.json").write_text(f'{{"url": "{server.url("good")}", "ETag": "\\"one\\""}}')
    outcome = bring(server, tmp_path, "good", sha256=SHA).outcomes[0]
    assert outcome.status == "downloaded" and outcome.bytes == 0 and left(tmp_path) == ["good.bin"]


def test_a_server_that_compresses_unasked(server: BadServer, tmp_path: Path) -> None:
    assert bring(server, tmp_path, "packed", sha256=SHA).counts()["downloaded"] == 1
    raw = DownloadFile(server.url("packed"), "packed.csv.gz")
    download_files([raw], tmp_path, gate=HostGate(pause=0))
    assert (tmp_path / "packed.csv.gz").read_bytes()[:2] == b"\x1f\x8b", "a .gz is meant as it comes"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("liar", "a page of HTML"), ("empty", "nothing in place of a picture"), ("good", "no picture: it begins with")],
)
def test_what_is_no_picture_whatever_it_is_called(name: str, reason: str, server: BadServer, tmp_path: Path) -> None:
    assert reason in bring(server, tmp_path, name, picture=True).failed[0].reason
    assert server.calls[name] == 1 and left(tmp_path) == []


@pytest.mark.parametrize(
    "head", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF1234WEBP", b"\0\0\0\x20ftypavif", b"\0" * 128 + b"DICM"]
)
def test_pictures_are_known_by_their_first_bytes(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(head + b"...")
    assert wrong_with(tmp_path / "x", DownloadFile("http://a.example/x", "x", picture=True)) == ""


def test_another_size_is_told_before_the_body_comes(server: BadServer, tmp_path: Path) -> None:
    outcome = bring(server, tmp_path, "good", size=1).failed[0]
    assert f"it has {len(BODY)} bytes, expected 1" in outcome.reason and outcome.bytes == 0 and left(tmp_path) == []


def test_an_md5_is_checked_and_a_refusal_has_its_code(server: BadServer, tmp_path: Path) -> None:
    report = bring(server, tmp_path, "good", "gone", md5="0" * 32)
    assert "expected " + "0" * 32 in report.failed[0].reason and report.failed[1].code == 404 and left(tmp_path) == []


def test_retry_after_is_obeyed_and_pauses_double(server: BadServer, tmp_path: Path) -> None:
    clock = Clock()
    files = [DownloadFile(server.url("soon"), "a")]
    assert download_files(files, tmp_path, gate=HostGate(clock=clock, wait=clock.wait)).counts()["downloaded"] == 1
    assert clock.now >= 42 and server.calls["soon"] == 2
    clock = Clock()
    gate = HostGate(pause=0, clock=clock, wait=clock.wait)
    report = download_files([DownloadFile(server.url("mute"), "b")], tmp_path, gate=gate, tries=4)
    assert report.counts()["failed"] == 1 and server.calls["mute"] == 4
    assert [0.5 * 2**n <= wait <= 2**n for n, wait in enumerate(clock.waits)] == [True] * 3


def test_a_host_that_gives_no_answer_is_let_go(server: BadServer, tmp_path: Path) -> None:
    names = [f"mute-{n}" for n in range(50)]
    report = bring(server, tmp_path, *names, gate=HostGate(pause=0, silent=2))
    assert report.counts()["failed"] == 50 and sum(server.calls.values()) == 2 * 3
    assert report.failed[-1].reason == "not asked for: 127.0.0.1 gave no answer to 2 files in a row"


def test_a_host_that_asks_for_a_day_is_left_alone(server: BadServer, tmp_path: Path) -> None:
    report = bring(server, tmp_path, "tomorrow-1", "tomorrow-2", "good")
    assert report.counts()["failed"] == 3 and sum(server.calls.values()) == 1
    assert report.failed[0].reason == "HTTP 503, the server asks to come back in 86400 s"


def test_the_host_that_a_redirect_leads_to_is_spared_as_well(server: BadServer, tmp_path: Path) -> None:
    gate = HostGate(pause=0)
    gate.close("127.0.0.1", "it sleeps")
    files = [DownloadFile(server.url("moved").replace("127.0.0.1", "localhost"), "x")]
    server.target = server.url("good")
    report = download_files(files, tmp_path, gate=gate, tries=1)
    assert report.failed[0].reason == "not asked for: it sleeps" and server.calls == {"moved": 1}


def test_who_asks_is_told(server: BadServer, tmp_path: Path) -> None:
    bring(server, tmp_path, "good")
    assert len(server.agents) == 1 and server.agents.pop().startswith("biasmask/")


def test_a_proxy_of_the_environment_is_used(server: BadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, server.url(""))
    files = [DownloadFile("http://data.example/good", "x")]
    assert download_files(files, tmp_path, gate=HostGate(pause=0), tries=1).counts()["downloaded"] == 1
    assert server.hosts == ["data.example"]


@pytest.mark.parametrize("url", ["", "ftp://a/x", "http://", "http://[bad", "http://a:b/x", "javascript:x", "//a.example/x"])
def test_what_is_no_address(url: str) -> None:
    assert web_host(url) == ""
