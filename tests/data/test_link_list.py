"""A list of links of which most are dead: each row that didn't come has its reason, and the rest comes."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from biasmask.data.host_gate import HostGate
from biasmask.data.link_list import FAILED, download_links
from tests.data.bad_server import BODY, BadServer, bad_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BadServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with bad_server() as running:
        yield running


def quick() -> dict[str, object]:
    return {"gate": HostGate(pause=0), "tries": 2, "stall": 0.5, "backoff": 0.0, "picture": False}


def test_every_row_that_fails_has_a_reason(server: BadServer, tmp_path: Path) -> None:
    good, gone = server.url("good"), server.url("gone")
    urls = [f"  {good} ", gone, None, "http://[bad", good, good, good, float("nan")]
    paths = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "../e.jpg", "a.jpg", None, "g.jpg"]
    report = download_links(range(2, 10), urls, paths, tmp_path, **quick())
    assert report.counts == {"downloaded": 1, "present": 0, "failed": 7} and report.without_address() == 3
    assert (tmp_path / "a.jpg").read_bytes() == BODY and sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", FAILED]
    found = pd.read_csv(tmp_path / FAILED, keep_default_na=False)
    assert found["row"].tolist() == [3, 4, 5, 6, 7, 8, 9] and found["code"].tolist() == ["404", "", "", "", "", "", ""]
    expected = ["HTTP 404", "no address", "no address", "leads out", "the same file as row 2", "no name", "no address"]
    assert all(words in reason for words, reason in zip(expected, found["reason"], strict=True))


def test_dead_links_are_asked_for_once(server: BadServer, tmp_path: Path) -> None:
    urls, paths = [server.url("gone"), server.url("never")], ["a.jpg", "b.jpg"]
    for _ in range(2):
        assert download_links([1, 2], urls, paths, tmp_path, **quick()).counts["failed"] == 2
    assert server.calls == {"gone": 1, "never": 4}, "a server that is busy may give it tomorrow"
    (tmp_path / FAILED).unlink()
    download_links([1], urls[:1], paths[:1], tmp_path, **quick())
    assert server.calls["gone"] == 2


def test_a_list_that_is_whole_leaves_no_report(server: BadServer, tmp_path: Path) -> None:
    (tmp_path / FAILED).write_text("a broken\nreport,of,another,day")
    assert download_links([1], [server.url("good")], ["a.jpg"], tmp_path, **quick()).counts["downloaded"] == 1
    assert not (tmp_path / FAILED).exists()


def test_a_list_that_is_stopped_has_told_what_it_found(server: BadServer, tmp_path: Path) -> None:
    def stop(done: int, *_: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    names = ["gone-1", "gone-2", "good-3", "good-4"]
    with pytest.raises(KeyboardInterrupt):
        download_links(
            range(4), [server.url(n) for n in names], names, tmp_path, workers=1, progress=stop, **quick()  # type: ignore[arg-type]
        )  # fmt: skip
    assert pd.read_csv(tmp_path / FAILED)["row"].tolist() == [0, 1] and not (tmp_path / "good-4").exists()
