"""How many texts have words of one list alone: the counts on a data card."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from biasmask.data.data_card import SMALL
from biasmask.data.word_lists import load_word_lists
from biasmask.data.word_matching import SEVERAL, WordMatcher

NAME = "{} words"  # on the card: WinoBias has a column gender that says something else
NO_WORD, SEVERAL_KINDS = "(no list word)", "(words of several lists)"


def text_kinds(texts: Iterable[str], attribute: str = "gender") -> list[str]:
    """The kind of each text: the list whose words alone it has, or one of the two names for none and several.

    Source: Kaneko and Bollegala 2021, the rule by which sentences are chosen for training.

    >>> text_kinds(["The king left.", "The king and the queen.", "Rain."])
    ['male', '(words of several lists)', '(no list word)']
    """
    return KindCounter(attribute).kinds(texts)


class KindCounter:
    """Counts texts by kind, block by block."""

    def __init__(self, attribute: str = "gender") -> None:
        self.attribute, self.lists, self.counts = attribute, load_word_lists(attribute), Counter[str]()
        self.matcher = WordMatcher(self.lists)

    def kinds(self, texts: Iterable[str]) -> list[str]:
        """As `text_kinds`; nothing is counted."""
        found = (self.matcher.match(text)[0] for text in texts)
        return [self.lists.kinds[kind] if kind >= 0 else SEVERAL_KINDS if kind == SEVERAL else NO_WORD for kind in found]

    def add(self, texts: Sequence[str]) -> None:
        """Counts some more."""
        self.counts.update(self.kinds(texts))

    def cells(self) -> list[dict[str, Any]]:
        """As `count_cells` gives them; a list without a sentence has a cell too, as training needs each."""
        names = [*self.lists.kinds, NO_WORD, SEVERAL_KINDS]
        place = {"split": "all", "attribute": NAME.format(self.attribute), "target": "(none)"}
        return [{**place, "group": name, "rows": self.counts[name], "small": self.counts[name] < SMALL} for name in names]


def counted_texts(
    frame: pd.DataFrame, groups: Mapping[str, Sequence[str | None]]
) -> tuple[pd.DataFrame, dict[str, Sequence[str | None]]]:
    """What `count_cells` counts of a table of texts: labels by their names, scores by the whole number below, words by kind.

    Args:
        frame: (N) rows with `text`, and `text_b` in a table of pairs: a pair has the words of both. Another table stays as it is.
        groups: attribute -> the group of each row, those of the data set's configuration.

    >>> table, groups = counted_texts(pd.DataFrame({"text": ["A king."], "target": [2.5]}), {})
    >>> table["target"].tolist(), groups
    ([2], {'gender words': ['male']})
    """
    if "text" not in frame:
        return frame, dict(groups)
    texts = frame["text"] + "\n" + frame["text_b"] if "text_b" in frame else frame["text"]
    counted = frame
    if "label" in frame:
        counted = frame.assign(target=frame["label"])
    elif "target" in frame and frame["target"].dtype == np.float64:
        counted = frame.assign(target=np.floor(frame["target"]).astype(np.int64))
    return counted, {NAME.format("gender"): text_kinds(texts), **groups}
