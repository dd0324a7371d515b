"""Sentences with words of one list each, as token ids with a keyword mask: found in files once, then read by memory map.

Letters: B sentences of a batch, T tokens of its longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from biasmask.data.sentence_cache import Progress, build_cache, cache_key, read_cache, write_rows
from biasmask.data.sentence_files import Chunk, check_encoding, content_hash, sentence_files
from biasmask.data.sentence_scan import Scanner
from biasmask.data.word_lists import WordLists
from biasmask.errors import ConfigError, DataError


class SentenceTable:
    """The kept sentences, in the order of the files and lines. Made by `extract` or `from_texts`.

    Beside the map it holds about 20 bytes a sentence.

    Args:
        rows: an Arrow file, mapped or in memory (columns: `sentence_scan.schema_of`).
        report: JSON-able: what was read, kept, excluded and why.
    """

    def __init__(self, rows: pa.Buffer, report: dict[str, Any]) -> None:
        self.report = report
        self.kinds: tuple[str, ...] = tuple(report["kinds"])
        self.key: str = report["key"]
        self.pad_id: int = report["pad_id"]
        with pa.ipc.open_file(rows) as reader:
            self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        self._bytes = np.frombuffer(rows, np.uint8)
        self._words = self._bytes[: len(self._bytes) // 4 * 4].view(np.int32)
        self._first_row = np.cumsum([0] + [batch.num_rows for batch in self._batches])
        self.kind = self._column("kind", np.int8)
        # Where each sentence's ids (in words of 4 bytes) and mask (in bits) stand in the file: one gather reads any batch.
        starts, bits, lengths = [], [], []
        for batch in self._batches:
            ids, mask = batch["input_ids"], batch["keyword"]
            offsets = ids.offsets.to_numpy().astype(np.int64)
            lengths.append(np.diff(offsets).astype(np.int32))
            starts.append(offsets[:-1] + (ids.values.buffers()[1].address - rows.address) // 4 + ids.values.offset)
            bits.append(offsets[:-1] + (mask.values.buffers()[1].address - rows.address) * 8 + mask.values.offset)
        self.lengths = np.concatenate([np.zeros(0, np.int32), *lengths])
        self._starts = np.concatenate([np.zeros(0, np.int64), *starts])
        self._bits = np.concatenate([np.zeros(0, np.int64), *bits])

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        lists: WordLists,
        tokenizer: Any,
        max_length: int = 128,
        tokenizer_key: str = "",
    ) -> SentenceTable:
        """The table of sentences in memory, arguments as `extract`; a kind may have none, a text that isn't kept has no row.

        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> from transformers import PreTrainedTokenizerFast
        >>> from biasmask.data.word_lists import load_word_lists
        >>> inner = Tokenizer(models.WordLevel({"[UNK]": 0, "queen": 1, "king": 2}, "[UNK]"))
        >>> inner.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[UNK]")
        >>> table = SentenceTable.from_texts(["The queen", "king and queen", "King"], load_word_lists("gender"), tokenizer)
        >>> batch = table.batch([0, 1])
        >>> table.counts(), batch["input_ids"].tolist(), batch["keyword_mask"].tolist()
        ({'male': 1, 'female': 1, 'stereotype': 0}, [[0, 1], [0, 0]], [[False, True], [True, False]])
        """
        data = "\n".join(text.replace("\n", " ") for text in texts).encode("utf-8")
        scanner = (lists, _fast(tokenizer, max_length), max_length, "utf-8")
        sink = pa.BufferOutputStream()
        found = [Scanner(*scanner, ["texts"]).scan(Chunk(0, 1, data, (), len(data)))] if len(texts) else []
        report = write_rows(iter(found), sink, ["texts"])
        key = cache_key(list(texts), lists, tokenizer_key, max_length, "utf-8")
        return cls(sink.getvalue(), _complete({"key": key, **_facts(lists, tokenizer), **report}))

    def __len__(self) -> int:
        return len(self.kind)

    def counts(self) -> dict[str, int]:
        """Number of sentences of each kind."""
        numbers = np.bincount(self.kind, minlength=len(self.kinds))
        return {kind: int(number) for kind, number in zip(self.kinds, numbers, strict=True)}

    def rows(self, kind: str) -> np.ndarray:
        """Rows of a kind, int64, ascending."""
        return np.flatnonzero(self.kind == self.kinds.index(kind))

    def text(self, row: int) -> str:
        """The sentence as it stands in its file, without white space around it."""
        return self._cell("text", row)

    def place(self, row: int) -> str:
        """File and line of a sentence, as file:line."""
        return f"{self._cell('file', row)}:{self._cell('line', row)}"

    def hashes(self) -> np.ndarray:
        """uint64 (N,): equal for equal texts."""
        return self._column("hash", np.uint64)

    def batch(self, rows: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """The sentences of these rows, in their order, padded to the longest of them.

        Args:
            rows: B rows of the table, 1 or more.
        Returns:
            input_ids int64 (B, T), attention_mask int64 (B, T), keyword_mask bool (B, T; True on the tokens of list words),
            kind int64 (B,; number in `kinds`), row int64 (B,).
        """
        rows = np.asarray(rows, np.int64)
        lengths = self.lengths[rows]
        steps = np.arange(lengths.max())
        real = steps < lengths[:, None]
        steps = np.where(real, steps, 0)  # padding reads the first token, so that no gather leaves the file
        ids = self._words[self._starts[rows, None] + steps].astype(np.int64)
        bits = self._bits[rows, None] + steps
        mask = (self._bytes[bits >> 3] >> (bits & 7).astype(np.uint8)) & 1
        ids[~real] = self.pad_id
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(real.astype(np.int64)),
            "keyword_mask": torch.from_numpy((mask == 1) & real),
            "kind": torch.from_numpy(self.kind[rows].astype(np.int64)),
            "row": torch.from_numpy(rows.copy()),
        }

    def _column(self, name: str, dtype: type) -> np.ndarray:
        return np.concatenate([np.zeros(0, dtype), *(batch[name].to_numpy() for batch in self._batches)])

    def _cell(self, name: str, row: int) -> Any:
        if not 0 <= row < len(self):
            raise DataError(f"row {row} is not in a table of {len(self)} sentences")
        number = int(np.searchsorted(self._first_row, row, "right")) - 1
        return self._batches[number][name][int(row - self._first_row[number])].as_py()


def extract(
    files: str | Path | Sequence[str | Path],
    lists: WordLists,
    tokenizer: Any,
    tokenizer_key: str,
    cache_dir: str | Path,
    max_length: int = 128,
    encoding: str = "utf-8",
    processes: int | None = None,
    progress: Progress | None = None,
) -> SentenceTable:
    """Find the sentences with words of exactly one list, one sentence a line, or take them from the cache.

    A sentence without a list word or with words of several lists is left out and counted; so is a line that the encoding can't
    read (a Latin-1 file read as UTF-8 loses its lines with accents), that holds a NUL or is longer than a million bytes. A
    sentence of more than `max_length` tokens is cut; where no list word would be left whole, it is left out. Each reason stands
    in `report["excluded"]` with its count and the first line it struck. The cache is named by the files' contents, so a changed
    file is noticed whatever its date; for that the files are read through (about 1 GB a second) each time.

    Args:
        files: a file (plain or .gz), a folder of .txt and .gz files, a pattern, or a list of these.
        lists: the word lists.
        tokenizer: a fast tokenizer of transformers.
        tokenizer_key: what identifies it, a part of the cache's name.
        cache_dir: folder of all caches.
        max_length: tokens of a sentence, with the special ones.
        encoding: of the files; one in which a line's end is one byte.
        processes: how many scan; None: all cores, fewer for small files. The rows are the same.
        progress: called with (bytes read, bytes in all).
    Returns:
        The table; `report["hit"]` tells whether it was in the cache.
    Raises:
        ConfigError: a tokenizer without offsets, a max_length without room, an encoding that can't be used.
        DataError: files that can't be read, or no sentence of some kind.
        StoreError: the cache can't be written.
    """
    check_encoding(encoding)
    if processes is not None and processes < 1:
        raise ConfigError(f"processes={processes} must be 1 or more, or null for all cores")
    backend = _fast(tokenizer, max_length)
    paths = sentence_files(files)
    hashes = [content_hash(path) for path in paths]
    key = cache_key(hashes, lists, tokenizer_key, max_length, encoding)
    folder = Path(cache_dir)
    hit = read_cache(folder / key, key)
    built = False
    if hit is None:
        sources = [
            {"file": str(path), "bytes": path.stat().st_size, "sha256": digest}
            for path, digest in zip(paths, hashes, strict=True)
        ]
        facts = {**_facts(lists, tokenizer), "tokenizer": tokenizer_key, "max_length": max_length, "encoding": encoding}
        built = build_cache(
            folder, key, paths, {**facts, "files": sources}, (lists, backend, max_length, encoding), processes, progress
        )
        hit = read_cache(folder / key, key)
        if hit is None:
            raise DataError(f"sentences: the cache {folder / key} vanished or was damaged after it was built; run again")
    table = SentenceTable(hit[0], _complete({**hit[1], "hit": not built}))
    _require_all_kinds(table, lists)
    return table


def _fast(tokenizer: Any, max_length: int) -> str:
    """The tokenizer as JSON for the scanning processes."""
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(
            f"tokenizer {type(tokenizer).__name__} gives no character offsets, which the keyword mask needs: take a fast one "
            f"(AutoTokenizer.from_pretrained(..., use_fast=True)) or a model folder with a tokenizer.json"
        )
    special = tokenizer.num_special_tokens_to_add(pair=False)
    if max_length <= special:
        raise ConfigError(f"max_length={max_length} has no room for a word beside {special} special tokens")
    return tokenizer.backend_tokenizer.to_str()


def _facts(lists: WordLists, tokenizer: Any) -> dict[str, Any]:
    return {
        "attribute": lists.name,
        "kinds": list(lists.kinds),
        "words": {kind: len(lists.words(kind)) for kind in lists.kinds},
        "impossible": [list(entry) for entry in lists.impossible],
        "pad_id": int(tokenizer.pad_token_id or 0),
    }


def _complete(report: dict[str, Any]) -> dict[str, Any]:
    """The report with a sentence for each exclusion that its reader should know of."""
    notes = [
        f"{entry['count']:,} lines left out: {entry['what']} (first: {entry['first']})"
        for reason, entry in report["excluded"].items()
        if reason not in ("blank", "no_word", "several_kinds")
    ]
    if report["truncated"]:
        notes.append(f"{report['truncated']:,} sentences cut at max_length")
    return {**report, "notes": notes}


def _require_all_kinds(table: SentenceTable, lists: WordLists) -> None:
    counts = table.counts()
    missing = [kind for kind, count in counts.items() if count == 0]
    if missing:
        kind = missing[0]
        found = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        excluded = ", ".join(f"{reason} {entry['count']:,}" for reason, entry in table.report["excluded"].items())
        raise DataError(
            f"no sentence of the kind {' or '.join(missing)} in {table.report['lines']:,} lines (found: {found}; left out: "
            f"{excluded or 'none'}); word lists {lists.name}: {kind} has {len(lists.words(kind))} words such as "
            f"{', '.join(lists.words(kind)[:3])}; give other files or other lists"
        )
