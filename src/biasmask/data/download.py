"""Files of public data sets over HTTP: resumable, checked, in parallel, and polite to the server that gives them away."""

import csv
import io
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from biasmask.data.fetch import DownloadFile, Fetcher, Gone, Outcome
from biasmask.data.host_gate import HostGate
from biasmask.errors import DataError
from biasmask.files import write_atomically


@dataclass
class DownloadReport:
    """What came of each file, in the order asked for."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]

    def counts(self) -> dict[str, int]:
        """Status -> files."""
        states = [outcome.status for outcome in self.outcomes]
        return {state: states.count(state) for state in ("downloaded", "present", "failed")}

    def write_failed(self, path: Path) -> None:
        """The files that did not come, as CSV: path, url, reason."""
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(["path", "url", "reason"])
        rows.writerows([outcome.file.path, outcome.file.url, outcome.reason] for outcome in self.failed)
        write_atomically(path, text.getvalue())


def download_files(
    files: Sequence[DownloadFile],
    folder: Path,
    workers: int = 4,
    gate: HostGate | None = None,
    stall: float = 60.0,
    tries: int = 5,
    progress: Callable[[int, int, int], None] | None = None,
) -> DownloadReport:
    """Bring files below a folder; what is whole already is left alone, and what was begun goes on where it was.

    A file that fails does not stop the others. Ctrl-C leaves what was fetched so far, and the same call goes on from there.

    Args:
        files: what, and where to; a path may not leave the folder.
        folder: made when absent.
        workers: files at a time over all hosts; how many of one host is the gate's.
        gate: connections and pauses per host; None = two connections, a fifth of a second between two requests.
        stall: seconds without a byte after which a connection is given up and tried again.
        tries: in a row without a byte gained, per file.
        progress: called with (files ended, all files, bytes so far).

    Raises:
        DataError: a path that leaves the folder, two files for one path, or too little room for the sizes that are known.
    """
    _require_sound(files, folder)
    stop = threading.Event()
    gate = gate or HostGate()
    timeout = urllib3.Timeout(connect=min(30.0, stall), read=stall)
    report, counted = DownloadReport(), [0, 0]
    with urllib3.PoolManager(num_pools=32, maxsize=max(4, workers), timeout=timeout) as pool:
        fetcher = Fetcher(pool, gate, stop, tries)

        def one(file: DownloadFile) -> Outcome:
            try:
                outcome = fetcher.fetch(file, folder)
            except (DataError, Gone) as error:
                outcome = Outcome(file, "failed", str(error))
            counted[0] += 1
            counted[1] += outcome.bytes
            if progress:
                progress(counted[0], len(files), counted[1])
            return outcome

        executor = ThreadPoolExecutor(max(1, workers))
        try:
            futures = [executor.submit(one, file) for file in files]
            report.outcomes = [future.result() for future in futures]
        except BaseException:
            stop.set()  # a thread looks at it between two chunks and while it waits
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
    return report


def _require_sound(files: Sequence[DownloadFile], folder: Path) -> None:
    places: set[Path] = set()
    room = 0
    for file in files:
        place = file.place(folder)
        if place in places:
            raise DataError(f"two downloads go to {place}")
        places.add(place)
        room += 0 if place.is_file() else max(0, file.size or 0)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if room > free:
        raise DataError(f"{folder} has {free / 1e9:.1f} GB free, the download takes {room / 1e9:.1f} GB: make room, then go on")
