"""The SEAT tests of gender: sets of sentences around the words of WEAT, made by us or read from the published files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from biasmask.errors import ConfigError, DataError

NAMES = ("6", "6b", "7", "7b", "8", "8b")
ROLES = {"x": "targ1", "y": "targ2", "a": "attr1", "b": "attr2"}  # letter of the formulae -> key in the published files
WORDS = Path(__file__).parent / "words" / "weat.yaml"


@dataclass(frozen=True)
class SeatTest:
    """Four sets of sentences: targets X and Y, attributes A and B. `labels` names the sets in that order."""

    name: str
    x: tuple[str, ...]
    y: tuple[str, ...]
    a: tuple[str, ...]
    b: tuple[str, ...]
    labels: tuple[str, str, str, str]


def seat_tests(names: Sequence[str] = NAMES, folder: Path | str | None = None) -> dict[str, SeatTest]:
    """The named tests, in that order.

    Without a folder the sentences are made from the words of WEAT in bleached templates (words/weat.yaml). They are the
    published ones, but for the Arts of 7, 7b, 8 and 8b: the published sets lack random sentences so as to be as large as
    the other set, while ours are whole, and X and Y differ in size there.

    Args:
        names: of 6, 6b, 7, 7b, 8, 8b; with a folder, any for which it has a file.
        folder: holds sent-weat<name>.jsonl as published (or .json); None = make the sentences.

    Returns:
        name -> SeatTest.

    Raises:
        ConfigError: a name that isn't known.
        DataError: as `read_seat`.

    Source: Caliskan et al. 2017 (words), May et al. 2019 (templates, b-variants).

    >>> test = seat_tests(("7",))["7"]
    >>> test.labels, len(test.x), test.x[0]
    (('Math', 'Arts', 'MaleTerms', 'FemaleTerms'), 72, 'This is math.')
    """
    names = [str(name) for name in names]  # YAML reads an unquoted 6 as a number
    if folder is None:
        unknown = [name for name in names if name not in NAMES]
        if unknown:
            raise ConfigError(f"no SEAT test '{unknown[0]}': choose of {', '.join(NAMES)}, or name a folder of published files")
        return {name: _made(name) for name in names}
    return {name: read_seat(_file(Path(folder), name)) for name in names}


def read_seat(path: Path | str) -> SeatTest:
    """One test from a published file.

    Args:
        path: JSON with targ1, targ2, attr1 and attr2, each {category, examples: list of sentences}.

    Returns:
        SeatTest, named by the file without `sent-weat`.

    Raises:
        DataError: a missing or damaged file, a missing key, an empty set, an example that isn't text; with file and key.

    Source: layout of May et al. 2019.

    >>> read_seat("nowhere/sent-weat6.jsonl")
    Traceback (most recent call last):
    biasmask.errors.DataError: no SEAT file nowhere/sent-weat6.jsonl: give the folder of the published files, or none ...
    """
    path = Path(path)
    content = _content(path)
    sets, labels = {}, []
    for role, key in ROLES.items():
        if key not in content:
            raise DataError(f"{path} has no key '{key}': expected {', '.join(ROLES.values())}")
        entry = content[key]
        examples = entry.get("examples") if isinstance(entry, dict) else None
        if not isinstance(examples, list):
            raise DataError(f"{path}, key '{key}': expected an object with a list 'examples'")
        if not examples:
            raise DataError(f"{path}, key '{key}': 'examples' is empty: each of the four sets needs a sentence")
        wrong = [i for i, text in enumerate(examples) if not isinstance(text, str) or not text.strip()]
        if wrong:
            raise DataError(f"{path}, key '{key}', example {wrong[0]}: expected text, got {examples[wrong[0]]!r}")
        sets[role] = tuple(examples)
        labels.append(str(entry.get("category", key)))
    return SeatTest(
        path.stem.removeprefix("sent-").removeprefix("weat"), **sets, labels=(labels[0], labels[1], labels[2], labels[3])
    )


def _file(folder: Path, name: str) -> Path:
    files = [folder / f"sent-weat{name}{ending}" for ending in (".jsonl", ".json")]
    return next((file for file in files if file.is_file()), files[0])


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"no SEAT file {path}: give the folder of the published files, or none to make the sentences") from None
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} isn't UTF-8 (byte {error.start}): save it as UTF-8") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path} isn't JSON, line {error.lineno}: {error.msg}; fetch the file again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}: expected an object with {', '.join(ROLES.values())}")
    return content


@cache
def _words() -> dict[str, Any]:
    return yaml.safe_load(WORDS.read_text(encoding="utf-8"))


def _made(name: str) -> SeatTest:
    labels = _words()["tests"][name]
    sets = {role: _sentences(_words()["sets"][labels[role]]) for role in ROLES}
    return SeatTest(name, **sets, labels=(labels["x"], labels["y"], labels["a"], labels["b"]))


def _sentences(entries: list[list[str]]) -> tuple[str, ...]:
    """Each word in each template of its kind."""
    sentences = []
    for kind, word, *plural in entries:
        several = plural[0] if plural else ""
        article = f"an {word}" if word[0] in "aeiou" else f"a {word}"
        forms = {"w": word, "ws": several, "a_w": article}
        forms |= {"W": _capital(word), "Ws": _capital(several), "A_w": _capital(article)}
        sentences += [template.format(**forms) for template in _words()["templates"][kind]]
    return tuple(sentences)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
