"""What is to be downloaded, what came of it, and how a whole file is told from a wrong one."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from biasmask.errors import DataError

# JPEG, PNG, GIF, BMP, TIFF, JPEG 2000; WebP, AVIF, HEIC and DICOM have theirs further in
PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")


@dataclass(frozen=True)
class DownloadFile:
    """A file to bring.

    Args:
        url: http or https.
        path: below the download's folder, posix.
        sha256, md5: hexadecimal, where it is known.
        size: bytes, where it is known.
        picture: True = what no reader of pictures knows is an error (dead links often answer with a page of HTML).
    """

    url: str
    path: str
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None
    picture: bool = False

    def place(self, folder: Path) -> Path:
        """Where it goes.

        Raises:
            DataError: a path that leaves the folder, or an address that is none of http.

        >>> DownloadFile("https://a.example/x", "images/x.jpg").place(Path("data")).as_posix()
        'data/images/x.jpg'
        """
        path = PurePosixPath(self.path.replace("\\", "/"))
        bad = path.is_absolute() or ".." in path.parts or ":" in self.path or "\0" in self.path or not path.name
        if bad:
            raise DataError(f"the path {self.path!r} of a download leads out of {folder}")
        if not web_host(self.url):
            raise DataError(f"{self.url!r} is no address of http or https")
        return folder / path


@dataclass(frozen=True)
class Outcome:
    """What came of a file.

    Args:
        status: downloaded | present | failed.
        reason: why it failed.
        code: HTTP status of a refusal; 0 = none.
        bytes: that came over the wire.
        resumed: whether it went on from a part.
    """

    file: DownloadFile
    status: str
    reason: str = ""
    code: int = 0
    bytes: int = 0
    resumed: bool = False


def web_host(url: str) -> str:
    """The host of an address of http or https; empty where it is none.

    >>> web_host("https://a.example:8080/x"), web_host("ftp://a.example/x"), web_host("http://[bad")
    ('a.example', '', '')
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises for a port that is none
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def wrong_with(path: Path, file: DownloadFile) -> str:
    """What is wrong with a file that should be whole; empty = nothing that is known."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"it has {size} bytes, expected {file.size}"
    for kind in ("sha256", "md5"):
        wanted = getattr(file, kind)
        if wanted:
            with open(path, "rb") as content:
                found = hashlib.file_digest(content, kind).hexdigest()
            if found != wanted.lower():
                return f"its {kind} is {found}, expected {wanted.lower()}"
    return _no_picture(path) if file.picture else ""


def _no_picture(path: Path) -> str:
    """Why the first bytes are none of a picture's. They are looked at because dead links say image/jpeg as well."""
    with open(path, "rb") as content:
        head = content.read(132)
    if head.startswith(PICTURES) or head[8:12] == b"WEBP" or head[4:8] == b"ftyp" or head[128:] == b"DICM":
        return ""
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith((b"<!doctype", b"<html", b"<head", b"<script", b"<!--")):
        return "a page of HTML in place of a picture"
    return f"no picture: it begins with {head[:12]!r}" if head else "nothing in place of a picture"


