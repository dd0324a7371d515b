"""Feeds damaged files to every reader of others' files: python benchmarks/fuzz.py --seconds 600.

A crash is any exception that is none of biasmask's own; its bytes are kept. With the extra `fuzz` (atheris) the bytes are led by
which lines of the readers they reach; without it they are random changes of valid files.
"""

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]


def run(name: str, seconds: float, seed: int, crashes: Path) -> str:
    """Feed one reader for so long; one line of what happened."""
    from tests.reliability.fuzz_targets import TARGETS, mutate, try_bytes

    target, draw = TARGETS[name], random.Random(seed)
    seeds, count = target.seeds(), {"tried": 0, "read": 0, "crashes": 0}
    with tempfile.TemporaryDirectory(prefix="biasmask-fuzz-") as folder:

        def one(content: bytes) -> None:
            count["tried"] += 1
            try:
                count["read"] += try_bytes(target, content, Path(folder))
            except Exception as error:
                count["crashes"] += 1
                crashes.mkdir(parents=True, exist_ok=True)
                kept = crashes / f"{name}_{hashlib.sha256(content).hexdigest()[:12]}{target.suffix}"
                kept.write_bytes(content)
                print(f"CRASH {name}: {type(error).__name__}: {str(error)[:300]} ({kept})", flush=True)

        try:
            for content in seeds:
                one(content)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                one(mutate(draw.choice(seeds), draw))
        finally:
            told = f"{name}: {count['tried']:,} files, {count['read']:,} read, {count['crashes']} crashes"
    return told


def guided(name: str, seconds: float, crashes: Path) -> None:
    """The same, led by coverage; atheris ends the process by itself."""
    import atheris

    with atheris.instrument_imports(include=["biasmask"]):
        from tests.reliability.fuzz_targets import TARGETS, try_bytes

        TARGETS[name].seeds()
    target = TARGETS[name]
    with tempfile.TemporaryDirectory(prefix="biasmask-fuzz-") as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, content in enumerate(target.seeds()):
            (corpus / str(number)).write_bytes(content)
        work = Path(folder, "work")
        work.mkdir()
        crashes.mkdir(parents=True, exist_ok=True)
        arguments = [sys.argv[0], str(corpus), f"-max_total_time={int(seconds)}", "-max_len=4096", "-print_final_stats=1"]
        atheris.Setup([*arguments, f"-artifact_prefix={crashes}/{name}_"], lambda data: try_bytes(target, data, work))
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    from tests.reliability.fuzz_targets import TARGETS

    parser.add_argument("--seconds", type=float, default=600, help="of all readers together (default 600)")
    parser.add_argument("--only", nargs="+", choices=sorted(TARGETS), default=sorted(TARGETS), help="these readers alone")
    parser.add_argument("--seed", type=int, default=0, help="of the random changes")
    parser.add_argument("--guided", action="store_true", help="led by coverage (pip install -e '.[fuzz]')")
    parser.add_argument("--crashes", type=Path, default=Path("logs/fuzz"), help="where bytes that crash are kept")
    options = parser.parse_args()
    share = options.seconds / len(options.only)
    if options.guided and len(options.only) == 1:
        guided(options.only[0], share, options.crashes)
        return 0
    failed = 0
    for name in options.only:
        if options.guided:
            command = [sys.executable, __file__, "--guided", "--only", name, "--seconds", str(share)]
            command += ["--crashes", str(options.crashes)]
            ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
            stats = [line for line in ended.stderr.splitlines() if "number_of_executed_units" in line]
            units = stats[0].split(":")[-1].strip() if stats else "?"
            print(f"{name}: {units} files led by coverage, {'a crash' if ended.returncode else 'no crash'}", flush=True)
            if ended.returncode:
                print("\n".join((ended.stdout + ended.stderr).splitlines()[-40:]))
            failed += bool(ended.returncode)
        else:
            line = run(name, share, options.seed, options.crashes)
            print(line, flush=True)
            failed += not line.endswith(" 0 crashes")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
