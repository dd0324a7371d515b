"""Cost against work: seconds of the processor and peak memory over images, parameters, groups, test rows and sentences.

python benchmarks/cost_curves.py [--only images parameters groups rows sentences] [--plot docs/images/cost_curves.png]

Each point is a process of its own on one core with one torch thread. A slope is fitted in log-log through all points of a stage:
1 is proportional. Beside them stands what this machine can do at all (a matrix product, a copy) and a stage's share of it.
"""

import argparse
import json
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

SWEEPS: dict[str, list[int]] = {
    "images": [64, 256, 1024],
    "parameters": [5, 22, 86, 303],
    "groups": [2, 8, 32],
    "rows": [1000, 4000, 16000],
    "sentences": [8000, 32000, 128000],
}
VITS = {5: "vit_tiny_patch16_224", 22: "vit_small_patch16_224", 86: "vit_base_patch16_224", 303: "vit_large_patch16_224"}
SIZE, SMALL = 64, 16  # pixels, and images of the debias split where parameters grow
GEMM, COPY = 2048, 2**28  # side of the square matrices, bytes of the copied block
DRAWS = 1000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(SWEEPS), default=list(SWEEPS))
    parser.add_argument("--points", type=int, default=5, help="the first so many points of each curve")
    parser.add_argument("--repeats", type=int, default=1, help="of each point; the median counts")
    parser.add_argument("--plot", type=Path, help="write the picture here")
    parser.add_argument("--out", type=Path, help="write the tables here, and the points as JSON beside them")
    parser.add_argument("--join", type=Path, nargs="+", help="JSON files of --out, measured axis by axis, in place of measuring")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    if asked.join:
        parts = [json.loads(path.read_text()) for path in asked.join]
        points = [point for part in parts for point in part["points"]]
        peak, copied = (statistics.median(part[key] for part in parts) for key in ("gemm", "copy"))
    else:
        points, peak, copied = measured(asked)
    text = markdown(points, peak, copied)
    print(text)
    if asked.out:
        asked.out.write_text(text)
        asked.out.with_suffix(".json").write_text(json.dumps({"gemm": peak, "copy": copied, "points": points}, indent=1))
    if asked.plot:
        plot(points, asked.plot)


def measured(asked: argparse.Namespace) -> tuple[list[dict[str, Any]], float, float]:
    """All points, and what one thread can do: operations and bytes a second."""
    import lightning  # noqa: F401, before the forks: a child's imports are in no figure
    import pandas  # noqa: F401
    import timm  # noqa: F401
    import torch  # noqa: F401

    import biasmask.metrics.evaluation
    import biasmask.pipeline.train_run  # noqa: F401

    limits = [in_child(machine).value for _ in range(3)]
    peak, copied = (statistics.median(values) for values in zip(*limits, strict=True))
    points: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="biasmask-cost-") as folder:
        for axis in asked.only:
            for number, amount in enumerate(SWEEPS[axis][: asked.points]):
                points += measure(axis, amount, Path(folder) / f"{axis}{amount}", asked.repeats, count=number == 0)
                print(*(f"{p['axis']} {p['x']}: {p['stage']} {p['cpu']:.2f} s" for p in points[-3:]), sep="; ", file=sys.stderr)
    return points, peak, copied


def machine(watch: Stopwatch) -> tuple[float, float]:
    """What one thread can do: float32 operations a second of a matrix product, bytes a second of a copy (read and written)."""
    import torch

    torch.set_num_threads(1)
    a, block = torch.rand(GEMM, GEMM), torch.zeros(COPY, dtype=torch.uint8)
    out, target = torch.empty_like(a), torch.empty_like(block)
    for name, work in (("gemm", lambda: torch.matmul(a, a, out=out)), ("copy", lambda: target.copy_(block))):
        work()
        for _ in range(5):
            watch.start()
            work()
            watch.lap(name)
    times = {name: statistics.median(cpu for lap, _, cpu in watch.laps if lap == name) for name in ("gemm", "copy")}
    return 2 * GEMM**3 / times["gemm"], 2 * COPY / times["copy"]


def measure(axis: str, amount: int, folder: Path, repeats: int, count: bool) -> list[dict[str, Any]]:
    """The points of one amount of work, one for each stage; with `count` the stages' operations are counted by another run."""
    way = WAYS[axis]
    runs = [in_child(lambda watch, n=n: way(watch, amount, folder / str(n))) for n in range(repeats)]
    flops = in_child(lambda watch: way(watch, amount, folder / "count", counting=True)).value if count else {}
    found = []
    for stage in runs[0].value or dict.fromkeys(lap[0] for lap in runs[0].laps):
        laps = [[lap for lap in run.laps if lap[0] == stage] for run in runs]
        wall, cpu = (statistics.median(sum(lap[i] for lap in one) for one in laps) for i in (1, 2))
        peak = statistics.median(run.value.get(stage, run.peak) if run.value else run.peak for run in runs)
        about = {"wall": wall, "cpu": cpu, "peak": peak, "flops": flops.get(stage)}
        found.append({"axis": axis, "x": amount, "stage": stage} | about)
    return found


