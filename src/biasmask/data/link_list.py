"""Pictures of a list of links, most of which may be dead: what comes is kept, what doesn't is written down row by row."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from biasmask.data.download import download_files
from biasmask.data.download_file import DownloadFile, Outcome, web_host
from biasmask.errors import DataError
from biasmask.files import write_atomically

FAILED = "failed_downloads.csv"
FOR_EVER = {404, 410}  # what is not there today is not asked for again tomorrow
COLUMNS = ["row", "path", "url", "code", "reason"]
NO_ADDRESS = "no address of http or https"


@dataclass
class LinkReport:
    """What came of the rows: status -> rows (downloaded, present, failed), and the rows that failed."""

    counts: dict[str, int] = field(default_factory=lambda: {"downloaded": 0, "present": 0, "failed": 0})
    failed: list[dict[str, Any]] = field(default_factory=list)

    def without_address(self) -> int:
        """Rows whose cell holds no address."""
        return sum(entry["reason"] == NO_ADDRESS for entry in self.failed)


def download_links(
    rows: Sequence[int], urls: Sequence[object], paths: Sequence[str | None], folder: Path, picture: bool = True, **how: Any
) -> LinkReport:
    """Bring the file of each row. Nothing in a row stops the others: no address, a bad path, a dead link, a page of HTML.

    `failed_downloads.csv` in the folder says row, path, url, code (HTTP) and reason of each that did not come, also when the call
    is stopped. A link that answered 404 or 410 is not asked for again by the next call; delete the file to ask for all.

    Args:
        rows: (N,) how the table calls each row: its line.
        urls: (N,) cells; what is no address of http(s) fails.
        paths: (N,) below the folder; None = the row has none.
        folder: made when absent.
        picture: whether only pictures will do.
        how: for `download_files`.

    Raises:
        DataError: the disk is full.
    """
    known = _known_dead(folder / FAILED)
    report, files = LinkReport(), []
    row_of: dict[str, int] = {}  # path -> the row that it was first asked for by

    def fail(row: int, path: object, url: object, reason: str, code: object = "") -> None:
        report.counts["failed"] += 1
        report.failed.append({"row": row, "path": path, "url": url, "code": code or "", "reason": reason})

    for row, cell, path in zip(rows, urls, paths, strict=True):
        url = cell.strip() if isinstance(cell, str) else ""
        reason, code = _unfit(url, path, folder, row_of), 0
        if not reason and url in known and not (folder / str(path)).is_file():
            reason, code = known[url]
        if reason:
            fail(row, path or "", url, reason, code)
        else:
            files.append(DownloadFile(url, str(path), picture=picture))
            row_of[str(path)] = row

    def ended(outcome: Outcome) -> None:
        if outcome.status == "failed":
            fail(row_of[outcome.file.path], outcome.file.path, outcome.file.url, outcome.reason, outcome.code)
        else:
            report.counts[outcome.status] += 1

    try:
        download_files(files, folder, ended=ended, **how)
    finally:
        report.failed.sort(key=lambda entry: entry["row"])
        _write(folder / FAILED, report.failed)
    return report


def _unfit(url: str, path: str | None, folder: Path, taken: dict[str, int]) -> str:
    """Why a row can't be asked for; empty = it can."""
    if not web_host(url):
        return NO_ADDRESS
    if path is None:
        return "the row has no name for the file"
    if path in taken:
        return f"the same file as row {taken[path]}"
    try:
        DownloadFile(url, path).place(folder)
    except DataError as error:
        return str(error)
    return ""


def _known_dead(path: Path) -> dict[str, tuple[str, int]]:
    """Address -> reason and code of those that an earlier call found to be gone; a file that can't be used tells of none."""
    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False)[COLUMNS]
    except (OSError, ValueError, KeyError):
        return {}
    dead = found[found["code"].isin([str(code) for code in FOR_EVER])]
    return {url: (reason, int(code)) for url, code, reason in zip(dead["url"], dead["code"], dead["reason"], strict=True)}


def _write(path: Path, failed: list[dict[str, Any]]) -> None:
    if not failed:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    rows.writeheader()
    rows.writerows(failed)
    write_atomically(path, text.getvalue())
