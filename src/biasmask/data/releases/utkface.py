"""UTKFace: everything is in the file's name, [age]_[gender]_[race]_[date and time].jpg."""

import re
from pathlib import Path

import pandas as pd

from biasmask.data.image_index import index_files
from biasmask.data.release import Release, exclude, picture_release
from biasmask.data.table import EXAMPLES, Exclusion
from biasmask.errors import DataError

NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d{8,})(?:\.jpg)?(?:\.chip)?\.jpe?g", re.IGNORECASE)
GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Other")


def read(source: Path, homepage: str) -> Release:
    """UTKFace, aligned or in the wild; target: gender as annotated.

    Names of another form are counted; the official set has three without a race.

    Raises:
        DataError: no name of this form below the folder.
    """
    files = index_files(source, (".jpg", ".jpeg"))
    rows, malformed = [], []
    for name, path in files.items():
        match = NAME.fullmatch(name)
        if match is None:
            malformed.append(name)
            continue
        age, gender, race, _ = match.groups()
        stem = re.sub(r"(\.jpg)?(\.chip)?\.jpe?g$", "", name, flags=re.IGNORECASE)
        rows.append((stem, path, GENDERS[int(gender)], int(age), RACES[int(race)]))
    if not rows:
        raise DataError(f"there is no picture named [age]_[gender]_[race]_[date].jpg below {source}; get it from {homepage}")
    frame = pd.DataFrame(rows, columns=["id", "file", "target", "age", "race"])
    gone: list[Exclusion] = []
    frame = exclude(frame, frame["id"].duplicated().to_numpy(), "the same picture once more under a like name", gone)
    if malformed:
        gone.append(Exclusion("the file's name isn't [age]_[gender]_[race]_[date].jpg", len(malformed), malformed[:EXAMPLES]))
    return picture_release(frame, "no gender", exclusions=gone)
