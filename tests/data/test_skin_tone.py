"""The individual typology angle: formula, what it measures, and that the card tells how poor a guess it is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from biasmask.data.skin_tone import angle_group, ita_columns, ita_finding, rgb_to_lab, skin_angle, type_agreement
from tests.data.fake_releases import fitzpatrick17k
from tests.data.scripts import prepare_dataset

SKINS = {"very light": (250, 225, 200), "intermediate": (210, 165, 130), "dark": (90, 60, 45)}


def patient(skin: tuple[int, int, int], border: bool = False) -> Image.Image:
    """Skin with a dark lesion in the middle, and perhaps the black corners of a dermoscope."""
    picture = Image.new("RGB", (90, 90), skin)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((25, 25, 65, 65), fill=tuple(int(0.45 * value) for value in skin))
    if border:
        for corner in ((0, 0, 20, 20), (70, 0, 90, 20), (0, 70, 20, 90), (70, 70, 90, 90)):
            draw.rectangle(corner, fill=(5, 5, 5))
    return picture


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 0, 0), (53.24, 80.09, 67.20)),  # published values of the sRGB primaries under D65
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_lab_of_the_primaries(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(rgb_to_lab(np.array(rgb, dtype=np.uint8)), lab, atol=0.02)


@pytest.mark.parametrize("group", SKINS)
def test_the_skin_is_measured_not_the_lesion_nor_the_corners(group: str) -> None:
    plain = skin_angle(np.asarray(Image.new("RGB", (90, 90), SKINS[group])))
    assert angle_group(plain) == group
    for border in (False, True):
        assert skin_angle(np.asarray(patient(SKINS[group], border))) == pytest.approx(plain, abs=1)


def test_too_little_skin_is_unknown(tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), (128, 128, 128)).save(tmp_path / "grey.png")
    columns = ita_columns([tmp_path / "grey.png"])
    assert np.isnan(columns["ita"][0]) and columns["ita_group"] == [None]
    assert ita_finding(columns)["unknown"] == 1


def test_agreement_by_hand() -> None:
    angles = np.array([60.0, 50.0, 30.0, 20.0, 15.0, -40.0, np.nan, 60.0])  # types 1 to 6 in order
    found = type_agreement(angles, np.array([1, 2, 4, 4, 2, 6, 1, -1], dtype=float))
    assert (found["n"], found["exact"], found["within_one"]) == (6, pytest.approx(4 / 6), pytest.approx(5 / 6))
    assert found["most_frequent"] == pytest.approx(2 / 6)
    assert type_agreement(angles, np.full(8, -1.0))["n"] == 0


def test_the_preparation_adds_columns_and_tells_the_agreement(tmp_path: Path) -> None:
    source = fitzpatrick17k.write(tmp_path / "download")
    assert prepare_dataset("fitzpatrick17k", source, tmp_path / "data", "--ita") == 0
    frame = pd.read_parquet(tmp_path / "data/fitzpatrick17k/table.parquet")
    assert frame["ita"].between(-180, 180).sum() > 100
    card = (tmp_path / "data/fitzpatrick17k/card.md").read_text()
    assert "prefer annotated types" in card and "against annotated types, n = " in card
