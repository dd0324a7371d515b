"""Errors a user can act on: one line that tells what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class BiasmaskError(Exception):
    """Base of all errors that entry points print without a traceback."""


class ConfigError(BiasmaskError):
    """A configuration key or value that can't work."""


class DataError(BiasmaskError):
    """A table, column, value or file that can't be used."""


class CheckpointError(BiasmaskError):
    """A checkpoint that can't be read or doesn't fit the model."""


class MethodError(BiasmaskError):
    """A method that can't go on: an empty mask, a collapsed model, a loss that is NaN."""


class StoreError(BiasmaskError):
    """The artefact store or a run folder can't be written or read."""


def near_names(name: str, known: Iterable[str], shape: str = "'{}'") -> str:
    """A clause that proposes the known names closest to a mistyped one, or an empty string.

    >>> near_names("Sexx", ["age", "sex"]), near_names("sx", ["age", "sex"], "attribute={}")
    ("; did you mean 'sex'?", '; did you mean attribute=sex?')
    >>> near_names("qqq", ["sex"])
    ''
    """
    by_lower = {str(word).lower().strip(): str(word) for word in known}
    near = difflib.get_close_matches(name.lower().strip(), list(by_lower), n=3, cutoff=0.6)
    return "; did you mean " + " or ".join(shape.format(by_lower[word]) for word in near) + "?" if near else ""
