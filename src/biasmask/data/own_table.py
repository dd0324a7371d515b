"""The user's own table, with keys short enough for a command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biasmask.data.table import TableSource
from biasmask.errors import ConfigError

METHODS = ("auto", "stratified", "hash")


def own_table(
    table: str | None,
    target: str,
    image: str = "image",
    images: str | None = None,
    id: str | None = None,
    positive: Sequence[Any] | Any = None,
    negative: Sequence[Any] | Any = None,
    classes: Mapping[str, Any] | Sequence[Any] | None = None,
    subject: str | None = None,
    split: str = "auto",
    split_names: Mapping[str, str] | None = None,
    split_seed: int = 0,
    folds: int | None = None,
    fold: int = 0,
    fractions: Mapping[str, float] | None = None,
    stratify: Sequence[str] = ("target",),
    attributes: Mapping[str, Any] | None = None,
    name: str = "csv",
    on_missing: str = "exclude",
    separator: str | None = None,
    follow_symlinks: bool = False,
    homepage: str | None = None,
    prepare_script: str | None = None,
    divide: Mapping[str, Mapping[str, float]] | None = None,
    near_duplicates: Mapping[str, Any] | None = None,
) -> TableSource:
    """A TableSource from the keys of `data=csv`.

    Args:
        table: CSV or Parquet file, relative to the folder the command runs in.
        target: column; it holds 0/1, true/false, yes/no, unless `positive` (and `negative`) or `classes` list its values.
        classes: values of more than two classes, or name -> values; a class index is the place in this list.
        image: column of the image path, or a template such as {image_id}.jpg.
        images: folder the image paths are relative to; None = the folder of the table.
        id: column that names a row; None = the image path.
        subject: column of the person; None = each row for itself.
        split: auto (the column `split` where there is one, else stratified) | stratified | hash | the name of a column.
        split_names: the table's own split names -> train | debias | val | test.
        folds, fold: the test rows are this one of so many folds; None = `fractions` of the rows.
        homepage, prepare_script: what the error for a table that isn't there tells.
        divide: split of the column -> split -> share: cuts an official training set further.
        near_duplicates: {use: exclude | together, file, distance}; see `near_rows`.

    Returns:
        TableSource, not yet read.

    Raises:
        ConfigError: no table was named.

    >>> own_table("mine.csv", target="malignant").image
    'image'
    """
    if table in (None, "", "???"):
        raise ConfigError("data=csv needs your table: type data.table=mine.csv (CSV or Parquet, one row an image)")
    path = Path(str(table)).expanduser().absolute()
    root = Path(images).expanduser().absolute() if images else path.parent
    method = {"method": split} if split in METHODS else {"method": "column", "column": split}
    definition = {"column": target, "positive": positive, "negative": negative, "classes": classes}
    return TableSource(
        name=name,
        root=root,
        files=[{"file": str(path), "split": None}],
        image=image,
        target={key: value for key, value in definition.items() if value is not None},
        id=id,
        subject=subject,
        attributes=attributes,
        split={
            **method, "fractions": fractions, "stratify": list(stratify), "seed": split_seed, "folds": folds, "fold": fold,
            "names": split_names, "divide": divide,
        },
        on_missing=on_missing,
        separator=separator,
        follow_symlinks=follow_symlinks,
        homepage=homepage,
        prepare_script=prepare_script,
        near_duplicates=near_duplicates,
    )
