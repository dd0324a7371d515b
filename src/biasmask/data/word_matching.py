"""Which word lists a sentence has words of, and where those words stand."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection

from biasmask.data.word_lists import FOLD, WordLists

WORD = re.compile(r"\w+")
GAP = r"[\s\-]+"  # between the words of a phrase; `_` is a space by then
NO_WORD = re.compile(r"[\W_]")
ASCII = bytes(ord(chr(code).lower()) if chr(code).isalnum() else 32 for code in range(128)) + bytes(128)
SEVERAL = -2
NONE = -1


class WordMatcher:
    """Finds list words as whole words, whatever their case and accents; of entries that overlap the longest counts.

    A word is a run of letters and digits, so `king` is found in "the king's" and in "co-king" and not in "kings". A phrase
    is found with spaces, hyphens or underscores between its words.

    Args:
        lists: the words of each kind.

    >>> from biasmask.data.word_lists import load_word_lists
    >>> matcher = WordMatcher(load_word_lists("gender"))
    >>> matcher.match("The King's hair_salon"), matcher.match("My Fiancée left")
    ((-2, []), (1, [(3, 10)]))
    """

    def __init__(self, lists: WordLists) -> None:
        self.bits: dict[str, int] = defaultdict(int)
        phrases: dict[str, list[str]] = defaultdict(list)
        for number, kind in enumerate(lists.kinds):
            for entry in lists.words(kind):
                self.bits[entry] |= 1 << number
                first = WORD.match(entry)[0]  # type: ignore[index]
                if first != entry:
                    phrases[first].append(entry)
        self.bits = dict(self.bits)
        self.starts = frozenset(phrases)
        self.triggers = self.starts.union(entry for entry in self.bits if WORD.fullmatch(entry))
        self.phrases = {
            first: [(_pattern(entry), entry) for entry in sorted(entries, key=len, reverse=True)]
            for first, entries in phrases.items()
        }
        self.kind_of = {1 << number: number for number in range(len(lists.kinds))}

    def match(self, text: str) -> tuple[int, list[tuple[int, int]]]:
        """The kind of a sentence and the character spans of its list words.

        Args:
            text: one sentence.
        Returns:
            The number of the one kind whose words it has, with the spans in order; (-1, []) without any list word; (-2, [])
            with words of several lists.
        """
        folded, index = (None, None) if text.isascii() else fold(text)
        plain = text.encode("ascii").translate(ASCII).decode("ascii") if folded is None else NO_WORD.sub(" ", folded)
        hits = self.triggers.intersection(plain.split())
        if not hits:
            return NONE, []
        if self.starts.isdisjoint(hits):
            bits = 0
            for word in hits:
                bits |= self.bits[word]
            spans = _places(plain, hits) if bits in self.kind_of else []
        else:
            bits, spans = self._with_phrases(fold(text)[0], hits)
        if bits not in self.kind_of:
            return (SEVERAL if bits else NONE), []
        if index is not None:
            spans = [(index[start], index[end - 1] + 1) for start, end in spans]
        return self.kind_of[bits], spans

    def _with_phrases(self, folded: str, hits: Collection[str]) -> tuple[int, list[tuple[int, int]]]:
        bits, done = 0, 0
        spans: list[tuple[int, int]] = []
        for place in WORD.finditer(folded):
            if place[0] in hits and place.start() >= done:
                entry, done = self._longest(folded, place)
                if entry:
                    bits |= self.bits[entry]
                    spans.append((place.start(), done))
        return bits, spans

    def _longest(self, folded: str, word: re.Match[str]) -> tuple[str, int]:
        """The longest entry that starts with this word, and its end; an empty entry if there is none."""
        for pattern, entry in self.phrases.get(word[0], ()):
            if found := pattern.match(folded, word.start()):
                return entry, found.end()
        return (word[0], word.end()) if word[0] in self.bits else ("", word.start())


def fold(text: str) -> tuple[str, list[int] | None]:
    """A text as it is compared (see `word_lists.normalise`), with each character's position in `text` where positions moved.

    >>> fold("The Kíng"), fold("ﬁne")
    (('the king', None), ('fine', [0, 0, 1, 2]))
    """
    if text.isascii():
        return text.lower().replace("_", " "), None
    pieces = [FOLD[char] for char in text]
    folded = "".join(pieces).replace("_", " ")
    if len(folded) == len(text) and all(pieces):
        return folded, None
    return folded, [place for place, piece in enumerate(pieces) for _ in piece]


def _places(plain: str, words: Collection[str]) -> list[tuple[int, int]]:
    """Spans of words in a text that has nothing but words and single spaces in the place of all else, in order."""
    spans, padded = [], f" {plain} "
    for word in words:
        start = padded.find(f" {word} ")
        while start >= 0:
            spans.append((start, start + len(word)))
            start = padded.find(f" {word} ", start + len(word) + 1)
    return sorted(spans)


def _pattern(entry: str) -> re.Pattern[str]:
    return re.compile(GAP.join(map(re.escape, entry.split(" "))) + r"(?!\w)")
