"""Decoded pixels in shards, behind any address that fsspec opens: a folder, s3://, gs://, https://, memory://.

`publish` cuts a pixel store into files of some megabytes, written once. `open_shards` reads its index, and from then on a run
needs the table and this address, not the images: the rows that can be used are those that are in the store, and the fingerprint
is the one of the store that was published, so that stages that were made from the one serve the other.
"""

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd

from biasmask.data.pixel_store import PixelStore
from biasmask.data.same_files import same_files
from biasmask.data.shard_cache import Shard, ShardCache, ShardedImages, remote_reading
from biasmask.data.table import Table
from biasmask.errors import DataError, StoreError
from biasmask.files import write_json

VERSION = 1
INDEX, ROWS = "index.json", "rows.parquet"
SHARD_MB = 32


@dataclass(frozen=True)
class PixelShards:
    """A published store: its index, the path and CRC-32 of each row, and the cache of its shards."""

    url: str
    index: dict[str, Any]
    rows: pd.DataFrame
    cache: ShardCache

    def find(self, paths: pd.Series, *_: Any) -> np.ndarray:
        """Which of the images the store holds, (N,) bool: what stands in place of a look at the files.

        Raises:
            DataError: none of them.
        """
        found = paths.isin(self.rows["path"]).to_numpy()
        if not found.any():
            raise DataError(
                f"{self.url} holds none of the {len(paths)} images of the table (it has {self.rows['path'].iloc[0]}, the table "
                f"{paths.iloc[0]}): publish this table's pixels with scripts/publish_pixels.py, or leave data.store_url out"
            )
        return found

    def store(self, table: Table, size: int) -> PixelStore:
        """The store of a table of these rows.

        Raises:
            DataError: another image size, or other rows than those that were published.
        """
        shape = self.index["shape"]
        if shape[1] != size:
            raise DataError(f"{self.url} holds images of {shape[1]} pixels, the run wants {size}: set data.image_size={shape[1]}")
        wanted, there = table.frame["path"], self.rows["path"]
        if len(wanted) != len(there) or (wanted != there).any():
            raise DataError(
                f"{self.url} holds {len(there)} rows and the table has {len(wanted)} that are in it: publish the pixels of this "
                "table, with these settings of `data`, with scripts/publish_pixels.py"
            )
        unreadable = {int(row): reason for row, reason in self.index["unreadable"].items()}
        readable = np.ones(len(there), dtype=bool)
        readable[list(unreadable)] = False
        images = ShardedImages(self.cache, tuple(shape), self.rows["crc32"].to_numpy(np.uint32))
        index = self.index
        marks = (readable, unreadable, index["converted"], index["key"], index["fingerprint"])
        return PixelStore(images, *marks, hit=True, path=self.cache.folder / INDEX)  # type: ignore[arg-type]


def publish(
    store: PixelStore, table: Table, url: str, shard_mb: float = SHARD_MB, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write a store to an address, the index last, so that a reader sees a whole store or none.

    Args:
        store: the pixels of the table.
        table: its rows.
        url: where to; what stands there already is another store's and is refused.
        shard_mb: size of a shard in MB; a row is never divided.
        progress: called with (rows written, rows).

    Returns:
        How many shards.

    Raises:
        StoreError: there is a store already, or the address can't be written.

    >>> from biasmask.data.pixel_store import open_pixel_store
    >>> from biasmask.data.rendered import RenderedLesions
    >>> import tempfile
    >>> source = RenderedLesions(n={"train": 8, "debias": 0, "val": 0, "test": 0})
    >>> local = open_pixel_store(source.load(), 16, Path(tempfile.mkdtemp()), source)
    >>> publish(local, source.load(), "memory://doc", shard_mb=0.003)
    3
    >>> shards = open_shards("memory://doc", Path(tempfile.mkdtemp()), cache_gb=1)
    >>> bool((shards.store(source.load(), 16).images[[5, 2]] == local.images[[5, 2]]).all())
    True
    """
    rows = len(store.images)
    step = max(1, int(shard_mb * 1e6) // store.images[0].nbytes)
    with remote_reading(url, "written"):
        fs, root = fsspec.core.url_to_fs(url)
        if fs.exists(f"{root}/{INDEX}"):
            raise StoreError(f"{url} holds a store already: it is never overwritten, name another address")
        fs.makedirs(root, exist_ok=True)
        shards, checks = [], np.empty(rows, dtype=np.uint32)
        for start in range(0, rows, step):
            block = np.ascontiguousarray(store.images[start : start + step])
            checks[start : start + len(block)] = [zlib.crc32(row) for row in block]
            name = f"{start // step:06d}.u8"
            fs.pipe_file(f"{root}/{name}", block.tobytes())
            shards.append({"file": name, "rows": len(block), "sha256": hashlib.sha256(block).hexdigest()})
            if progress is not None:
                progress(start + len(block), rows)
        buffer = BytesIO()
        pd.DataFrame({"path": table.frame["path"], "crc32": checks}).to_parquet(buffer, index=False)
        fs.pipe_file(f"{root}/{ROWS}", buffer.getvalue())
        index = {
            "version": VERSION,
            "shape": list(store.images.shape),
            "fingerprint": store.fingerprint,
            "key": store.key,
            "converted": store.converted,
            "unreadable": store.unreadable,
            "same_files": same_files(table.frame["path"], table.root),
            "rows_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
            "shards": shards,
        }
        fs.pipe_file(f"{root}/{INDEX}", json.dumps(index, indent=1).encode())
    return len(shards)


def open_shards(url: str, cache_dir: Path, cache_gb: float) -> PixelShards:
    """Open a published store; its shards are fetched when they are looked at.

    Args:
        url: where it was published.
        cache_dir: local folder that copies of shards are kept below.
        cache_gb: most GB of copies, of all stores together.

    Raises:
        StoreError: nothing there, another version, an index that its checksum contradicts.
    """
    with remote_reading(url, "read"):
        fs, root = fsspec.core.url_to_fs(url)
        content, rows = fs.cat_file(f"{root}/{INDEX}"), fs.cat_file(f"{root}/{ROWS}")
    try:
        index = json.loads(content)
        if index["version"] != VERSION:
            raise StoreError(f"{url} is of version {index['version']} and this program reads {VERSION}: publish the pixels again")
        if hashlib.sha256(rows).hexdigest() != index["rows_sha256"]:
            raise StoreError(f"{url}/{ROWS} is damaged (its checksum is another): publish the pixels again")
        shards = [Shard(**shard) for shard in index["shards"]]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{url}/{INDEX} is no index of pixels: {error}") from error
    folder = cache_dir / "shards" / hashlib.sha256(content).hexdigest()[:20]
    row_bytes = int(np.prod(index["shape"][1:]))
    cache = ShardCache(url, shards, row_bytes, folder, int(cache_gb * 1e9))
    if not (folder / "same_files.json").is_file():
        write_json(folder / "same_files.json", {"sets": index["same_files"]})
    return PixelShards(url, index, pd.read_parquet(BytesIO(rows)), cache)