def run_stages(watch: Stopwatch, folder: Path, backbone: str, images: int, methods: tuple[str, ...], counting: bool) -> Any:
    """The stages of some methods on rendered lesions with random weights; what is counted, or the peak after each stage."""
    import resource

    import torch
    from hydra import compose, initialize_config_dir
    from torch.utils.flop_counter import FlopCounterMode
    from workload import ROOT

    from biasmask.models.image_classifier import create_network
    from biasmask.pipeline.baseline import ModelConfig
    from biasmask.pipeline.context import ModelState
    from biasmask.pipeline.memory import tidy_up
    from biasmask.pipeline.setup import set_threads
    from biasmask.pipeline.train_run import Run, list_stages

    set_threads(1, sweep=False)
    found: dict[str, float] = {}
    for method in methods:
        words = ["experiment=bmft_rendered", f"debias={method}", "trainer=cpu", "logger=none", "progress=false"]
        words += ["backbone=test_resnet", f"model.backbone={backbone}", f"data.image_size={SIZE}", f"paths.log_dir={folder}"]
        words += [f"data.source.n={{train: 0, debias: {images}, val: 32, test: 32}}", "prune_block_size=32"]
        if method == "bmft":
            words += ["debias.impair.epochs=1", "debias.repair.epochs=1", "debias.impair.guard=null", "debias.repair.guard=null"]
        with initialize_config_dir(config_dir=str(ROOT / "configs"), version_base=None):
            config = compose("train", words if method == "bmft" else [*words, "debias.epochs=1"])
        run = Run(config, folder)
        hyper = ModelConfig(**config.model).hyper()
        torch.manual_seed(0)
        net = create_network(hyper["backbone"], 1, SIZE)
        torch.nn.init.normal_(net.get_classifier().weight, std=0.1)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # timm's last one of a block is 0, and no gradient goes through it
                torch.nn.init.ones_(module.weight)
        state = ModelState(hyper, {}).with_weights(net)
        context = run.context(SIZE)
        for name, stage in list_stages(config.debias).items():
            counter = FlopCounterMode(display=False)
            watch.start()
            if counting:
                with counter:
                    state = stage.run(name, state, context)
                found[name] = counter.get_total_flops()
            else:
                state = stage.run(name, state, context)
                watch.lap(name)
                tidy_up(state)
                found[name] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def over_images(watch: Stopwatch, amount: int, folder: Path, counting: bool = False) -> Any:
    return run_stages(watch, folder, "resnet18", amount, ("bmft",), counting)


