"""Archives of downloads, unpacked so that nothing is ever written outside of the folder that was named."""

import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from biasmask.errors import DataError
from biasmask.files import storage_error

DAMAGED = (  # all that the readers of the standard library raise for bytes that make no sense
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError,
)  # fmt: skip
BOMB_RATIO = 100  # unpacked to packed; pictures are packed already, tables reach about 20
BOMB_FLOOR = 1 << 30  # bytes below which no archive is a bomb


def unpack(archive: Path, folder: Path, ratio: int = BOMB_RATIO, floor: int = BOMB_FLOOR) -> int:
    """Unpack a zip or a tar (.tar, .tar.gz, .tgz, .tar.bz2, .tar.xz).

    Each file is written beside its place and renamed; one that is there with its full size is left alone, so that a stopped
    call goes on. The whole archive is looked at before anything is written.

    Args:
        archive: the file.
        folder: made when absent.
        ratio, floor: an archive that grows by more than `ratio` and to more than `floor` bytes is refused.

    Returns:
        Files written.

    Raises:
        DataError: damaged, a member that leads out of the folder or is a link, a bomb, too little room.
    """
    try:
        with _open(archive) as opened:
            members = list(_members(opened, archive))
            _require_sound(members, archive, folder, ratio, floor)
            return sum(_write(opened, member, path, size, folder) for member, path, size in members)
    except DAMAGED as error:
        raise DataError(f"{archive} can't be unpacked: {' '.join(str(error).split())[:150] or type(error).__name__}") from error
    except OSError as error:
        raise DataError(str(storage_error(error, folder))) from error


def _open(archive: Path) -> Any:
    if not archive.is_file():
        raise DataError(f"there is no archive {archive}")
    if zipfile.is_zipfile(archive):
        return zipfile.ZipFile(archive)
    if tarfile.is_tarfile(archive):
        return tarfile.open(archive)
    raise DataError(f"{archive} is neither a zip nor a tar archive, or it is cut off: download it again")


def _members(opened: Any, archive: Path) -> Iterator[tuple[Any, PurePosixPath, int]]:
    if isinstance(opened, zipfile.ZipFile):
        for info in opened.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                raise DataError(f"{archive}: {info.filename!r} is a link; an archive of data holds none")
            if not info.is_dir():
                yield info, safe_member(info.filename, archive), info.file_size
        return
    for member in opened:
        if member.isfile():
            yield member, safe_member(member.name, archive), member.size
        elif not member.isdir():
            raise DataError(f"{archive}: {member.name!r} is a link or a device; an archive of data holds none")


def safe_member(name: str, archive: Path | str) -> PurePosixPath:
    """The path of a member below the folder.

    Raises:
        DataError: absolute, with "..", a drive letter, or a null character.

    >>> safe_member("a/./b.jpg", "x.zip")
    PurePosixPath('a/b.jpg')
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or ":" in name.split("/")[0] or not path.name:
        raise DataError(f"{archive}: the member {name!r} leads out of the folder; nothing was unpacked")
    return path


def _require_sound(members: list[Any], archive: Path, folder: Path, ratio: int, floor: int) -> None:
    whole, packed = sum(size for _, _, size in members), max(1, archive.stat().st_size)
    if whole > floor and whole > ratio * packed:
        raise DataError(f"{archive} would grow from {packed:,} to {whole:,} bytes: that is no archive of data")
    folder.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():
        raise DataError(f"{folder} is a link; name the folder itself")
    there = sum(size for _, path, size in members if _is_there(folder / path, size))
    free = shutil.disk_usage(folder).free
    if whole - there > free:
        raise DataError(f"{folder} has {free / 1e9:.1f} GB free and {archive.name} takes {(whole - there) / 1e9:.1f} GB")


def _is_there(place: Path, size: int) -> bool:
    return place.is_file() and place.stat().st_size == size


def _write(opened: Any, member: Any, path: PurePosixPath, size: int, folder: Path) -> int:
    place = folder / path
    if _is_there(place, size):
        return 0
    if not place.parent.resolve().is_relative_to(folder.resolve()):  # a link that lay there before
        raise DataError(f"{place} leads out of {folder} by a link")
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        source: IO[bytes] | None = opened.open(member) if isinstance(opened, zipfile.ZipFile) else opened.extractfile(member)
        if source is None:
            raise DataError(f"{path} can't be read from its archive")
        with source, open(part, "wb") as out:
            written = 0
            while chunk := source.read(1 << 20):
                written += len(chunk)
                if written > size:
                    raise DataError(f"{path} is larger than its archive says")
                out.write(chunk)
        if written != size:
            raise DataError(f"{path} is cut off in its archive")
        os.replace(part, place)
    finally:
        part.unlink(missing_ok=True)
    return 1
