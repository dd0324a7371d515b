"""Image paths of a table: filled from a template, kept inside the root, looked up folder by folder."""

import os
import re
import string
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from biasmask.data.large_table import BLOCK, row_blocks
from biasmask.data.values import column_text, require_column
from biasmask.errors import ConfigError, DataError

# A relative path that is as posix writes it: no backslash, no empty part, none of dots alone, no null character.
ORDINARY = re.compile(r"(?!\.{1,2}(?:/|$))[^/\\\0]+(?:/(?!\.{1,2}(?:/|$))[^/\\\0]+)*")
SURROGATE = re.compile("[\ud800-\udfff]")  # how Python writes the bytes of a name that is no UTF-8
LISTED = 100_000  # names of a folder that are Python strings at one time


def template_fields(template: str) -> list[str]:
    """The columns that an image template uses; a template without braces is the name of a column.

    >>> template_fields("images/{image_id}.jpg"), template_fields("path")
    (['image_id'], ['path'])
    """
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field]
    except ValueError as error:
        raise ConfigError(f"image template '{template}': {error}") from error
    if fields or "{" in template:
        return fields
    return [template]


def fill_template(template: str, frame: pd.DataFrame, where: str) -> np.ndarray:
    """The path of each row as the table gives it; None where a column that the template uses is empty.

    >>> fill_template("{a}.jpg", pd.DataFrame({"a": ["007", None]}), "t").tolist()
    ['007.jpg', None]
    """
    fields = template_fields(template)
    if not fields:
        raise ConfigError(f"image template '{template}' names no column; write one such as images/{{image_id}}.jpg")
    for field in fields:
        require_column(frame.columns, field, where, "for the image path")
    columns = {field: column_text(frame[field]) for field in fields}
    if template == fields[0]:
        return columns[template]
    parts = [(literal, field) for literal, field, _, _ in string.Formatter().parse(template)]
    pattern = "".join(text.replace("{", "{{").replace("}", "}}") + "{}" * bool(field) for text, field in parts)
    cells = [columns[field] for _, field in parts if field]
    texts = [None if None in row else pattern.format(*row) for row in zip(*cells, strict=True)]
    return np.array(texts, dtype=object)


def relative_paths(paths: Sequence[str | None], root: Path, name_row: Callable[[int], str]) -> list[str | None]:
    """Each path as a posix path below `root`.

    Args:
        paths: (N,) as the table gives them; None stays None.
        root: the folder that all images lie in.
        name_row: row number -> how an error calls the row.

    Raises:
        DataError: a path with "..", or an absolute one that is not below `root`, or one with a null character.
    """
    out: list[str | None] = []
    ordinary = ORDINARY.fullmatch
    above = PurePosixPath(root.absolute().as_posix())
    for row, given in enumerate(paths):
        if given is None or ordinary(given):
            out.append(given)
            continue
        path = PurePosixPath(given.replace("\\", "/"))
        if path.is_absolute() and path.is_relative_to(above):
            path = path.relative_to(above)
        if path.is_absolute() or ".." in path.parts or "\0" in given:
            raise DataError(
                f"{name_row(row)}: the image path {given!r} leads outside of the data root {root}; "
                "give paths relative to the root, without '..'"
            )
        out.append(path.as_posix())
    return out


def find_files(
    paths: Sequence[str] | pd.Series, root: Path, name_row: Callable[[int], str], follow_symlinks: bool = False
) -> np.ndarray:
    """Which of the files exist, by one listing of each folder rather than one look-up a file.

    Args:
        paths: (N,) posix paths relative to `root`.
        root: the folder that all images lie in.
        name_row: row number -> how an error calls the row.
        follow_symlinks: allow links that lead out of the root.

    Returns:
        (N,) bool.

    Raises:
        DataError: a folder that can't be listed, or a link that leads out of the root.
    """
    column = paths if isinstance(paths, pd.Series) else pd.Series(list(paths))
    folders: dict[str, int] = {}
    folder_of = np.empty(len(column), dtype=np.int32)
    for block in row_blocks(len(column)):
        codes, names = pd.factorize(pc.replace_substring_regex(_packed(column.iloc[block]), r"(?s)/?[^/]*$", "").to_pandas())
        folder_of[block] = np.array([folders.setdefault(name, len(folders)) for name in names], dtype=np.int32)[codes]
    order = np.argsort(folder_of, kind="stable")
    ends = np.bincount(folder_of, minlength=len(folders)).cumsum()
    real_root = root.resolve()
    found = np.zeros(len(paths), dtype=bool)

    def refuse_outside(path: Path, row: int) -> None:
        if not follow_symlinks and not path.resolve().is_relative_to(real_root):
            raise DataError(
                f"{name_row(row)}: {path} is a link out of the data root {root}; point the root at the folder "
                "that holds the images, or allow it with +data.source.follow_symlinks=true"
            )

    for folder, rows in zip(folders, np.split(order, ends[:-1]), strict=True):
        try:
            listed, links = _listing(root / folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise DataError(
                f"{name_row(int(rows[0]))}: the folder {root / folder} can't be listed: {error.strerror}"
            ) from error
        refuse_outside(root / folder, int(rows[0]))
        step = max(BLOCK, len(listed))  # each look makes an index of the whole listing
        for part in (rows[start : start + step] for start in range(0, len(rows), step)):
            wanted = pc.replace_substring_regex(_packed(column.iloc[part]), r"(?s)^.*/", "")
            found[part] = pc.is_in(wanted, listed).to_numpy(zero_copy_only=False)
            for row in part[pc.is_in(wanted, links).to_numpy(zero_copy_only=False)].tolist() if len(links) else ():
                refuse_outside(root / column.iloc[row], row)
    return found


def _packed(texts: pd.Series) -> pa.Array:
    return pa.array(texts, pa.large_string(), from_pandas=True)


def _listing(folder: Path) -> tuple[pa.ChunkedArray, pa.Array]:
    """The names of the files of a folder, and of those that are links."""
    blocks, links, block = [], [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                block.append(entry.name)
                if entry.is_symlink():
                    links.append(entry.name)
            if len(block) == LISTED:
                blocks.append(_names(block))
                block = []
    return pa.chunked_array([*blocks, _names(block)]), _names(links)


def _names(names: list[str]) -> pa.Array:
    """Names as packed text; one that is no UTF-8 can't stand in a table, and is left out."""
    try:
        return pa.array(names, pa.large_string())
    except UnicodeEncodeError:
        return pa.array([name for name in names if not SURROGATE.search(name)], pa.large_string())
