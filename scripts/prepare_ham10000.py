"""Brings an official HAM10000 download into the layout that `data=ham10000` reads.

Get, after agreeing to its terms (CC BY-NC 4.0), from https://doi.org/10.7910/DVN/DBW86T: HAM10000_images_part_1,
HAM10000_images_part_2, HAM10000_metadata, ISIC2018_Task3_Test_Images and ISIC2018_Task3_Test_GroundTruth; unzip them
into one folder. Cite: Tschandl, Rosendahl, Kittler, Scientific Data 5, 180161 (2018).

    python scripts/prepare_ham10000.py --source ~/Downloads/ham10000 --output data
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from biasmask.data.prepare import resize_and_report, run_script, write_table
from biasmask.data.read_table import read_table
from biasmask.errors import DataError

HOMEPAGE = "https://doi.org/10.7910/DVN/DBW86T"
TERMS = f"HAM10000 is to be had at {HOMEPAGE}, terms CC BY-NC 4.0; cite Tschandl et al. (2018)"
CONFIG = Path(__file__).resolve().parents[1] / "configs" / "data" / "ham10000.yaml"
TABLES = ("HAM10000_metadata", "ISIC2018_Task3_Test_GroundTruth")
COLUMNS = ("lesion_id", "image_id", "dx", "age", "sex")


def find_table(source: Path, stem: str) -> Path:
    """The table file under any of the names that the download gives it."""
    for name in (f"{stem}.csv", stem, f"{stem}.tab"):
        for path in sorted(source.rglob(name)):
            if path.is_file():
                return path
    raise DataError(f"there is no {stem}.csv (nor {stem}, nor {stem}.tab) below {source}; get it from {HOMEPAGE}")


def prepare(source: Path, output: Path, short_side: int) -> None:
    """Writes <output>/ham10000 and prints what is in it."""
    folder = output / "ham10000"
    ids: list[str] = []
    tables: dict[str, bytes] = {}
    for stem in TABLES:
        path = find_table(source, stem)
        frame = read_table(path, ["image_id", "lesion_id"]).frame
        lacking = [column for column in COLUMNS if column not in frame]
        if lacking:
            raise DataError(
                f"{path} has no column {', '.join(lacking)} (the challenge site's table has neither age nor sex); "
                f"take the file from {HOMEPAGE}"
            )
        ids += frame["image_id"].dropna().tolist()
        tables[stem] = frame.to_csv(index=False).encode()
    for stem, text in tables.items():
        write_table(text, folder / f"{stem}.csv")
    resize_and_report(ids, source, folder, short_side, CONFIG)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return run_script(__doc__ or "", TERMS, prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
