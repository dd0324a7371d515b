"""The part of a file that has come so far, and what must hold before more is joined to it."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biasmask.files import write_atomically

ONE_VERSION = ("ETag", "Last-Modified")  # headers that change with the content
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)$")


def hidden(place: Path, kind: str) -> Path:
    """A file beside another that no reader of data takes for one.

    >>> hidden(Path("images/a.jpg"), "part").name
    '.a.jpg.part'
    """
    return place.with_name(f".{place.name}.{kind}")


class PartFile:
    """Bytes beside the place of a file, and notes of the version that they belong to.

    Args:
        place: where the whole file will be.
        url: address that was asked for; a part of another address is not gone on with.
        checked: whether a checksum is known, which finds a wrong join where the server names no version.
    """

    def __init__(self, place: Path, url: str, checked: bool):
        self.place, self.path, self.url, self.checked = place, hidden(place, "part"), url, checked
        self._notes = hidden(place, "part.json")
        self.came = 0  # bytes over the wire
        self.joined = False  # made of more than one answer
        self.whole: int | None = None  # bytes of the whole file, where the server says so

    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def ask(self) -> tuple[int, dict[str, str]]:
        """Where to go on, and the headers that ask for the rest only if the file is still the same."""
        offset, kept = self.size(), self._kept()
        etag = kept.get("ETag") or ""
        same = etag if etag and not etag.startswith("W/") else kept.get("Last-Modified")
        if not offset or kept.get("url") != self.url or kept.get("decoded") or not (same or self.checked):
            return 0, {}
        return offset, {"Range": f"bytes={offset}-", **({"If-Range": same} if same else {})}

    def begin(self, headers: Mapping[str, str], decoded: bool) -> None:
        """Start anew. The old bytes go before the new notes come: a kill between must not leave both."""
        self.drop()
        length = headers.get("Content-Length", "")
        self.whole = int(length) if length.isdigit() and not decoded else None
        notes = {"url": self.url, "length": self.whole, "decoded": decoded}
        write_atomically(self._notes, json.dumps({**notes, **{name: headers.get(name) for name in ONE_VERSION}}))

    def mismatch(self, headers: Mapping[str, str], offset: int) -> str:
        """Why an answer 206 can't be joined to what is here; empty = it can. Not every server knows If-Range."""
        found, kept = RANGE.match(headers.get("Content-Range", "").strip()), self._kept()
        if not found or int(found[1]) != offset:
            return "the server sent another range than it was asked for"
        self.whole = int(found[3]) if found[3].isdigit() else kept.get("length")
        changed = [name for name in ONE_VERSION if kept.get(name) and headers.get(name) and kept[name] != headers[name]]
        if changed or (kept.get("length") is not None and kept["length"] != self.whole):
            return "the file changed on the server"
        self.joined = True
        return ""

    def lacking(self) -> str:
        """What is wrong with the size, as far as the server told it; empty = whole."""
        size = self.size()
        if self.whole is not None and size > self.whole:
            self.drop()
            return "more came than the server said"
        return f"{size} of {self.whole} bytes came" if self.whole is not None and size < self.whole else ""

    def finish(self) -> None:
        """Put the whole file in its place."""
        os.replace(self.path, self.place)
        self._notes.unlink(missing_ok=True)

    def drop(self) -> None:
        """Keep nothing."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)
        self.joined, self.whole = False, None

    def _kept(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}
