"""Diverse Dermatology Images: `ddi_metadata.csv` beside its PNG files."""

from pathlib import Path

import pandas as pd

from biasmask.data.image_index import index_files
from biasmask.data.read_table import read_table
from biasmask.data.release import Release, exclude, find_file, require_columns
from biasmask.data.table import MISSING_IMAGE, Exclusion

COLUMNS = ("DDI_ID", "DDI_file", "skin_tone", "malignant", "disease")


def read(source: Path, homepage: str) -> Release:
    """DDI as Stanford AIMI gives it out; target: malignant, proven by biopsy in every row.

    `skin_tone` is 12, 34 or 56: the pair of Fitzpatrick types.
    """
    path = find_file(source, ["ddi_metadata.csv"], homepage)
    table = read_table(path, ["DDI_ID", "DDI_file", "skin_tone"]).frame
    require_columns(table, COLUMNS, path, homepage)
    files = index_files(source)
    frame = pd.DataFrame(
        {
            "id": table["DDI_file"].astype(str).str.replace(r"\.png$", "", regex=True),
            "file": table["DDI_file"].map(files),
            "target": table["malignant"].astype(str).str.lower().map({"true": "malignant", "false": "benign"}),
            "skin_tone": table["skin_tone"],
            "disease": table["disease"],
        }
    )
    exclusions: list[Exclusion] = []
    frame = exclude(frame, frame["target"].isna(), "`malignant` is neither true nor false", exclusions)
    frame = exclude(frame, frame["file"].isna(), MISSING_IMAGE, exclusions)
    return Release(frame, exclusions)
