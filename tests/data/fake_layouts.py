"""Tiny fake copies of the official layouts of HAM10000 and Fitzpatrick17k: real column names, generated JPEGs."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

DIAGNOSES = ("nv", "bkl", "df", "vasc", "mel", "bcc", "akiec")
FAKE_SIZE = (60, 45)  # as 4:3 as HAM10000's 600 x 450


def write_jpeg(path: Path, seed: int, size: tuple[int, int] = FAKE_SIZE) -> None:
    """A small JPEG whose bytes differ for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BILINEAR).save(path, "JPEG", quality=90)


def _ham_rows(count: int, first: int, lesion: str, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    dx = np.array(DIAGNOSES)[np.arange(count) % len(DIAGNOSES)]
    age = random.choice([35.0, 45.0, 55.0, 60.0, 65.0, 80.0], count)
    age[6::34] = np.nan
    sex = np.where(np.arange(count) // 2 % 2, "female", "male").astype(object)
    sex[8::38] = "unknown"
    return pd.DataFrame(
        {
            "lesion_id": [f"{lesion}_{n // 2:07d}" for n in range(count)],
            "image_id": [f"ISIC_{first + n:07d}" for n in range(count)],
            "dx": dx[np.arange(count) // 2 * 2],
            "dx_type": "histo",
            "age": np.repeat(age[::2], 2)[:count],
            "sex": np.repeat(sex[::2], 2)[:count],
            "localization": "back",
            "dataset": "vidir_modern",
        }
    )


def fake_ham10000(root: Path, count: int = 84, test_count: int = 42, missing: int = 4, official: bool = False) -> Path:
    """Writes a fake HAM10000 below `root` and returns its folder.

    Args:
        root: the data folder; `<root>/ham10000` is made.
        count, test_count: images of the training and of the test table; two images show one lesion.
        missing: training rows without an image file, besides one user-added row of dx `healthy`.
        official: as downloaded (image folders in two parts, table without suffix) instead of as prepared.
    """
    folder = root / "ham10000"
    train, test = _ham_rows(count, 24306, "HAM", seed=0), _ham_rows(test_count, 34524, "HAMTEST", seed=1)
    healthy = train.iloc[:1].assign(image_id="Normal_Img_1", lesion_id="Normal_1", dx="healthy", dataset="user_added")
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.concat([train, healthy])
    table.to_csv(folder / ("HAM10000_metadata" if official else "HAM10000_metadata.csv"), index=False)
    test.to_csv(folder / "ISIC2018_Task3_Test_GroundTruth.csv", index=False)
    for number, image_id in enumerate(train["image_id"][: count - missing]):
        part = f"HAM10000_images_part_{1 + number % 2}" if official else "images"
        write_jpeg(folder / part / f"{image_id}.jpg", number)
    for number, image_id in enumerate(test["image_id"]):
        part = "ISIC2018_Task3_Test_Images/ISIC2018_Task3_Test_Images" if official else "images"
        write_jpeg(folder / part / f"{image_id}.jpg", 1000 + number)
    return folder


def fake_fitzpatrick17k(root: Path, count: int = 240, missing: int = 40) -> Path:
    """Writes a fake Fitzpatrick17k below `root` and returns its folder; the last `missing` rows have no image."""
    folder = root / "fitzpatrick17k"
    folder.mkdir(parents=True, exist_ok=True)
    number = np.arange(count)
    hashes = [hashlib.md5(str(n).encode()).hexdigest() for n in number]
    label = np.array(["malignant", "non-neoplastic", "malignant", "benign"])[number % 4]
    scale = np.array([1, 2, 3, 4, 5, 6, 2, 3, 1, 5, -1])[number % 11]
    pd.DataFrame(
        {
            "md5hash": hashes,
            "fitzpatrick_scale": scale,
            "fitzpatrick_centaur": scale,
            "label": "psoriasis",
            "nine_partition_label": "inflammatory",
            "three_partition_label": label,
            "qc": np.nan,
            "url": [f"https://example.org/{h}.jpg" for h in hashes],
            "url_alphanum": [f"httpsexampleorg{h}.jpg" for h in hashes],
        }
    ).to_csv(folder / "fitzpatrick17k.csv", index=False)
    for n in range(count - missing):
        write_jpeg(folder / "images" / f"{hashes[n]}.jpg", 5000 + n)
    return folder
