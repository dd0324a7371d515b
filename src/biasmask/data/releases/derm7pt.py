"""Derm7pt (the Interactive Atlas of Dermoscopy): `meta/meta.csv`, three files of row numbers, pictures in folders."""

from pathlib import Path

import numpy as np

from biasmask.data.image_index import index_tails
from biasmask.data.release import Release, numbers, official_table, one_of, picture_release, tidy
from biasmask.errors import DataError

COLUMNS = ("case_num", "diagnosis", "seven_point_score", "sex", "location", "elevation", "derm", "clinic")
PARTS = {"train": "train", "valid": "val", "test": "test"}
VIEWS = ("derm", "clinic")


def read(source: Path, homepage: str, view: str = "derm") -> Release:
    """Derm7pt; target: melanoma (any stage, and metastasis) or not.

    Args:
        view: derm = the dermoscopic picture of a case, clinic = the clinical one.
    """
    one_of("view", view, VIEWS)
    path, table = official_table(source, ["meta.csv"], COLUMNS, homepage)
    split = np.full(len(table), None, dtype=object)
    for part, name in PARTS.items():
        where, listed = official_table(source, [f"{part}_indexes.csv"], ["indexes"], homepage)
        rows = numbers(listed["indexes"], 0, len(table) - 1)  # they count the rows of meta.csv from 0
        if rows.isna().any():
            raise DataError(f"{where} has an index that is no row of {path} (0 to {len(table) - 1})")
        split[rows.astype(int)] = name
    frame = tidy(
        table,
        id=[f"case_{case}_{view}" for case in table["case_num"]],
        file=table[view].astype(str).str.strip().str.lower().map(index_tails(source, 2)),
        target=table["diagnosis"].str.contains("melanoma").map({True: "melanoma", False: "not melanoma"}),
        split=split,
    )
    return picture_release(frame, "no diagnosis", [f"view: {view}"])
