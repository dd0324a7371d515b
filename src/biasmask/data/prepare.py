"""Pictures of a download to JPEGs of one size, on all cores, atomically and resumably."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from biasmask.data.medical_pixels import WIDE_MODES, is_dicom, read_dicom, wide_to_bytes
from biasmask.data.parallel import map_parallel
from biasmask.errors import DataError

QUALITY = 95  # of the JPEGs that are written: no visible loss, a third of the size of 100
ORIENTATION = 0x0112  # EXIF tag; 1 = as stored
Job = tuple[Path, Path]


@dataclass
class PrepareCount:
    """What happened to the images: how many were written, were there already, and failed (place in the list -> reason).

    `converted` counts what was more than a copy or a change of size: 16 bits to 8, DICOM.
    """

    written: int = 0
    skipped: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    converted: Counter[str] = field(default_factory=Counter)


def prepare_images(
    jobs: Sequence[Job], short_side: int, progress: Callable[[int], None] | None = None, workers: int = 0
) -> PrepareCount:
    """Writes each source image to its destination, with the short side at most `short_side` pixels.

    Args:
        jobs: (source, destination) pairs; the destination is a JPEG.
        short_side: pixels; 0 = copy the bytes where they are a plain JPEG. An image that is smaller is not enlarged.
        progress: called with the number of images done.
        workers: threads; 0 = one a core.

    Returns:
        PrepareCount. A destination that decodes and has the right size is skipped, so a stopped run goes on.

    Raises:
        DataError: the disk is full or can't be written. A source that can't be read is counted in `failed`.
    """
    count = PrepareCount()

    def work(job: Job) -> tuple[str, str]:
        return _prepare_one(*job, short_side)

    for number, (state, note) in enumerate(map_parallel(work, jobs, workers)):
        if state == "failed":
            count.failed[number] = note
        else:
            setattr(count, state, getattr(count, state) + 1)
            if note:
                count.converted[note] += 1
        if progress:
            progress(number + 1)
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


def _prepare_one(source: Path, destination: Path, short_side: int) -> tuple[str, str]:
    try:
        if _is_done(source, destination, short_side):
            return "skipped", ""
        picture, note = _open(source, short_side)
    except Exception as error:  # Pillow and pydicom raise OSError, SyntaxError, ValueError and more for a broken file
        return "failed", " ".join(str(error).split())[:150] or type(error).__name__
    _write(picture, source, destination, short_side)
    return "written", note


def _source_size(source: Path) -> tuple[int, int]:
    if not is_dicom(source):
        with Image.open(source) as image:
            return image.size
    import pydicom

    head = pydicom.dcmread(source, stop_before_pixels=True)
    return int(head.Columns), int(head.Rows)


def _is_done(source: Path, destination: Path, short_side: int) -> bool:
    if not destination.is_file() or destination.stat().st_mtime < source.stat().st_mtime:
        return False
    wanted = target_size(_source_size(source), short_side)
    try:
        with Image.open(destination) as image:
            # sorted: EXIF may have turned the image; draft decodes at an eighth, which still finds a torn file
            if sorted(image.size) != sorted(wanted):
                return False
            image.draft(image.mode, (image.width // 8, image.height // 8))
            image.load()
    except Exception:
        return False
    return True


def _open(source: Path, short_side: int) -> tuple[Image.Image | None, str]:
    """The upright picture in 8 bits, grey or RGB, and what was done to it; None where the file itself can be copied."""
    if is_dicom(source):
        return read_dicom(source)
    with Image.open(source) as image:
        upright = image.getexif().get(ORIENTATION, 1) == 1
        plain = upright and image.format == "JPEG" and image.mode in ("RGB", "L")
        keep = plain and target_size(image.size, short_side) == image.size
        if image.format == "JPEG" and not keep and short_side:  # decoded at 1/2, 1/4 or 1/8, never below twice the size asked for
            image.draft(None, tuple(2 * side for side in target_size(image.size, short_side)))
        image.load()  # a truncated source fails here, also when its bytes would only be copied
        if keep:
            return None, ""
        picture = ImageOps.exif_transpose(image)
        if picture.mode in WIDE_MODES:
            grey, note = wide_to_bytes(np.asarray(picture))
            return Image.fromarray(grey), note
        return picture if picture.mode == "L" else picture.convert("RGB"), ""


def _write(picture: Image.Image | None, source: Path, destination: Path, short_side: int) -> None:
    part = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        if picture is None:
            shutil.copyfile(source, part)
        else:
            size = target_size(picture.size, short_side)
            if size != picture.size:
                picture = picture.resize(size, Image.Resampling.LANCZOS)
            picture.save(part, "JPEG", quality=QUALITY)
        os.replace(part, destination)
    except OSError as error:
        raise DataError(f"{destination} can't be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
