"""CheXpert: `train.csv` and `valid.csv` with the paths of JPEGs; race out of `CHEXPERT DEMO.xlsx` where it is there."""

from pathlib import Path, PurePosixPath

import pandas as pd

from biasmask.data.image_index import index_tails
from biasmask.data.release import (
    Release,
    exclude,
    find_files,
    mapped,
    numbers,
    official_table,
    one_of,
    picture_release,
    require_columns,
    tidy,
)
from biasmask.data.releases.chest_labels import LABELS, chest_target, race_groups
from biasmask.data.table import Exclusion
from biasmask.errors import DataError

COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
VIEWS = ("frontal", "lateral", "all")
DEPTH = 4  # train/patient00001/study1/view1_frontal.jpg
DEMO = ["CHEXPERT DEMO.xlsx", "CHEXPERT_DEMO.xlsx", "CHEXPERT DEMO.csv", "CHEXPERT_DEMO.csv"]


def read(
    source: Path, homepage: str, label: str = "Pleural Effusion", uncertain: str = "exclude", blank: str = "negative",
    view: str = "frontal",
) -> Release:
    """CheXpert v1.0 (small or full); target: one of its 14 labels; all of them stay in the table.

    `train.csv` is the split train, `valid.csv` (labelled by three radiologists, 234 pictures) the split test.

    Args:
        label, uncertain, blank: see `chest_labels.chest_target`.
        view: frontal | lateral | all.
    """
    one_of("label", label, LABELS)
    one_of("view", view, VIEWS)
    parts = [
        official_table(source, [f"{name}.csv"], COLUMNS, homepage)[1].assign(split=split)
        for name, split in (("train", "train"), ("valid", "test"))
    ]
    table = pd.concat(parts, ignore_index=True)
    tails = table["Path"].map(lambda path: "/".join(PurePosixPath(str(path)).parts[-DEPTH:]))
    patient = tails.str.split("/").str[1]
    frame = tidy(
        table,
        id=tails.str.split("/").str[1:].str.join("_").str.replace(r"\.jpe?g$", "", regex=True),
        file=tails.str.lower().map(index_tails(source, DEPTH)),
        target=chest_target(table[label], uncertain, blank),
        split=table["split"],
        subject=patient,
        Sex=mapped(table["Sex"], {"male": "Male", "female": "Female"}),
        Age=numbers(table["Age"], 1, 120),  # one row of the official table has the age 0
        race_group=_races(source, patient, homepage),
    )
    gone: list[Exclusion] = []
    if view != "all":
        other = table["Frontal/Lateral"].astype(str).str.lower() != view
        frame = exclude(frame, other, f"not the view `{view}`", gone)
    notes = [f"target: {label}; uncertain labels (-1): {uncertain}; unmentioned ones: {blank}; view: {view}"]
    return picture_release(frame, f"{label} is uncertain or blank", notes, exclusions=gone)


def _races(source: Path, patient: pd.Series, homepage: str) -> list[str | None] | None:
    """The race group of each row's patient; None where the file of demographics isn't there."""
    found = find_files(source, DEMO)
    if not found:
        return None
    path = found[0]
    if path.suffix == ".csv":
        demo = pd.read_csv(path)
    else:
        try:
            demo = pd.read_excel(path)
        except ImportError as error:
            raise DataError(f"{path} is a spreadsheet, which needs openpyxl: pip install openpyxl, or save it as CSV") from error
    require_columns(demo, ["PATIENT", "PRIMARY_RACE"], path, homepage)
    known = dict(zip(demo["PATIENT"].astype(str).str.strip().str.lower(), race_groups(demo["PRIMARY_RACE"]), strict=True))
    return [known.get(name) for name in patient.str.lower()]
