"""Shuffled batches of a memory map, of shards that are here, and of shards there is no room for: python benchmarks/shards.py"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from measure import Stopwatch, in_child

SIZE, BATCH, TURNS = 64, 64, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16_384)
    rows = parser.parse_args().images
    import biasmask.data.image_data
    import biasmask.data.pixel_shards  # noqa: F401, before the forks

    with tempfile.TemporaryDirectory(prefix="biasmask-shards-") as folder:
        in_child(lambda _watch: publish(Path(folder), rows))
        ways = {"memory map": None, "shards, copied before": 10.0, "shards, no room (ranges of a folder)": 0.0}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(TURNS + 1):
            for name, room in ways.items():
                laps = in_child(lambda watch, room=room: walk(watch, Path(folder), room)).laps
                times[name].append(laps[-1][2])
        for name, found in times.items():
            seconds = statistics.median(found[1:])  # the first turn copies
            print(f"{name}: {rows / seconds:,.0f} images a second of the processor, batches of {BATCH}, {SIZE} px")


def table_of(rows: int, root: Path) -> Any:
    import pandas as pd

    from biasmask.data.table import Table

    paths = [f"{row}.png" for row in range(rows)]
    frame = pd.DataFrame({"id": paths, "path": paths, "target": 0, "split": "debias", "subject": paths})
    return Table("noise", frame, root, ("no", "yes"), [])


class Noise:
    """Pixels that are a function of the row."""

    def parameters(self) -> dict[str, Any]:
        return {"source": "noise"}

    def render(self, table: Any, size: int, rows: Any) -> Any:
        import numpy as np

        return np.random.default_rng(int(rows[0])).integers(0, 256, (len(rows), size, size, 3), dtype=np.uint8)


def publish(folder: Path, rows: int) -> None:
    from biasmask.data.pixel_shards import publish
    from biasmask.data.pixel_store import open_pixel_store

    table = table_of(rows, folder)
    publish(open_pixel_store(table, SIZE, folder / "pixels", Noise()), table, f"file://{folder}/published")
    (folder / "rows").write_text(str(rows))


def walk(watch: Stopwatch, folder: Path, room: float | None) -> None:
    import numpy as np
    import torch

    from biasmask.data.batches import PixelDataset, make_loader
    from biasmask.data.pixel_shards import open_shards
    from biasmask.data.pixel_store import open_pixel_store
    from biasmask.data.samplers import ShuffledBatches

    torch.set_num_threads(1)
    table = table_of(int((folder / "rows").read_text()), folder)
    if room is None:
        store = open_pixel_store(table, SIZE, folder / "pixels", Noise())
    else:
        store = open_shards(f"file://{folder}/published", folder / f"cache{room}", room).store(table, SIZE)
    data = PixelDataset(store.images, np.zeros(len(table.frame), np.int64), {})
    watch.start()
    for _ in make_loader(data, ShuffledBatches(len(data), BATCH)):
        pass
    watch.lap("walk")


if __name__ == "__main__":
    main()
