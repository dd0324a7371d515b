"""A Markdown table over text runs of several methods and seeds: python scripts/text_results_table.py logs/sweeps/debias_only/*/

A row a method with its settings: mean and standard deviation over seeds of the mean |d| over the SEAT tests by both poolings, of
the probe's accuracy and of the cosine to the original, and the changes against the original with the paired 95 % interval of each
seed.
`--tests` adds a second table with the effect size of each SEAT test.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

Run = dict[str, Any]
HEAD = (
    *(
        "",
        "seeds",
        "mean abs d, mean pooling",
        "change (95 % per seed)",
        "mean abs d, [CLS]",
        "mean lean",
        "probe accuracy",
        "change (95 % per seed)",
    ),
    *("cosine", "held-out debias loss (from)", "held-out distance", "cut", "weights off"),
)


def load(folders: Iterable[Path]) -> list[Run]:
    """Every finished text run below the folders."""
    runs = []
    for folder in folders:
        for path in sorted(folder.rglob("run.json")):
            run = json.loads(path.read_text(encoding="utf-8"))
            if run.get("family") == "text" and (path.parent / "metrics.json").is_file():
                run["metrics_json"] = json.loads((path.parent / "metrics.json").read_text(encoding="utf-8"))
                mask = path.parent / "block_mask.json"
                run["blocks"] = json.loads(mask.read_text(encoding="utf-8")) if mask.is_file() else None
                run["scores"] = optimizer_of(path.parent / "config.yaml")
                runs.append(run)
    return runs


def optimizer_of(config: Path) -> str:
    """Optimizer and rate of the scores, empty for a run without any."""
    prune = yaml.safe_load(config.read_text(encoding="utf-8"))["debias"].get("prune")
    return f"{prune['optimizer']['_target_'].split('.')[-1]} {prune['optimizer']['lr']:g}" if prune else ""


def setting(run: Run) -> str:
    """A row's name: the method and what tells it from its like."""
    size = f" {run['block_size']}" if run.get("block_size") else ""
    words = [f"{run['label']}{size}", run["attribute_reduction"], f"layer {run['embedding_layer']}", run["debias_mode"]]
    if run["scores"]:
        words.append(run["scores"])
    words.append(f"{min(run['sentences']['train'].values()):,} sentences a kind")
    return ", ".join(words)


def value(run: Run, model: str, key: str) -> float | None:
    found = [entry["value"] for name, entry in run["metrics_json"]["models"][model].items() if name.startswith(key)]
    return found[0] if found else None


def spread(values: Sequence[float | None], digits: int = 3) -> str:
    known = [number for number in values if number is not None]
    if len(known) < len(values) or not known:
        return "undefined" if known or not values else ""
    deviation = f" ± {statistics.stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.{digits}f}{deviation}"


def change(runs: Sequence[Run], key: str) -> str:
    """Mean change against the original, and the paired interval of each seed."""
    entries = [next(e for n, e in run["metrics_json"]["difference"].items() if n.startswith(key)) for run in runs]
    intervals = ", ".join(f"{entry['low']:+.3f} to {entry['high']:+.3f}" for entry in entries)
    return f"{statistics.mean(entry['value'] for entry in entries):+.3f} ({intervals})"


def cut(runs: Sequence[Run]) -> tuple[str, str]:
    """How many blocks, heads or neurons went, and the share of the masked matrices' weights."""
    if runs[0]["blocks"] is None:
        return "", ""
    gone = [run["blocks"]["total"] - run["blocks"]["kept"] for run in runs]
    shares = [run["blocks"]["weights_pruned"] / run["blocks"]["weights_total"] for run in runs]
    return f"{spread(gone, 0)} of {runs[0]['blocks']['total']:,}", f"{100 * statistics.mean(shares):.2f} %"


def rows(groups: dict[str, list[Run]]) -> list[list[str]]:
    first = next(iter(groups.values()))[0]
    seat, cls, lean, probe = "seat_mean/", "seat_cls/", "lean_mean/mean_abs_lean", "probe/"
    base = {key: spread([value(first, "base", key)], 4 if key == lean else 3) for key in (seat, cls, lean, probe)}
    table = [["original", "", base[seat], "", base[cls], base[lean], base[probe], "", "1", "", "0", "", ""]]
    for name, runs in groups.items():

        def column(key: str, digits: int = 3, runs: list[Run] = runs) -> str:
            return spread([value(run, "debiased", key) for run in runs], digits)

        before = spread([value(runs[0], "base", "held_out/debias_loss")], 2)  # of the row's own reduction and layers
        held_out = f"{column('held_out/debias_loss', 2)} ({before})"
        row = [name, str(len(runs)), column(seat), change(runs, seat), column(cls), column(lean, 4), column(probe)]
        row += [change(runs, probe), column("cost/cosine_mean"), held_out, column("held_out/distance", 2), *cut(runs)]
        table.append(row)
    return table


def test_rows(groups: dict[str, list[Run]], tests: Sequence[str]) -> list[list[str]]:
    first = next(iter(groups.values()))[0]
    table = [["original", *(spread([value(first, "base", f"seat{test}_mean/")], 2) for test in tests)]]
    for name, runs in groups.items():
        table.append([name, *(spread([value(run, "debiased", f"seat{test}_mean/") for run in runs], 2) for test in tests)])
    return table


def markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--tests", action="store_true", help="a second table with each SEAT test")
    asked = parser.parse_args()
    groups: dict[str, list[Run]] = {}
    for run in load(asked.folders):
        same = groups.setdefault(setting(run), []) if run["final"] == "debiased" else None
        if same is not None and run["seed"] not in {
            other["seed"] for other in same
        }:  # a setting that two sweeps share counts once
            same.append(run)
    if not groups:
        print(f"no finished text run below {', '.join(map(str, asked.folders))}", file=sys.stderr)
        return 2
    print(markdown(HEAD, rows(groups)))
    if asked.tests:
        tests = next(iter(groups.values()))[0]["metrics"]["seat_tests"]
        print("\n" + markdown(["d, mean pooling", *(f"SEAT {test}" for test in tests)], test_rows(groups, tests)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
