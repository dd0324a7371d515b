"""Errors a user can act on: one line that tells what is wrong, where, and what to do."""

import difflib
import unicodedata
from collections.abc import Iterable

TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # a name that is shown backwards pretends to be another


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


def one_line(text: str) -> str:
    r"""A text on one line, without signs that would move a terminal's cursor or turn the direction of writing.

    >>> ascii(one_line("a\x1b[2J\n b")), ascii(one_line("a \u202egpj"))
    ("'a\\ufffd[2J b'", "'a \\ufffdgpj'")
    """
    return "".join("\ufffd" if is_control(character) else character for character in " ".join(str(text).split()))


def is_control(character: str) -> bool:
    """Whether a character is none that is read: a control code, half a surrogate pair, or one that turns the direction."""
    return unicodedata.category(character) in ("Cc", "Cs") or unicodedata.bidirectional(character) in TURNS


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
