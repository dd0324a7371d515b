"""What both entry points share: errors as one line, an interrupt as a clean stop."""

import sys
from collections.abc import Callable
from typing import TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from biasmask.errors import BiasmaskError, one_line

T = TypeVar("T")
TOLD = "told in one line"  # note on an error that was printed already


def guarded(job: Callable[[], T]) -> T:
    """Run a job; a BiasmaskError becomes one line on standard error and exit code 2.

    In a sweep the error is raised again, so that Hydra counts the job as failed and the others go on.
    """
    try:
        return job()
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and not isinstance(end.__context__, KeyboardInterrupt):
            raise
        # Lightning's Trainer turns Ctrl-C into a bare exit(1)
        print("interrupted: finished stages are kept, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        known = plain_error(error)
        if known is None:
            raise
        print(f"error: {known}", file=sys.stderr)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            error.add_note(TOLD)
            raise
        sys.exit(2)


def plain_error(error: Exception) -> str | None:
    """One line about an error that the user can mend; None for one that is a fault of the program."""
    cause: BaseException | None = error
    seen: set[int] = set()  # OmegaConf makes some errors their own cause where a debugger looks on
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, BiasmaskError) or (isinstance(cause, ValueError) and _raised_by_the_maths(cause)):
            return one_line(str(cause))
        cause = cause.__cause__
    last = (str(error).strip().splitlines() or [""])[-1]
    if last.startswith("biasmask.errors."):  # raised in a worker process, which hands back its traceback as text
        return one_line(last.partition(": ")[2])
    if isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker"):
        return (
            "a process that loads images ended without a word (memory is the usual reason): finished stages are kept; "
            "data.num_workers=0 loads in the run's own process"
        )
    if isinstance(error, OmegaConfBaseException | InstantiationException):
        return one_line(str(error))
    return None


def _raised_by_the_maths(error: ValueError) -> bool:
    """Whether it was raised in `methods` or `metrics`, whose messages about arguments are written for users."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return module.startswith(("biasmask.methods.", "biasmask.metrics."))
