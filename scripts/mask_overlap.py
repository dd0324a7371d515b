"""Do runs of the text family cut the same places? python scripts/mask_overlap.py logs/sweeps/debias_block_pruning_frozen/*/

For every pair of runs with a block mask below the folders: the overlap (IoU) of what they pruned beside the level of chance,
and, also where their grids differ, the rank correlation of what the heads kept. Prints means and pairs, and writes
mask_overlap.csv and mask_overlap.html.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from biasmask.errors import BiasmaskError
from biasmask.report.mask_overlap import compare_runs, find_masked_runs
from biasmask.report.overlap_page import pair_table, summary_table, write_overlap_csv, write_overlap_page


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="run or sweep folders")
    parser.add_argument("--out", type=Path, help="where the files go (default: the first folder)")
    arguments = parser.parse_args()
    console = Console()
    try:
        runs = find_masked_runs(arguments.folders)
        if len(runs) < 2:
            print(f"error: {len(runs)} run with a block mask below these folders; it takes two", file=sys.stderr)
            return 2
        overlaps = compare_runs(runs)
        if pairs := pair_table(overlaps):
            console.print(pairs)
        console.print(summary_table(overlaps))
        console.print(
            Text("IoU: pruned in both of pruned in either; chance: of random masks; heads: rank correlation", style="dim")
        )
        for reason in dict.fromkeys(overlap.reason for overlap in overlaps if overlap.reason):
            console.print(Text(f"  note: {reason}", style="dim"))
        out = arguments.out or arguments.folders[0]
        for file in (
            write_overlap_csv(overlaps, out / "mask_overlap.csv"),
            write_overlap_page(runs, overlaps, out / "mask_overlap.html"),
        ):
            print(file)
    except BiasmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
