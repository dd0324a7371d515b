"""Brings the official download of a public data set into a checked table with a data card.

    python scripts/prepare_dataset.py --list
    python scripts/prepare_dataset.py ddi --source ~/Downloads/ddi --output data
    python src/train.py experiment=bmft data=ddi

It writes <output>/NAME/table.parquet (one row a sample), images/, card.md and card.json.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from biasmask.errors import BiasmaskError, DataError

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def known() -> dict[str, Path]:
    """Every data set that can be prepared, name -> its file."""
    return {path.stem: path for path in sorted((CONFIGS / "prepare").glob("*.yaml"))}


def load(name: str) -> tuple[Any, dict[str, Any]]:
    """The configuration of a data set, and its attribute definitions."""
    from omegaconf import OmegaConf

    from biasmask.data.values import near_names

    if name not in known():
        raise DataError(f"there is no data set '{name}'{near_names(name, list(known()))} see --list")
    data = CONFIGS / "data" / f"{name}.yaml"
    attributes = OmegaConf.load(data).get("attributes") if data.is_file() else None
    return OmegaConf.load(known()[name]), OmegaConf.to_container(attributes) if attributes else {}


def listing() -> str:
    """One line a data set, from the first line of its file."""
    first = {name: path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for name, path in known().items()}
    return "\n".join(f"{name:18} {line}" for name, line in first.items())


def prepare(options: argparse.Namespace) -> None:
    """Reads, writes, and prints the card's counts."""
    from hydra.utils import instantiate

    from biasmask.data.data_card import card_markdown
    from biasmask.data.prepare_release import prepare_release

    about, attributes = load(options.name)
    steps = "; ".join(about.get("steps") or ())
    if options.source is None or not options.source.is_dir():
        where = f"it is to be had at {about.homepage}; terms: {about.terms}"
        raise DataError(f"--source must be the folder of the download: {steps}; {where}")
    release = instantiate(about.reader)(options.source, about.homepage)
    card = prepare_release(about, release, options.source, options.output, options.short_side, attributes)
    print(card_markdown(card))
    print(f"written: {options.output / options.name}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="data set; --list tells which")
    parser.add_argument("--list", action="store_true", help="the data sets, one line each")
    parser.add_argument("--source", type=Path, help="folder with the unzipped official download")
    parser.add_argument("--output", type=Path, default=Path("data"), help="data folder (paths.data_dir); default: data")
    parser.add_argument("--short-side", type=int, default=256, help="pixels of the short side; 0 = keep the originals")
    options = parser.parse_args(arguments)
    try:
        if options.list or not options.name:
            print(listing())
            return 0
        if options.short_side < 0:
            raise DataError(f"--short-side {options.short_side} must be 0 or more pixels")
        prepare(options)
    except BiasmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
