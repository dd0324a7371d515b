"""X-ray files as 8-bit pictures: DICOM, and grey PNG or TIFF of more than 8 bits.

Nothing is clipped unless the file itself names a window; each conversion has a name, which the data card counts.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from biasmask.errors import DataError

WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
DICOM_SUFFIXES = (".dcm", ".dicom")


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its suffix, or by the mark at byte 128."""
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    if path.suffix:
        return False
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def used_bits(largest: int) -> int:
    """The bits that hold a grey value: 8, 10, 12, 14 or 16, the least that is enough.

    >>> used_bits(255), used_bits(256), used_bits(4095), used_bits(40000)
    (8, 10, 12, 16)
    """
    return next((bits for bits in (8, 10, 12, 14, 16) if largest < 2**bits), 16)


def wide_to_bytes(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Grey values of up to 16 bits as 8 bits, in proportion: 0 stays 0, and the largest value that the used bits hold is 255.

    Args:
        values: (H, W) integers in 0..65535.

    Returns:
        uint8 (H, W), and what was done, such as `12 bits to 8`.

    Raises:
        DataError: a value outside 16 bits.

    >>> wide_to_bytes(np.array([[0, 4095]]))
    (array([[  0, 255]], dtype=uint8), '12 bits to 8')
    """
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise DataError(f"grey values from {low} to {high} are outside 16 bits")
    bits = used_bits(high)
    return np.round(values * (255 / (2**bits - 1))).astype(np.uint8), f"{bits} bits to 8"


def stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values from `low`..`high` to 0..255, uint8; all 0 where the two are equal.

    >>> stretch(np.array([-5.0, 0.0, 5.0]), -5, 5)
    array([  0, 128, 255], dtype=uint8)
    """
    if high <= low:
        return np.zeros(values.shape, dtype=np.uint8)
    return np.round((np.clip(values, low, high) - low) * (255 / (high - low))).astype(np.uint8)


def read_dicom(path: Path) -> tuple[Image.Image, str]:
    """One DICOM picture as 8 bits: modality LUT, then its own window or VOI LUT, MONOCHROME1 inverted, colour as RGB.

    Without a window the picture's own lowest and highest value become 0 and 255. Of several windows the first counts.

    Returns:
        The picture (mode L or RGB), and what was done.

    Raises:
        DataError: pydicom isn't installed, the file has no pixels, or several frames.
    """
    try:
        import pydicom
        from pydicom.pixels import apply_modality_lut, apply_voi_lut
    except ImportError as error:
        raise DataError(f"{path} is DICOM, which needs pydicom: pip install 'biasmask[medical]' or pydicom") from error
    data = pydicom.dcmread(path)
    if "PixelData" not in data:
        raise DataError(f"{path} has no pixels")
    if int(data.get("NumberOfFrames") or 1) > 1:
        raise DataError(f"{path} has {data.NumberOfFrames} frames; one picture a file is needed")
    pixels = data.pixel_array  # pydicom turns YBR into RGB here
    kind = str(data.get("PhotometricInterpretation", ""))
    if pixels.ndim == 3:
        return Image.fromarray(pixels if pixels.dtype == np.uint8 else wide_to_bytes(pixels)[0]), "DICOM, colour"
    values = np.asarray(apply_modality_lut(pixels, data), dtype=np.float64)
    windowed = _windowed(data)
    if windowed:
        values, low, high = _apply_window(data, pixels, apply_modality_lut, apply_voi_lut)
    else:
        low, high = float(values.min()), float(values.max())
    grey = stretch(values, low, high)
    inverted = kind == "MONOCHROME1"
    if inverted:
        grey = 255 - grey
    note = "DICOM, its window" if windowed else "DICOM, no window: lowest to highest value"
    return Image.fromarray(grey), note + (", MONOCHROME1 inverted" if inverted else "")


def _windowed(data: Any) -> bool:
    return bool(data.get("VOILUTSequence")) or (data.get("WindowWidth") is not None and data.get("WindowCenter") is not None)


def _apply_window(data: Any, pixels: np.ndarray, modality: Any, voi: Any) -> tuple[np.ndarray, float, float]:
    """The windowed values, and the range that they lie in by the standard (PS3.3 C.11.2)."""
    values = np.asarray(voi(modality(pixels, data), data, prefer_lut=True), dtype=np.float64)
    sequence = data.get("VOILUTSequence")
    if sequence:
        return values, 0.0, float(2 ** int(sequence[0].LUTDescriptor[2]) - 1)
    bits, signed = int(data.BitsStored), int(data.get("PixelRepresentation") or 0)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = float(data.get("RescaleSlope") or 1), float(data.get("RescaleIntercept") or 0)
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return values, ends[0], ends[1]
