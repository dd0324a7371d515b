"""One file over HTTP, from wherever an earlier try left it to a checked file in its place."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from biasmask.data.asking import NETWORK, Asker, Gone, Interrupted, NoAnswer, NoRoom, short
from biasmask.data.download_file import DownloadFile, Outcome, wrong_with
from biasmask.data.part_file import PartFile, hidden
from biasmask.errors import DataError, StoreError

MOST_TRIES = 100  # of one file, however much each of them brings


class Fetcher:
    """Fetches files; safe to be used by several threads.

    Args:
        tries: in a row without a byte gained, per file.
    """

    def __init__(self, asker: Asker, tries: int):
        self.asker, self.tries, self.stop = asker, tries, asker.stop

    def fetch(self, file: DownloadFile, folder: Path) -> Outcome:
        """Bring one file; of two processes that want the same one, the second waits and finds it there.

        Raises:
            Gone: refused for good, or a wrong size, checksum or kind. NoRoom: the disk is full.
            DataError: too many tries, a folder that can't be written. Interrupted: stopped.
        """
        place = file.place(folder)
        try:
            if not place.parent.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"{place} leads out of {folder} by a link")
            if place.is_file() and not wrong_with(place, file):
                return Outcome(file, "present")
            place.parent.mkdir(parents=True, exist_ok=True)
            with self._alone(place):
                if place.is_file() and not wrong_with(place, file):
                    return Outcome(file, "present")
                return self._bring(file, place)
        except (OSError, StoreError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoRoom(f"the disk is full while {place} comes: make room, then go on; what came is kept") from error
            raise DataError(f"can't write {place}: {getattr(cause, 'strerror', None) or error}") from error

    @contextmanager
    def _alone(self, place: Path) -> Iterator[None]:
        lock = FileLock(hidden(place, "lock"))
        while True:
            if self.stop.is_set():
                raise Interrupted(str(place))
            with suppress(Timeout):
                lock.acquire(timeout=0.5)
                break
        settled = False  # there for all to see, or refused for good: nobody will write again, so the lock's file may go
        try:
            yield
            settled = True
        except Gone:
            settled = True
            raise
        finally:
            if settled:
                with suppress(OSError):  # Windows removes no open file
                    os.unlink(hidden(place, "lock"))
            lock.release()

    def _bring(self, file: DownloadFile, place: Path) -> Outcome:
        part = PartFile(place, file.url, checked=bool(file.sha256 or file.md5))
        begun = farthest = part.size()
        idle, again = 0, False
        for _ in range(MOST_TRIES):
            silent = ""
            try:
                why = self.asker.ask(file, part)
            except NoAnswer as error:
                why, silent = str(error), error.host
            except NETWORK as error:
                why = short(error)
            if self.stop.is_set():
                raise Interrupted(file.url)
            if not why:
                wrong = wrong_with(part.path, file)
                if not wrong:
                    part.finish()
                    return Outcome(file, "downloaded", bytes=part.came, resumed=begun > 0 and part.joined)
                joined = part.joined
                part.drop()
                if again or not joined:
                    raise Gone(f"{wrong}; nothing was kept")
                again, farthest = True, 0  # parts of two versions would give just this: once more from the start
                continue
            idle, farthest = (0, part.size()) if part.size() > farthest else (idle + 1, farthest)
            if idle >= self.tries:
                if silent:
                    self.asker.gate.gave_nothing(silent)
                raise DataError(f"{idle} tries in a row brought nothing new ({why}); what came is kept")
            if idle:
                self.asker.gate.wait(self.stop, self.asker.pause(idle))
        raise DataError(f"given up after {MOST_TRIES} tries; what came is kept")
