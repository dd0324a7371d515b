"""The pixel store: decoded once, noticed when a file changes, whole or absent whatever happens to a build."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import biasmask.data.pixel_store as module
from biasmask.data.decode import decode_image
from biasmask.data.pixel_store import open_pixel_store, store_key
from biasmask.data.rendered import RenderedLesions
from biasmask.data.table import Table
from biasmask.errors import DataError, StoreError

SIZE = 16


def make_table(root: Path, names: list[str]) -> Table:
    frame = pd.DataFrame({"id": names, "path": names, "target": np.arange(len(names)) % 2, "split": "train"})
    return Table("small", frame.assign(subject=names), root, ("no", "yes"), [])


@pytest.fixture
def table(tmp_path):
    root = tmp_path / "images"
    root.mkdir()
    rng = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(40)]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(root / name)
    return make_table(root, names)


def left_over(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if ".tmp-" in path.name]


def test_pixels_in_row_order_equal_those_decoded_alone(tmp_path, table):
    seen = []
    store = open_pixel_store(table, SIZE, tmp_path / "cache", progress=lambda done, total: seen.append((done, total)))
    assert store.images.shape == (40, SIZE, SIZE, 3) and store.images.dtype == np.uint8
    for row, path in enumerate(table.frame["path"]):
        assert np.array_equal(store.images[row], decode_image(table.root / path, SIZE))
    assert isinstance(store.images, np.memmap) and not store.images.flags.writeable
    assert store.readable.all() and not store.unreadable and not store.converted and not store.hit
    assert seen[-1] == (40, 40) and [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert not left_over(tmp_path / "cache")


def test_second_opening_decodes_nothing(tmp_path, table, monkeypatch):
    first = open_pixel_store(table, SIZE, tmp_path / "cache")
    monkeypatch.setattr(module, "try_decode", lambda *_: pytest.fail("decoded again"))
    second = open_pixel_store(table, SIZE, tmp_path / "cache")
    assert second.hit and (second.key, second.fingerprint) == (first.key, first.fingerprint)


def test_number_of_threads_changes_nothing(tmp_path, table):
    one = open_pixel_store(table, SIZE, tmp_path / "one", workers=1)
    four = open_pixel_store(table, SIZE, tmp_path / "four", workers=4)
    assert one.fingerprint == four.fingerprint and np.array_equal(one.images, four.images)


def test_changed_image_is_noticed_even_at_the_same_length(tmp_path, table):
    cache = tmp_path / "cache"
    before = open_pixel_store(table, SIZE, cache)
    file = table.root / "7.png"
    status = file.stat()
    data = file.read_bytes()
    Image.new("RGB", (24, 24), "red").save(file)
    file.write_bytes(file.read_bytes() + b"\0" * (len(data) - file.stat().st_size))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert file.stat().st_size == status.st_size
    after = open_pixel_store(table, SIZE, cache)
    assert not after.hit and after.key != before.key and after.fingerprint != before.fingerprint
    assert after.images[7, 0, 0].tolist() == [255, 0, 0] and np.array_equal(after.images[6], before.images[6])


def test_touched_file_changes_the_key_but_not_the_fingerprint(tmp_path, table):
    before = open_pixel_store(table, SIZE, tmp_path / "cache")
    os.utime(table.root / "0.png", ns=(1, 1))
    after = open_pixel_store(table, SIZE, tmp_path / "cache")
    assert after.key != before.key and after.fingerprint == before.fingerprint


def test_key_depends_on_size_rows_and_presence_but_not_on_the_place(tmp_path, table):
    keys = {store_key(table, SIZE), store_key(table, SIZE + 1)}
    keys.add(store_key(make_table(table.root, list(table.frame["path"][:-1])), SIZE))
    keys.add(store_key(make_table(table.root, [*table.frame["path"], "late.png"]), SIZE))
    shutil.copy(table.root / "0.png", table.root / "late.png")
    keys.add(store_key(make_table(table.root, [*table.frame["path"], "late.png"]), SIZE))
    assert len(keys) == 5
    shutil.copytree(table.root, tmp_path / "moved")
    assert store_key(make_table(tmp_path / "moved", list(table.frame["path"])), SIZE) == store_key(table, SIZE)


def test_unreadable_rows_are_named_and_black_and_converted_ones_counted(tmp_path, table):
    root = table.root
    (root / "3.png").write_bytes((root / "3.png").read_bytes()[:300])
    (root / "5.png").write_text("not found")
    (root / "6.png").unlink()
    (root / "8.png").write_bytes(b"")
    Image.fromarray(np.full((20, 20), 700, np.uint16)).save(root / "9.png")
    Image.new("CMYK", (20, 20)).save(root / "10.png", format="TIFF")
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(root / "11.png", format="GIF", save_all=True, append_images=frames[1:])
    for opened in ("first", "second"):
        store = open_pixel_store(table, SIZE, tmp_path / "cache")
        assert store.hit == (opened == "second")
        assert list(store.unreadable) == [3, 5, 6, 8] == np.flatnonzero(~store.readable).tolist()
        assert store.unreadable[5] == "not an image" and store.unreadable[6] == "missing file"
        assert store.unreadable[8] == "empty file" and store.unreadable[3].startswith("truncated")
        assert store.converted == {"16-bit": 1, "CMYK": 1, "animated": 1}
        assert not store.images[[3, 5, 6, 8]].any()


@pytest.mark.parametrize("damage", ["short", "no_meta", "half_meta", "other_shape", "no_pixels"])
def test_damaged_store_is_rebuilt(tmp_path, table, damage):
    good = open_pixel_store(table, SIZE, tmp_path / "cache")
    pixels, meta = good.path, good.path.with_suffix(".json")
    whole = np.array(good.images)
    if damage == "short":
        pixels.write_bytes(pixels.read_bytes()[:-100])
    elif damage == "no_meta":
        meta.unlink()
    elif damage == "half_meta":
        meta.write_text(meta.read_text()[:50])
    elif damage == "other_shape":
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"shape": [40, 1, 1, 3]}))
    else:
        pixels.unlink()
    store = open_pixel_store(table, SIZE, tmp_path / "cache")
    assert not store.hit and np.array_equal(store.images, whole) and not left_over(tmp_path / "cache")
    assert sorted(path.name for path in store.path.parent.iterdir()) == ["pixels.json", "pixels.npy"]


BUILDER = """
import sys, time
from pathlib import Path
import numpy as np, pandas as pd
import biasmask.data.pixel_store as module
from biasmask.data.table import Table
root, cache, log, pause = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
names = [f"{number}.png" for number in range(40)]
frame = pd.DataFrame({"id": names, "path": names, "target": np.arange(40) % 2, "split": "train", "subject": names})
decode = module.try_decode
def slow(path, size):
    with open(log, "a") as file:
        file.write(Path(path).name + chr(10))
    time.sleep(pause)
    return decode(path, size)
