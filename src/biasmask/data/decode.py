"""One image file to a square of uint8 RGB pixels.

Every odd kind is either converted, and the conversion named, or refused with a reason.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from biasmask.errors import DataError

MAX_PIXELS = 89_478_485  # Pillow's own line between an image and a decompression bomb

# What undoes each EXIF orientation (tag 274).
ORIENTATION = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_270,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_90,),
}


class Decoded(NamedTuple):
    """`pixels` uint8 (S, S, 3), or None with the `reason`; `converted` names what was not plain 8-bit RGB or grey."""

    pixels: np.ndarray | None
    converted: tuple[str, ...] = ()
    reason: str | None = None


def decode_image(path: str | os.PathLike[str], size: int) -> np.ndarray:
    """Read one image: upright, RGB, short side scaled to `size` with antialiasing, centre square cut out.

    Args:
        path: an image file of any kind that Pillow reads.
        size: side in pixels, 1 or more.

    Returns:
        uint8 (size, size, 3).

    Raises:
        DataError: the file is missing, empty, no image, truncated, or a decompression bomb.

    >>> import tempfile; name = tempfile.mkdtemp() + "/a.png"; Image.new("CMYK", (8, 6)).convert("RGB").save(name)
    >>> decode_image(name, 4).shape
    (4, 4, 3)
    """
    with quiet_pillow():
        decoded = try_decode(path, size)
    if decoded.pixels is None:
        raise DataError(f"{path}: {decoded.reason}; repair the file or leave its row out of the table")
    return decoded.pixels


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """No warnings from Pillow: what matters is in the reason. Filters belong to the process, so not inside a thread."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def try_decode(path: str | os.PathLike[str], size: int) -> Decoded:
    """`decode_image` that gives the reason instead of raising, and the names of the conversions made.

    Conversions: `animated` (first frame taken), `16-bit` (divided by 257), `CMYK`, `transparent` (laid on white).
    Reasons: `missing file`, `empty file`, `not an image`, `decompression bomb (...)`, `truncated or damaged (...)`.

    Args:
        path, size: as `decode_image`.

    Returns:
        Decoded, whose pixels are None when there is a reason.

    >>> try_decode("no-such-file.png", 4).reason
    'missing file'
    """
    try:
        if Path(path).stat().st_size == 0:
            return Decoded(None, reason="empty file")
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                return Decoded(None, reason=f"decompression bomb ({width} x {height} pixels)")
            return _convert(image, size)
    except FileNotFoundError:
        return Decoded(None, reason="missing file")
    except Image.UnidentifiedImageError:
        return Decoded(None, reason="not an image")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Decoded(None, reason="decompression bomb")
    except Exception as error:  # Pillow's plugins raise nearly every type on damaged bytes; one file must not end a run
        text = " ".join(str(error).split())[:80]
        return Decoded(None, reason=f"truncated or damaged ({type(error).__name__}: {text})")


def _convert(image: Image.Image, size: int) -> Decoded:
    converted = ["animated"] if getattr(image, "is_animated", False) else []
    image.draft(None, (size, size))  # a JPEG is decoded at 1/2, 1/4 or 1/8 where that is still larger than asked for
    tile = getattr(image, "tile", [])
    raw_mode = str(tuple(tile[0])[3:]) if tile else ""
    image.load()
    turns = ORIENTATION.get(_orientation(image), ())
    picture, notes = _to_rgb(image, raw_mode)
    width, height = picture.size
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    square = picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + short, top + short))
    for turn in turns:
        square = square.transpose(turn)
    return Decoded(np.asarray(square), (*converted, *notes))


def _to_rgb(image: Image.Image, raw_mode: str) -> tuple[Image.Image, list[str]]:
    """8-bit RGB of any mode, and what had to be done for it."""
    mode, notes = image.mode, []
    if mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"integer pixels from {values.min()} to {values.max()} are outside 16 bits")
        return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB"), ["16-bit"]
    if mode == "F":
        raise DataError("floating-point pixels have no fixed range")
    if "16" in raw_mode:
        notes.append("16-bit")  # 16-bit colour: Pillow itself keeps the high byte
    if mode == "CMYK":
        notes.append("CMYK")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        if int(np.asarray(layer.getchannel("A")).min()) < 255:
            notes.append("transparent")
            image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        else:
            image = layer
    return image.convert("RGB"), notes


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(274, 1))
    except Exception:  # a damaged EXIF block does not spoil the picture: taken as upright
        return 1
