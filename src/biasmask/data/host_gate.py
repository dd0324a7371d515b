"""Politeness: how many connections a host gets, how long apart, and what it asks to be left alone for."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class HostGate:
    """Lets requests to a host through, a few at a time and not before the host wants them.

    Args:
        connections: at a time, per host.
        pause: seconds between the starts of two requests to a host.
        longest: seconds; a host that asks for a longer rest is closed: nothing more is asked of it.
        silent: files in a row that a host may leave without any answer before it is closed. Without it, the 10,000 links of
            a host that is gone would take days.
        clock: seconds that only go forward, whatever the wall clock does.
        wait: waits for an event or so many seconds.
    """

    def __init__(
        self,
        connections: int = 2,
        pause: float = 0.2,
        longest: float = 900.0,
        silent: int = 5,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
    ):
        self.connections, self.pause, self.longest, self.silent = connections, pause, longest, silent
        self.clock, self.wait = clock, wait
        self._slots: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(connections))
        self._next: dict[str, float] = defaultdict(float)
        self._unanswered: dict[str, int] = defaultdict(int)
        self._closed: dict[str, str] = {}
        self._lock = threading.Lock()

    @contextmanager
    def through(self, host: str, stop: threading.Event) -> Iterator[None]:
        """Wait for a slot and for the host's pause; leaves early when `stop` is set or the host is closed."""
        with self._lock:
            slot = self._slots[host]
        with slot:
            while not stop.is_set():
                with self._lock:
                    wait = self._next[host] - self.clock()
                    if host in self._closed:
                        break
                    if wait <= 0:
                        self._next[host] = self.clock() + self.pause
                        break
                self.wait(stop, min(wait, 1.0))
            yield

    def rest(self, host: str, seconds: float) -> None:
        """Leave the host alone for so long, all threads."""
        with self._lock:
            self._next[host] = max(self._next[host], self.clock() + seconds)

    def closed(self, host: str) -> str:
        """Why nothing more is asked of a host; empty = it may be asked."""
        with self._lock:
            return self._closed.get(host, "")

    def close(self, host: str, why: str) -> None:
        """Ask nothing more of a host."""
        with self._lock:
            self._closed.setdefault(host, why)

    def answered(self, host: str) -> None:
        """The host is alive."""
        with self._lock:
            self._unanswered[host] = 0

    def gave_nothing(self, host: str) -> None:
        """All tries of a file ended without an answer of the host."""
        with self._lock:
            self._unanswered[host] += 1
            if self._unanswered[host] >= self.silent:
                self._closed.setdefault(host, f"{host} gave no answer to {self._unanswered[host]} files in a row")


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for: a number or a date; None where it is absent or makes no sense.

    >>> retry_after("7"), retry_after(None), retry_after("soon")
    (7.0, None, None)
    >>> retry_after("Wed, 21 Oct 2026 07:28:10 GMT", datetime(2026, 10, 21, 7, 28, tzinfo=UTC))
    10.0
    """
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
