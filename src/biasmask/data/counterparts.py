"""Sentences written again for every group: words of a group are replaced by those that stand for them in the others."""

from __future__ import annotations

from biasmask.data.word_lists import WordLists, normalise
from biasmask.data.word_matching import WordMatcher
from biasmask.errors import ConfigError


class Counterparts:
    """Swaps the attribute words of a sentence by the parallel words of the lists.

    Of a word with several counterparts (his and him for her) the first of the list is taken. All words of a sentence are swapped
    or none: a sentence with a word that has no counterpart is left out, as its variants would still differ from one another in
    what they say.

    Args:
        lists: word lists with parallel words.
    Raises:
        ConfigError: no words of the lists are parallel.

    >>> from biasmask.data.word_lists import load_word_lists
    >>> Counterparts(load_word_lists("gender")).variants("The King lost HIS crown.")
    ('The King lost HIS crown.', 'The Queen lost HER crown.')
    """

    def __init__(self, lists: WordLists) -> None:
        if not lists.parallel:
            raise ConfigError(
                f"word lists {lists.name}: the groups have no parallel words, which sentence pairs are made of; give lists of "
                "equal length in the same order, or a YAML file with a key parallel: [[he, she], ...]"
            )
        self.matcher = WordMatcher(lists)
        self.rows: dict[str, tuple[str, ...]] = {}
        for row in lists.parallel:
            for word in row:
                self.rows.setdefault(word, row)

    def variants(self, text: str) -> tuple[str, ...] | None:
        """The sentence as it reads for each group, in their order; None where it can't be swapped.

        Args:
            text: a sentence with words of one group alone.
        """
        _, spans = self.matcher.match(text)
        rows = [self.rows.get(normalise(text[start:end])) for start, end in spans]
        if not rows or any(row is None for row in rows):
            return None
        return tuple(_swapped(text, spans, [row[group] for row in rows if row]) for group in range(len(rows[0] or ())))


def _swapped(text: str, spans: list[tuple[int, int]], words: list[str]) -> str:
    parts, done = [], 0
    for (start, end), word in zip(spans, words, strict=True):
        parts += [text[done:start], as_written(word, text[start:end])]
        done = end
    return "".join([*parts, text[done:]])


def as_written(word: str, like: str) -> str:
    """A word in the case of another; the same word stays as it was.

    >>> as_written("queen", "King"), as_written("her", "HIS"), as_written("king", "K\u00edng")
    ('Queen', 'HER', 'K\u00edng')
    """
    if normalise(like) == word:
        return like
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word
