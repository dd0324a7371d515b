"""Big tables: seconds from the first import to the first batch, and peak memory, for each number of rows.

Memory of its own is what no file stands behind; pages of files that are mapped the system drops when others need the room.

python benchmarks/scale_table.py [--rows 10000 100000 1000000] [--table-only 10000000] [--format csv parquet]

Each size runs in a fresh process. The image files are there (a few bytes each, 1,000 a folder), as looking for them is part
of the work; the pixels come from a source that renders, in a store that a run before has filled, since decoding isn't.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(os.environ.get("BIASMASK_ROOT") or Path(__file__).resolve().parent.parent)  # another checkout, to compare with
sys.path.insert(0, str(ROOT / "src"))
SIZE, BATCH, FOLDER = 8, 256, 1000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000], help="from the import to a batch")
    parser.add_argument("--table-only", type=int, nargs="*", default=[10_000_000], help="the table without files and pixels")
    parser.add_argument("--format", nargs="+", choices=("csv", "parquet"), default=["csv", "parquet"])
    parser.add_argument("--folder", type=Path, help="keep tables, files and stores here for the next call")
    parser.add_argument("--out", type=Path, help="write the Markdown table to this file too")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # what a child does, as JSON
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    if asked.one:
        print(json.dumps(measure(**json.loads(asked.one))))
        return
    with tempfile.TemporaryDirectory(prefix="biasmask-scale-") as temporary:
        folder = asked.folder or Path(temporary)
        found = []
        for whole, sizes in ((True, asked.rows), (False, asked.table_only)):
            for rows in sizes:
                make_table(folder, rows, files=whole)
                for kind in asked.format:
                    one = {"folder": str(folder), "rows": rows, "kind": kind, "whole": whole}
                    if whole:
                        child(one)  # fills the store
                    found.append(one | child(one))
    text = markdown(found)
    print(text)
    if asked.out:
        asked.out.write_text(text)


def child(one: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, "--one", json.dumps(one)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{one}: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def make_table(folder: Path, rows: int, files: bool) -> None:
    """CSV and Parquet of the same rows: id, path, subject of three images on average, target, two attributes, five numbers."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv, parquet

    folder.mkdir(parents=True, exist_ok=True)
    if (folder / f"{rows}.parquet").is_file():
        return
    random = np.random.default_rng(rows)
    number = pa.array(np.arange(rows))
    digits = pc.utf8_lpad(pc.cast(number, pa.string()), 8, "0")
    folders = pc.utf8_lpad(pc.cast(pa.array(np.arange(rows) // FOLDER), pa.string()), 5, "0")
    columns = {
        "image_id": digits,
        "image": pc.binary_join_element_wise("images", folders, pc.binary_join_element_wise(digits, ".jpg", ""), "/"),
        "patient": pc.binary_join_element_wise("p", pc.cast(pa.array(random.integers(0, rows // 3 + 1, rows)), pa.string()), ""),
        "diagnosis": pa.array(np.array(["nv", "mel", "bkl"])[random.integers(0, 3, rows)]),
        "sex": pa.array(np.array(["female", "male", "unknown"])[random.integers(0, 3, rows)]),
        "age": pa.array(random.integers(0, 18, rows) * 5),
        **{f"measure_{i}": pa.array(np.round(random.standard_normal(rows), 3)) for i in range(5)},
    }
    table = pa.table(columns)
    csv.write_csv(table, folder / f"{rows}.csv")
    for name in columns["image"].to_pylist() if files else ():
        path = folder / name
        if name.endswith("000.jpg"):
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    parquet.write_table(table, folder / f"{rows}.parquet")


class OwnMemory(threading.Thread):
    """Highest memory of this process that no file stands behind (RssAnon of Linux), looked at a hundred times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest = 0.0
        self.start()

    def peak_mb(self) -> float:
        """The peak since the last call, MB."""
        peak, self.highest = max(self.highest, self.now()), 0.0
        return peak

    def now(self) -> float:
        status = Path("/proc/self/status")
        lines = status.read_text().splitlines() if status.is_file() else []
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), float("nan"))

    def run(self) -> None:
        while True:
            self.highest = max(self.highest, self.now())
            time.sleep(0.01)


def measure(folder: str, rows: int, kind: str, whole: bool) -> dict[str, Any]:
    """Laps of one process: seconds, seconds of the processor, peak MB of its own, peak MB with pages of files; imports first."""
    laps: dict[str, tuple[float, float, float, float]] = {}
    wall, cpu = time.perf_counter(), time.process_time()
    own = OwnMemory()

    def lap(name: str) -> None:
        nonlocal wall, cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
        laps[name] = (time.perf_counter() - wall, time.process_time() - cpu, own.peak_mb(), peak)
        wall, cpu = time.perf_counter(), time.process_time()

    import numpy as np

    from biasmask.data.image_data import open_image_data
    from biasmask.data.pixel_store import store_key
    from biasmask.data.table import TableSource

    class Drawn(TableSource):
        """Images whose pixels follow from the row, so that nothing is decoded."""

        def parameters(self) -> dict[str, Any]:
            return {"source": "drawn", "file": str(self.files[0]["file"])}

        def render(self, table: Any, size: int, rows: np.ndarray) -> np.ndarray:
            return np.broadcast_to((rows % 256).astype(np.uint8)[:, None, None, None], (len(rows), size, size, 3))

    lap("imports")
    source = Drawn(
        name="fake", root=folder, files=[{"file": f"{rows}.{kind}", "split": None}], image="image", id="image_id",
        subject="patient", target={"column": "diagnosis", "positive": ["mel"]}, attributes={"age": {"bins": [60]}},
        split={"method": "stratified", "fractions": {"debias": 0.5, "val": 0.2, "test": 0.3}, "stratify": ["target", "age"]},
    )  # fmt: skip
    definitions = {"age": {"column": "age", "bins": [60]}, "sex": {"column": "sex", "missing": ["unknown"]}}
    if not whole:
        source.load(lambda paths, *_: np.ones(len(paths), dtype=bool), Path(folder))
        lap("table")
        return {"laps": laps}
    data = open_image_data(source, definitions, ["age", "sex"], SIZE, Path(folder) / "pixels", crossed="age+sex")
    lap("table and store")
    data.check(list(data.attributes.values()))
    lap("checker")
    batch = next(iter(data.loader(data.rows("debias"), "group_target", BATCH, attribute=data.groups["age+sex"])))
    assert len(batch["image"])
    lap("first batch")
    store_key(data.table, SIZE)
    lap("key of files")
    return {"laps": laps}


def markdown(found: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for one in found for name in one["laps"]))
    heads = ["rows", "file", *(f"{name}, s" for name in names), "all, s", "of the processor, s", "peak of its own, MB"]
    heads += ["bytes a row above the imports", "peak with pages of files, MB"]
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for one in found:
        laps = one["laps"]
        cells = [f"{laps[name][0]:.2f}" if name in laps else "" for name in names]
        peaks = [max(lap[i] for lap in laps.values()) for i in (2, 3)]
        total = [sum(lap[i] for lap in laps.values()) for i in (0, 1)]
        a_row = (peaks[0] - laps["imports"][2]) * 2**20 / one["rows"]
        more = [f"{total[0]:.1f}", f"{total[1]:.1f}", f"{peaks[0]:,.0f}", f"{a_row:,.0f}", f"{peaks[1]:,.0f}"]
        lines.append(" | ".join([f"| {one['rows']:,}", one["kind"], *cells, *more]) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
