"""SIIM-ISIC 2020: one CSV of patients and targets, pictures as JPEG or DICOM."""

from pathlib import Path

from biasmask.data.image_index import index_stems
from biasmask.data.read_table import read_table
from biasmask.data.release import (
    Release,
    exclude,
    find_files,
    mapped,
    numbers,
    official_table,
    picture_release,
    require_columns,
    tidy,
)
from biasmask.data.table import Exclusion

TABLES = ["ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_GroundTruth.csv", "train.csv"]
COLUMNS = ("image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge", "diagnosis", "benign_malignant")
DUPLICATES = "ISIC_2020_Training_Duplicates.csv"


def read(source: Path, homepage: str) -> Release:
    """ISIC 2020, training set (the test set's labels aren't public); target: `benign_malignant`.

    Where the official list of duplicates lies in the download, the second picture of each pair is left out.
    """
    _, table = official_table(source, TABLES, COLUMNS, homepage, ["image_name", "patient_id", "lesion_id"])
    frame = tidy(
        table.drop(columns="image_name"),
        id=table["image_name"],
        file=table["image_name"].map(index_stems(source)),
        target=mapped(table["benign_malignant"], {"malignant": "malignant", "benign": "benign"}),
        subject=table["patient_id"],
        age_approx=numbers(table["age_approx"], 0, 120),
    )
    exclusions: list[Exclusion] = []
    lists = find_files(source, [DUPLICATES])
    if lists:
        pairs = read_table(lists[0], ["image_name_1", "image_name_2"]).frame
        require_columns(pairs, ["image_name_1", "image_name_2"], lists[0], homepage)
        frame = exclude(frame, frame["id"].isin(set(pairs["image_name_2"])), f"second of a pair in {DUPLICATES}", exclusions)
    notes = [] if lists else [f"duplicates were not left out: there is no {DUPLICATES}"]
    return picture_release(frame, "`benign_malignant` is neither", notes, exclusions=exclusions)
