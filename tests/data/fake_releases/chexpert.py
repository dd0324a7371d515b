"""CheXpert-v1.0-small: train.csv, valid.csv, grey JPEGs of patients and studies, and the spreadsheet of demographics."""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from biasmask.data.releases.chest_labels import LABELS
from tests.data.fake_releases.parts import cycle, picture

ROWS = 83
LEFT_OUT = {"not the view `frontal`": 11, "Pleural Effusion is uncertain or blank": 10, "image file not found": 1}


def _table(root: Path, part: str, first: int, count: int) -> pd.DataFrame:
    rows = []
    for number in range(count):
        patient, study = first + number // 3, number % 3 // 2 + 1
        lateral = number % 9 == 8
        name = f"view{number % 3 % 2 + 1}_{'lateral' if lateral else 'frontal'}.jpg"
        path = f"CheXpert-v1.0-small/{part}/patient{patient:05d}/study{study}/{name}"
        view = "Lateral" if lateral else "Frontal"
        rows.append({"Path": path, "Frontal/Lateral": view, "AP/PA": None if lateral else "AP"})
    frame = pd.DataFrame(rows)
    frame.insert(1, "Sex", cycle(["Male", "Female"], count, 3))
    frame.insert(2, "Age", cycle([25, 50, 65, 90], count, 6))
    frame = frame.assign(**{label: cycle([None, 1.0, 0.0, -1.0], count, 2) for label in LABELS})
    frame["Pleural Effusion"] = cycle([1.0, 0.0, None, 1.0, 0.0, -1.0, 1.0], count)
    if part == "valid":  # the radiologists left nothing open
        frame[list(LABELS)] = frame[list(LABELS)].fillna(0.0).replace(-1.0, 0.0)
    frame.to_csv(root / f"{part}.csv", index=False)
    return frame


def write(root: Path) -> Path:
    """81 training and 24 validation pictures; one file isn't there."""
    folder = root / "CheXpert-v1.0-small"
    folder.mkdir(parents=True)
    parts = [_table(folder, "train", 1, 81), _table(folder, "valid", 64541, 24)]
    paths = pd.concat(parts)["Path"].tolist()
    for number, path in enumerate(paths[1:]):
        picture(root / path, number, grey=True)
    patients = sorted({path.split("/")[2] for path in paths})
    races = cycle(["White", "Black or African American", "Asian", "Other", "Unknown"], len(patients))
    demo = {"PATIENT": patients, "GENDER": "Male", "AGE_AT_CXR": 50, "PRIMARY_RACE": races, "ETHNICITY": "Unknown"}
    if find_spec("openpyxl"):
        pd.DataFrame(demo).to_excel(root / "CHEXPERT DEMO.xlsx", index=False)
    else:
        pd.DataFrame(demo).to_csv(root / "CHEXPERT DEMO.csv", index=False)
    return root
