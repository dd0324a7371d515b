"""ISIC 2019: one-hot ground truth and metadata, for the training and the test set."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.data.fake_releases.parts import cycle, picture

LABELS = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]
DIAGNOSES = ["MEL", "NV", "BCC", "BKL", "AK", "DF", "SCC", "VASC"]
ROWS = 130
LEFT_OUT = {"no one of the eight diagnoses (UNK)": 4, "image file not found": 2}
SPLITS = {"train": 59, "debias": 24, "val": 15, "test": 32}


def _part(root: Path, part: str, first: int, count: int, unknown: int, missing: int) -> None:
    names = [f"ISIC_{first + n:07d}" + ("_downsampled" if n % 5 == 4 else "") for n in range(count)]
    label = [*cycle(DIAGNOSES, count - unknown), *["UNK"] * unknown]
    truth = pd.DataFrame(np.array([[float(one == name) for name in LABELS] for one in label]), columns=LABELS)
    truth.insert(0, "image", names)
    if part == "Test":
        truth = truth.assign(score_weight=1.0, validation_weight=0.0)
    about = pd.DataFrame(
        {
            "image": names,
            "age_approx": cycle([30.0, 55.0, 60.0, 85.0, None], count, 2),
            "anatom_site_general": "anterior torso",
            "lesion_id": [None if n % 10 == 9 else f"BCN_{n // 2:07d}" for n in range(count)],
            "sex": cycle(["female", "male", None], count, 4),
        }
    )
    if part == "Test":
        about = about.drop(columns="lesion_id")
    truth.to_csv(root / f"ISIC_2019_{part}_GroundTruth.csv", index=False)
    about.to_csv(root / f"ISIC_2019_{part}_Metadata.csv", index=False)
    for number, name in enumerate(names[: count - unknown - missing]):
        picture(root / f"ISIC_2019_{part}_Input" / f"{name}.jpg", first + number)
    for number, name in enumerate(names[count - unknown :]):
        picture(root / f"ISIC_2019_{part}_Input" / f"{name}.jpg", first + count + number)


def write(root: Path) -> Path:
    """100 training pictures (two without a file) and 36 test pictures (four of an unknown class)."""
    root.mkdir(parents=True)
    _part(root, "Training", 0, 100, 0, 2)
    _part(root, "Test", 34000, 36, 4, 0)
    return root
