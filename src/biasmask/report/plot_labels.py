"""Places for labels beside points, such that no label lies on another one or on a mark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

RINGS = (12.0, 20.0, 30.0, 44.0, 62.0, 84.0)
ANGLES = (0, 180, -45, 45, -135, 135, -90, 90, -20, 20, 160, -160)
LINE_COST = 15.0  # a label across an interval's line is worse than one this much further away
MARK = 7.0  # half the side of the square that a mark keeps free


@dataclass(frozen=True)
class Box:
    """A rectangle by its corners."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom

    def within(self, other: "Box") -> bool:
        inside = other.left <= self.left and self.right <= other.right
        return inside and other.top <= self.top and self.bottom <= other.bottom

    def distance(self, x: float, y: float) -> float:
        """From a point to the nearest edge; 0 inside."""
        return math.hypot(max(self.left - x, 0, x - self.right), max(self.top - y, 0, y - self.bottom))


def place_labels(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], area: Box, lines: Sequence[Box] = ()
) -> list[Box]:
    """Find a place for each label near its point, one after another.

    The nearest place that is free of labels and marks is taken, where a line across the label counts as a longer way. Where every
    place around the point is taken, the nearest free one of the whole area; where there is none at all, the label lies right of
    its point.

    Args:
        points: Of the marks, in pixels; the first ones get the best places.
        sizes: Width and height of each label.
        area: Where labels may lie.
        lines: Thin boxes that labels had better not cross.

    Returns:
        A box for each label, in the order of the points.

    >>> [box.left for box in place_labels([(10, 50), (190, 50)], [(60, 12), (60, 12)], Box(0, 0, 200, 100))]
    [22.0, 118.0]
    """
    marks = [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in points]
    placed: list[Box] = []
    for (x, y), size in zip(points, sizes, strict=True):
        taken = [*marks, *placed]
        near = [(radius + 0.4 * i, around(x, y, size, radius, angle)) for radius in RINGS for i, angle in enumerate(ANGLES)]
        found = best(near, area, taken, lines)
        if found is None:
            found = best([(box.distance(x, y), box) for box in everywhere(size, area)], area, taken, lines)
        placed.append(found or around(x, y, size, RINGS[0], 0))
    return placed


def best(candidates: Sequence[tuple[float, Box]], area: Box, taken: Sequence[Box], lines: Sequence[Box]) -> Box | None:
    """The free candidate of the smallest cost; each line across it adds to that cost."""
    free = [pair for pair in candidates if pair[1].within(area) and not any(pair[1].meets(other) for other in taken)]
    ranked = min(free, key=lambda pair: pair[0] + LINE_COST * sum(pair[1].meets(line) for line in lines), default=None)
    return None if ranked is None else ranked[1]


def around(x: float, y: float, size: tuple[float, float], radius: float, angle: float) -> Box:
    """The box whose nearest edge or corner lies at a distance and angle from a point."""
    width, height = size
    dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    left = x + radius * dx - width * (1 - dx) / 2
    top = y + radius * dy - height * (1 - dy) / 2
    return Box(left, top, left + width, top + height)


def everywhere(size: tuple[float, float], area: Box) -> list[Box]:
    width, height = size
    columns, rows = int((area.right - area.left - width) // 12), int((area.bottom - area.top - height) // 6)
    corners = [(area.left + 12 * c, area.top + 6 * r) for c in range(columns + 1) for r in range(rows + 1)]
    return [Box(left, top, left + width, top + height) for left, top in corners]
