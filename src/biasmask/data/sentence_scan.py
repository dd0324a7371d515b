"""From a chunk of lines to rows: kind, tokens and keyword mask of each sentence that is kept, and why the others are not.

Processes that scan import this module, so it imports neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from biasmask.data.sentence_encoding import SentenceEncoder
from biasmask.data.sentence_files import MAX_LINE, Chunk
from biasmask.data.word_lists import WordLists
from biasmask.data.word_matching import SEVERAL, WordMatcher

EXCLUSIONS = {
    "blank": "nothing but white space",
    "no_word": "no word of any list",
    "several_kinds": "words of more than one list",
    "too_long": "cut at max_length it would lose all its list words",
    "no_token": "the tokenizer makes no token of its list words",
    "invalid_encoding": "bytes that the encoding doesn't know; set data.encoding (latin-1 takes any byte)",
    "nul": "a NUL character",
    "line_above_1_mb": "a line of more than a million bytes",
}


@dataclass
class Found:
    """What a chunk gave.

    Args:
        file: number of the file.
        batch: the rows kept (see `schema_of`).
        lines: lines read.
        excluded: reason -> [count, number of the first such line].
        truncated: rows that were cut at max_length.
    """

    file: int
    batch: pa.RecordBatch
    lines: int
    excluded: dict[str, list[int]] = field(default_factory=dict)
    truncated: int = 0

    def exclude(self, reason: str, line: int) -> None:
        self.excluded.setdefault(reason, [0, line])[0] += 1


def schema_of() -> pa.Schema:
    """Columns of the cache; `keyword` is parallel to `input_ids`, `hash` is that of the text, for finding doubles."""
    return pa.schema(
        {
            "kind": pa.int8(),
            "input_ids": pa.list_(pa.int32()),
            "keyword": pa.list_(pa.bool_()),
            "text": pa.string(),
            "file": pa.dictionary(pa.int32(), pa.string()),
            "line": pa.int64(),
            "hash": pa.uint64(),
        }
    )


class Scanner:
    """Scans chunks; one a process.

    Args:
        lists: the word lists.
        tokenizer: JSON of a `tokenizers.Tokenizer`.
        max_length: tokens of a sentence, with the special ones.
        encoding: of the lines.
        names: of the files, for the column `file`.
    """

    def __init__(self, lists: WordLists, tokenizer: str, max_length: int, encoding: str, names: list[str]) -> None:
        self.matcher, self.encoding, self.names = WordMatcher(lists), encoding, pa.array(names, pa.string())
        self.encoder = SentenceEncoder(tokenizer, max_length)

    def scan(self, chunk: Chunk) -> Found:
        """The rows of a chunk, in the order of its lines."""
        found = Found(chunk.file, None, len(chunk.too_long))
        for line in chunk.too_long:
            found.exclude("line_above_1_mb", line)
        kept: list[tuple[int, int, str, list[tuple[int, int]]]] = []
        for line, text in self._lines(chunk, found):
            kind, spans = self.matcher.match(text)
            if kind >= 0:
                kept.append((line, kind, text, spans))
            elif kind == SEVERAL:
                found.exclude("several_kinds", line)
            else:
                found.exclude("no_word" if text else "blank", line)
        found.batch = self._rows(kept, chunk.file, found)
        return found

    def _lines(self, chunk: Chunk, found: Found) -> Iterator[tuple[int, str]]:
        """Number and stripped text of each line that can be read."""
        if chunk.data is None:
            return
        encoding = chunk.encoding or self.encoding
        whole: Sequence[str | bytes] = chunk.data.split(b"\n")
        with suppress(UnicodeDecodeError):  # else line by line, to find the ones at fault
            whole = chunk.data.decode(encoding).split("\n")
        found.lines += len(whole)
        for line, raw in enumerate(whole, chunk.first_line):
            if len(raw) > MAX_LINE // 4 and _n_bytes(raw, encoding) > MAX_LINE:  # a character has at most 4 bytes
                found.exclude("line_above_1_mb", line)
                continue
            try:
                text = raw if isinstance(raw, str) else raw.decode(encoding)
            except UnicodeDecodeError:
                found.exclude("invalid_encoding", line)
                continue
            if "\0" in text:
                found.exclude("nul", line)
                continue
            yield line, text.lstrip("\ufeff").strip()

    def _rows(self, kept: list[tuple[int, int, str, list[tuple[int, int]]]], file: int, found: Found) -> pa.RecordBatch:
        encoded = self.encoder.encode([text for _, _, text, _ in kept], [spans for _, _, _, spans in kept]) if kept else []
        rows: list[tuple[int, int, str, list[tuple[int, int]]]] = []
        ids: list[int] = []
        marked: list[int] = []
        lengths: list[int] = []
        for row, one in zip(kept, encoded, strict=True):
            if not one.marked:
                found.exclude("too_long" if one.cut else "no_token", row[0])
                continue
            found.truncated += one.cut
            rows.append(row)
            marked += [len(ids) + place for place in one.marked]
            ids += one.ids
            lengths.append(len(one.ids))
        keyword = np.zeros(len(ids), bool)
        keyword[marked] = True
        places = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
        texts = [text for _, _, text, _ in rows]
        columns = [
            pa.array([kind for _, kind, _, _ in rows], pa.int8()),
            pa.ListArray.from_arrays(places, pa.array(np.array(ids, np.int32))),
            pa.ListArray.from_arrays(places, pa.array(keyword)),
            pa.array(texts, pa.string()),
            pa.DictionaryArray.from_arrays(np.full(len(rows), file, np.int32), self.names),
            pa.array([line for line, _, _, _ in rows], pa.int64()),
            pa.array([text_hash(text) for text in texts], pa.uint64()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema_of())


def text_hash(text: str) -> int:
    """64 bits that are the same for the same text in every process.

    >>> text_hash("a") == text_hash("a") != text_hash("b")
    True
    """
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _n_bytes(raw: str | bytes, encoding: str) -> int:
    return len(raw) if isinstance(raw, bytes) else len(raw.encode(encoding))
