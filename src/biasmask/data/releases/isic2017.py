"""ISIC 2017, task 3: melanoma and seborrheic keratosis against the rest, with metadata, in three official parts."""

from pathlib import Path

import pandas as pd

from biasmask.data.image_index import index_stems
from biasmask.data.release import Release, numbers, official_table, picture_release, tidy

PARTS = {"Training": "train", "Validation": "val", "Test_v2": "test"}


def read(source: Path, homepage: str) -> Release:
    """ISIC 2017; target: melanoma, or not (naevus and seborrheic keratosis); `diagnosis` keeps all three."""
    parts = []
    for part, split in PARTS.items():
        truth_columns = ("image_id", "melanoma", "seborrheic_keratosis")
        truth = official_table(source, [f"ISIC-2017_{part}_Part3_GroundTruth.csv"], truth_columns, homepage, ["image_id"])[1]
        about_columns = ("image_id", "age_approximate", "sex")
        about = official_table(source, [f"ISIC-2017_{part}_Data_metadata.csv"], about_columns, homepage, ["image_id"])[1]
        parts.append(truth.merge(about, on="image_id", how="left", validate="one_to_one").assign(split=split))
    table = pd.concat(parts, ignore_index=True)
    melanoma, keratosis = numbers(table["melanoma"]), numbers(table["seborrheic_keratosis"])
    kind = pd.Series("nevus", index=table.index).mask(keratosis == 1, "seborrheic keratosis").mask(melanoma == 1, "melanoma")
    frame = tidy(
        table.drop(columns="image_id"),
        id=table["image_id"],
        file=table["image_id"].map(index_stems(source)),
        target=melanoma.map({1.0: "melanoma", 0.0: "not melanoma"}),
        split=table["split"],
        diagnosis=kind.where(melanoma.notna() & keratosis.notna()),
        age_approximate=numbers(table["age_approximate"], 0, 120),
    )
    return picture_release(frame, "`melanoma` is neither 0 nor 1")
