"""What both entry points share: errors as one line, an interrupt as a clean stop."""

import sys
from collections.abc import Callable
from typing import TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from biasmask.errors import BiasmaskError, ConfigError

T = TypeVar("T")


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
    except (BiasmaskError, InstantiationException, OmegaConfBaseException) as error:
        known = plain_error(error)
        if known is None:
            raise
        print(f"error: {known}", file=sys.stderr)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        sys.exit(2)


def plain_error(error: Exception) -> str | None:
    """One line about an error that the user can mend; None for one that is a fault of the program."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, BiasmaskError):
            return str(cause)
        cause = cause.__cause__
    if isinstance(error, OmegaConfBaseException):
        return str(ConfigError(" ".join(str(error).split())))
    if isinstance(error.__cause__, TypeError):  # an unknown or missing argument of a `_target_`
        return " ".join(str(error).split())
    return None
