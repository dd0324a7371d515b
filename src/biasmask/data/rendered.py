"""Rendered lesions: pictures whose malignancy cue, skin tone and the correlation planted between them are known.

`RenderedLesions` writes the table (target, tone, cue strengths) and draws any row of it by itself: a picture depends on
the seed and its own id only, not on the rows around it nor on the sizes of the splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from biasmask.data.table import Table
from biasmask.errors import DataError

VERSION = 1
SPLITS = ("train", "debias", "val", "test")
SIZES = {"train": 2400, "debias": 800, "val": 400, "test": 2000}
TONE_NAMES = {2: ("light", "dark"), 3: ("light", "medium", "dark")}
CUES = ("border", "colour", "asymmetry")
CHUNK = 8  # planes of 8 pictures of 64 px stay in the second-level cache

# Noise grids and their knots a side, from slow lighting to the grain of the skin.
GRIDS = {"skin": 4, "border": 8, "fringe": 17, "blotch": 5, "vessel": 6, "veil": 5, "network": 24, "grain": 30}
# Reflectance (red, green, blue) of skin from the lightest to the darkest shade, and what pigments absorb of it.
SHADES = np.array(
    [[0.95, 0.80, 0.75], [0.89, 0.69, 0.60], [0.72, 0.51, 0.39], [0.54, 0.36, 0.26], [0.36, 0.235, 0.17]], np.float32
)
MELANIN = np.array([0.55, 0.88, 1.10], np.float32)
BLOOD = np.array([0.06, 0.85, 0.70], np.float32)
VEIL = np.array([0.50, 0.54, 0.62], np.float32)


class RenderedLesions:
    """Source of lesion pictures with a planted correlation between skin tone and target.

    P(malignant | tone) = malignant_share + correlation * min(malignant_share, 1 - malignant_share) * position, where
    position runs evenly from -1 (lightest tone) to +1 (darkest); a correlation of 0.7 gives 0.15 and 0.85. The atypia
    of a lesion is normal with a distance of 4 * (1 - hard) standard deviations between the two targets, so a reader who
    sees it without error has an AUROC of Phi(4 * (1 - hard) / sqrt(2)); the cues border, colour and asymmetry follow it
    with noise of their own.

    Args:
        n: rows per split, keys of train, debias, val, test; a split left out has its default size, 0 leaves it out.
        correlation: in [-1, 1], between tone and target in the train split.
        test_correlation: in [-1, 1], the same in debias, val and test.
        hard: in [0, 1]; 0 is easy (distance 4), 1 has no cue at all.
        tones: 2 (light, dark) or 3 (light, medium, dark).
        tone_shares: share of each tone, lightest first, sum 1; None means equal shares.
        malignant_share: in (0, 1), P(malignant) of the middle tone.
        seed: the table and every picture follow from it.

    Raises:
        DataError: a parameter out of its range, named with its value.

    >>> source = RenderedLesions(n={"train": 40, "debias": 0, "val": 0, "test": 0}, correlation=0.7)
    >>> source.render(source.load(), 32, [0, 1]).shape
    (2, 32, 32, 3)
    """

    def __init__(
        self,
        n: Mapping[str, int] | None = None,
        correlation: float = 0.7,
        test_correlation: float = 0.0,
        hard: float = 0.25,
        tones: int = 2,
        tone_shares: Sequence[float] | None = None,
        malignant_share: float = 0.5,
        seed: int = 0,
        name: str = "rendered",
    ) -> None:
        sizes = {**SIZES, **dict(n or {})}
        if unknown := set(sizes) - set(SPLITS):
            raise DataError(
                f"rendered lesions: n has the unknown split {min(unknown)!r}; known are {', '.join(SPLITS)}"
            )
        if min(sizes.values()) < 0 or not any(sizes.values()):
            raise DataError(f"rendered lesions: n={sizes} needs sizes of 0 or more, and one above 0")
        for key, value in (("correlation", correlation), ("test_correlation", test_correlation)):
            if not -1 <= value <= 1:
                raise DataError(f"rendered lesions: {key}={value} is outside [-1, 1]")
        if not 0 <= hard <= 1 or not 0 < malignant_share < 1:
            raise DataError(f"rendered lesions: {hard=} must be in [0, 1] and {malignant_share=} in (0, 1)")
        if tones not in TONE_NAMES:
            raise DataError(f"rendered lesions: tones={tones} is not one of {sorted(TONE_NAMES)}")
        shares = [1 / tones] * tones if tone_shares is None else [float(share) for share in tone_shares]
        if len(shares) != tones or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise DataError(f"rendered lesions: tone_shares={shares} must be {tones} shares that sum to 1")
        self.n = {split: int(sizes[split]) for split in SPLITS}
        self.correlation, self.test_correlation, self.hard = float(correlation), float(test_correlation), float(hard)
        self.tones, self.tone_shares, self.malignant_share = int(tones), shares, float(malignant_share)
        self.seed, self.name = int(seed), name

    def parameters(self) -> dict[str, Any]:
        """All that the pictures and the table depend on, as JSON-able values (part of the pixel store's key)."""
        return {"source": "rendered_lesions", "version": VERSION} | {k: v for k, v in vars(self).items() if k != "name"}

    def load(self) -> Table:
        """The table: target, split, `raw:skin_tone`, and the truth of each picture (shade, atypia, three cues)."""
        frame = pd.concat([self._split(split) for split in SPLITS if self.n[split]], ignore_index=True)
        frame.insert(1, "path", [f"rendered/{row}" for row in range(len(frame))])
        return Table(self.name, frame, Path("."), ("benign", "malignant"), [])

    def render(self, table: Table, size: int, rows: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Pictures of the given rows (None: all), uint8 (len(rows), size, size, 3); no rows give an empty array."""
        rows = np.arange(len(table.frame)) if rows is None else np.asarray(rows, dtype=np.int64)
        images = np.empty((len(rows), size, size, 3), np.uint8)
        frame = table.frame
        truth = frame[["raw:shade", *(f"raw:{cue}" for cue in CUES)]].to_numpy(np.float32)
        ids = frame["id"].to_numpy()
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            images[start : start + len(part)] = draw(truth[part], [self._picture_seed(ids[row]) for row in part], size)
        return images

    def _picture_seed(self, identifier: str) -> list[int]:
        split, number = identifier.rsplit("_", 1)
        return [self.seed, SPLITS.index(split), int(number)]

    def _split(self, split: str) -> pd.DataFrame:
        """One split: exact counts per tone x target (largest remainder), in random order."""
        n, correlation = self.n[split], self.correlation if split == "train" else self.test_correlation
        rng = np.random.default_rng([self.seed, 1000 + SPLITS.index(split)])
        position = np.linspace(-1, 1, self.tones)
        p = self.malignant_share + correlation * min(self.malignant_share, 1 - self.malignant_share) * position
        expected = n * np.array(self.tone_shares)[:, None] * np.stack([1 - p, p], axis=1)
        counts = np.floor(expected + 1e-9).astype(int).ravel()
        counts[np.argsort(counts - expected.ravel(), kind="stable")[: n - counts.sum()]] += 1
        cell = rng.permutation(np.repeat(np.arange(2 * self.tones), counts))
        tone, target = cell // 2, cell % 2
        # Shades of neighbouring groups do not overlap, so that the group is a fact of the picture.
        shade = (tone + rng.uniform(0.1, 0.9, n)) / self.tones
        atypia = (target - 0.5) * 4 * (1 - self.hard) + rng.standard_normal(n)
        columns: dict[str, Any] = {
            "id": [f"{split}_{number:05d}" for number in range(n)],
            "target": target.astype(np.int64),
            "split": split,
            "raw:skin_tone": np.array(TONE_NAMES[self.tones], dtype=object)[tone],
            "raw:shade": shade,
            "raw:atypia": atypia,
        }
        for cue in CUES:
            columns[f"raw:{cue}"] = 1 / (1 + np.exp(-1.3 * (atypia + 0.5 * rng.standard_normal(n))))
        columns["subject"] = columns["id"]
        order = ["id", "target", "split", "subject"]
        return pd.DataFrame(columns)[order + [name for name in columns if name not in order]]


def draw(truth: np.ndarray, seeds: Sequence[Sequence[int]], size: int) -> np.ndarray:
    """Draw pictures: skin, a lesion that absorbs light (melanin, blood, whitish veil), hairs, lighting, sensor noise.

    Args:
        truth: float32 (B, 4), shade (0 light to 1 dark), border, colour, asymmetry, each in [0, 1].
        seeds: B seeds; all that is not in `truth` comes from them.
        size: side in pixels; the same picture comes out at any size, apart from the sensor noise.

    Returns:
        uint8 (B, size, size, 3); an empty batch gives an empty array.
    """
    uniform, grids, noise = _random(seeds, size)
    field = {name: _upsample(grid, size) for name, grid in zip(GRIDS, grids, strict=True)}
    column = iter(uniform.T[:, :, None, None])

    def between(low: float, high: float) -> np.ndarray:
        return low + (high - low) * next(column)

    shade, border, colour, asymmetry = truth.T[:, :, None, None]
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1)[None, :]
    x, y = axis[:, None, :], axis[:, :, None]

    # Lesion shape: an ellipse, bent by harmonics (asymmetry) and cut by noise (border); depth < 0 is inside.
    turn, stretch, radius = between(0, np.pi), between(0.78, 1.0), between(0.40, 0.64)
    dx, dy = x - between(-0.16, 0.16), y - between(-0.16, 0.16)
    u = (np.cos(turn) * dx + np.sin(turn) * dy) / (radius / stretch)
    v = (np.cos(turn) * dy - np.sin(turn) * dx) / (radius * stretch)
    rho = np.sqrt(u * u + v * v) + np.float32(1e-3)
    c, s = u / rho, v / rho
    side, bend = between(0, 2 * np.pi), between(0, 2 * np.pi)
    lobe = np.cos(side) * c + np.sin(side) * s
    three = np.cos(bend) * c * (4 * c * c - 3) + np.sin(bend) * s * (3 - 4 * s * s)
    depth = rho - 1 + asymmetry * (0.16 * three - 0.12 * lobe) + (0.02 + 0.20 * border) * field["border"]
    depth += (0.02 + 0.08 * border) * field["fringe"]
    inside = 1 / (1 + np.exp(np.minimum(depth / (between(0.06, 0.15) - 0.02 * border), 30)))

    # Optical density: even in a benign lesion, in blotches, red areas and veil where the colour cue is strong.
    variegation = colour * inside
    density = between(0.6, 1.45) * inside * (1 + 0.16 * field["network"] - 0.25 * asymmetry * lobe * rho)
    density *= np.exp(np.clip(0.75 * colour * field["blotch"], -1.6, 0.8))
    blood = between(0.05, 0.22) * inside + 0.65 * variegation * np.clip(field["vessel"] + 0.1, 0, 1.5)
    veil = 0.6 * variegation * np.clip(0.7 * field["veil"] - 0.1, 0, 1) * (0.85 + 0.15 * field["network"])

    light = 1 + between(-0.10, 0.10) * x + between(-0.10, 0.10) * y
    light = light * (1 - between(0.0, 0.16) * (x * x + y * y)) * between(0.92, 1.06)
    light = light * (1 + 0.035 * field["skin"] + 0.028 * field["grain"]) * (1 - _hairs(uniform, axis))
    warmth, redness = between(-0.05, 0.05), between(0.0, 0.16) + 0.03 * field["skin"]
    level = shade * (len(SHADES) - 1)
    images = np.empty((len(truth), size, size, 3), np.uint8)
    for channel in range(3):
        skin = np.interp(level, np.arange(len(SHADES)), SHADES[:, channel]).astype(np.float32)
        absorbed = (MELANIN[channel] + warmth * (channel - 1)) * density + BLOOD[channel] * (blood + redness)
        value = skin * np.exp(-absorbed)
        value += veil * (VEIL[channel] * (0.45 + 0.55 * skin) - value)
        images[..., channel] = np.clip(value * light * 255 + noise, 0, 255)
    return images


def _random(seeds: Sequence[Sequence[int]], size: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Per picture, from its own generator: uniform numbers, the knots of each noise grid, sensor noise."""
    knots = [(k + 3) * (k + 3) for k in GRIDS.values()]
    uniform = np.empty((len(seeds), 64), np.float32)
    normal = np.empty((len(seeds), sum(knots)), np.float32)
    noise = np.empty((len(seeds), size, size), np.float32)
    for i, seed in enumerate(seeds):
        rng = np.random.Generator(np.random.SFC64(list(seed)))
        rng.random(out=uniform[i], dtype=np.float32)
        rng.standard_normal(out=normal[i], dtype=np.float32)
        rng.standard_normal(out=noise[i], dtype=np.float32)
    parts = np.split(normal, np.cumsum(knots)[:-1], axis=1)
    grids = [part.reshape(-1, k + 3, k + 3) for k, part in zip(GRIDS.values(), parts, strict=True)]
    return uniform, grids, noise * 3.0


def _hairs(uniform: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Share of light that hairs take, float32 (B, S, S): half of the pictures have none, the others one to four."""
    draws = uniform[:, 28:64].reshape(-1, 4, 9)
    count = np.where(draws[:, 0, 0] < 0.5, 0, 1 + np.floor(draws[:, 0, 1] * 4)).astype(int)
    taken = np.zeros((len(uniform), axis.size, axis.size), np.float32)
    width = np.float32(max(0.014, 1.1 / axis.size))
    for i, number in enumerate(count):
        for _, _, angle, offset, curve, dark, thick, shift, _ in draws[i, :number]:
            cos, sin = np.float32(np.cos(np.pi * angle)), np.float32(np.sin(np.pi * angle))
            along = cos * axis + sin * axis.T - (shift - 0.5)
            across = cos * axis.T - sin * axis - 1.6 * (offset - 0.5) + 0.5 * (curve - 0.5) * along * along
            line = np.clip(1.5 - np.abs(across) / (width * (0.6 + 0.6 * thick)), 0, 1) * (0.35 + 0.4 * dark)
            np.maximum(taken[i], line, out=taken[i])
    return taken


@lru_cache(maxsize=64)
def _basis(knots: int, size: int) -> np.ndarray:
    """Cubic B-spline weights from knots + 3 values to `size` pixels, scaled to keep the variance of unit noise."""
    t = (np.arange(size) + 0.5) / size * knots
    cell = np.minimum(t.astype(int), knots - 1)
    f = (t - cell)[:, None]
    weights = np.hstack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3]) / 6
    basis = np.zeros((size, knots + 3))
    np.put_along_axis(basis, cell[:, None] + np.arange(4), weights, axis=1)
    return (basis / np.sqrt(np.mean((basis**2).sum(1)))).astype(np.float32)


def _upsample(grid: np.ndarray, size: int) -> np.ndarray:
    """A smooth random field (B, size, size) of about unit variance from (B, k, k) values."""
    basis = _basis(grid.shape[1] - 3, size)
    return basis @ grid @ basis.T
