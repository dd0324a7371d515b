"""Archives of downloads, unpacked so that nothing is ever written outside of the folder that was named."""

import errno
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

from filelock import FileLock

from biasmask.data.part_file import hidden
from biasmask.errors import DataError

BOMB_RATIO = 100  # unpacked to packed; pictures are packed already, tables reach about 20
BOMB_FLOOR = 1 << 30  # bytes below which no archive is a bomb
MOST_MEMBERS = 5_000_000
DAMAGED = (  # all that the readers of the standard library raise for bytes that make no sense
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error,
    EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError, IndexError, KeyError,
)  # fmt: skip
OF_THE_DISK = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}


def unpack(archive: Path, folder: Path, ratio: int = BOMB_RATIO, floor: int = BOMB_FLOOR) -> int:
    """Unpack a zip or a tar (.tar, .tar.gz, .tgz, .tar.bz2, .tar.xz).

    Each file is written beside its place and renamed; one that is there whole (by its size, in a zip by its CRC as well) is
    left alone, so that a stopped call goes on. The whole archive is looked at before anything is written. Of two processes
    that unpack to one folder the second waits, and finds the files there.

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
            members = _members(opened, archive, max(floor, ratio * archive.stat().st_size))
            if folder.is_symlink():
                raise DataError(f"{folder} is a link; name the folder itself")
            folder.mkdir(parents=True, exist_ok=True)
            lock = folder / ".unpack.lock"
            with FileLock(lock):
                missing = [member for member in members if not _is_there(folder / member[1], member[0], member[2])]
                _require_room(sum(size for _, _, size in missing), archive, folder)
                for member, path, size in missing:
                    _write(opened, member, path, size, folder)
                with suppress(OSError):  # Windows removes no open file; who still waits for it finds all files there
                    lock.unlink()
            return len(missing)
    except DAMAGED as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"the disk is full while {archive.name} is unpacked to {folder}: make room, then go on") from error
        if error.errno in OF_THE_DISK:
            raise DataError(f"can't unpack {archive.name}: {error.strerror}: {str(error.filename)[:200]}") from error
        raise _damaged(archive, error) from error  # gzip and bz2 say so of bad bytes


def _damaged(archive: Path, error: Exception) -> DataError:
    return DataError(f"{archive} can't be unpacked: {' '.join(str(error).split())[:150] or type(error).__name__}")


def _open(archive: Path) -> Any:
    if not archive.is_file():
        raise DataError(f"there is no archive {archive}")
    if zipfile.is_zipfile(archive):
        return zipfile.ZipFile(archive)
    if tarfile.is_tarfile(archive):
        return tarfile.open(archive)
    raise DataError(f"{archive} is neither a zip nor a tar archive, or it is cut off: download it again")


def _members(opened: Any, archive: Path, most: int) -> list[tuple[Any, PurePosixPath, int]]:
    """Member, path and size of each file; of two with one path the later, as tar means it."""
    found: dict[PurePosixPath, tuple[Any, PurePosixPath, int]] = {}
    whole = 0
    for count, (member, name, size) in enumerate(_files(opened, archive), start=1):
        path = safe_member(name, archive)
        whole += size
        if whole > most or count > MOST_MEMBERS:  # said while it is read: the list of a bomb alone may take hours
            grown = f"from {archive.stat().st_size:,} to {whole:,} bytes or more, {count:,} files"
            raise DataError(f"{archive} would grow {grown}: that is no archive of data")
        found[path] = (member, path, size)
    return list(found.values())


def _files(opened: Any, archive: Path) -> Iterator[tuple[Any, str, int]]:
    if isinstance(opened, zipfile.ZipFile):
        for info in opened.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                raise DataError(f"{archive}: {info.filename!r} is a link; an archive of data holds none")
            if not info.is_dir():
                yield info, info.filename, info.file_size
        return
    for member in opened:
        if member.isfile():
            yield member, member.name, member.size
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


def _require_room(size: int, archive: Path, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        need = f"{folder} has {free / 1e9:.1f} GB free and {archive.name} takes {size / 1e9:.1f} GB"
        raise DataError(f"{need}: make room, then go on")


def _is_there(place: Path, member: Any, size: int) -> bool:
    if not place.is_file() or place.stat().st_size != size:
        return False
    return not isinstance(member, zipfile.ZipInfo) or _crc(place) == member.CRC  # a tar has no sum of its content


def _crc(place: Path) -> int:
    found = 0
    with open(place, "rb") as content:
        while chunk := content.read(1 << 20):
            found = zlib.crc32(chunk, found)
    return found


def _write(opened: Any, member: Any, path: PurePosixPath, size: int, folder: Path) -> None:
    place = folder / path
    if not place.parent.resolve().is_relative_to(folder.resolve()):  # a link that lay there before
        raise DataError(f"{place} leads out of {folder} by a link")
    place.parent.mkdir(parents=True, exist_ok=True)
    part = hidden(place, "part")
    part.unlink(missing_ok=True)  # of a call that was killed
    try:
        source: IO[bytes] | None = opened.open(member) if isinstance(opened, zipfile.ZipFile) else opened.extractfile(member)
        if source is None:
            raise DataError(f"{path} can't be read from its archive")
        with source, open(part, "xb") as out:
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
