"""One file over HTTP, from wherever an earlier try left it to a checked file in its place."""

import hashlib
import json
import os
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import urllib3
from filelock import FileLock

from biasmask import __version__
from biasmask.data.host_gate import HostGate, retry_after
from biasmask.errors import DataError
from biasmask.files import storage_error, write_atomically

CHUNK = 1 << 16
AGENT = f"biasmask/{__version__} (research data download; python-urllib3)"
LATER = {408, 425, 429, 500, 502, 503, 504}  # worth another try
REDIRECTS = 5
MOST_TRIES = 100  # of one file, however much each of them brings


class Gone(Exception):
    """The server won't give this file: another try is of no use."""


class Interrupted(Exception):
    """The download was stopped from outside."""


@dataclass(frozen=True)
class DownloadFile:
    """A file to bring.

    Args:
        url: http or https.
        path: below the download's folder, posix.
        sha256, md5: hexadecimal, where it is known.
        size: bytes, where it is known.
        picture: True = a page of HTML in its place is an error (dead links often answer with one).
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
        """
        path = PurePosixPath(self.path.replace("\\", "/"))
        bad = path.is_absolute() or ".." in path.parts or ":" in self.path or "\0" in self.path or not path.name
        if bad:
            raise DataError(f"the path {self.path!r} of a download leads out of {folder}")
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise DataError(f"{self.url!r} is no address of http or https")
        return folder / path


@dataclass(frozen=True)
class Outcome:
    """What came of a file: downloaded | present | failed; bytes that came over the wire; whether it went on from a part."""

    file: DownloadFile
    status: str
    reason: str = ""
    bytes: int = 0
    resumed: bool = False


class Fetcher:
    """Fetches files over one pool of connections; safe to be used by several threads."""

    def __init__(self, pool: urllib3.PoolManager, gate: HostGate, stop: threading.Event, tries: int):
        self.pool, self.gate, self.stop, self.tries = pool, gate, stop, tries

    def fetch(self, file: DownloadFile, folder: Path) -> Outcome:
        """Bring one file; of two processes that want the same one, the second waits and finds it there.

        Raises:
            Gone: refused for good. DataError: too many tries, another checksum or size, a disk that is full.
        """
        place = file.place(folder)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(place.with_name(f".{place.name}.lock")):
                if place.is_file() and not _wrong(place, file):
                    return Outcome(file, "present")
                return self._bring(file, place)
        except OSError as error:
            raise DataError(str(storage_error(error, place))) from error

    def _bring(self, file: DownloadFile, place: Path) -> Outcome:
        part = place.with_name(f".{place.name}.part")
        begun = part.stat().st_size if part.is_file() else 0
        got, idle, whole_again = 0, 0, False
        for _ in range(MOST_TRIES):
            before = part.stat().st_size if part.is_file() else 0
            try:
                came, done = self._try(file, part)
            except (urllib3.exceptions.HTTPError, ConnectionError) as error:
                came, done, why = max(0, (part.stat().st_size if part.is_file() else 0) - before), False, _short(error)
            else:
                why = "" if done else "the server asked to come back later"
            if self.stop.is_set():
                raise Interrupted(file.url)
            got += came
            if done:
                wrong = _wrong(part, file)
                if not wrong:
                    os.replace(part, place)
                    _validator(part).unlink(missing_ok=True)
                    return Outcome(file, "downloaded", bytes=got, resumed=begun > 0)
                part.unlink()
                if whole_again:
                    raise DataError(f"{file.url}: {wrong}; nothing was kept")
                whole_again = True  # a part of an older version would give just this: once more from the start
                continue
            idle = 0 if came else idle + 1
            if idle >= self.tries:
                raise DataError(f"{file.url}: {self.tries} tries in a row brought nothing ({why}); what came before is kept")
            if not came:
                self.stop.wait(min(60.0, 2**idle * (0.25 + random.random() / 4)) if self.gate.pause else 0.0)
        raise DataError(f"{file.url}: given up after {MOST_TRIES} tries; the part is kept")

    def _try(self, file: DownloadFile, part: Path) -> tuple[int, bool]:
        """One request: bytes that came, and whether the file is complete."""
        offset, headers = _resume(file, part)
        host = urlsplit(file.url).hostname or ""
        limit = urllib3.Retry(REDIRECTS, connect=0, read=0, redirect=REDIRECTS, other=0, respect_retry_after_header=False)
        with self.gate.through(host, self.stop):
            if self.stop.is_set():
                raise Interrupted(file.url)
            try:
                answer = self.pool.request("GET", file.url, headers=headers, preload_content=False, retries=limit)
            except urllib3.exceptions.MaxRetryError as error:
                if isinstance(error.reason, urllib3.exceptions.ResponseError):
                    raise Gone(f"{file.url}: more than {REDIRECTS} redirects") from error
                raise
            try:
                return self._take(file, part, offset, answer, host)
            finally:
                answer.close()

    def _take(self, file: DownloadFile, part: Path, offset: int, answer: urllib3.BaseHTTPResponse, host: str) -> tuple[int, bool]:
        if answer.status in LATER:
            rest = retry_after(answer.headers.get("Retry-After"))
            if rest is not None and rest > self.gate.longest:
                raise Gone(f"{file.url}: HTTP {answer.status}, the server asks to come back in {rest:.0f} s")
            self.gate.rest(host, rest if rest is not None else 0.0)
            return 0, False
        if answer.status == 416:  # nothing lies beyond what is here
            whole = str(answer.headers.get("Content-Range", "")).rpartition("/")[2]
            if whole.isdigit() and int(whole) == offset:
                return 0, True
            part.unlink(missing_ok=True)
            return 0, False
        if answer.status not in (200, 206):
            raise Gone(f"{file.url}: HTTP {answer.status}")
        if file.picture and "html" in str(answer.headers.get("Content-Type", "")).lower():
            raise Gone(f"{file.url}: a page of HTML in place of a picture")
        if answer.status == 206 and not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {offset}-"):
            part.unlink(missing_ok=True)
            return 0, False
        if answer.status == 200:
            offset = 0
            kept = {name: answer.headers.get(name) for name in ("ETag", "Last-Modified")}
            write_atomically(_validator(part), json.dumps({"url": file.url, **kept}))
        came = 0
        with open(part, "r+b" if offset else "wb") as out:
            out.seek(offset)
            for chunk in answer.stream(CHUNK, decode_content=False):
                out.write(chunk)
                came += len(chunk)
                if self.stop.is_set():
                    raise Interrupted(file.url)
            out.truncate()
            out.flush()
            os.fsync(out.fileno())
        return came, True


def _resume(file: DownloadFile, part: Path) -> tuple[int, Mapping[str, str]]:
    """Where to go on, and the headers that ask for the rest only if the file is still the same."""
    plain = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if not part.is_file() or not part.stat().st_size:
        return 0, plain
    try:
        kept = json.loads(_validator(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    etag = kept.get("ETag") or ""
    same = etag if etag and not etag.startswith("W/") else kept.get("Last-Modified")
    if kept.get("url") != file.url or not (same or file.sha256 or file.md5):
        return 0, plain
    offset = part.stat().st_size
    return offset, {**plain, "Range": f"bytes={offset}-", **({"If-Range": same} if same else {})}


def _validator(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _wrong(path: Path, file: DownloadFile) -> str:
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
    return ""


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
