"""Ours beside the textbook way of doing the same, one ratio a line: python benchmarks/run.py [--quick] [--only whole ...].

Each way runs in processes of its own, one core and one torch thread, taking turns; medians. The first call writes the JPEGs.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from measure import OUTSIDE

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

IMAGES = ("data_path", "repair", "whole")
BENCHMARKS = ("threshold", *IMAGES, "extraction", "association", "text_epoch", "slim")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), help="these benchmarks alone")
    parser.add_argument("--quick", action="store_true", help="small sizes: it tells that it works, not how fast")
    parser.add_argument("--repeats", type=int, help="turns of each way (default 3, quick 1; a third of it for the whole)")
    parser.add_argument("--images", type=int, help="generated images (default 2000, quick 160)")
    parser.add_argument("--image-size", type=int, default=64, help="pixels, as experiment=bmft_ham10000 has it (default 64)")
    parser.add_argument("--sizes", type=int, nargs="*", help="further sizes of the whole, on a tenth of the images (96 128)")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a file of configs/backbone")
    parser.add_argument("--quality", type=int, default=90, help="of the JPEGs (90: 70 kB; 98: 200 kB)")
    parser.add_argument("--epochs", type=int, default=1, help="measured epochs of each step, of 10 that are counted (default 1)")
    parser.add_argument("--out", type=Path, help="write the Markdown table to this file too")
    parser.add_argument("--folder", type=Path, help="keep images here for the next call (default: a temporary folder)")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="biasmask-bench-") as temporary:
        text = measure(asked, Path(asked.folder or temporary))
    print(text)
    if asked.out:
        asked.out.write_text(text)
    if OUTSIDE in text:
        sys.exit("both ways don't give the same numbers: see above")


def measure(asked: argparse.Namespace, folder: Path) -> str:
    # Imported here and not by each child: children are forked from a parent that has everything but has computed nothing.
    import importlib

    import torch
    from workload import Options, mean_kilobytes

    started = time.perf_counter()
    torch.set_num_threads(1)
    quick = asked.quick
    folder.mkdir(parents=True, exist_ok=True)
    sizes = asked.sizes if asked.sizes is not None else ([] if quick else [96, 128])
    options = Options(
        folder.resolve(),
        quick,
        asked.repeats or (1 if quick else 3),
        asked.images or (160 if quick else 2000),
        asked.image_size,
        asked.backbone,
        asked.quality,
        asked.epochs,
        sizes=tuple(sizes),
    )
    if set(asked.only) & set(IMAGES):
        for name in ("ours", "textbook"):
            importlib.import_module(name)
    rows = []
    for name in asked.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(name).rows(options)
    images = [path for path in folder.glob("jpeg_*") if path.is_dir()]
    kilobytes = ", ".join(sorted({f"{mean_kilobytes(path):.0f} kB" for path in images}))
    seconds = time.perf_counter() - started
    return table(rows, options, kilobytes, seconds)


def table(rows: list, options, kilobytes: str, seconds: float) -> str:
    """The Markdown table, with what it was measured on."""
    import platform

    import torch

    lines = [
        "| work | textbook | ours | ratio | by processor time | peak memory (textbook → ours) | asked for |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        low, high = min(row.ratios), max(row.ratios)
        spread = f" ({low:.1f}–{high:.1f})" if len(row.ratios) > 1 else ""
        ratio = f"**{statistics.median(row.ratios):.1f}x**{spread}"
        memory = f"{row.peaks[0]:,.0f} → {row.peaks[1]:,.0f} MB"
        asked = f"≥ {row.target:g}x" if row.target else ""
        cells = [row.work, _seconds(row.textbook), _seconds(row.ours), ratio, f"{row.cpu_ratio:.1f}x", memory, asked]
        lines.append("| " + " | ".join(cells) + " |")
    checks = [f"- {row.work}: {row.check}" for row in rows if row.check]
    about = f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, one core and one thread each; "
    if kilobytes:
        about += (
            f"{options.backbone}, {options.images:,} generated JPEGs of 600x450 ({kilobytes} each); whole and repair: "
            f"{options.epochs} of the {options.full_epochs} epochs of each step measured, all counted; "
        )
    about += f"took {seconds:.0f} s."
    return "\n".join([*lines, "", about, "", "The same numbers come out (tolerance in brackets):", "", *checks]) + "\n"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.1 else f"{1000 * value:.1f} ms"


if __name__ == "__main__":
    main()
