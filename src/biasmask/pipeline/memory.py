"""What a finished stage leaves in memory, given back before the next one begins."""

import contextlib
import ctypes
import gc
from typing import Any

LARGE = 20_000_000  # parameters; below, a collection takes longer than the memory is worth


def tidy_up(state: Any) -> None:
    """Collect what a stage left in circles, and give freed pages back to the system, where the model is large.

    A Trainer and its module hold each other, and with them a network, an optimizer and more: copies of the weights that Python
    would keep until some later collection. The C library keeps freed tensors of a few megabytes for itself (glibc; others have
    no `malloc_trim`).

    Args:
        state: the model between two stages, with `weights`.
    """
    if sum(weight.numel() for weight in state.weights.values()) < LARGE:
        return
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
