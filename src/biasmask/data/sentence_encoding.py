"""Token ids of sentences, and which of them belong to given spans of characters."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from tokenizers import Tokenizer

PIECE = re.compile(r"[A-Za-z0-9]+|[^\sA-Za-z0-9]")  # what BERT's tokenizer takes apart in ASCII text before it looks up anything
MAX_PIECES = 100_000  # remembered at a time: some 20 MB

Span = tuple[int, int]


class Encoded(NamedTuple):
    """A sentence as tokens.

    Args:
        ids: with the special tokens, at most `max_length`.
        marked: positions of the tokens of the spans.
        cut: whether tokens were left out at the end; a span that lost one has none marked.
    """

    ids: list[int]
    marked: list[int]
    cut: bool


class SentenceEncoder:
    """Encodes sentences with a `tokenizers.Tokenizer`.

    BERT's own tokenizer treats each word of a sentence alone. Where the tokenizer is of that make, the ids of a word are
    looked up among those seen before, which is many times faster; a sentence with anything but plain ASCII, and one with
    the text of a special token, goes through the tokenizer as all sentences of another make do.

    Args:
        tokenizer: JSON of the tokenizer.
        max_length: tokens of a sentence, with the special ones.
    """

    def __init__(self, tokenizer: str, max_length: int) -> None:
        self.tokenizer = Tokenizer.from_str(tokenizer)
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.by_words = _by_words(json.loads(tokenizer))
        if self.by_words:
            example = self.tokenizer.encode("a")
            self.before = example.ids[: example.special_tokens_mask.index(0)]
            self.after = example.ids[len(self.before) + example.special_tokens_mask.count(0) :]
            self.room = max_length - len(self.before) - len(self.after)
            self.special = [token["content"] for token in json.loads(tokenizer)["added_tokens"]]
            self.known: dict[str, list[int]] = {}
        self.tokenizer.enable_truncation(max_length)

    def encode(self, texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> list[Encoded]:
        """The tokens of sentences and those of their spans, which begin and end with words of letters and digits.

        >>> from tokenizers import models, pre_tokenizers
        >>> inner = Tokenizer(models.WordLevel({"?": 0, "the": 1, "king": 2}, "?"))
        >>> inner.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> SentenceEncoder(inner.to_str(), 8).encode(["the king"], [[(4, 8)]])
        [Encoded(ids=[1, 2], marked=[1], cut=False)]
        """
        fast = [self.by_words and self._plain(text) for text in texts]
        others = iter(self.tokenizer.encode_batch([text for text, is_fast in zip(texts, fast, strict=True) if not is_fast]))
        return [
            self._from_words(text, marks) if is_fast else _from_encoding(next(others), marks)
            for text, marks, is_fast in zip(texts, spans, fast, strict=True)
        ]

    def _plain(self, text: str) -> bool:
        return text.isascii() and text.replace("\t", " ").isprintable() and not any(token in text for token in self.special)

    def _from_words(self, text: str, spans: Sequence[Span]) -> Encoded:
        words = [self.known.get(piece) or self._learn(piece) for piece in PIECE.findall(text)]
        ids = [number for word in words for number in word]
        marked: list[int] = []
        for start, end in spans:
            first = len(PIECE.findall(text, 0, start))
            last = first + len(PIECE.findall(text, start, end))
            place = sum(map(len, words[:first]))
            stop = place + sum(map(len, words[first:last]))
            if stop <= self.room:
                marked += range(len(self.before) + place, len(self.before) + stop)
        return Encoded([*self.before, *ids[: self.room], *self.after], marked, len(ids) > self.room)

    def _learn(self, piece: str) -> list[int]:
        if len(self.known) >= MAX_PIECES:
            self.known.clear()
        ids = self.tokenizer.encode(piece, add_special_tokens=False).ids
        self.known[piece] = ids
        return ids


def _by_words(tokenizer: dict[str, object]) -> bool:
    """Whether the ids of a sentence are those of its words, one after the other."""
    parts = [("normalizer", "BertNormalizer"), ("pre_tokenizer", "BertPreTokenizer"), ("model", "WordPiece")]
    added = tokenizer.get("added_tokens") or []
    return all((tokenizer.get(part) or {}).get("type") == kind for part, kind in parts) and not any(  # type: ignore[attr-defined]
        token["normalized"]
        for token in added  # type: ignore[attr-defined]
    )


def _from_encoding(encoding: object, spans: Sequence[Span]) -> Encoded:
    offsets, cut = encoding.offsets, bool(encoding.overflowing)  # type: ignore[attr-defined]
    end = max((stop for _, stop in offsets), default=0) if cut else None
    kept = [span for span in spans if end is None or span[1] <= end]
    return Encoded(encoding.ids, keyword_tokens(offsets, kept), cut)  # type: ignore[attr-defined]


def keyword_tokens(offsets: Sequence[Span], spans: Sequence[Span]) -> list[int]:
    """Positions of the tokens that share a character with a span; special tokens have empty offsets, so they never do.

    >>> keyword_tokens([(0, 0), (0, 3), (4, 8), (8, 9), (0, 0)], [(4, 9)])
    [2, 3]
    """
    return [
        place
        for place, (first, stop) in enumerate(offsets)
        if any(first < end and stop > start and first < stop for start, end in spans)
    ]
