"""Skin tone guessed from pixels: the individual typology angle (ITA) of the skin beside the lesion.

A guess, and a poor one: light, flash and white balance move it by whole groups, and dermoscopes have a light of their own. Use
annotated types where there are any; docs/data_sets.md has how far the two agree here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from biasmask.data.parallel import map_parallel

SIDE = 96  # pixels of the long side that is measured
EDGES = (10.0, 19.0, 28.0, 41.0, 55.0)  # degrees; Kinyanjui 2020, and Groh 2021 for the types VI to I
GROUPS = ("dark", "brown", "tan", "intermediate", "light", "very light")
LEAST_PIXELS = 50
CHROMA = 6.0  # below it a pixel is grey: background, ruler, hair
HUES = (15.0, 85.0)  # degrees between a* (red) and b* (yellow) in which skin lies
LIGHTNESS = (10.0, 97.0)  # darker: corners of a dermoscope; lighter: background, flash
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
WHITE = np.array([0.95047, 1.0, 1.08883])  # D65


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB to CIE L*a*b* under D65.

    Args:
        rgb: uint8 (..., 3).

    Returns:
        float64 (..., 3): L* 0..100, a*, b*.

    >>> rgb_to_lab(np.array([255, 255, 255], dtype=np.uint8)).round(1).tolist()[0]
    100.0
    """
    value = rgb.astype(np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    ratio = linear @ TO_XYZ.T / WHITE
    root = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def typology_angle(lightness: float, yellow: float) -> float:
    """arctan((L* - 50) / b*) in degrees: large for light skin.

    Source: Chardon, Cretois, Hourseau 1991.

    >>> round(typology_angle(70, 20)), round(typology_angle(40, 20))
    (45, -27)
    """
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def otsu_threshold(values: np.ndarray, bins: int = 64) -> float:
    """The value that parts a histogram into two with the largest variance between them (Otsu 1979).

    >>> 2 < otsu_threshold(np.array([1.0, 1.1, 1.2, 8.0, 8.1])) < 8
    True
    """
    if values.min() == values.max():
        return float(values.min())
    counts, edges = np.histogram(values, bins)
    share, centres = counts / counts.sum(), (edges[:-1] + edges[1:]) / 2
    weight, mean = np.cumsum(share), np.cumsum(share * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean[-1] * weight - mean) ** 2 / (weight * (1 - weight))
    between[~np.isfinite(between)] = -1.0
    best = np.flatnonzero(np.isclose(between, between.max()))  # an empty stretch between the two has one value throughout
    return float((edges[best[0] + 1] + edges[best[-1] + 1]) / 2)


def skin_angle(rgb: np.ndarray) -> float:
    """The ITA of the skin in a picture: of pixels in the colours of skin, the lighter part by Otsu (the darker one is lesion).

    Args:
        rgb: uint8 (H, W, 3).

    Returns:
        Degrees by the medians of L* and b*; NaN with fewer than 50 such pixels.
    """
    lab = rgb_to_lab(rgb)
    lightness, red, yellow = lab[..., 0], lab[..., 1], lab[..., 2]
    hue = np.degrees(np.arctan2(yellow, red))
    skin = (lightness > LIGHTNESS[0]) & (lightness < LIGHTNESS[1]) & (np.hypot(red, yellow) > CHROMA)
    skin &= (hue > HUES[0]) & (hue < HUES[1])
    if skin.sum() < LEAST_PIXELS:
        return float("nan")
    skin &= lightness >= otsu_threshold(lightness[skin])
    return typology_angle(float(np.median(lightness[skin])), float(np.median(yellow[skin])))


def angle_group(angle: float) -> str | None:
    """very light (over 55 degrees), light (over 41), intermediate (over 28), tan (over 19), brown (over 10), dark; None for NaN.

    >>> angle_group(55.1), angle_group(55.0), angle_group(-40.0)
    ('very light', 'light', 'dark')
    """
    return None if np.isnan(angle) else GROUPS[int(np.searchsorted(EDGES, angle, side="left"))]


def ita_columns(paths: Sequence[Path], workers: int = 0, progress: Callable[[int], None] | None = None) -> dict[str, list[Any]]:
    """Columns `ita` (degrees, NaN where too little skin is seen) and `ita_group` of pictures."""

    def measure(path: Path) -> float:
        with Image.open(path) as image:
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            picture = image.convert("RGB")
        picture.thumbnail((SIDE, SIDE))
        return skin_angle(np.asarray(picture))

    angles = []
    for number, angle in enumerate(map_parallel(measure, paths, workers)):
        angles.append(round(angle, 2))
        if progress:
            progress(number + 1)
    return {"ita": angles, "ita_group": [angle_group(angle) for angle in angles]}


def ita_finding(columns: dict[str, list[Any]], types: pd.Series | None = None) -> dict[str, Any]:
    """For the data card: rows per group, and the agreement with annotated Fitzpatrick types (1 to 6) where there are any."""
    groups = pd.Series(columns["ita_group"], dtype=object)
    counts = {name: int((groups == name).sum()) for name in reversed(GROUPS)}
    unknown = int(groups.isna().sum())
    lines = [
        "guessed from pixels: light, flash and white balance move it by whole groups; prefer annotated types",
        ", ".join(f"{name} {count:,}" for name, count in counts.items()) + f"; too little skin: {unknown:,}",
    ]
    finding: dict[str, Any] = {"groups": counts, "unknown": unknown}
    if types is not None:
        finding["agreement"] = type_agreement(np.array(columns["ita"], dtype=np.float64), types.to_numpy(dtype=np.float64))
        a = finding["agreement"]
        lines.append(
            f"against annotated types, n = {a['n']:,}: the same {a['exact']:.1%}, at most one apart {a['within_one']:.1%}, "
            f"quadratic kappa {a['kappa']:.2f}; the most frequent type for all would be right in {a['most_frequent']:.1%}"
        )
    return finding | {"lines": lines}


def type_agreement(angles: np.ndarray, types: np.ndarray) -> dict[str, float]:
    """How far the six groups of ITA agree with annotated types.

    Args:
        angles: (N,) degrees, NaN = unknown. types: (N,) 1 to 6; any other value = unknown.

    Returns:
        n, and the shares `exact`, `within_one`, `most_frequent` (of the commonest type), and Cohen's `kappa`, squared weights.

    >>> type_agreement(np.array([60.0, 5.0]), np.array([1.0, 5.0]))["exact"]
    0.5
    """
    from sklearn.metrics import cohen_kappa_score

    known = np.isfinite(angles) & (types >= 1) & (types <= 6)
    guessed, given = 6 - np.searchsorted(EDGES, angles[known], side="left"), types[known].astype(int)
    if not len(given):
        return {"n": 0, "exact": 0.0, "within_one": 0.0, "most_frequent": 0.0, "kappa": 0.0}
    apart = np.abs(guessed - given)
    kappa = cohen_kappa_score(guessed, given, weights="quadratic", labels=range(1, 7)) if len(set(given)) > 1 else 0.0
    shares = {"exact": apart == 0, "within_one": apart <= 1}
    return {
        "n": len(given), **{name: float(value.mean()) for name, value in shares.items()},
        "most_frequent": float(np.bincount(given).max() / len(given)), "kappa": float(kappa),
    }  # fmt: skip
