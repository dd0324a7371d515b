"""What the preparation scripts share: resize the images once, atomically and resumably, and count the result."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps

from biasmask.data.attributes import encode_attribute
from biasmask.data.checker import CheckReport, check_table
from biasmask.data.table import Table, TableSource
from biasmask.errors import BiasmaskError, DataError

QUALITY = 95  # of the JPEGs that are written: no visible loss, a third of the size of 100
ORIENTATION = 0x0112  # EXIF tag; 1 = as stored
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass
class PrepareCount:
    """What happened to the images: how many were written, were there already, and failed (name -> reason)."""

    written: int = 0
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def index_images(folder: Path) -> dict[str, Path]:
    """All images below a folder by their name without suffix; of two with one name the first in path order counts."""
    found: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in IMAGE_SUFFIXES:
                found.setdefault(stem, Path(parent, name))
    return found


def prepare_images(
    jobs: Iterable[tuple[Path, Path]], short_side: int, progress: Callable[[int], None] | None = None
) -> PrepareCount:
    """Writes each source image to its destination, with the short side at most `short_side` pixels.

    Args:
        jobs: (source, destination) pairs; the destination is a JPEG.
        short_side: pixels; 0 = copy the bytes. An image that is smaller is not enlarged.
        progress: called with the number of images done.

    Returns:
        PrepareCount. A destination that decodes and has the right size is skipped, so a stopped run goes on.

    Raises:
        DataError: the disk is full or can't be written. A source that can't be read is counted in `failed`.
    """
    count = PrepareCount()
    for number, (source, destination) in enumerate(jobs, start=1):
        try:
            if _is_done(source, destination, short_side):
                count.skipped += 1
            else:
                _write(source, destination, short_side)
                count.written += 1
        except DataError:
            raise
        except Exception as error:  # PIL raises OSError, SyntaxError, ValueError and more for a broken file
            count.failed[source.name] = " ".join(str(error).split())[:150] or type(error).__name__
        if progress:
            progress(number)
    return count


def target_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Width and height after resizing the short side, aspect kept, never enlarged.

    >>> target_size((600, 450), 256), target_size((100, 80), 256)
    ((341, 256), (100, 80))
    """
    short = min(size)
    if not short_side or short <= short_side:
        return size
    width, height = (max(1, round(side * short_side / short)) for side in size)
    return width, height


def _is_done(source: Path, destination: Path, short_side: int) -> bool:
    if not destination.is_file() or destination.stat().st_mtime < source.stat().st_mtime:
        return False
    with Image.open(source) as image:
        wanted = target_size(image.size, short_side)
    try:
        with Image.open(destination) as image:
            # sorted: EXIF may have turned the image; draft decodes at an eighth, which still finds a torn file
            if sorted(image.size) != sorted(wanted):
                return False
            image.draft("RGB", (image.width // 8, image.height // 8))
            image.load()
    except Exception:
        return False
    return True


def _write(source: Path, destination: Path, short_side: int) -> None:
    with Image.open(source) as image:
        upright = image.getexif().get(ORIENTATION, 1) == 1
        keep = upright and (image.format, image.mode) == ("JPEG", "RGB")
        keep = keep and target_size(image.size, short_side) == image.size
        image.load()  # a truncated source fails here, also when its bytes would only be copied
        picture = None if keep else ImageOps.exif_transpose(image).convert("RGB")
    part = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        if picture is None:
            shutil.copyfile(source, part)
        else:
            picture = picture.resize(target_size(picture.size, short_side), Image.Resampling.LANCZOS)
            picture.save(part, "JPEG", quality=QUALITY)
        os.replace(part, destination)
    except OSError as error:
        raise DataError(f"{destination} can't be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def write_table(text: bytes, destination: Path) -> None:
    """Writes a table file beside its place and renames it."""
    part = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(text)
        os.replace(part, destination)
    except OSError as error:
        raise DataError(f"{destination} can't be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def load_config(config: Path, data_dir: Path) -> tuple[Table, CheckReport]:
    """The table that a data config makes of a data folder, and the checker's report on its reported attributes."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    tree = OmegaConf.create({"paths": {"data_dir": str(data_dir)}, "data": OmegaConf.load(config)})
    source: TableSource = instantiate(tree.data.source)
    table = source.load()
    definitions = {str(name): dict(definition) for name, definition in tree.data.attributes.items()}
    return table, check_table(
        table, [encode_attribute(name, definitions, table) for name in tree.data.report_attributes]
    )


def count_lines(report: CheckReport) -> list[str]:
    """Lines of text with the rows per split, attribute, group and target."""
    lines = [f"{report.table}: {report.rows} images"]
    for split, attributes in report.counts.items():
        whole = ", ".join(f"{count} {name}" for name, count in report.splits[split]["target"].items())
        lines.append(
            f"  {split}: {report.splits[split]['rows']} images, {report.splits[split]['subjects']} subjects ({whole})"
        )
        for attribute, cells in attributes.items():
            for group, by_class in cells.items():
                if group != "(missing)" or any(by_class.values()):
                    counted = ", ".join(f"{count} {name}" for name, count in by_class.items())
                    lines.append(f"    {attribute}={group}: {counted}")
    return lines


def resize_and_report(ids: Iterable[str], source: Path, folder: Path, short_side: int, config: Path) -> None:
    """Writes the images of `ids` found below `source` to <folder>/images, then prints what the data config sees there.

    Raises:
        DataError: the result is no usable data set, such as one without any image.
    """
    wanted = list(dict.fromkeys(ids))
    images = index_images(source)
    # an id comes from a downloaded table: one with a slash must not choose where a file is written
    jobs = [(images[i], folder / "images" / f"{i}.jpg") for i in wanted if i in images and Path(i).name == i]
    count = prepare_images(jobs, short_side, lambda n: print(f"\r{n} / {len(jobs)} images", end="", file=sys.stderr))
    print(file=sys.stderr)
    print(
        f"{count.written} written, {count.skipped} were there, {len(count.failed)} failed, "
        f"{len(wanted) - len(jobs)} of {len(wanted)} ids have no image below {source}"
    )
    for name, reason in list(count.failed.items())[:5]:
        print(f"  failed: {name}: {reason}")
    print("\n".join(count_lines(load_config(config, folder.parent)[1])))


def run_script(
    description: str, terms: str, prepare: Callable[[Path, Path, int], None], arguments: list[str] | None
) -> int:
    """The command line of a preparation script; `prepare` gets source, output and short side. Returns the exit code."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with the unzipped official download")
    parser.add_argument("--output", type=Path, default=Path("data"), help="data folder (paths.data_dir); default: data")
    parser.add_argument("--short-side", type=int, default=256, help="pixels of the short side; 0 = keep the originals")
    options = parser.parse_args(arguments)
    try:
        if options.short_side < 0:
            raise DataError(f"--short-side {options.short_side} must be 0 or more pixels")
        if not options.source.is_dir():
            raise DataError(f"--source {options.source} is no folder; it must hold the unzipped download; {terms}")
        prepare(options.source, options.output, options.short_side)
    except BiasmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(terms)
    return 0
