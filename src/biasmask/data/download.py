"""Files of public data sets over HTTP: resumable, checked, in parallel, and polite to the server that gives them away."""

import csv
import io
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from biasmask.data.asking import Asker, Gone, NoRoom
from biasmask.data.download_file import DownloadFile, Outcome
from biasmask.data.fetch import Fetcher
from biasmask.data.host_gate import HostGate
from biasmask.data.part_file import hidden
from biasmask.data.web_pools import WebPools
from biasmask.errors import DataError
from biasmask.files import write_atomically

LONGEST_CONNECT = 30.0  # seconds
TICK = 0.5  # seconds between two calls of `progress` while a file comes


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
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["path", "url", "reason"])
        rows.writerows([outcome.file.path, outcome.file.url, outcome.reason] for outcome in self.failed)
        write_atomically(path, text.getvalue())


class _Count:
    """Files that ended and bytes that came, over all threads; tells them, one thread at a time."""

    def __init__(self, files: int, progress: Callable[[int, int, int], None] | None, ended: Callable[[Outcome], None] | None):
        self.files, self.progress, self._tell_end = files, progress, ended
        self.ended, self.bytes, self._told, self._lock = 0, 0, time.monotonic(), threading.Lock()

    def tick(self, size: int) -> None:
        with self._lock:
            self.bytes += size
            if self.progress and time.monotonic() - self._told > TICK:
                self._tell()

    def end(self, outcome: Outcome) -> None:
        with self._lock:
            self.ended += 1
            if self._tell_end:
                self._tell_end(outcome)
            if self.progress:
                self._tell()

    def _tell(self) -> None:
        assert self.progress
        self._told = time.monotonic()
        self.progress(self.ended, self.files, self.bytes)


def download_files(
    files: Sequence[DownloadFile],
    folder: Path,
    workers: int = 4,
    gate: HostGate | None = None,
    stall: float = 60.0,
    tries: int = 5,
    backoff: float = 1.0,
    progress: Callable[[int, int, int], None] | None = None,
    ended: Callable[[Outcome], None] | None = None,
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
        backoff: seconds before the second of them; doubled each time, less up to a half by chance.
        progress: called with (files ended, all files, bytes so far), when a file ends and twice a second at most
            while one comes; never by two threads at once.
        ended: called with the outcome of each file when it ends, so that a call that is stopped has told of them.

    Raises:
        DataError: a path that leaves the folder, two files for one path, or too little room.
    """
    _require_sound(files, folder)
    count = _Count(len(files), progress, ended)
    pools = WebPools(max(4, workers), min(LONGEST_CONNECT, stall), stall)
    asker = Asker(pools, gate or HostGate(), backoff, count.tick)
    fetcher = Fetcher(asker, tries)

    fatal: list[BaseException] = []  # what stops all of them; the others then end as interrupted

    def one(file: DownloadFile) -> Outcome:
        try:
            outcome = _outcome(fetcher, file, folder)
            count.end(outcome)
            return outcome
        except BaseException as error:
            fatal.append(error)
            asker.interrupt()
            raise

    executor = ThreadPoolExecutor(max(1, workers))
    try:
        futures = [executor.submit(one, file) for file in files]
        return DownloadReport([future.result() for future in futures])
    except Exception as error:
        raise (fatal[0] if fatal else error) from None
    finally:
        asker.interrupt()
        executor.shutdown(wait=True, cancel_futures=True)
        pools.clear()


def _outcome(fetcher: Fetcher, file: DownloadFile, folder: Path) -> Outcome:
    try:
        return fetcher.fetch(file, folder)
    except NoRoom:
        raise
    except (DataError, Gone) as error:
        return Outcome(file, "failed", str(error), getattr(error, "code", 0))


def _require_sound(files: Sequence[DownloadFile], folder: Path) -> None:
    places: set[Path] = set()
    room = 0
    for file in files:
        place = file.place(folder)
        if place in places:
            raise DataError(f"two downloads go to {place}")
        places.add(place)
        if file.size and not place.is_file():
            part = hidden(place, "part")
            room += max(0, file.size - (part.stat().st_size if part.is_file() else 0))
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if room > free:
        raise DataError(f"{folder} has {free / 1e9:.1f} GB free, the download takes {room / 1e9:.1f} GB: make room, then go on")
