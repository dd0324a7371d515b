"""NIH ChestX-ray14: `Data_Entry_2017` with findings as one text, two lists of file names, PNG files in twelve folders."""

from pathlib import Path

import numpy as np
import pandas as pd

from biasmask.data.image_index import index_files
from biasmask.data.release import Release, exclude, find_file, mapped, numbers, official_table, one_of, picture_release, tidy
from biasmask.data.table import Exclusion
from biasmask.errors import DataError

LABELS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia", "Infiltration",
    "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax", "No Finding",
)  # fmt: skip
COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position")
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}


def read(source: Path, homepage: str, label: str = "Effusion") -> Release:
    """NIH ChestX-ray14; target: one of its 14 findings or `No Finding`; all of them are columns of 0 and 1.

    Ages over 120 (the first edition has a few such as 414) are missing; an age such as 058Y counts as 58.
    """
    one_of("label", label, LABELS)
    names = ["Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv"]
    path, table = official_table(source, names, COLUMNS, homepage, ["Image Index", "Patient ID"])
    gender = next((column for column in ("Patient Gender", "Patient Sex") if column in table), None)
    if gender is None:
        raise DataError(f"{path} has neither the column Patient Gender nor Patient Sex; take the table from {homepage}")
    findings = [set(str(text).split("|")) for text in table["Finding Labels"]]
    frame = tidy(
        table[[column for column in table if column != "Image Index" and not column.startswith("Unnamed")]],
        id=table["Image Index"].str.replace(r"\.png$", "", regex=True),
        file=table["Image Index"].map(index_files(source)),
        target=["present" if label in found else "absent" for found in findings],
        split=_official_split(source, table["Image Index"], homepage),
        subject=table["Patient ID"],
        sex=mapped(table[gender], {"f": "female", "m": "male"}),
        age=numbers(table["Patient Age"].astype(str).str.removesuffix("Y"), 0, 120),
        **{name: [int(name in found) for found in findings] for name in LABELS},
    )
    gone: list[Exclusion] = []
    frame = exclude(frame, frame["split"].isna().to_numpy(), "in neither official list", gone)
    return picture_release(frame, "no finding recorded", [f"target: {label}"], exclusions=gone)


def _official_split(source: Path, names: pd.Series, homepage: str) -> np.ndarray:
    split_of = {}
    for file, split in LISTS.items():
        text = find_file(source, [file], homepage).read_text(encoding="utf-8")
        split_of.update(dict.fromkeys(text.split(), split))
    return names.map(split_of).to_numpy(dtype=object)
