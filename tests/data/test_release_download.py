"""`--download` against a local server: listed files, archives, link lists with dead links, and sets that need a person."""

import http.server
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from biasmask.data.host_gate import HostGate
from biasmask.data.release_download import FAILED, download_release
from biasmask.errors import DataError
from tests.data.fake_releases import ddi, fitzpatrick17k
from tests.data.scripts import prepare_dataset, script


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object):
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def quick() -> dict[str, object]:
    return {"gate": HostGate(connections=4, pause=0), "tries": 1, "stall": 2.0, "backoff": 0.0}


def test_files_and_archives(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    download = ddi.write(tmp_path / "download")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for path in sorted(download.glob("*.png")):
            archive.write(path, path.name)
    (folder / "ddi_metadata.csv").write_bytes((download / "ddi_metadata.csv").read_bytes())
    names = ("ddi_metadata.csv", "images.zip")
    listed = [{"url": f"{url}/{name}", "path": name, "sha256": None, "size": None} for name in names]
    about = {"name": "ddi", "homepage": "here", "downloads": listed}
    lines = download_release(about, tmp_path / "source", **quick())
    assert lines == ["files: 2 downloaded, 0 were there, 0 failed", "images.zip: 71 files unpacked"]
    assert download_release(about, tmp_path / "source", **quick())[0] == "files: 0 downloaded, 2 were there, 0 failed"
    assert prepare_dataset("ddi", tmp_path / "source", tmp_path / "data") == 0
    listed[0]["url"] = f"{url}/gone.csv"
    with pytest.raises(DataError, match=r"1 of 2 files did not come; .*gone.csv: .*404.*; the same command goes on"):
        download_release(about, tmp_path / "again", **quick())


def test_dead_links_are_counted_and_listed(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    made = fitzpatrick17k.write(tmp_path / "download")
    official = pd.read_csv(made / "fitzpatrick17k.csv").head(40)
    pictures = sorted((made / "images").glob("*.jpg"))
    for number, name in enumerate(official["md5hash"][:30]):
        (folder / f"{name}.jpg").write_bytes(pictures[number].read_bytes())
    (folder / f"{official['md5hash'][30]}.jpg").write_text("<!DOCTYPE html><html>gone</html>")
    official["url"] = [f"{url}/{name}.jpg" for name in official["md5hash"]]
    official.loc[[38, 39], "url"] = [None, "ftp://old"]
    official.to_csv(folder / "fitzpatrick17k.csv", index=False)
    about = {
        "name": "fitzpatrick17k", "homepage": "here",
        "links": {"table": "fitzpatrick17k.csv", "url": "url", "path": "images/{md5hash}.jpg"},
        "downloads": [{"url": f"{url}/fitzpatrick17k.csv", "path": "fitzpatrick17k.csv", "sha256": None, "size": None}],
    }  # fmt: skip
    lines = download_release(about, tmp_path / "source", **quick())
    assert lines[1:] == [
        "pictures of fitzpatrick17k.csv: 30 downloaded, 0 were there, 8 failed, 2 rows without an address",
        f"{FAILED} lists what did not come, with reasons",
    ]
    failed = pd.read_csv(tmp_path / "source" / FAILED)
    assert len(failed) == 10 and failed["row"].tolist() == list(range(32, 42))
    assert failed["reason"].str.len().min() > 5
    assert prepare_dataset("fitzpatrick17k", tmp_path / "source", tmp_path / "data") == 0
    card = json.loads((tmp_path / "data/fitzpatrick17k/card.json").read_text())
    assert card["rows"] == 30, "a page that was served as a picture is none"
    assert {e["reason"]: e["count"] for e in card["exclusions"]} == {"image file not found": 10}


def test_what_needs_a_person_is_told_with_its_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare_dataset("chexpert", tmp_path / "source", tmp_path / "data", "--download") == 2
    error = capsys.readouterr().err
    assert "no download without a person's consent" in error and "register at Stanford AIMI" in error and error.count("\n") == 1


def test_every_listed_download_has_a_sound_place(tmp_path: Path) -> None:
    from biasmask.data.download_file import DownloadFile

    module = script("prepare_dataset")
    found = 0
    for name in module.known():
        about = OmegaConf.load(module.known()[name])
        for entry in about.get("downloads") or ():
            assert set(entry) == {"url", "path", "sha256", "size"}, json.dumps(dict(entry))
            assert DownloadFile(entry.url, entry.path).place(tmp_path).is_relative_to(tmp_path) and entry.url.startswith("https://")
            found += 1
    assert found > 10
