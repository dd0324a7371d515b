"""Timing two ways of doing the same: each measurement in a fresh child process, the ways in turn, medians.

A busy machine slows both ways down alike when they take turns. Beside the time by the clock stands the processor's time, which
other people's jobs hardly change. A child is forked after the imports, so that its start costs nothing and is in no figure.
"""

import multiprocessing
import os
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

EPOCH = " epoch"  # a lap of this ending stands for one of many equal epochs


@dataclass
class Stopwatch:
    """Laps of one way: name, seconds by the clock, seconds of the processor over all threads."""

    laps: list[tuple[str, float, float]] = field(default_factory=list)
    _wall: float = 0.0
    _cpu: float = 0.0

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        self.laps.append((name, time.perf_counter() - self._wall, time.process_time() - self._cpu))
        self.start()


@dataclass(frozen=True)
class Measured:
    """What one child did: its laps, its peak of resident memory in MB, and what it gave back."""

    laps: list[tuple[str, float, float]]
    peak: float
    value: Any

    def seconds(self, epochs: int = 1, cpu: bool = False, only: str = "") -> float:
        """Time of the laps whose name starts with `only`, with each median epoch counted `epochs` times."""
        column = 2 if cpu else 1
        laps = [lap for lap in self.laps if lap[0].startswith(only)]
        once = sum(lap[column] for lap in laps if not lap[0].endswith(EPOCH))
        kinds = dict.fromkeys(lap[0] for lap in laps if lap[0].endswith(EPOCH))
        return once + sum(epochs * statistics.median(lap[column] for lap in laps if lap[0] == kind) for kind in kinds)


Way = Callable[[Stopwatch], Any]


def in_child(way: Way) -> Measured:
    """Run `way(watch)` in a fresh process on one core and wait for it.

    Raises:
        RuntimeError: the child failed; its traceback was printed.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(way, sender))
    process.start()
    sender.close()
    try:
        ok, content = receiver.recv()
    except EOFError:
        ok, content = False, "it ended without a word (out of memory?)"
    process.join()
    if not ok:
        raise RuntimeError(f"a measured process failed:\n{content}")
    return Measured(*content)


def _work(way: Way, sender: Any) -> None:
    # One core for either way: ours decodes in as many threads as there are cores, a DataLoader without workers does not.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    watch = Stopwatch()
    watch.start()
    try:
        value = way(watch)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
        sender.send((True, (watch.laps, peak, value)))
    except BaseException:
        sender.send((False, traceback.format_exc()))


def alternate(ways: dict[str, Way], repeats: int) -> dict[str, list[Measured]]:
    """Each way `repeats` times, taking turns."""
    found: dict[str, list[Measured]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            found[name].append(in_child(way))
    return found


@dataclass(frozen=True)
class Row:
    """One line of the table: a piece of work, both times, their ratio, and what was checked.

    Args:
        work: what was done. textbook, ours: seconds. ratios: textbook / ours of each repeat by the clock.
        cpu_ratio: the same by processor time. peaks: MB, textbook and ours. target: the smallest ratio asked for.
        check: which numbers agree, and how well.
    """

    work: str
    textbook: float
    ours: float
    ratios: list[float]
    cpu_ratio: float
    peaks: tuple[float, float]
    target: float | None = None
    check: str = ""


def compare(
    work: str,
    textbook: list[Measured],
    ours: list[Measured],
    target: float | None = None,
    check: str = "",
    epochs: int = 1,
    only: str = "",
    ours_only: str | None = None,
) -> Row:
    """The line for two ways that took turns; `only` picks laps by the start of their name (`ours_only`: those of ours)."""
    mine = only if ours_only is None else ours_only
    slow = [m.seconds(epochs, only=only) for m in textbook]
    fast = [m.seconds(epochs, only=mine) for m in ours]
    cpu = [t.seconds(epochs, True, only) / max(o.seconds(epochs, True, mine), 1e-9) for t, o in zip(textbook, ours, strict=True)]
    return Row(
        work,
        statistics.median(slow),
        statistics.median(fast),
        [t / o for t, o in zip(slow, fast, strict=True)],
        statistics.median(cpu),
        (max(m.peak for m in textbook), max(m.peak for m in ours)),
        target,
        check,
    )


OUTSIDE = "OUTSIDE ITS TOLERANCE: "


def require(name: str, value: float, tolerance: float) -> str:
    """A named number that must not exceed its tolerance (NaN does); a run that has one outside ends with exit code 1.

    Told and not raised, so that minutes of measuring aren't lost.
    """
    return f"{'' if value <= tolerance else OUTSIDE}{name} {value:.1e} (≤ {tolerance:g})"
