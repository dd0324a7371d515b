"""SIIM-ISIC 2020: ground truth, duplicates, pictures as JPEG and a few as DICOM."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from tests.data.fake_releases.parts import cycle, dicom, picture

ROWS = 88
LEFT_OUT = {"second of a pair in ISIC_2020_Training_Duplicates.csv": 2}


def write(root: Path) -> Path:
    """90 pictures of 30 patients, of which three are DICOM (where pydicom is installed) and two repeat others."""
    count = 90
    malignant = cycle(["benign", "malignant", "benign"], count)
    frame = pd.DataFrame(
        {
            "image_name": [f"ISIC_{2637011 + n}" for n in range(count)],
            "patient_id": [f"IP_{n // 3:07d}" for n in range(count)],
            "lesion_id": [f"IL_{n:07d}" for n in range(count)],
            "sex": cycle(["male", "female", None], count, 9),
            "age_approx": cycle([45.0, 65.0, None, 25.0, 70.0], count, 3),
            "anatom_site_general_challenge": "torso",
            "diagnosis": ["melanoma" if m == "malignant" else "unknown" for m in malignant],
            "benign_malignant": malignant,
            "target": [int(m == "malignant") for m in malignant],
        }
    )
    root.mkdir(parents=True)
    frame.to_csv(root / "ISIC_2020_Training_GroundTruth_v2.csv", index=False)
    pairs = {"image_name_1": frame["image_name"][[0, 3]], "image_name_2": frame["image_name"][[50, 51]]}
    pd.DataFrame(pairs).to_csv(root / "ISIC_2020_Training_Duplicates.csv", index=False)
    for number, name in enumerate(frame["image_name"]):
        if number < 3 and find_spec("pydicom"):
            pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3))
            dicom(root / "train" / f"{name}.dcm", pixels)
        else:
            picture(root / "train" / f"{name}.jpg", number)
    return root
