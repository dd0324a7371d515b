"""Derm7pt's release_v0: meta/meta.csv, row numbers of three splits, pictures in folders whose names differ in case."""

from pathlib import Path

import pandas as pd

from tests.data.fake_releases.parts import cycle, picture

DIAGNOSES = ["clark nevus", "melanoma (less than 0.76 mm)", "seborrheic keratosis", "melanoma metastasis"]
ROWS = 71
LEFT_OUT = {"image file not found": 1}


def write(root: Path) -> Path:
    """72 cases of two pictures each."""
    count = 72
    frame = pd.DataFrame(
        {
            "case_num": range(1, count + 1),
            "diagnosis": cycle(DIAGNOSES, count),
            "seven_point_score": 3,
            "pigment_network": "atypical",
            "streaks": "absent",
            "pigmentation": "absent",
            "regression_structures": "absent",
            "dots_and_globules": "irregular",
            "blue_whitish_veil": "absent",
            "vascular_structures": "absent",
            "level_of_diagnostic_difficulty": "medium",
            "elevation": "palpable",
            "location": "back",
            "sex": cycle(["female", "male"], count, 4),
            "management": "excision",
            "clinic": [f"NEL/NEL{n:03d}.JPG" for n in range(count)],
            "derm": [f"NEL/Nel{n:03d}.jpg" for n in range(count)],
            "case_id": [f"NEL{n:03d}" for n in range(count)],
            "notes": None,
        }
    )
    folder = root / "release_v0"
    (folder / "meta").mkdir(parents=True)
    frame.to_csv(folder / "meta" / "meta.csv", index=False)
    for part, rows in {"train": range(0, 40), "valid": range(40, 56), "test": range(56, 72)}.items():
        pd.DataFrame({"indexes": rows}).to_csv(folder / "meta" / f"{part}_indexes.csv", index=False)
    for number in range(count - 1):
        picture(folder / "images" / "NEL" / f"Nel{number:03d}.jpg", number)
        if number < 4:
            picture(folder / "images" / "NEL" / f"Nel{number:03d}_clinic.jpg", number)
    return root
