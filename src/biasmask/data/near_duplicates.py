"""Near duplicates: pictures that are one picture, or two of one moment, after another crop, light, watermark or compression.

Two steps. A 64-bit perceptual hash proposes pairs; it sees the coarse layout alone, and to it a round lesion in the middle of
plain skin is like any other. So each proposed pair is compared in fine detail (edges, hairs, texture), which two lesions don't
share.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.fft import dctn, irfft2, rfft2
from scipy.ndimage import gaussian_filter

from biasmask.data.parallel import map_parallel
from biasmask.errors import DataError

DISTANCE = 12  # bits of 64 that may differ: the first step only proposes
LIKENESS = 0.3  # of the second step, chosen by looking at pairs: docs/data_sets.md
SIDE = 96  # pixels of the square in which detail is compared
EDGE = 4  # pixels left out at its border, and the shift that is allowed
MOST = 2_000_000  # proposed pairs
CELLS = 8_000_000  # of one block of the comparison of hashes


def grey_picture(path: Path) -> Image.Image:
    """A picture in 8-bit grey, JPEGs decoded no larger than needed."""
    with Image.open(path) as image:
        image.draft("L", (2 * SIDE, 2 * SIDE))
        return image.convert("L")


def perceptual_hash(picture: Image.Image) -> int:
    """64 bits: which of the 8 x 8 lowest frequencies of the 32 x 32 grey picture are above their median.

    Source: pHash (Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions).

    >>> picture = Image.effect_mandelbrot((200, 150), (-2, -1.5, 1, 1.5), 50)
    >>> (perceptual_hash(picture) ^ perceptual_hash(picture.resize((100, 75)))).bit_count() <= 4
    True
    """
    small = np.asarray(picture.resize((32, 32), Image.Resampling.LANCZOS), dtype=np.float64)
    low = dctn(small, norm="ortho")[:8, :8].ravel()
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def fine_detail(picture: Image.Image) -> np.ndarray:
    """Edges and texture of a picture, local contrast made even: float32 (SIDE - 2 EDGE)^2 of mean 0 and length 1 (or all 0)."""
    values = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=np.float32)
    band = (gaussian_filter(values, 0.7) - gaussian_filter(values, 2.0))[EDGE:-EDGE, EDGE:-EDGE]
    even = band / (np.sqrt(gaussian_filter(band * band, 6.0)) + 1.0)
    even -= even.mean()
    length = float(np.sqrt((even * even).sum()))
    return even / length if length else even


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of two pictures' detail at the best shift of up to EDGE pixels: 1 = the same picture.

    >>> detail = fine_detail(Image.effect_noise((96, 96), 50))
    >>> round(likeness(detail, detail), 3)
    1.0
    """
    found = irfft2(rfft2(a) * np.conj(rfft2(b)), s=a.shape)
    shifts = np.arange(-EDGE, EDGE + 1)
    return float(found[np.ix_(shifts, shifts)].max())


def close_hashes(a: np.ndarray, b: np.ndarray | None, distance: int) -> np.ndarray:
    """All pairs of hashes that differ in at most so many bits.

    Args:
        a, b: (N,) and (M,) uint64; b None = pairs inside a, each once.
        distance: 0 to 64.

    Returns:
        (P, 3) int64: row of a, row of b, distance.

    Raises:
        DataError: more than MOST pairs.

    >>> close_hashes(np.array([0, 1, 255], dtype=np.uint64), None, 1)
    array([[0, 1, 1]])
    """
    other = a if b is None else b
    parts, count = [np.zeros((0, 3), dtype=np.int64)], 0
    step = max(1, CELLS // max(1, len(other)))
    for start in range(0, len(a), step):
        differing = _ones(a[start : start + step, None] ^ other[None])
        rows, columns = np.nonzero(differing <= distance)
        if b is None:
            once = rows + start < columns
            rows, columns = rows[once], columns[once]
        parts.append(np.stack([rows + start, columns, differing[rows, columns].astype(np.int64)], axis=1))
        count += len(rows)
        if count > MOST:
            raise DataError(f"more than {MOST:,} pairs of pictures differ in at most {distance} bits; try --near-duplicates 4")
    return np.concatenate(parts)


def _ones(values: np.ndarray) -> np.ndarray:
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(values)
    halves = values.view(np.uint16).reshape(*values.shape, 4)
    return _table()[halves].sum(-1)


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    return np.array([value.bit_count() for value in range(65536)], dtype=np.uint8)


def hash_pictures(paths: Sequence[Path], workers: int = 0, progress: Callable[[int], None] | None = None) -> np.ndarray:
    """(N,) uint64, the perceptual hash of each picture."""
    out = np.zeros(len(paths), dtype=np.uint64)
    for number, value in enumerate(map_parallel(lambda path: perceptual_hash(grey_picture(path)), paths, workers)):
        out[number] = value
        if progress:
            progress(number + 1)
    return out


def near_pairs(
    a: Sequence[Path], b: Sequence[Path] | None, distance: int = DISTANCE, least: float = LIKENESS, workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Near duplicates among pictures, or between two sets of them.

    Args:
        a, b: files; b None = pairs inside a.
        distance: bits of the hashes that may differ.
        least: likeness from which a pair counts.
        progress: called with the number of pictures hashed.

    Returns:
        (P, 3) int64 of row, row and distance, (P,) likeness, most alike first, and how many pairs the hashes proposed.
    """
    hashes = hash_pictures(a, workers, progress)
    proposed = close_hashes(hashes, None if b is None else hash_pictures(b, workers), distance)
    first = _details(a, proposed[:, 0] if b is not None else proposed[:, :2], workers)
    second = first if b is None else _details(b, proposed[:, 1], workers)
    compared = map_parallel(lambda pair: likeness(first[pair[0]], second[pair[1]]), proposed, workers)
    alike = np.fromiter(compared, dtype=np.float64, count=len(proposed))
    order = np.argsort(-alike, kind="stable")
    kept = order[alike[order] >= least]
    return proposed[kept], alike[kept], len(proposed)


def _details(paths: Sequence[Path], rows: np.ndarray, workers: int) -> dict[int, np.ndarray]:
    needed = [int(row) for row in np.unique(rows)]
    return dict(zip(needed, map_parallel(lambda row: fine_detail(grey_picture(paths[row])), needed, workers), strict=True))
