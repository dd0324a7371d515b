"""One request for a file, over its redirects: what the answer means, and its bytes joined to the part that is here."""

import os
import random
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from urllib.parse import urljoin

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, SSLError

from biasmask.data.download_file import DownloadFile, web_host
from biasmask.data.host_gate import HostGate, retry_after
from biasmask.data.part_file import PartFile
from biasmask.data.web_pools import WebPools
from biasmask.errors import DataError

CHUNK = 1 << 16
LATER = {408, 425, 429, 500, 502, 503, 504}  # worth another try
REDIRECTS = 5
LONGEST_BACKOFF = 60.0  # seconds
NETWORK = (HTTPError, HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
AS_IT_COMES = (".gz", ".tgz", ".zst", ".br")  # compressed by its own name: what the server calls its encoding is the file


class Gone(Exception):
    """The server won't give this file, or gave a wrong one: another try is of no use. `code`: its HTTP status, 0 = none."""

    def __init__(self, reason: str, code: int = 0):
        super().__init__(reason)
        self.code = code


class NoAnswer(Exception):
    """A host did not say anything."""

    def __init__(self, host: str, reason: str):
        super().__init__(reason)
        self.host = host


class NoRoom(DataError):
    """The disk is full, or will be: no other file can come either."""


class Interrupted(Exception):
    """The download was stopped from outside."""


class Asker:
    """Asks for files over shared connections; safe to be used by several threads.

    Args:
        backoff: seconds before the second try; doubled each time, less up to a half by chance.
        tick: called with the bytes that have just come.
    """

    def __init__(self, pools: WebPools, gate: HostGate, backoff: float, tick: Callable[[int], None]):
        self.pools, self.gate, self.backoff, self.tick = pools, gate, backoff, tick
        self.stop = threading.Event()
        self._answers: set[urllib3.BaseHTTPResponse] = set()

    def interrupt(self) -> None:
        """Stop all threads, also those that wait for a byte."""
        self.stop.set()
        for answer in list(self._answers):
            with suppress(ValueError, RuntimeError, OSError):  # it has just ended
                answer.shutdown()

    def pause(self, idle: int) -> float:
        """Seconds to wait after so many tries in vain."""
        return min(LONGEST_BACKOFF, self.backoff * 2.0 ** (idle - 1)) * random.uniform(0.5, 1.0)

    def ask(self, file: DownloadFile, part: PartFile) -> str:
        """One request, over its redirects: why to try again; empty = the file is whole."""
        offset, headers = part.ask()
        url = file.url
        for _ in range(REDIRECTS + 1):
            host = web_host(url)
            with self.gate.through(host, self.stop), self._answer(url, host, headers) as answer:
                onward = answer.get_redirect_location()
                if not onward:
                    return self._take(file, part, offset, answer, host)
                _empty(answer)
            try:
                url = urljoin(url, onward)
            except ValueError:
                url = onward
            if not web_host(url):
                raise Gone(f"it leads to {url[:100]!r}, which is no address of http or https")
        raise Gone(f"more than {REDIRECTS} redirects")

    @contextmanager
    def _answer(self, url: str, host: str, headers: dict[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        if self.stop.is_set():
            raise Interrupted(url)
        if why := self.gate.closed(host):
            raise Gone(f"not asked for: {why}")
        try:
            answer = self.pools.get(url, headers)
        except (LocationValueError, UnicodeError) as error:
            raise Gone(f"{url[:100]!r} is no address: {short(error)}") from error
        except NETWORK as error:
            if isinstance(error, SSLError) and error.args and isinstance(error.args[0], ssl.SSLCertVerificationError):
                self.gate.close(host, f"the certificate of {host} is not valid")
                raise Gone(f"the certificate of {host} is not valid: {short(error)}") from error
            raise NoAnswer(host, short(error)) from error
        self.gate.answered(host)
        self._answers.add(answer)
        try:
            yield answer
        finally:
            self._answers.discard(answer)
            answer.close()

    def _take(self, file: DownloadFile, part: PartFile, offset: int, answer: urllib3.BaseHTTPResponse, host: str) -> str:
        headers, status = answer.headers, answer.status
        if status in LATER:
            return self._later(answer, host)
        if status == 416:  # nothing lies beyond what is here
            whole = headers.get("Content-Range", "").rpartition("/")[2]
            if offset and whole == str(offset):
                return ""
            part.drop()
            return "the server has no such range"
        if status not in (200, 206):
            _empty(answer)
            raise Gone(f"HTTP {status}", status)
        if file.picture and "html" in headers.get("Content-Type", "").lower():
            raise Gone("a page of HTML in place of a picture")
        if status == 206 and (why := part.mismatch(headers, offset)):
            part.drop()
            return why
        # some servers compress though they are told not to
        decode = headers.get("Content-Encoding", "identity") != "identity" and not file.path.lower().endswith(AS_IT_COMES)
        if status == 200:
            part.begin(headers, decode)
        if file.size is not None and part.whole not in (None, file.size):
            said = part.whole
            part.drop()
            raise Gone(f"it has {said} bytes, expected {file.size}; nothing was kept")
        self._write(part, answer, decode, join=status == 206)
        return part.lacking()

    def _later(self, answer: urllib3.BaseHTTPResponse, host: str) -> str:
        rest = retry_after(answer.headers.get("Retry-After"))
        if rest is not None and rest > self.gate.longest:
            self.gate.close(host, f"HTTP {answer.status}, {host} asks to come back in {rest:.0f} s")
            raise Gone(f"HTTP {answer.status}, the server asks to come back in {rest:.0f} s")
        self.gate.rest(host, self.pause(1) if rest is None else rest)
        _empty(answer)
        return f"HTTP {answer.status}, the server asked to come back later"

    def _write(self, part: PartFile, answer: urllib3.BaseHTTPResponse, decode: bool, join: bool) -> None:
        ahead = (part.whole or 0) - (part.size() if join else 0)
        if ahead > (free := shutil.disk_usage(part.path.parent).free):
            raise NoRoom(f"{part.place} takes {ahead / 1e9:.1f} GB more, {free / 1e9:.1f} GB are free: make room, then go on")
        with open(part.path, "ab" if join else "wb") as out:
            try:
                while chunk := answer.read1(CHUNK, decode_content=decode):  # what is there, so that a cut loses nothing
                    out.write(chunk)
                    part.came += len(chunk)
                    self.tick(len(chunk))
                    if self.stop.is_set():
                        raise Interrupted(part.url)
            finally:
                out.flush()
            os.fsync(out.fileno())


def _empty(answer: urllib3.BaseHTTPResponse) -> None:
    """Read the few words of a refusal, so that its connection can be used again; a long body isn't worth it."""
    length = answer.headers.get("Content-Length", "")
    if length.isdigit() and int(length) <= CHUNK:
        answer.drain_conn()


def short(error: Exception) -> str:
    """A foreign error in one line."""
    return " ".join(str(error).split())[:160] or type(error).__name__
