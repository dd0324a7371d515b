"""How both entry points begin: pages that need no configuration, then Hydra, whose refusals become one line."""

import os
import sys
from collections.abc import Callable
from typing import Any

from biasmask.cli.help_page import help_page
from biasmask.cli.info_pages import info_page
from biasmask.errors import ConfigError, one_line
from biasmask.pipeline.entry import TOLD, plain_error

FULL = "HYDRA_FULL_ERROR"


def start(main: Callable[[], Any], entry: str) -> None:
    """Answer `--help` and `info=...`, or run an entry point.

    Hydra prints its own refusals over several lines and ends with exit code 1. Its documented switch for whole errors hands them
    over as exceptions instead; who sets the switch himself gets whole tracebacks of everything.

    Args:
        main: the function under `hydra.main`.
        entry: `train` or `eval`.
    """
    words = sys.argv[1:]
    pages = [word.partition("=")[2] for word in words if word.startswith("info=")]
    if pages or "--help" in words or "-h" in words:
        return answer(entry, pages)
    if os.environ.get(FULL) == "1":
        return main()
    os.environ[FULL] = "1"
    try:
        main()
    except Exception as error:
        from biasmask.cli.mistakes import mistake, unusable_word

        known = plain_error(error) or mistake(error)
        if known is None and isinstance(error, AssertionError | ValueError):
            known = unusable_word(words)
        if known is None:
            raise
        if TOLD not in getattr(error, "__notes__", ()):  # a job of a sweep has said it by itself
            print(f"error: {one_line(known)}", file=sys.stderr)
        sys.exit(2)


def answer(entry: str, pages: list[str]) -> None:
    """Print the help, or the lists that were asked for; a wrong name is one line and exit code 2."""
    try:
        print("\n\n".join(map(info_page, pages)) if pages else help_page(entry), flush=True)
    except BrokenPipeError:  # a pager or `head` that has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
