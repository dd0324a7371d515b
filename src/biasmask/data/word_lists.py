"""Word lists of a sensitive attribute: the words of each group, and those of the stereotypes."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from biasmask.errors import DataError, near_names

STEREOTYPE = "stereotype"
PACKAGED = Path(__file__).parent / "words"
EDGES = " .,;:!?\"'()"  # around an entry: `mr.` stands for the word `mr`, with or without its point
ENTRY = re.compile(r"[^\W_]+(?:[' ][^\W_]+)*")


class _Fold(dict[str, str]):
    """Character -> what it is compared as: lower case, without accents, ligatures taken apart; made when first met."""

    def __missing__(self, char: str) -> str:
        parts = unicodedata.normalize("NFKD", char)
        self[char] = "".join(part for part in parts if not unicodedata.combining(part)).lower()
        return self[char]


FOLD = _Fold({"\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{MODIFIER LETTER APOSTROPHE}": "'"})


@dataclass(frozen=True)
class WordLists:
    """The words that decide the kind of a sentence.

    Args:
        name: of the attribute, such as gender.
        groups: group -> its words, normalised, in the order of the list, each once.
        stereotype: words of the third kind of sentence, normalised.
        impossible: (entry, reason) of the entries that can never bring a sentence to a kind.
        parallel: words that stand for one another, one of each group in the order of the groups, normalised; may be none.
    """

    name: str
    groups: dict[str, tuple[str, ...]]
    stereotype: tuple[str, ...]
    impossible: tuple[tuple[str, str], ...] = ()
    parallel: tuple[tuple[str, ...], ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        return (*self.groups, STEREOTYPE)

    def words(self, kind: str) -> tuple[str, ...]:
        """The words of a group or of `stereotype`."""
        return self.stereotype if kind == STEREOTYPE else self.groups[kind]


def load_word_lists(source: str | Path) -> WordLists:
    """Load the word lists of a sensitive attribute and bring them into the form in which sentences are compared.

    A word of two groups is refused. A word of a group that is a stereotype word too is no error, as the published lists have two
    (tailor, waiter): a sentence with it has words of two lists, so it is never of one kind; the word is named in `impossible`.

    Args:
        source: a packaged list (gender, race, religion), a YAML file `{groups: {male: [...], female: [...]}, stereotype: [...]}`,
            or a folder of .txt files with one entry a line, in which every file but stereotype.txt is a group. A YAML file may
            tell which words stand for one another: `parallel: [[he, she], ...]`.
    Returns:
        The lists. `name` is that of the packaged list, else the file's or folder's. Without a key `parallel`, groups of equally
        many entries are parallel entry by entry.
    Raises:
        DataError: nothing there, not lists, an empty list, fewer than two groups, a word in two groups.

    >>> load_word_lists("gender").kinds
    ('male', 'female', 'stereotype')
    >>> load_word_lists("gender").impossible[0]
    ('tailor', 'stands in male and in stereotype: ...')
    """
    path = PACKAGED / f"{source}.yaml" if re.fullmatch(r"\w+", str(source)) else Path(source)
    if not path.exists() and Path(source).exists():
        path = Path(source)
    if path.is_dir():
        return make_word_lists(path.name, *_read_folder(path), where=str(path))
    if not path.is_file():
        known = sorted(file.stem for file in PACKAGED.glob("*.yaml"))
        near = near_names(str(source), known, "attribute={}")
        told = f"no such file or folder, and no packaged lists of this name (there are {', '.join(known)})"
        raise DataError(f"word lists {source}: {told}{near}")
    return make_word_lists(path.stem, *_read_yaml(path), where=str(path))


def make_word_lists(
    name: str,
    groups: dict[str, list[str]],
    stereotype: list[str],
    parallel: list[list[str]] | None = None,
    where: str = "word lists",
) -> WordLists:
    """Normalise and check lists that are in memory; arguments, result and errors as `load_word_lists`.

    >>> make_word_lists("age", {"young": ["Girl", "new_born"], "old": ["élder", "?"]}, ["nurse"]).groups
    {'young': ('girl', 'new born'), 'old': ('elder',)}
    """
    if len(groups) < 2:
        raise DataError(f"{where}: {len(groups)} group, two or more are needed; each has a list of words of its own")
    if STEREOTYPE in groups:
        raise DataError(f"{where}: {STEREOTYPE} is the third kind of sentence, a group can't have that name")
    impossible: list[tuple[str, str]] = []
    lists: dict[str, tuple[str, ...]] = {}
    for kind, entries in {**groups, STEREOTYPE: stereotype}.items():
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise DataError(f"{where}: {kind} is not a list of words; quote a word that YAML takes for a number or a yes")
        found = {entry: normalise(entry) for entry in entries if entry.strip()}
        impossible += [(entry, reason) for entry, word in found.items() if (reason := _never(word))]
        lists[kind] = tuple(dict.fromkeys(word for word in found.values() if not _never(word)))
        if not lists[kind]:
            raise DataError(f"{where}: the list {kind} has no word; give it some, one a line")
    home: dict[str, str] = {}
    for kind, words in lists.items():
        for word in words:
            if word in home and kind != STEREOTYPE:
                raise DataError(f"{where}: {word!r} is in the lists {home[word]} and {kind}; take it out of one")
            if word in home:
                why = f"stands in {home[word]} and in {kind}: a sentence with it has words of two lists, never of one alone"
                impossible.append((word, why))
            home.setdefault(word, kind)
    stereotypes = lists.pop(STEREOTYPE)
    return WordLists(name, lists, stereotypes, tuple(impossible), _parallel(groups, lists, parallel, where))


def _parallel(
    groups: dict[str, list[str]], lists: dict[str, tuple[str, ...]], parallel: list[list[str]] | None, where: str
) -> tuple[tuple[str, ...], ...]:
    """Words that stand for one another: as told, else by position in lists of equal length."""
    if parallel is None:
        even = len({len(entries) for entries in groups.values()}) == 1
        rows = [tuple(map(normalise, row)) for row in zip(*groups.values(), strict=True)] if even else []
        return tuple(dict.fromkeys(row for row in rows if not any(map(_never, row))))
    for row in parallel if isinstance(parallel, list) else [parallel]:
        if not isinstance(row, list) or not all(isinstance(entry, str) for entry in row) or len(row) != len(groups):
            raise DataError(f"{where}: parallel holds {row!r}: give one word of each group, {', '.join(groups)}")
        for entry, (kind, words) in zip(row, lists.items(), strict=True):
            if normalise(entry) not in words:
                raise DataError(f"{where}: parallel holds {entry!r}, which isn't in the list {kind}")
    return tuple(dict.fromkeys(tuple(map(normalise, row)) for row in parallel))


def normalise(entry: str) -> str:
    """The form in which an entry is compared: lower case, no accents, no outer punctuation, `_` and `-` as a space.

    >>> normalise("Mr."), normalise("ballet_dancer"), normalise("Fiancé"), normalise("ma\u2019am")
    ('mr', 'ballet dancer', 'fiance', "ma'am")
    """
    folded = "".join(FOLD[char] for char in entry)
    return " ".join(re.sub(r"[_\-\s]+", " ", folded).strip(EDGES).split())


def _never(word: str) -> str:
    """Why a normalised entry can match nothing; empty if it can."""
    if not any(char.isalnum() for char in word):
        return "has no letter and no digit"
    if not ENTRY.fullmatch(word):
        odd = sorted({char for char in word if not char.isalnum() and char not in " '"}) or ["' beside a space"]
        return f"holds {' '.join(odd)}, which is part of no word"
    return ""


def _read_folder(folder: Path) -> tuple[dict[str, list[str]], list[str], None]:
    files = sorted(folder.glob("*.txt"), key=lambda file: (file.stem != "male", file.stem))  # male first, as everywhere
    lists = {file.stem: _text(file).splitlines() for file in files}
    if STEREOTYPE not in lists:
        raise DataError(f"word lists {folder}: {STEREOTYPE}.txt is missing; every other .txt file is a group")
    stereotype = lists.pop(STEREOTYPE)
    return lists, stereotype, None


def _read_yaml(path: Path) -> tuple[dict[str, list[str]], list[str], list[list[str]] | None]:
    try:
        content: Any = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise DataError(f"word lists {path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("groups"), dict) or STEREOTYPE not in content:
        raise DataError(f"word lists {path}: expected the keys groups (a mapping of group to words) and {STEREOTYPE} (words)")
    groups = {str(name): words for name, words in content["groups"].items()}
    return groups, content[STEREOTYPE], content.get("parallel")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"word lists {path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"word lists {path}: {error.strerror or error}") from error