def over_parameters(watch: Stopwatch, amount: int, folder: Path, counting: bool = False) -> Any:
    found = run_stages(watch, folder, VITS[amount], SMALL, ("bmft", "block_pruning_vit"), counting)
    if not counting:
        import resource

        import torch

        from biasmask.methods.weight_mask import threshold_of

        generator = torch.Generator().manual_seed(0)
        scores = {str(n): torch.rand(amount * 10_000, generator=generator) for n in range(100)}
        watch.start()
        threshold_of(scores, 50.0)
        watch.lap("threshold")
        found["threshold"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def bootstrap(watch: Stopwatch, rows: int, groups: int) -> None:
    """The figures of one model on one test set with 1,000 draws."""
    import numpy as np
    import pandas as pd
    import torch

    from biasmask.metrics.evaluation import evaluate_predictions

    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    names = tuple(f"g{n}" for n in range(groups))
    frame = pd.DataFrame({
        "row": np.arange(rows), "score": random.random(rows), "target": random.integers(0, 2, rows),
        "attribute:a": np.array(names)[np.arange(rows) % groups],
    })  # fmt: skip
    watch.start()
    evaluate_predictions(frame, {"a": names}, 0.5, n_bootstrap=DRAWS)
    watch.lap("bootstrap")


def over_groups(watch: Stopwatch, amount: int, folder: Path, counting: bool = False) -> Any:
    return {} if counting else bootstrap(watch, 4000, amount)


def over_rows(watch: Stopwatch, amount: int, folder: Path, counting: bool = False) -> Any:
    return {} if counting else bootstrap(watch, amount, 2)


def over_sentences(watch: Stopwatch, amount: int, folder: Path, counting: bool = False) -> Any:
    if counting:
        return {}
    import shutil

    from extraction import PACKAGE, _made, _setting

    from biasmask.data.sentences import extract

    lists, tokenizer = _setting()
    folder.mkdir(parents=True)
    (folder / "made.txt").write_text("\n".join(_made(amount)), encoding="utf-8")
    watch.start()
    extract([folder / "made.txt"], lists, tokenizer, PACKAGE, folder / "cache", 128, processes=1)
    watch.lap("extraction")
    shutil.rmtree(folder)


WAYS = {
    "images": over_images, "parameters": over_parameters, "groups": over_groups, "rows": over_rows, "sentences": over_sentences,
}  # fmt: skip


def curves(points: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for point in points:
        found.setdefault((point["axis"], point["stage"]), []).append(point)
    return found


def slope(curve: list[dict[str, Any]], what: str) -> float:
    """Of a straight line through the logarithms."""
    import numpy as np

    x, y = (np.log([max(point[key], 1e-9) for point in curve]) for key in ("x", what))
    return float(np.polyfit(x, y, 1)[0]) if len(curve) > 1 else float("nan")


def markdown(points: list[dict[str, Any]], peak: float, copied: float) -> str:
    lines = [
        f"One thread of this machine: {peak / 1e9:.0f} GFLOP/s (float32, {GEMM} x {GEMM}), {copied / 1e9:.1f} GB/s (copy).",
        "",
        "| over | stage | from | to | slope of time | seconds of the processor | by the clock | peak, MB | share of the peak |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (axis, stage), curve in curves(points).items():
        ends = [curve[0], curve[-1]]
        cells = [f"{ends[0][key]:,.2f} → {ends[1][key]:,.2f}" for key in ("cpu", "wall")]
        share = f"{curve[0]['flops'] / curve[0]['cpu'] / peak:.0%}" if curve[0].get("flops") else ""
        memory = f"{ends[0]['peak']:,.0f} → {ends[1]['peak']:,.0f}"
        amounts = [f"{end['x']:,}{' M' if axis == 'parameters' else ''}" for end in ends]
        row = [axis, stage, *amounts, f"{slope(curve, 'cpu'):.2f}", *cells, memory, share]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def plot(points: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    axes = list(dict.fromkeys(point["axis"] for point in points))
    figure, panels = pyplot.subplots(2, len(axes), figsize=(3.1 * len(axes), 5.6), squeeze=False, layout="constrained")
    for column, axis in enumerate(axes):
        for (own, stage), curve in curves(points).items():
            if own != axis:
                continue
            x = [point["x"] for point in curve]
            label = f"{stage} ({slope(curve, 'cpu'):.2f})"
            panels[0, column].loglog(x, [point["cpu"] for point in curve], "o-", ms=3, lw=1, label=label)
            panels[1, column].semilogx(x, [point["peak"] for point in curve], "o-", ms=3, lw=1)
        panels[0, column].set_title("parameters, million" if axis == "parameters" else axis, fontsize=9)
        low, high = panels[0, column].get_ylim()
        middle = (low * high) ** 0.5
        panels[0, column].set_ylim(min(low, middle / 10**0.5), max(high, middle * 10**0.5))  # a decade or more: noise is no slope
        panels[0, column].yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panels[0, column].yaxis.set_major_formatter("{x:g}")
        panels[0, column].yaxis.set_minor_formatter(ticker.NullFormatter())
        if axis == "parameters":  # the one axis that memory grows along
            panels[1, column].set_yscale("log")
            panels[1, column].yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            panels[1, column].yaxis.set_major_formatter("{x:,g}")
            panels[1, column].yaxis.set_minor_formatter(ticker.NullFormatter())
        else:
            panels[1, column].set_ylim(0, 1.15 * max(point["peak"] for point in points if point["axis"] == axis))
            panels[1, column].yaxis.set_major_formatter("{x:,g}")
        shown = {"fontsize": 7, "title": "slope of time in brackets", "title_fontsize": 7, "framealpha": 0.3}
        panels[1, column].legend(*panels[0, column].get_legend_handles_labels(), loc="best", **shown)
        amounts = sorted({point["x"] for point in points if point["axis"] == axis})
        for panel in panels[:, column]:
            panel.set_xticks(amounts, [f"{x:,}" for x in amounts], fontsize=8)
            panel.set_xticks([], minor=True)
    panels[0, 0].set_ylabel("seconds of the processor")
    panels[1, 0].set_ylabel("peak of memory, MB")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
