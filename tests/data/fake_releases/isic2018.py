"""ISIC 2018 task 3: one-hot tables of three parts, lesion groupings, and HAM10000's tables for sex and age."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.data.fake_releases.parts import cycle, picture

LABELS = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
ROWS = 144
LEFT_OUT: dict[str, int] = {}


def write(root: Path) -> Path:
    """84, 24 and 36 pictures; the Dataverse's ground truth of the test set has the same name as the challenge's."""
    people = {}
    for number, (part, count) in enumerate({"Training": 84, "Validation": 24, "Test": 36}.items()):
        names = [f"ISIC_00{number}{n:04d}" for n in range(count)]
        truth = pd.DataFrame(np.eye(7)[np.arange(count) // 2 % 7], columns=LABELS)
        truth.insert(0, "image", names)
        folder = root / f"ISIC2018_Task3_{part}_GroundTruth"
        folder.mkdir(parents=True)
        truth.to_csv(folder / f"ISIC2018_Task3_{part}_GroundTruth.csv", index=False)
        people[part] = pd.DataFrame(
            {
                "lesion_id": [f"{part}_{n // 2}" for n in range(count)],
                "image_id": names,
                "dx": "nv",
                "dx_type": "histo",
                "age": cycle([35.0, 60.0, None, 75.0], count, 2),
                "sex": cycle(["male", "female", "unknown"], count, 4),
                "localization": "back",
                "dataset": "rosendahl",
            }
        )
        for n, name in enumerate(names):
            picture(root / f"ISIC2018_Task3_{part}_Input" / f"{name}.jpg", 1000 * number + n)
    (root / "dataverse").mkdir()
    people["Training"].to_csv(root / "dataverse" / "HAM10000_metadata", index=False)
    people["Test"].to_csv(root / "dataverse" / "ISIC2018_Task3_Test_GroundTruth.csv", index=False)
    groupings = people["Training"][["image_id", "lesion_id"]].rename(columns={"image_id": "image"})
    groupings = groupings.assign(diagnosis_confirm_type="histopathology")
    groupings.to_csv(root / "ISIC2018_Task3_Training_LesionGroupings.csv", index=False)
    return root
