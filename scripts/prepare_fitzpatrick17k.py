"""Brings a Fitzpatrick17k download into the layout that `data=fitzpatrick17k` reads.

Get fitzpatrick17k.csv from https://github.com/mattgroh/fitzpatrick17k, which also tells how to ask for the images
(CC BY-NC-SA 3.0); put them, named <md5hash>.jpg, anywhere below one folder with the table. Many of the links are dead:
rows without an image are left out and counted. Cite: Groh et al., CVPR workshops (2021), arXiv 2104.09957.

    python scripts/prepare_fitzpatrick17k.py --source ~/Downloads/fitzpatrick17k --output data
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from biasmask.data.prepare import resize_and_report, run_script, write_table
from biasmask.data.read_table import read_table
from biasmask.errors import DataError

HOMEPAGE = "https://github.com/mattgroh/fitzpatrick17k"
TERMS = f"Fitzpatrick17k is to be had at {HOMEPAGE}, terms CC BY-NC-SA 3.0; cite Groh et al. (2021)"
CONFIG = Path(__file__).resolve().parents[1] / "configs" / "data" / "fitzpatrick17k.yaml"
TABLE = "fitzpatrick17k.csv"
COLUMNS = ("md5hash", "fitzpatrick_scale", "three_partition_label")


def prepare(source: Path, output: Path, short_side: int) -> None:
    """Writes <output>/fitzpatrick17k and prints what is in it."""
    tables = sorted(path for path in source.rglob(TABLE) if path.is_file())
    if not tables:
        raise DataError(f"there is no {TABLE} below {source}; get it from {HOMEPAGE}")
    frame = read_table(tables[0], ["md5hash"]).frame
    lacking = [column for column in COLUMNS if column not in frame]
    if lacking:
        raise DataError(f"{tables[0]} has no column {', '.join(lacking)}; take the table from {HOMEPAGE}")
    folder = output / "fitzpatrick17k"
    write_table(tables[0].read_bytes(), folder / TABLE)
    resize_and_report(frame["md5hash"].dropna().tolist(), source, folder, short_side, CONFIG)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return run_script(__doc__ or "", TERMS, prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
