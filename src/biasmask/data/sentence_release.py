"""A corpus as a stream of sentences, and its Parquet table: written in row groups, so that memory stays flat."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from biasmask import __version__
from biasmask.data.data_card import card_markdown, make_card
from biasmask.data.release import Release
from biasmask.data.seen_texts import SeenTexts
from biasmask.data.table import EXAMPLES, Exclusion
from biasmask.data.text_kinds import KindCounter
from biasmask.errors import DataError
from biasmask.files import storage_error, write_atomically, write_json

ROW_GROUP = 65_536
LONGEST = 1000  # characters: about 200 words, more than the 128 tokens that any setting here reads
MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|\{\{|\}\}|\[\[|\]\]|\{\||\|\}|&(?:[a-z]+|#\d+);")
LINE_TOO_LONG = "a line of more than a million bytes"
EMPTY, NO_LETTER, DOUBLE, LEFT_MARKUP = "empty", "no letter", "the same sentence came before", "markup is left in it"
SCHEMA = pa.schema({"text": pa.string(), "file": pa.dictionary(pa.int32(), pa.string()), "line": pa.int64()})


class Sentence(NamedTuple):
    """A sentence and the place it came from; one that its reader leaves out has a `reason`."""

    text: str
    file: str
    line: int
    reason: str | None = None


@dataclass(frozen=True)
class SentenceRelease(Release):
    """An official corpus that is read once, as it is written; its `frame` is empty.

    Args:
        sentences: in the order of the files and lines.
        longest: characters of a sentence that is kept.
        fewest_words: of a sentence that is kept.
    """

    sentences: Iterable[Sentence] = ()
    longest: int = LONGEST
    fewest_words: int = 1


def stream_release(sentences: Iterable[Sentence], notes: tuple[str, ...] = (), **limits: int) -> SentenceRelease:
    """A release of sentences that are read when they are written."""
    return SentenceRelease(pd.DataFrame(), [], notes, sentences=sentences, **limits)


def prepare_sentences(about: Mapping[str, Any], release: SentenceRelease, folder: Path) -> dict[str, Any]:
    """Writes the table and the card of a corpus; arguments as `prepare_release`, whose part this is for a stream.

    Args:
        folder: of the data set.

    Returns:
        The card.
    """
    facts, gone = write_sentences(release, folder / "table.parquet", str(about["name"]))
    made = {"prepared": datetime.now(UTC).strftime("%Y-%m-%d"), "by": f"biasmask {__version__}"}
    card = make_card(about, release.frame, [], [*release.exclusions, *gone], release.notes, made) | facts
    write_json(folder / "card.json", card)
    write_atomically(folder / "card.md", card_markdown(card))
    return card


def write_sentences(release: SentenceRelease, path: Path, name: str) -> tuple[dict[str, Any], list[Exclusion]]:
    """Writes the sentences that are kept as Parquet (columns text, file, line), in row groups of 65,536.

    Memory: a row group, and 8 bytes for each different sentence.

    Args:
        release: its sentences are read once.
        path: of the Parquet file; it appears when all is written.
        name: of the data set, for errors.

    Returns:
        What the card says of the table (rows, columns, cells by the gender word lists), and what was left out.

    Raises:
        DataError: a file that can't be read, or no sentence left.
        StoreError: the disk is full or the folder can't be written.
    """
    gone: dict[str, Exclusion] = {}
    seen, kinds, rows, files = SeenTexts(), KindCounter(), 0, Counter[str]()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            for block in _blocks(release):
                kept = _kept(block, release, seen, gone)
                kinds.add([sentence.text for sentence in kept])
                rows += len(kept)
                files.update(sentence.file for sentence in kept)
                if kept:
                    writer.write_table(pa.table(list(map(list, zip(*(s[:3] for s in kept), strict=True))), schema=SCHEMA))
        if not rows:
            why = "; ".join(f"{e.count} rows: {e.reason}" for e in gone.values()) or "its files are empty"
            raise DataError(f"{name}: no sentence is left ({why})")
        os.replace(temporary, path)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)
    columns = [{"name": "text", "filled": rows, "values": rows}, {"name": "file", "filled": rows, "values": len(files)}]
    columns.append({"name": "line", "filled": rows, "values": None})
    return {"rows": rows, "columns": columns, "cells": kinds.cells()}, list(gone.values())


def _blocks(release: SentenceRelease) -> Iterator[list[Sentence]]:
    stream = iter(release.sentences)
    while block := list(islice(stream, ROW_GROUP)):
        yield block


def _kept(block: list[Sentence], release: SentenceRelease, seen: SeenTexts, gone: dict[str, Exclusion]) -> list[Sentence]:
    """The sentences of a block that stay, with single spaces."""
    tidy = [sentence._replace(text=" ".join(sentence.text.split())) for sentence in block]
    found = [(sentence, sentence.reason or unfit(sentence.text, release.longest, release.fewest_words)) for sentence in tidy]
    fit = [sentence for sentence, reason in found if reason is None]
    doubles = seen.doubles([sentence.text for sentence in fit])
    left = [pair for pair in found if pair[1]] + [(s, DOUBLE) for s, double in zip(fit, doubles, strict=True) if double]
    for sentence, reason in left:
        before = gone.get(reason) or Exclusion(reason, 0, [])  # type: ignore[arg-type]
        examples = before.examples if len(before.examples) == EXAMPLES else [*before.examples, f"{sentence.file}:{sentence.line}"]
        gone[before.reason] = Exclusion(before.reason, before.count + 1, examples)
    return [sentence for sentence, double in zip(fit, doubles, strict=True) if not double]


def unfit(text: str, longest: int = LONGEST, fewest_words: int = 1) -> str | None:
    """Why a sentence is left out, or None.

    >>> unfit("She left."), unfit("12 - 14"), unfit("See [[Rome]]."), unfit("Yes.", fewest_words=2)
    (None, 'no letter', 'markup is left in it', 'fewer than 2 words')
    """
    if not text:
        return EMPTY
    if len(text) > longest:
        return f"more than {longest} characters"
    if not any(map(str.isalpha, text)):
        return NO_LETTER
    if MARKUP.search(text):
        return LEFT_MARKUP
    return f"fewer than {fewest_words} words" if text.count(" ") + 1 < fewest_words else None
