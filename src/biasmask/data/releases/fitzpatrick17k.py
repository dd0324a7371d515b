"""Fitzpatrick17k: `fitzpatrick17k.csv`, and the pictures that could still be had, named by their MD5."""

from pathlib import Path

from biasmask.data.image_index import index_stems
from biasmask.data.release import Release, mapped, official_table, picture_release, tidy

TABLE = "fitzpatrick17k.csv"
COLUMNS = ("md5hash", "fitzpatrick_scale", "three_partition_label", "url")
TARGETS = {"malignant": "malignant", "benign": "benign", "non-neoplastic": "non-neoplastic"}


def read(source: Path, homepage: str) -> Release:
    """Fitzpatrick17k; target: `three_partition_label`.

    The official table is written beside the tidy one, for `data=fitzpatrick17k` reads it; so is `missing_images.csv`: md5hash and
    url of the rows whose picture isn't below `source`, as most links are dead.
    """
    path, table = official_table(source, [TABLE], COLUMNS, homepage, ["md5hash"])
    table = table[table["md5hash"].notna()].reset_index(drop=True)
    frame = tidy(
        table,
        id=table["md5hash"],
        file=table["md5hash"].map(index_stems(source)),
        target=mapped(table["three_partition_label"], TARGETS),
    )
    missing = table.loc[frame["file"].isna(), ["md5hash", "url"]]
    files = {TABLE: path.read_bytes(), "missing_images.csv": missing.to_csv(index=False).encode()}
    note = f"{len(missing):,} of {len(table):,} rows have no picture; missing_images.csv has their addresses"
    return picture_release(frame, "`three_partition_label` is none of the three", [note], files)
