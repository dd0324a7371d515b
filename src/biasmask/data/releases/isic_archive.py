"""The ISIC Archive's gallery as the `isic` command line downloads it: `metadata.csv` beside `ISIC_*.jpg`."""

from pathlib import Path

from biasmask.data.image_index import index_stems
from biasmask.data.release import Release, mapped, numbers, official_table, picture_release, tidy
from biasmask.errors import DataError

WANTED = ("attribution", "copyright_license", "age_approx", "sex", "fitzpatrick_skin_type", "patient_id", "lesion_id")


def read(source: Path, homepage: str) -> Release:
    """Any selection of the ISIC Archive; target: malignant or benign by `diagnosis_1`, in older downloads `benign_malignant`.

    Rows that are indeterminate or have no diagnosis are left out. The subject is the patient, else the lesion. Columns that the
    selection lacks are empty, for the archive leaves out a column that no picture has.
    """
    path, table = official_table(source, ["metadata.csv"], ["isic_id"], homepage, ["isic_id", "patient_id", "lesion_id"])
    label = next((column for column in ("diagnosis_1", "benign_malignant") if column in table), None)
    if label is None:
        raise DataError(f"{path} has neither diagnosis_1 nor benign_malignant; choose pictures with a diagnosis at {homepage}")
    table = table.assign(**{column: None for column in WANTED if column not in table})
    frame = tidy(
        table.drop(columns="isic_id"),
        id=table["isic_id"],
        file=table["isic_id"].map(index_stems(source)),
        target=mapped(table[label], {"malignant": "malignant", "benign": "benign"}),
        subject=table["patient_id"].fillna(table["lesion_id"]),
        age_approx=numbers(table["age_approx"], 0, 120),
    )
    licences = ", ".join(f"{name} {count:,}" for name, count in frame["copyright_license"].value_counts().items())
    notes = [f"terms by picture: {licences or 'not recorded'}"]
    return picture_release(frame, f"`{label}` is neither benign nor malignant", notes)
