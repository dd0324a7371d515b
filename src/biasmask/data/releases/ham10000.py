"""HAM10000 with the ISIC 2018 test set: the two tables of the Harvard Dataverse, and the pictures in any folders."""

from pathlib import Path

import pandas as pd

from biasmask.data.image_index import index_stems
from biasmask.data.release import Release, mapped, official_table, picture_release, tidy

COLUMNS = ("lesion_id", "image_id", "dx", "age", "sex")
TABLES = {"HAM10000_metadata": "train", "ISIC2018_Task3_Test_GroundTruth": "test"}
TARGETS = {**dict.fromkeys(("mel", "bcc", "akiec"), "malignant"), **dict.fromkeys(("nv", "bkl", "df", "vasc"), "benign")}


def read(source: Path, homepage: str) -> Release:
    """HAM10000; target: malignant (mel, bcc, akiec) or benign (nv, bkl, df, vasc); split: the training and the test table.

    The two official tables are written beside the tidy one: `data=ham10000` reads these, `data=prepared` the tidy one.
    """
    parts, files = [], {}
    for stem, split in TABLES.items():
        names = [f"{stem}.csv", stem, f"{stem}.tab"]
        # the challenge site's table of the same name has neither age nor sex
        table = official_table(source, names, COLUMNS, homepage, ["image_id", "lesion_id"])[1]
        files[f"{stem}.csv"] = table.to_csv(index=False).encode()
        parts.append(table.assign(split=split))
    table = pd.concat(parts, ignore_index=True)
    table = table[table["image_id"].notna()].reset_index(drop=True)
    frame = tidy(
        table.drop(columns="image_id"),
        id=table["image_id"],
        file=table["image_id"].map(index_stems(source)),
        target=mapped(table["dx"], TARGETS),
        split=table["split"],
        subject=table["lesion_id"],
    )
    return picture_release(frame, "`dx` is none of the seven diagnoses", files=files)
