"""Do runs take the same places? python scripts/mask_overlap.py logs/sweeps/bmft_ham10000

For every pair of runs with a block mask or a weight mask below the folders: the overlap (IoU) of what they pruned or
selected beside two levels of chance, and, also where their grids differ, the rank correlation of what heads and blocks of
the network gave. Prints means and pairs, and writes mask_overlap.csv and mask_overlap.html. See docs/bias_map.md
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from biasmask.errors import BiasmaskError
from biasmask.report.mask_overlap import compare_runs
from biasmask.report.masked_runs import MaskedRun, find_masked_runs
from biasmask.report.overlap_page import pair_table, summary_table, write_overlap_csv, write_overlap_page


def by_setting(run: MaskedRun) -> tuple[str, ...]:
    """Runs of one method and attribute stand side by side."""
    return tuple(str(run.run.get(name) or "") for name in ("label", "attribute", "seed"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="run or sweep folders")
    parser.add_argument("--out", type=Path, help="where the files go (default: the first folder)")
    arguments = parser.parse_args()
    console = Console()
    try:
        runs = sorted(find_masked_runs(arguments.folders), key=by_setting)
        if len(runs) < 2:
            print(f"error: {len(runs)} run with a mask below these folders; it takes two", file=sys.stderr)
            return 2
        overlaps = compare_runs(runs)
        if pairs := pair_table(overlaps):
            console.print(pairs)
        console.print(summary_table(overlaps))
        console.print(
            Text(
                "IoU: taken in both of taken in either; chance: of random masks; z: above chance in the same matrices; "
                "heads, blocks: rank correlation",
                style="dim",
            )
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
