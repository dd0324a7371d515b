"""Where the time of a stage goes, and how much of it is left: by a monotonic clock, which no change of the date disturbs."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from lightning.pytorch.callbacks import Callback

EVERY = 30.0  # seconds between two lines about one piece of work
PARTS = ("data", "training", "judging")


class Clock:
    """Seconds by part, added up over all that is done with it.

    >>> clock = Clock()
    >>> clock.add("data", 2.0)
    >>> before = clock.now()
    >>> clock.add("data", 0.5)
    >>> clock.since(before)
    {'data': 0.5, 'training': 0.0, 'judging': 0.0}
    """

    def __init__(self) -> None:
        self.spent = dict.fromkeys(PARTS, 0.0)

    def add(self, part: str, seconds: float) -> None:
        self.spent[part] += seconds

    def now(self) -> dict[str, float]:
        return dict(self.spent)

    def since(self, before: dict[str, float]) -> dict[str, float]:
        return {part: round(seconds - before[part], 3) for part, seconds in self.spent.items()}


class TimeKeeper(Callback):
    """Gives the time of a Trainer's walk to its parts.

    `data` is waiting for a batch, in training and judging alike; `training` the steps on it; `judging` validation and prediction.
    What lies between (the end of an epoch, writing) is in none of them.
    """

    def __init__(self, clock: Clock, ticks: Callable[[], float] = time.monotonic):
        self.clock, self.ticks, self.mark = clock, ticks, 0.0

    def _lap(self, part: str | None = None) -> None:
        now = self.ticks()
        if part is not None:
            self.clock.add(part, now - self.mark)
        self.mark = now

    def on_train_start(self, *_: Any) -> None:
        self._lap()

    def on_train_batch_start(self, *_: Any) -> None:
        self._lap("data")

    def on_train_batch_end(self, *_: Any) -> None:
        self._lap("training")

    def on_validation_start(self, *_: Any) -> None:
        self._lap()

    def on_validation_batch_start(self, *_: Any) -> None:
        self._lap("data")

    def on_validation_batch_end(self, *_: Any) -> None:
        self._lap("judging")

    def on_validation_end(self, *_: Any) -> None:
        self._lap("judging")

    def on_predict_start(self, *_: Any) -> None:
        self._lap()

    def on_predict_batch_start(self, *_: Any) -> None:
        self._lap("data")

    def on_predict_batch_end(self, *_: Any) -> None:
        self._lap("judging")


class TimeLeft:
    """A line on standard error, at most every so many seconds: how far a piece of work is, and how long it will still take.

    Args:
        label: what is done.
        total: units of work; None where nobody knows.
        every: seconds between two lines; the first one comes after as many, so that short work says nothing.
        say: takes a line.
        ticks: a monotonic clock in seconds.

    >>> times = iter([0.0, 31.0, 40.0, 62.0])
    >>> left = TimeLeft("impair", 100, say=print, ticks=lambda: next(times))
    >>> for done in (25, 30, 50):
    ...     left.update(done)
    impair: 25 of 100, 0:00:31 gone, about 0:01:33 left
    impair: 50 of 100, 0:01:02 gone, about 0:01:02 left
    """

    def __init__(
        self,
        label: str,
        total: float | None,
        every: float = EVERY,
        say: Callable[[str], None] | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ):
        self.label, self.total, self.every, self.ticks = label, total, every, ticks
        self.say = say or (lambda line: print(line, file=sys.stderr, flush=True))
        self.started = self.told = ticks()

    def update(self, done: int) -> None:
        now = self.ticks()
        if now - self.told < self.every or done <= 0:
            return
        self.told = now
        gone = now - self.started
        if self.total is None:
            self.say(f"{self.label}: {done:,}, {clock_time(gone)} gone")
        elif done < self.total:
            left = clock_time(gone / done * (self.total - done))
            self.say(f"{self.label}: {done:,} of {self.total:,.0f}, {clock_time(gone)} gone, about {left} left")


def clock_time(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    >>> clock_time(3725.4)
    '1:02:05'
    """
    return str(timedelta(seconds=round(seconds)))
