"""MIMIC-CXR-JPG: its split, label and metadata tables, joined with MIMIC-IV's patients and admissions."""

from pathlib import Path

import pandas as pd

from biasmask.data.image_index import index_stems
from biasmask.data.release import Release, exclude, mapped, numbers, official_table, one_of, picture_release, tidy
from biasmask.data.releases.chest_labels import LABELS, chest_target, race_groups
from biasmask.data.table import Exclusion

VIEWS = {"frontal": ("AP", "PA"), "lateral": ("LATERAL", "LL"), "all": None}
SPLITS = {"train": "train", "validate": "val", "test": "test"}
IDS = ("dicom_id", "study_id", "subject_id")


def read(
    source: Path, homepage: str, label: str = "Pleural Effusion", uncertain: str = "exclude", blank: str = "negative",
    view: str = "frontal",
) -> Release:
    """MIMIC-CXR-JPG 2.x (or MIMIC-CXR's DICOM files); target: one of CheXpert's 14 labels; all of them stay in the table.

    Race is the one that most of a person's admissions record; age is counted from MIMIC-IV's anchor year to the study's.

    Args:
        label, uncertain, blank: see `chest_labels.chest_target`.
        view: frontal (AP, PA) | lateral | all.
    """
    one_of("label", label, LABELS)
    one_of("view", view, list(VIEWS))
    table = _studies(source, homepage).merge(_people(source, homepage), on="subject_id", how="left", validate="many_to_one")
    year = numbers(table["StudyDate"]) // 10000
    frame = tidy(
        table.drop(columns=["dicom_id", "anchor_age", "anchor_year", "labelled"]),
        id=table["dicom_id"],
        file=table["dicom_id"].map(index_stems(source)),
        target=chest_target(table[label], uncertain, blank),
        split=mapped(table["split"], SPLITS),
        subject=table["subject_id"],
        sex=mapped(table["gender"], {"f": "female", "m": "male"}),
        age=(numbers(table["anchor_age"]) + year - numbers(table["anchor_year"])).where(lambda age: age.between(0, 120)),
        race_group=race_groups(table["race"]),
    )
    gone: list[Exclusion] = []
    # a study without a row of labels (its report is empty) must not pass for one without findings
    unlabelled = table["labelled"].isna().to_numpy()
    frame = exclude(frame, unlabelled, "the study has no row of labels", gone)
    if VIEWS[view] is not None:
        other = ~frame["ViewPosition"].isin(VIEWS[view])
        frame = exclude(frame, other.to_numpy(), f"not the view `{view}`, or none recorded", gone)
    notes = [f"target: {label}; uncertain labels (-1): {uncertain}; unmentioned ones: {blank}; view: {view}"]
    return picture_release(frame, f"{label} is uncertain or blank", notes, exclusions=gone)


def _names(stem: str) -> list[str]:
    return [f"mimic-cxr-2.*-{stem}.csv.gz", f"mimic-cxr-2.*-{stem}.csv"]


def _studies(source: Path, homepage: str) -> pd.DataFrame:
    split = official_table(source, _names("split"), (*IDS, "split"), homepage, IDS)[1]
    labels = official_table(source, _names("chexpert"), ("subject_id", "study_id", *LABELS), homepage, IDS)[1]
    about = official_table(source, _names("metadata"), (*IDS, "ViewPosition", "StudyDate"), homepage, IDS)[1]
    table = split.merge(about.drop(columns=["study_id", "subject_id"]), on="dicom_id", how="left", validate="one_to_one")
    labels = labels.drop(columns="subject_id").assign(labelled=1.0)
    return table.merge(labels, on="study_id", how="left", validate="many_to_one")


def _people(source: Path, homepage: str) -> pd.DataFrame:
    patients = official_table(
        source, ["patients.csv.gz", "patients.csv"], ("subject_id", "gender", "anchor_age", "anchor_year"), homepage, IDS
    )[1]
    path, admissions = official_table(source, ["admissions.csv.gz", "admissions.csv"], ("subject_id",), homepage, IDS)
    column = "race" if "race" in admissions else "ethnicity"  # MIMIC-IV 2 and later, and before
    known = admissions[pd.Series(race_groups(admissions[column]), index=admissions.index, dtype=object).notna()]
    counted = known.groupby(["subject_id", column]).size().reset_index(name="n")
    most = counted.sort_values(["subject_id", "n", column], ascending=[True, False, True]).drop_duplicates("subject_id")
    race = most.rename(columns={column: "race"})[["subject_id", "race"]]
    return patients[["subject_id", "gender", "anchor_age", "anchor_year"]].merge(race, on="subject_id", how="left")
