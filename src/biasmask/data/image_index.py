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