module.try_decode = slow
store = module.open_pixel_store(Table("small", frame, root, ("no", "yes"), []), 16, cache, workers=1)
print(store.hit, store.fingerprint)
"""


def start_builder(table, cache, log, pause):
    command = [sys.executable, "-c", BUILDER, str(table.root), str(cache), str(log), str(pause)]
    env = os.environ | {"PYTHONPATH": str(Path(module.__file__).parents[2])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_two_processes_build_one_store_once(tmp_path, table):
    log = tmp_path / "log"
    builders = [start_builder(table, tmp_path / "cache", log, 0.01) for _ in range(2)]
    answers = [builder.communicate(timeout=60) for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0], answers
    hits, fingerprints = zip(*(answer[0].split() for answer in answers), strict=True)
    assert sorted(hits) == ["False", "True"] and len(set(fingerprints)) == 1
    assert sorted(log.read_text().split()) == sorted(table.frame["path"])


def test_killed_build_leaves_nothing_that_is_read_and_is_cleaned_up(tmp_path, table):
    cache, log = tmp_path / "cache", tmp_path / "log"
    builder = start_builder(table, cache, log, 0.1)
    wait_for(lambda: log.exists() and len(log.read_text().split()) > 18)
    os.kill(builder.pid, signal.SIGKILL)
    builder.communicate(timeout=30)
    assert builder.returncode == -signal.SIGKILL
    assert len(left_over(cache)) == 1 and not (cache / store_key(table, SIZE)).exists()
    store = open_pixel_store(table, SIZE, cache)
    assert not store.hit and store.readable.all() and not left_over(cache)


def test_stale_folder_of_another_key_is_removed_but_not_one_being_built(tmp_path, table):
    cache, log = tmp_path / "cache", tmp_path / "log"
    (cache / "0123.tmp-dead").mkdir(parents=True)
    builder = start_builder(table, cache, log, 0.05)
    wait_for(lambda: log.exists() and len(log.read_text().split()) > 2)
    alive = left_over(cache)
    open_pixel_store(table, SIZE + 1, cache)
    assert left_over(cache) == alive and alive != ["0123.tmp-dead"]
    out, _ = builder.communicate(timeout=30)
    assert builder.returncode == 0 and out.startswith("False") and not left_over(cache)


def test_too_little_free_space_is_told_before_anything_is_written(tmp_path, table, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage(10, 10, 5_000))
    with pytest.raises(StoreError, match=r"40 images of 16 x 16 pixels need 1 MB, 0 MB are free") as error:
        open_pixel_store(table, SIZE, tmp_path / "cache")
    assert "\n" not in str(error.value) and not left_over(tmp_path / "cache")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_disk_full_while_writing_names_the_need_and_removes_the_rest(tmp_path, table, monkeypatch, number):
    def full(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(StoreError, match="need 1 MB"):
        open_pixel_store(table, SIZE, tmp_path / "cache")
    assert not left_over(tmp_path / "cache") and not (tmp_path / "cache" / store_key(table, SIZE)).exists()


def test_write_that_the_system_refuses_is_no_crash(tmp_path, table):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StoreError, match="need 1 MB"):
            open_pixel_store(table, SIZE, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not left_over(tmp_path / "cache")


def test_interrupt_removes_the_half_built_store(tmp_path, table):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_pixel_store(table, SIZE, tmp_path / "cache", progress=interrupt)
    assert not left_over(tmp_path / "cache")
    assert not open_pixel_store(table, SIZE, tmp_path / "cache").hit


def test_cache_folder_that_is_a_file(tmp_path, table):
    (tmp_path / "cache").write_text("here first")
    with pytest.raises(StoreError, match="cache"):
        open_pixel_store(table, SIZE, tmp_path / "cache")


def test_empty_table_and_senseless_size(tmp_path, table):
    with pytest.raises(DataError, match="no rows"):
        open_pixel_store(make_table(table.root, []), SIZE, tmp_path)
    with pytest.raises(DataError, match="image_size=0"):
        open_pixel_store(table, 0, tmp_path)


def test_source_that_renders(tmp_path):
    source = RenderedLesions(n={"train": 70, "debias": 0, "val": 0, "test": 10})
    table = source.load()
    store = open_pixel_store(table, SIZE, tmp_path, source)
    assert np.array_equal(store.images, source.render(table, SIZE)) and store.readable.all()
    assert open_pixel_store(table, SIZE, tmp_path, source).hit
    other = RenderedLesions(n={"train": 70, "debias": 0, "val": 0, "test": 10}, seed=1)
    assert open_pixel_store(other.load(), SIZE, tmp_path, other).key != store.key
    part = Table(table.name, table.frame.iloc[5:].reset_index(drop=True), table.root, table.class_names, [])
    shorter = open_pixel_store(part, SIZE, tmp_path, source)
    assert shorter.key != store.key and np.array_equal(shorter.images, store.images[5:])
