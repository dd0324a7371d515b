"""A Markdown table over runs of several methods and seeds: python scripts/results_table.py logs/sweeps/bmft_ham10000/*/

A row a method: mean and standard deviation over seeds of AUROC, the equalized-odds gap and the worst group's AUROC on the test
split; the change of gap and AUROC against the base model of the same seed, with the paired 95 % interval of each seed.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

METRICS = ("auroc", "equalized_odds_mean", "equalized_odds_max", "auroc_worst_group")


def load(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Every finished run below the folders."""
    runs = []
    for folder in folders:
        for path in sorted(folder.rglob("run.json")):
            run = json.loads(path.read_text(encoding="utf-8"))
            run["metrics"] = json.loads((path.parent / "metrics.json").read_text(encoding="utf-8"))
            run["stages"] = json.loads((path.parent / "stages.json").read_text(encoding="utf-8"))
            runs.append(run)
    return runs


def key_of(metric: str, attribute: str, split: str = "test") -> str:
    return f"{split}/{metric}" if metric == "auroc" else f"{split}/{metric}/{attribute}"


def spread(values: list[float]) -> str:
    if not values or any(value is None for value in values):
        return "undefined"
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def changes(runs: list[dict[str, Any]], metric: str) -> str:
    """Mean change against base, and the paired interval of each seed."""
    entries = [run["metrics"]["difference"][key_of(metric, run["attribute"])] for run in runs]
    mean = statistics.mean(entry["value"] for entry in entries)
    intervals = ", ".join(f"{entry['low']:+.3f} to {entry['high']:+.3f}" for entry in entries)
    return f"{mean:+.3f} ({intervals})"


def edited(run: dict[str, Any]) -> int:
    return sum(stage["edited"] or 0 for stage in run["stages"])


def rows(runs: list[dict[str, Any]]) -> list[list[str]]:
    table = []
    first = runs[0]
    base = {run["seed"]: run for run in runs}
    cells = [
        spread([run["metrics"]["models"]["base"][key_of(metric, run["attribute"])]["value"] for run in base.values()])
        for metric in METRICS
    ]
    table.append(["base model", str(len(base)), *cells, "", "", "0"])
    for method in dict.fromkeys(run["method"] for run in runs):
        own = sorted((run for run in runs if run["method"] == method), key=lambda run: run["seed"])
        if first["method"] == "none" or "debiased" not in own[0]["metrics"]["models"]:
            continue
        cells = [
            spread([run["metrics"]["models"]["debiased"][key_of(metric, run["attribute"])]["value"] for run in own])
            for metric in METRICS
        ]
        collapsed = sum(bool(run.get("collapsed")) for run in own)
        name = own[0]["label"] + (f" (collapsed: {collapsed} of {len(own)})" if collapsed else "")
        share = statistics.mean(edited(run) for run in own)
        table.append(
            [name, str(len(own)), *cells, changes(own, "equalized_odds_mean"), changes(own, "auroc"), f"{share:,.0f}"]
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="run or sweep folders")
    runs = load(parser.parse_args().folders)
    if not runs:
        print("error: no finished run (run.json) below these folders", file=sys.stderr)
        return 2
    for dataset, attribute in dict.fromkeys((run["dataset"], run["attribute"]) for run in runs):
        own = [run for run in runs if (run["dataset"], run["attribute"]) == (dataset, attribute)]
        n = own[0]["metrics"]["models"]["base"]["test/auroc"]["n"]
        print(f"\n**{dataset}, {attribute}** (test n = {n:,}, seeds {sorted({run['seed'] for run in own})})\n")
        header = ["", "seeds", "AUROC", "EO gap (mean)", "EO gap (max)", "worst-group AUROC"]
        header += ["change of EO gap (95 % per seed)", "change of AUROC (95 % per seed)", "entries edited"]
        print("| " + " | ".join(header) + " |\n|" + " --- |" * len(header))
        for row in rows(own):
            print("| " + " | ".join(row) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
