"""What the fake downloads are made of: small pictures whose bytes differ, and columns in which every pairing occurs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, seed: int, size: tuple[int, int] = (32, 24), grey: bool = False) -> None:
    """A smooth picture, JPEG or PNG by its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5) if grey else (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BILINEAR)
    image.save(path, quality=90) if path.suffix.lower() in (".jpg", ".jpeg") else image.save(path)


def cycle(values: Sequence[object], count: int, every: int = 1) -> list[object]:
    """Values in turn, each `every` times running: columns of different `every` meet in all pairings."""
    return [values[number // every % len(values)] for number in range(count)]


def dicom(
    path: Path, pixels: np.ndarray, bits: int = 12, kind: str = "MONOCHROME2", window: tuple[float, float] | None = None,
    slope: float = 1, intercept: float = 0,
) -> None:
    """A DICOM file of one grey (H, W) or RGB (H, W, 3) picture, explicit little endian."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = pixels.shape[:2]
    colour = pixels.ndim == 3
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = "RGB" if colour else kind
    if colour:
        data.PlanarConfiguration = 0
    data.BitsAllocated = 8 if colour else 16
    data.BitsStored = 8 if colour else bits
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = 0
    if window:
        data.WindowCenter, data.WindowWidth = window
    if (slope, intercept) != (1, 0):
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
    data.PixelData = pixels.astype(np.uint8 if colour else np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
