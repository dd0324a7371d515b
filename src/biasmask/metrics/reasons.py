"""Plain words for a figure that is undefined or rests on few rows."""

import math
from dataclasses import dataclass

MINIMUM_CELL = 10


@dataclass(frozen=True)
class Cell:
    """The rows a figure is made of: a whole split or one group."""

    label: str  # "group V-VI"
    rows: int
    positives: int

    def count(self, kind: str) -> int:
        """Rows of a kind: row | positive | negative."""
        return {"row": self.rows, "positive": self.positives, "negative": self.rows - self.positives}[kind]

    def lack(self, needs: tuple[str, ...]) -> str | None:
        """What is missing for a figure that needs at least one of each kind; None if nothing is.

        >>> Cell("group V-VI", rows=12, positives=0).lack(("positive",))
        'group V-VI has no positive among 12 rows'
        """
        if not self.rows:
            return f"{self.label} has no row"
        kinds = [kind for kind in needs if not self.count(kind)]
        return f"{self.label} has no {kinds[0]} among {_rows(self.rows)}" if kinds else None

    def small(self, needs: tuple[str, ...]) -> str | None:
        """Which of the kinds are there, but fewer than 10 times; None if none is.

        >>> Cell("group V-VI", rows=30, positives=4).small(("positive", "negative"))
        'group V-VI has 4 positives among 30 rows'
        """
        counts = {kind: self.count(kind) for kind in needs}
        few = [f"{_many(count, kind)}" for kind, count in counts.items() if 0 < count < MINIMUM_CELL]
        if not few:
            return None
        among = "" if needs == ("row",) else f" among {_rows(self.rows)}"
        return f"{self.label} has {' and '.join(few)}{among}"


def _many(count: int, kind: str) -> str:
    return f"{count} {kind}" + ("" if count == 1 else "s")


def _rows(count: int) -> str:
    return _many(count, "row")


def value_reason(
    value: float, cells: tuple[Cell, ...], needs: tuple[str, ...], unseen: str | None = None, is_gap: bool = False
) -> str | None:
    """Reason of a point value: why it's undefined, incomplete or small; None if there is nothing to say.

    Args:
        value: the figure; NaN = undefined.
        cells: the split, or the group, or (for a gap) all groups.
        needs: kinds of rows without which the figure of a cell is undefined.
        unseen: text for a figure that is undefined although the cell has all that it needs (no row predicted positive).
        is_gap: the figure compares the cells.

    >>> value_reason(float("nan"), (Cell("group V-VI", 12, 0),), ("positive",))
    'group V-VI has no positive among 12 rows'
    """
    lacks = [text for cell in cells if (text := cell.lack(needs))]
    small = [text for cell in cells if not cell.lack(needs) and (text := cell.small(needs))]
    if math.isnan(value) and unseen and not lacks:
        return f"{cells[0].label} has {unseen} among {_rows(cells[0].rows)}"
    if math.isnan(value):
        prefix = "fewer than two groups can be compared" if is_gap else ""
        return ": ".join(text for text in (prefix, "; ".join(lacks)) if text) or "undefined"
    texts = []
    if lacks:
        texts.append("incomplete: " + "; ".join(lacks))
    if small:
        texts.append("small: " + "; ".join(small))
    return "; ".join(texts) or None
