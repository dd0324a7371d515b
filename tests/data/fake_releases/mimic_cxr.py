"""MIMIC-CXR-JPG and the two tables of MIMIC-IV, all packed, pictures in files/p10/p.../s.../."""

from pathlib import Path

import pandas as pd

from biasmask.data.releases.chest_labels import LABELS
from tests.data.fake_releases.parts import cycle, picture

ROWS = 154
LEFT_OUT = {
    "the study has no row of labels": 2, "not the view `frontal`, or none recorded": 20,
    "Pleural Effusion is uncertain or blank": 15, "image file not found": 1,
}  # fmt: skip
RACES = ["WHITE", "BLACK/AFRICAN AMERICAN", "ASIAN - CHINESE", "HISPANIC/LATINO - CUBAN", "UNKNOWN", "OTHER"]


def write(root: Path) -> Path:
    """96 patients, each with a study of two pictures; the last study has no labels."""
    patients, count = 96, 192
    subject = [10000032 + n // 2 for n in range(count)]
    study = [50000000 + n // 2 for n in range(count)]
    dicom = [f"{n:08x}-bde0afdd-112c0b34-7bc16630-4e384014" for n in range(count)]
    ids = {"dicom_id": dicom, "study_id": study, "subject_id": subject}
    split = cycle(["train", "validate", "train", "test"], count, 24)
    about = pd.DataFrame(
        {
            "dicom_id": dicom,
            "subject_id": subject,
            "study_id": study,
            "PerformedProcedureStepDescription": "CHEST (PA AND LAT)",
            "ViewPosition": [["LATERAL", None][n % 2] if n % 19 > 16 else ["PA", "AP"][n % 2] for n in range(count)],
            "Rows": 3056,
            "Columns": 2544,
            "StudyDate": 21800506,
            "StudyTime": 213014.531,
        }
    )
    labels = pd.DataFrame({"subject_id": subject[::2], "study_id": study[::2]})
    labels = labels.assign(**{label: cycle([None, 1.0, 0.0, -1.0], patients) for label in LABELS})
    labels["Pleural Effusion"] = cycle([1.0, 0.0, None, 1.0, 0.0, 1.0, None, 1.0, 0.0, 0.0, -1.0], patients)
    people = pd.DataFrame({"subject_id": subject[::2], "gender": cycle(["F", "M"], patients, 2)})
    people = people.assign(anchor_age=cycle([30, 45, 65, 80], patients), anchor_year=2175, anchor_year_group="2014 - 2016")
    stays = pd.DataFrame({"subject_id": subject[: 180], "hadm_id": range(180)})
    stays = stays.assign(race=[RACES[n // 2 // 2 % 6] for n in range(180)])
    root.mkdir(parents=True)
    pd.DataFrame({**ids, "split": split}).to_csv(root / "mimic-cxr-2.0.0-split.csv.gz", index=False)
    about.to_csv(root / "mimic-cxr-2.0.0-metadata.csv.gz", index=False)
    labels.iloc[:-1].to_csv(root / "mimic-cxr-2.0.0-chexpert.csv.gz", index=False)
    people.to_csv(root / "patients.csv.gz", index=False)
    stays.to_csv(root / "admissions.csv.gz", index=False)
    for n in range(1, count):
        picture(root / "files" / "p10" / f"p{subject[n]}" / f"s{study[n]}" / f"{dicom[n]}.jpg", n, grey=True)
    return root
