"""Image paths of a table: filled from a template, kept inside the root, looked up folder by folder."""

import os
import string
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from biasmask.data.values import column_text, require_column
from biasmask.errors import ConfigError, DataError


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
    out = np.empty(len(frame), dtype=object)
    for row in range(len(frame)):
        cells = [(literal, columns[field][row] if field else "") for literal, field in parts]
        out[row] = None if any(cell is None for _, cell in cells) else "".join(a + b for a, b in cells)
    return out


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
    above = PurePosixPath(root.absolute().as_posix())
    for row, given in enumerate(paths):
        if given is None:
            out.append(None)
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
    paths: Sequence[str], root: Path, name_row: Callable[[int], str], follow_symlinks: bool = False
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
    rows_in: dict[str, list[int]] = defaultdict(list)
    for row, path in enumerate(paths):
        rows_in[path.rpartition("/")[0]].append(row)
    real_root = root.resolve()
    found = np.zeros(len(paths), dtype=bool)

    def refuse_outside(path: Path, row: int) -> None:
        if not follow_symlinks and not path.resolve().is_relative_to(real_root):
            raise DataError(
                f"{name_row(row)}: {path} is a link out of the data root {root}; point the root at the folder "
                "that holds the images, or allow it with +data.source.follow_symlinks=true"
            )

    for folder, rows in rows_in.items():
        try:
            with os.scandir(root / folder) as entries:
                links = {entry.name: entry.is_symlink() for entry in entries if entry.is_file()}
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise DataError(
                f"{name_row(rows[0])}: the folder {root / folder} can't be listed: {error.strerror}"
            ) from error
        refuse_outside(root / folder, rows[0])
        for row in rows:
            name = paths[row].rpartition("/")[2]
            found[row] = name in links
            if links.get(name):
                refuse_outside(root / paths[row], row)
    return found
