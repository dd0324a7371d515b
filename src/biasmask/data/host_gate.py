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
        longest: seconds; a host that asks for a longer rest is given up.
        clock: seconds that only go forward, whatever the wall clock does.
    """

    def __init__(
        self, connections: int = 2, pause: float = 0.2, longest: float = 900.0, clock: Callable[[], float] = time.monotonic
    ):
        self.connections, self.pause, self.longest, self.clock = connections, pause, longest, clock
        self._slots: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(connections))
        self._next: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def through(self, host: str, stop: threading.Event) -> Iterator[None]:
        """Wait for a slot and for the host's pause; leaves early when `stop` is set."""
        with self._lock:
            slot = self._slots[host]
        with slot:
            while not stop.is_set():
                with self._lock:
                    wait = self._next[host] - self.clock()
                    if wait <= 0:
                        self._next[host] = self.clock() + self.pause
                        break
                stop.wait(min(wait, 1.0))
            yield

    def rest(self, host: str, seconds: float) -> None:
        """Leave the host alone for so long, all threads."""
        with self._lock:
            self._next[host] = max(self._next[host], self.clock() + seconds)


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
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError):
        return None
