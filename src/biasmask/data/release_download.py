"""`--download`: the files of a data set whose terms allow a download without a login, and the pictures of a list of links."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from biasmask.data.download import download_files
from biasmask.data.download_file import DownloadFile
from biasmask.data.image_files import fill_template
from biasmask.data.link_list import FAILED, download_links
from biasmask.data.read_table import read_table
from biasmask.data.unpack import unpack
from biasmask.data.values import require_column
from biasmask.errors import DataError

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
Progress = Callable[[int, int, int], None]


def download_release(about: Mapping[str, Any], folder: Path, progress: Progress | None = None, **how: Any) -> list[str]:
    """Brings what the configuration lists to a folder and unpacks archives beside themselves; what is there stays.

    Args:
        about: `downloads` ({url, path, sha256, size}, ...) or null, and perhaps `links`: {table, url, path}, where `table` is one
            of the downloads (or lies in the folder already), `url` its column of addresses, and `path` a template such as
            images/{id}.jpg.
        folder: what --source names; made when absent.
        how: for `download_files`.

    Returns:
        Lines that tell what came.

    Raises:
        DataError: the terms don't allow it, a listed file did not come, a damaged archive. A dead link of a list is no error:
            such rows are counted and stand in failed_downloads.csv.
    """
    listed, links = about.get("downloads"), about.get("links")
    if not listed and not links:
        steps = "; ".join(about.get("steps") or ())
        raise DataError(f"{about['name']} has no download without a person's consent: {steps} ({about['homepage']})")
    lines = []
    if listed:
        files = [DownloadFile(entry["url"], entry["path"], sha256=entry["sha256"], size=entry["size"]) for entry in listed]
        report = download_files(files, folder, progress=progress, **how)
        if report.failed:
            first = report.failed[0]
            again = "; the same command goes on where it was" if len(report.failed) < len(files) else ""
            raise DataError(f"{len(report.failed)} of {len(files)} files did not come; {first.file.url}: {first.reason}{again}")
        lines.append(_counted("files", report.counts()))
        for file in files:
            suffix = next((end for end in ARCHIVES if file.path.lower().endswith(end)), None)
            if suffix:
                written = unpack(folder / file.path, folder / file.path[: -len(suffix)])
                lines.append(f"{file.path}: {written:,} files unpacked")
    if links:
        lines += _linked(links, folder, progress, how)
    return lines


def _linked(links: Mapping[str, str], folder: Path, progress: Progress | None, how: Mapping[str, Any]) -> list[str]:
    table = folder / links["table"]
    if not table.is_file():
        raise DataError(f"there is no {table}, whose addresses are to be fetched")
    read = read_table(table)
    require_column(read.frame.columns, links["url"], str(table), "for addresses")
    paths = fill_template(links["path"], read.frame, str(table))
    lines = [int(line) for line in read.lines]
    report = download_links(lines, read.frame[links["url"]].tolist(), paths.tolist(), folder, progress=progress, **how)
    without = report.without_address()
    counts = {**report.counts, "failed": report.counts["failed"] - without}
    return [
        _counted(f"pictures of {links['table']}", counts) + f", {without:,} rows without an address",
        *([f"{FAILED} lists what did not come, with reasons"] if report.failed else []),
    ]


def _counted(what: str, counts: Mapping[str, int]) -> str:
    return f"{what}: {counts['downloaded']:,} downloaded, {counts['present']:,} were there, {counts['failed']:,} failed"
