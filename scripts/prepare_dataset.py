"""Brings the official download of a public data set into a checked table with a data card.

    python scripts/prepare_dataset.py --list
    python scripts/prepare_dataset.py ddi --source ~/Downloads/ddi --output data
    python src/train.py experiment=bmft data=ddi

It writes <output>/NAME/table.parquet (one row a sample), images/, card.md and card.json. Stopped, it goes on where it was.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from biasmask.errors import BiasmaskError, DataError

DISTANCE = 12  # bits; why: docs/data_sets.md
CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def known() -> dict[str, Path]:
    """Every data set that can be prepared, name -> its file."""
    return {path.stem: path for path in sorted((CONFIGS / "prepare").glob("*.yaml"))}


def load(name: str) -> tuple[Any, dict[str, Any]]:
    """The configuration of a data set, and its attribute definitions."""
    from omegaconf import OmegaConf

    from biasmask.data.config_table import data_config
    from biasmask.data.values import near_names

    if name not in known():
        raise DataError(f"there is no data set '{name}'{near_names(name, list(known())) or ';'} see --list")
    data = CONFIGS / "data" / f"{name}.yaml"
    attributes = data_config(data).get("attributes") if data.is_file() else None
    return OmegaConf.load(known()[name]), OmegaConf.to_container(attributes) if attributes else {}


def reader_options(about: Any, typed: list[str]) -> dict[str, Any]:
    """KEY=VALUE of the command line for the reader, which must be keys that the data set's file names."""
    from omegaconf import OmegaConf

    from biasmask.data.values import near_names, shown

    keys = [key for key in about.reader if not str(key).startswith("_")]
    for text in typed:
        key = text.partition("=")[0]
        if "=" not in text or key not in keys:
            raise DataError(
                f"--set {text}: {about.name} has no such option{near_names(key, keys) or ';'} options: {shown(keys) or 'none'}"
            )
    return OmegaConf.to_container(OmegaConf.from_dotlist(typed))


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
    chosen = reader_options(about, options.set)
    if options.download and options.source is not None:
        fetch(about, options.source)
    if options.source is None or not options.source.is_dir():
        steps = "; ".join(about.get("steps") or ())
        where = f"it is to be had at {about.homepage}; terms: {about.terms}"
        raise DataError(f"--source must be the folder of the download: {steps}; {where}")
    release = instantiate(about.reader, **chosen)(options.source, about.homepage)
    card = prepare_release(
        about, release, options.source, options.output, options.short_side, attributes, ita=options.ita, workers=options.workers
    )
    if options.near_duplicates is not None or options.against:
        add_near_duplicates(options, card)
    print(card_markdown(card))
    print(f"written: {options.output / options.name}")


def fetch(about: Any, source: Path) -> None:
    """Downloads to the source folder, with progress on standard error."""
    from biasmask.data.release_download import download_release

    def tell(ended: int, files: int, came: int) -> None:
        end = "\n" if ended == files else ""
        print(f"\r{ended:,} / {files:,} files, {came / 1e6:,.1f} MB", end=end, file=sys.stderr, flush=True)

    print(f"terms of {about.title}: {about.terms}; {about.homepage}")
    print("\n".join(download_release(about, source, tell)))


def add_near_duplicates(options: argparse.Namespace, card: dict[str, Any]) -> None:
    """Looks for near duplicates in the prepared set, and between it and others; adds what it found to the card."""
    from biasmask.data.config_table import load_config
    from biasmask.data.near_report import report_near_duplicates
    from biasmask.data.prepare_release import tell, write_card

    folder, config = options.output / options.name, CONFIGS / "data" / f"{options.name}.yaml"
    distance = options.near_duplicates if options.near_duplicates is not None else DISTANCE
    splits = {}
    if config.is_file():
        table = load_config(config, options.output, report_attributes=[], near_duplicates=None)[0].frame
        splits = dict(zip(table["id"], table["split"], strict=True))
    for other in [None, *options.against]:
        against = options.output / other if other else None
        found = report_near_duplicates(
            folder, against, splits, distance, workers=options.workers,
            progress=lambda n: tell(n, card["rows"], "pictures compared"),
        )  # fmt: skip
        card["findings"][f"Near duplicates in {other}" if other else "Near duplicates"] = found
    write_card(folder, card)


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("name", nargs="?", help="data set; --list tells which")
    made.add_argument("--list", action="store_true", help="the data sets, one line each")
    made.add_argument("--source", type=Path, help="folder with the unzipped official download")
    made.add_argument("--download", action="store_true", help="fetch to --source what may be had without a login")
    made.add_argument("--output", type=Path, default=Path("data"), help="data folder (paths.data_dir); default: data")
    made.add_argument("--short-side", type=int, default=256, help="pixels of the short side; 0 = keep the originals")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the data set's reader")
    made.add_argument("--ita", action="store_true", help="add a skin tone guessed from pixels (limits: docs/data_sets.md)")
    made.add_argument(
        "--near-duplicates", type=int, nargs="?", const=DISTANCE, metavar="BITS",
        help=f"list pictures that are nearly the same; BITS of 64 of their hashes may differ (default {DISTANCE})",
    )  # fmt: skip
    made.add_argument(
        "--against", action="append", default=[], metavar="OTHER", help="and those in common with another prepared data set"
    )
    made.add_argument("--workers", type=int, default=0, help="threads for the pictures; 0 = one a core")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = parser().parse_args(arguments)
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
