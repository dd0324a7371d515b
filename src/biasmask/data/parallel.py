"""The same work on many files at once, in threads: Pillow and numpy let go of the interpreter's lock while they compute."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def cores() -> int:
    """How many cores this process may use.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_parallel(work: Callable[[Any], Any], items: Sequence[Any], workers: int = 0) -> Iterator[Any]:
    """The results in the order of the items; the first error ends all, and what hasn't begun is given up.

    Args:
        work: called once an item, from several threads.
        workers: threads; 0 = one a core, 1 = in this thread.

    >>> list(map_parallel(abs, [-1, 2, -3], workers=2))
    [1, 2, 3]
    """
    workers = workers or cores()
    if workers == 1 or len(items) < 2:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers) as threads:
        yield from threads.map(work, items)
