"""A selection of the ISIC Archive as isic-cli downloads it."""

from pathlib import Path

import pandas as pd

from tests.data.fake_releases.parts import cycle, picture

ROWS = 86
LEFT_OUT = {"`diagnosis_1` is neither benign nor malignant": 9, "image file not found": 1}


def write(root: Path) -> Path:
    """96 pictures; some are indeterminate or have no diagnosis."""
    count = 96
    diagnosis = cycle(["Benign", "Malignant"], count)
    diagnosis[7:32:8], diagnosis[48:96:10] = ["Indeterminate"] * 4, [None] * 5
    frame = pd.DataFrame(
        {
            "isic_id": [f"ISIC_{70000 + n:07d}" for n in range(count)],
            "attribution": "Somebody",
            "copyright_license": cycle(["CC-0", "CC-BY"], count),
            "acquisition_day": 1,
            "age_approx": cycle([30.0, 65.0, None], count, 2),
            "anatom_site_general": "posterior torso",
            "concomitant_biopsy": True,
            "diagnosis_1": diagnosis,
            "diagnosis_2": "Benign melanocytic proliferations",
            "diagnosis_confirm_type": "histopathology",
            "fitzpatrick_skin_type": cycle(["I", "II", "III", "IV", "V", "VI", None], count, 2),
            "image_type": "dermoscopic",
            "lesion_id": [f"IL_{n // 2:07d}" for n in range(count)],
            "patient_id": [None if n % 12 > 9 else f"IP_{n // 4:07d}" for n in range(count)],
            "pixels_x": 32,
            "pixels_y": 24,
            "sex": cycle(["male", "female", None], count, 4),
        }
    )
    root.mkdir(parents=True)
    frame.to_csv(root / "metadata.csv", index=False)
    for number, name in enumerate(frame["isic_id"][:-1]):
        picture(root / f"{name}.jpg", number)
    (root / "attribution.txt").write_text("Somebody\n")
    return root
