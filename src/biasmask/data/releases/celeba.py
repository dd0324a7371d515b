"""CelebA: three text files beside the aligned pictures; the CSV files of Kaggle's copy are read as well."""

from pathlib import Path

import pandas as pd

from biasmask.data.image_index import index_files
from biasmask.data.release import Release, find_file, find_files, numbers, one_of, picture_release, tidy
from biasmask.errors import DataError

PARTITIONS = {0: "train", 1: "val", 2: "test"}
VALUES = {1.0: "present", -1.0: "absent"}


def read(source: Path, homepage: str, label: str = "Blond_Hair") -> Release:
    """CelebA; target: one of its 40 attributes, with the official partition; the subject is the identity where its file is there.

    All 40 attributes stay in the table as 1 and -1; those that the data configuration splits by (Male, Young) are among them.
    """
    attributes = _table(source, ["list_attr_celeba.txt", "list_attr_celeba.csv"], homepage)
    one_of("label", label, [column for column in attributes if column != "image_id"])
    partition = _table(source, ["list_eval_partition.txt", "list_eval_partition.csv"], homepage, ["image_id", "partition"])
    table = attributes.merge(partition, on="image_id", how="left", validate="one_to_one")
    identity = bool(find_files(source, ["identity_CelebA.txt"]))
    if identity:
        persons = _table(source, ["identity_CelebA.txt"], homepage, ["image_id", "identity"])
        table = table.merge(persons, on="image_id", how="left", validate="one_to_one")
    frame = tidy(
        table.drop(columns="image_id"),
        id=table["image_id"].str.replace(r"\.jpg$", "", regex=True),
        file=table["image_id"].map(index_files(source)),
        target=numbers(table[label]).map(VALUES),
        split=numbers(table["partition"]).map(PARTITIONS),
        subject=table["identity"].astype("Int64").astype("string") if identity else table["image_id"],
    )
    notes = [f"target: {label}"] + ([] if identity else ["no identities: there is no identity_CelebA.txt, each picture is one"])
    return picture_release(frame, f"{label} is neither 1 nor -1", notes)


def _table(source: Path, files: list[str], homepage: str, names: list[str] | None = None) -> pd.DataFrame:
    """A table of blanks (the official text files) or commas; without names its first line is its length, then its header."""
    path = find_file(source, files, homepage)
    try:
        if path.suffix == ".csv":
            return pd.read_csv(path)
        frame = pd.read_csv(path, sep=r"\s+", names=names, skiprows=0 if names else 1)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise DataError(f"{path} can't be read: {' '.join(str(error).split())[:150]}; take it from {homepage}") from error
    if not isinstance(frame.index, pd.RangeIndex):  # the header names 40 columns, the rows have the file's name before them
        frame = frame.reset_index(names="image_id")
    if "image_id" not in frame:
        raise DataError(f"{path} has no file names; take it from {homepage}")
    return frame
