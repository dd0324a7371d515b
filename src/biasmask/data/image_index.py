"""Which pictures lie below a folder of a download, whatever its parts are called."""

import os
from collections.abc import Sequence
from pathlib import Path

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".dcm")


def index_files(folder: Path, suffixes: Sequence[str] = PICTURES) -> dict[str, str]:
    """All pictures below a folder, file name -> path below the folder (posix).

    Of two with one name the first in path order counts; the name is as on the disk, case and suffix included.
    """
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in suffixes:
                found.setdefault(name, Path(parent, name).relative_to(folder).as_posix())
    return found


def index_stems(folder: Path, suffixes: Sequence[str] = PICTURES) -> dict[str, str]:
    """As `index_files`, by the name without its suffix; of two suffixes the one that stands first in `suffixes` counts."""
    rank = {suffix: number for number, suffix in enumerate(suffixes)}
    found: dict[str, tuple[int, str]] = {}
    for name, path in index_files(folder, suffixes).items():
        stem, suffix = os.path.splitext(name)
        entry = (rank[suffix.lower()], path)
        if stem not in found or entry < found[stem]:
            found[stem] = entry
    return {stem: path for stem, (_, path) in found.items()}


def index_tails(folder: Path, depth: int, suffixes: Sequence[str] = PICTURES) -> dict[str, str]:
    """All pictures below a folder by the last `depth` parts of their path in lower case, for names that repeat."""
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        below = Path(parent).relative_to(folder).parts
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in suffixes:
                parts = (*below, name)
                found.setdefault("/".join(parts[-depth:]).lower(), "/".join(parts))
    return found
