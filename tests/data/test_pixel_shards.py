"""A published store gives the pixels, the fingerprint and the batches of the local one, from wherever it lies."""

import functools
import pickle
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest

from biasmask.data.image_data import ImageData, open_image_data
from biasmask.data.own_table import own_table
from biasmask.data.pixel_shards import open_shards, publish
from biasmask.data.pixel_store import open_pixel_store
from biasmask.errors import DataError, StoreError
from tests.conftest import make_user_table

SIZE, ROW = 16, 16 * 16 * 3
SHARD_MB = 10 * ROW / 1e6


class Ranged(SimpleHTTPRequestHandler):
    """A file server that knows ranges, as object stores do, and counts the bytes that it sends."""

    sent = 0

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        status = 200
        if "Range" in self.headers:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            content, status = content[int(first) : int(last) + 1], 206
        type(self).sent += len(content)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ImageData, Path]:
    """A table with image files, its local store, and the published one as a folder."""
    home = tmp_path_factory.mktemp("shards")
    make_user_table(home)
    data = opened(home, home / "pixels")
    publish(data.store, data.table, f"file://{home}/published", SHARD_MB)
    return home, data, home / "published"


def opened(home: Path, cache: Path, **keys) -> ImageData:
    source = own_table(str(home / "mine" / "mine.csv"), target="target", fractions={"debias": 0.5, "val": 0.2, "test": 0.3})
    return open_image_data(source, None, ["sex"], SIZE, cache, **keys)


@pytest.fixture
def server(images) -> Iterator[str]:
    Ranged.sent = 0
    handler = functools.partial(Ranged, directory=str(images[2]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def copies(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("shards/*/*.u8"))


def same(one: ImageData, other: ImageData) -> None:
    assert one.fingerprint(["debias", "test"], "sex") == other.fingerprint(["debias", "test"], "sex")
    rows = one.rows("debias")
    loaders = [data.loader(rows, "shuffled", 7, seed=3) for data in (one, other)]
    for first, second in zip(*loaders, strict=True):
        assert first["image"].equal(second["image"]) and first["row"].equal(second["row"])
        assert first["image"].stride() == second["image"].stride()


def test_a_folder_gives_what_the_local_store_gives(images, tmp_path: Path):
    home, local, _ = images
    data = opened(home, tmp_path, store_url=f"file://{home}/published")
    same(local, data)
    report = [d.check(list(d.attributes.values())).to_dict() for d in (local, data)]
    assert report[0] == report[1]
    assert data.store.images[[4, 0, 4]].tobytes() == local.store.images[[4, 0, 4]].tobytes()
    assert not list(tmp_path.glob("*.lock")), "nothing was decoded"


def test_memory_and_a_second_publication(images, tmp_path: Path):
    home, local, _ = images
    publish(local.store, local.table, "memory://twice", SHARD_MB)
    same(local, opened(home, tmp_path, store_url="memory://twice"))
    with pytest.raises(StoreError, match="holds a store already"):
        publish(local.store, local.table, "memory://twice", SHARD_MB)


def test_a_web_server_without_the_images(images, server: str, tmp_path: Path):
    """The table alone is there; each shard comes once, and a second run fetches none."""
    home, local, published = images
    alone = tmp_path / "alone"
    (alone / "mine").mkdir(parents=True)
    (alone / "mine" / "mine.csv").write_bytes((home / "mine" / "mine.csv").read_bytes())
    same(local, opened(alone, tmp_path / "cache", store_url=server))
    before, whole = Ranged.sent, sum(path.stat().st_size for path in published.iterdir())
    assert before <= whole and len(copies(tmp_path / "cache")) == len(list(published.glob("*.u8")))
    same(local, opened(alone, tmp_path / "cache", store_url=server))
    assert Ranged.sent - before < 10_000, "the index and the rows, no pixels"


def test_a_bounded_cache_moves_the_rows_that_are_asked_for(images, server: str, tmp_path: Path):
    home, local, _ = images
    limit = 2.5 * SHARD_MB / 1000  # GB: two shards
    data = opened(home, tmp_path, store_url=server, store_cache_gb=limit)
    same(local, data)
    assert len(copies(tmp_path)) == 2
    before = Ranged.sent
    assert data.store.images[[57, 3, 25]].tobytes() == local.store.images[[57, 3, 25]].tobytes()
    assert Ranged.sent - before <= 3 * ROW
    assert (data.store.images[:] == local.store.images).all()
    assert len(copies(tmp_path)) == 2, "a walk over everything makes room for each"


def test_a_server_that_knows_no_ranges(images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home, local, _ = images
    data = opened(home, tmp_path, store_url=f"file://{home}/published", store_cache_gb=0)
    fs, _ = data.store.images.cache.remote()
    monkeypatch.setattr(type(fs), "cat_ranges", lambda self, paths, *_, **__: [fs.cat_file(path) for path in paths])
    assert (data.store.images[[57, 3, 4]] == local.store.images[[57, 3, 4]]).all()
    assert copies(tmp_path) == []


def test_damage_is_told(images, tmp_path: Path):
    home, local, _ = images
    publish(local.store, local.table, "memory://damaged", SHARD_MB)
    memory = fsspec.filesystem("memory")
    content = memory.cat_file("/damaged/000001.u8")
    memory.pipe_file("/damaged/000001.u8", bytes([content[0] ^ 1]) + content[1:])
    for limit, text in ((1, "000001.u8 is damaged"), (0, "row 10 of memory://damaged is damaged")):
        data = opened(home, tmp_path, store_url="memory://damaged", store_cache_gb=limit)
        assert (data.store.images[[3]] == local.store.images[[3]]).all()
        with pytest.raises(StoreError, match=text) as caught:
            data.store.images[[10]]
        assert "\n" not in str(caught.value)
    memory.pipe_file("/damaged/rows.parquet", b"")
    with pytest.raises(StoreError, match="rows.parquet is damaged"):
        open_shards("memory://damaged", tmp_path, 1)


@pytest.mark.parametrize(
    ("url", "text"),
    [("memory://nothing", "FileNotFoundError"), ("none://x", "Protocol not known"), ("file:///nowhere/at/all", "can't be read")],
)
def test_an_address_without_a_store_is_one_line(url: str, text: str, tmp_path: Path):
    with pytest.raises(StoreError, match=text) as caught:
        open_shards(url, tmp_path, 1)
    assert "\n" not in str(caught.value) and url in str(caught.value)


def test_another_table_or_size_is_refused(images, tmp_path: Path):
    home, _, published = images
    shards = open_shards(f"file://{published}", tmp_path, 1)
    data = opened(home, tmp_path / "pixels")
    part = type(data.table)("t", data.table.frame.iloc[1:].reset_index(drop=True), home, ("no", "yes"), [])
    with pytest.raises(DataError, match="rows and the table has"):
        shards.store(part, SIZE)
    with pytest.raises(DataError, match="set data.image_size=16"):
        shards.store(data.table, SIZE + 1)
    with pytest.raises(DataError, match="holds none of the"):
        shards.find(data.table.frame["path"] + "x")


def test_workers_read_it(images, tmp_path: Path):
    home, local, published = images
    data = opened(home, tmp_path, store_url=f"file://{published}", num_workers=2)
    same(local, data)
    again = pickle.loads(pickle.dumps(data.store.images))
    assert np.array_equal(again[:3], local.store.images[:3])


def test_a_local_store_is_opened_as_before(images, tmp_path: Path):
    home, local, _ = images
    assert open_pixel_store(local.table, SIZE, home / "pixels").hit
