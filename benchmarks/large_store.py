"""Pixels that don't fit into memory: rows a second of ordered and of spread batches, with and without asking for rows beforehand.

    systemd-run --user --scope -p MemoryMax=1G python benchmarks/large_store.py --folder DIR [--gb 3.8] [--seconds 100]

The limit of memory comes from outside, as above; without one the store is soon in memory and all ways are alike. The first call
fills the store in DIR (on a disk, not in memory). Before each walk the system is asked to forget the file.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np
import torch

from biasmask.data import batches
from biasmask.data.pixel_store import open_pixel_store
from biasmask.data.rendered import RenderedLesions
from biasmask.data.samplers import GroupTargetBatches, SequentialBatches

SIZE, BATCH = 112, 256


class Drawn:
    """Pictures of one shade, so that nothing has to be rendered."""

    def parameters(self) -> dict[str, Any]:
        return {"source": "one shade"}

    def render(self, table: Any, size: int, rows: np.ndarray) -> np.ndarray:
        return np.broadcast_to((rows % 256).astype(np.uint8)[:, None, None, None], (len(rows), size, size, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="for the store")
    parser.add_argument("--gb", type=float, default=3.8, help="size of the store")
    parser.add_argument("--seconds", type=float, default=100, help="most seconds a walk")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = int(asked.gb * 1e9 / (SIZE * SIZE * 3))
    table = RenderedLesions(n={"train": rows, "debias": 0, "val": 0, "test": 0}).load()
    store = open_pixel_store(table, SIZE, asked.folder, Drawn())
    target, group = np.arange(rows) % 2, np.arange(rows) // 2 % 3
    data = batches.PixelDataset(store.images, target, {})
    walks = {"ordered": SequentialBatches(rows, BATCH), "spread": GroupTargetBatches(target, group, BATCH)}
    for name, walk in walks.items():
        for way, bound in (("asked for", 2**30), ("left to the system", 10**18)):
            batches.ASKED_FOR = bound
            forget(store.path)
            seen, start = 0, time.perf_counter()
            for batch in batches.make_loader(data, walk):
                seen += len(batch["row"])
                if time.perf_counter() - start > asked.seconds:
                    break
            a_second = round(seen / (time.perf_counter() - start))
            print(json.dumps({"rows": rows, "batches": name, "way": way, "seen": seen, "rows a second": a_second}), flush=True)


def forget(path: Path) -> None:
    """Ask the system to drop the file's pages; those that are mapped stay."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
