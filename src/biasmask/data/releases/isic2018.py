"""ISIC 2018, task 3: one-hot ground truth of seven diagnoses in three official parts; sex and age come from HAM10000's tables."""

from pathlib import Path

import pandas as pd

from biasmask.data.image_index import index_stems
from biasmask.data.read_table import read_table
from biasmask.data.release import Release, find_files, numbers, official_table, one_hot_label, picture_release, tidy

LABELS = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
MALIGNANT = ("MEL", "BCC", "AKIEC")
PARTS = {"Training": "train", "Validation": "val", "Test": "test"}
PEOPLE = ("HAM10000_metadata", "ISIC2018_Task3_Test_GroundTruth")
GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings.csv"


def read(source: Path, homepage: str) -> Release:
    """ISIC 2018 task 3; target: malignant (MEL, BCC, AKIEC) or benign; `diagnosis` keeps all seven.

    The challenge's tables have neither sex nor age: these are joined by image from any table below `source` that has `image_id`,
    `age` and `sex` (HAM10000_metadata and the Dataverse's ground truth of the test set); else they are empty.
    """
    parts = []
    for part, split in PARTS.items():
        names = [f"ISIC2018_Task3_{part}_GroundTruth.csv"]
        parts.append(official_table(source, names, ("image", *LABELS), homepage, ["image"])[1].assign(split=split))
    table = pd.concat(parts, ignore_index=True)
    people, found = _people(source)
    table = table.merge(people, left_on="image", right_on="image_id", how="left", validate="many_to_one")
    diagnosis = one_hot_label(table, LABELS)
    frame = tidy(
        table[["split"]],
        id=table["image"],
        file=table["image"].map(index_stems(source)),
        target=pd.Series(diagnosis).map({label: "malignant" if label in MALIGNANT else "benign" for label in LABELS}),
        split=table["split"],
        subject=table["lesion_id"].fillna(table["image"].map(_lesions(source))),
        diagnosis=diagnosis,
        age=numbers(table["age"], 0, 120),
        sex=table["sex"],
    )
    note = f"sex and age joined from {', '.join(found)}" if found else "no sex and no age: there is no table of HAM10000"
    return picture_release(frame, "no one of the seven diagnoses", [note])


def _people(source: Path) -> tuple[pd.DataFrame, list[str]]:
    """Age, sex and lesion of each picture from HAM10000's tables, and the names of those that were found."""
    parts, found = [pd.DataFrame(columns=["image_id", "lesion_id", "age", "sex"], dtype=object)], []
    for path in find_files(source, [f"{stem}{suffix}" for stem in PEOPLE for suffix in (".csv", "", ".tab")]):
        frame = read_table(path, ["image_id", "lesion_id"]).frame
        if {"image_id", "age", "sex"} <= set(frame.columns):
            parts.append(frame.reindex(columns=["image_id", "lesion_id", "age", "sex"]).astype(object))
            found.append(path.name)
    return pd.concat(parts, ignore_index=True).drop_duplicates("image_id"), found


def _lesions(source: Path) -> dict[str, str]:
    paths = find_files(source, [GROUPINGS])
    if not paths:
        return {}
    frame = read_table(paths[0], ["image", "lesion_id"]).frame
    return dict(zip(frame["image"], frame["lesion_id"], strict=True))
