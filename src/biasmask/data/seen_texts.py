"""Which texts came before, by 8 bytes a text: for doubles in corpora that don't fit into memory."""

from collections.abc import Sequence

import numpy as np

from biasmask.data.sentence_scan import text_hash


class SeenTexts:
    """Finds doubles block by block; of equal texts the first is kept.

    Hashes have 64 bits: among ten million different texts one is taken for a double with a chance of 3 in a million.

    >>> seen = SeenTexts()
    >>> seen.doubles(["a", "b", "a"]).tolist(), seen.doubles(["b", "c"]).tolist()
    ([False, False, True], [True, False])
    """

    def __init__(self) -> None:
        # Sorted runs, each longer than the sum of what follows it: few to search, and a text is merged seldom.
        self.runs: list[np.ndarray] = []

    def doubles(self, texts: Sequence[str]) -> np.ndarray:
        """(N,) bool, True = the same text came before, in this block or another."""
        hashes = np.fromiter(map(text_hash, texts), np.uint64, len(texts))
        first = np.zeros(len(texts), bool)
        distinct, places = np.unique(hashes, return_index=True)
        known = np.zeros(len(distinct), bool)
        for run in self.runs:
            at = np.minimum(np.searchsorted(run, distinct), len(run) - 1)
            known |= run[at] == distinct
        first[places[~known]] = True
        if not known.all():
            self.runs.append(distinct[~known])
        while len(self.runs) > 1 and len(self.runs[-2]) <= 2 * len(self.runs[-1]):
            last = self.runs.pop()
            merged = np.concatenate([self.runs.pop(), last])
            merged.sort(kind="stable")
            self.runs.append(merged)
        return ~first
