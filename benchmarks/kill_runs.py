"""Kills tiny runs of both families at random moments and starts them again: python benchmarks/kill_runs.py --kills 50.

After each kill every file under its final name must be whole; each run that ends must have the figures and weights of an
undisturbed one and leave no half file. Exit code 1 where one doesn't.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of both families together (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    options = parser.parse_args()
    from tests.reliability.killed_runs import kill_at_random

    faults, start = 0, time.monotonic()
    for family, kills in (("image", options.kills - options.kills // 2), ("text", options.kills // 2)):
        with tempfile.TemporaryDirectory(prefix="biasmask-kill-") as home:
            record = kill_at_random(family, kills, options.seed, Path(home))
        faults += len(record.faults)
        done = ", ".join(f"{name} {count}" for name, count in record.stages_done.most_common())
        left = ", ".join(f"{count} {name}" for name, count in record.leftovers.items()) or "none"
        print(f"{family}: {record.kills} kills in {record.runs} runs; newest finished stage at the kill: {done}")
        print(f"  half files beside their places, never read: {left}; faults: {len(record.faults)}")
        for fault in record.faults:
            print(f"  FAULT {fault}")
    print(f"{options.kills} kills, {faults} faults, {time.monotonic() - start:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
