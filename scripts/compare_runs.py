"""The table over runs of several methods and seeds: python scripts/compare_runs.py logs/sweeps/bmft_ham10000

Reads every finished run below the folders and compares the methods with the base model and with a reference method, over the same
seeds and splits: mean, spread, paired intervals, a test over runs, wins and losses, budget, failures. Writes compare.html,
compare.md, compare.csv, compare.tex and compare.json, and prints the table. How to read it: docs/compare.md
"""

import argparse
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from biasmask.errors import BiasmaskError
from biasmask.files import write_json
from biasmask.report.sweep_content import compare_folders
from biasmask.report.sweep_selection import PER, load_rule
from biasmask.report.sweep_terminal import print_comparison
from biasmask.report.sweep_validation import table_content, validation_tables
from biasmask.report.sweep_write import write_comparison, write_for_docs

RULES = Path(__file__).resolve().parents[1] / "configs" / "selection"


def show_validation(folders: list[Path], out: Path, name: str | None) -> int:
    tables = validation_tables(folders)
    for table in tables:
        shown = Table(title=Text(table.title), title_justify="left", box=box.SIMPLE_HEAD)
        for place, column in enumerate(table.header):
            shown.add_column(Text(column), overflow="fold", min_width=0 if place else 24)
        for row in table.rows:
            shown.add_row(*(Text(cell) for cell in row))
        Console().print(shown)
    if len(tables) != 1 and (name or not tables):
        print(f"error: {len(tables)} comparisons in these folders; a table for the documentation is of one", file=sys.stderr)
        return 2
    if name:
        write_json(out / f"{name}.json", table_content(tables[0], "scripts/compare_runs.py --validation"))
        print(out / f"{name}.json")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="run or sweep folders")
    parser.add_argument("--out", type=Path, help="where the files go (default: the first folder)")
    parser.add_argument(
        "--reference", help="method to compare the others with beside the base model (default: full_ft if it ran)"
    )
    parser.add_argument(
        "--select", metavar="RULE", help="show one candidate a method, chosen on validation rows: a file of configs/selection"
    )
    parser.add_argument(
        "--select-per", choices=PER, default=PER[0], help="choose once for a method, by the mean over its runs, or for each run"
    )
    parser.add_argument("--metrics", nargs="+", default=[], help="figures of the table, as auroc equalized_odds_mean")
    parser.add_argument("--draws", type=int, help="bootstrap draws (default: as in the runs; 0 = intervals over runs alone)")
    parser.add_argument(
        "--validation", action="store_true", help="show validation figures of every setting and no test figure: for exploring"
    )
    parser.add_argument("--name", help="write one small file NAME.json into --out, for the documentation, and nothing else")
    asked = parser.parse_args()
    try:
        if asked.validation:
            return show_validation(asked.folders, asked.out or asked.folders[0], asked.name)
        rule = load_rule(RULES, asked.select, asked.select_per) if asked.select else None
        content = compare_folders(asked.folders, asked.reference, rule, asked.metrics, asked.draws)
        if not content["comparisons"]:
            print(f"error: no finished run of a method below {', '.join(map(str, asked.folders))}", file=sys.stderr)
            return 2
        out = asked.out or asked.folders[0]
        print_comparison(content)
        files = (
            [write_for_docs(content, out / f"{asked.name}.json")] if asked.name else write_comparison(content, asked.folders, out)
        )
        print(*files, sep="\n")
    except BiasmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
