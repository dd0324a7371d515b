"""FairFace: two label tables, faces in train/ and val/."""

from pathlib import Path

import pandas as pd

from biasmask.data.image_index import index_tails
from biasmask.data.release import Release, mapped, official_table, picture_release, tidy

COLUMNS = ("file", "age", "gender", "race")
PARTS = {"train": "train", "val": "test"}


def read(source: Path, homepage: str) -> Release:
    """FairFace; target: gender as annotated; seven races, nine ranges of age. The official validation set is the test set."""
    parts = [
        official_table(source, [f"fairface_label_{part}.csv"], COLUMNS, homepage, ["file"])[1].assign(split=split)
        for part, split in PARTS.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    frame = tidy(
        table.drop(columns="gender"),
        id=table["file"].str.replace("/", "_").str.replace(r"\.jpg$", "", regex=True),
        file=table["file"].str.lower().map(index_tails(source, 2)),
        target=mapped(table["gender"], {"male": "male", "female": "female"}),
        split=table["split"],
    )
    return picture_release(frame, "no gender")
