"""Small builders of inline SVG: every attribute and text is escaped, coordinates are rounded, nothing is random."""

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

Piece = Markup | str


def element(tag: str, *children: Piece, **attributes: object) -> Markup:
    """Build an element; an underscore in an attribute's name stands for a hyphen, a trailing one is dropped.

    Args:
        tag: Name of the element; never from data.
        children: Escaped unless Markup.
        attributes: None leaves an attribute out; floats are rounded to two digits.

    >>> str(element("text", "a<b", x=1.234, class_="tick", text_anchor="end"))
    '<text x="1.23" class="tick" text-anchor="end">a&lt;b</text>'
    >>> str(element("line", x1="5%", x2=None))
    '<line x1="5%"/>'
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(plain(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(escape(child) for child in children)
    return Markup(f"<{tag}{written}>{inner}</{tag}>" if children else f"<{tag}{written}/>")


def plain(value: object) -> str:
    """Write a coordinate without needless digits.

    >>> plain(3.0), plain(0.126), plain("5%")
    ('3', '0.13', '5%')
    """
    if isinstance(value, float):
        text = f"{value:.2f}".rstrip("0").rstrip(".")
        return "0" if text in ("-0", "") else text
    return str(value)


def join(pieces: Iterable[Piece]) -> Markup:
    return Markup("").join(pieces)


def picture(label: str, *children: Piece, width: float, height: float, class_: str = "panel") -> Markup:
    """An SVG that scales with its box and has an alternative text."""
    return element(
        "svg", *children, viewBox=f"0 0 {plain(width)} {plain(height)}", role="img", aria_label=label, class_=class_
    )


def fluid(label: str | None, *children: Piece, height: float, class_: str = "strip") -> Markup:
    """An SVG as wide as its box whose x coordinates are per cent, so that text and strokes keep their size.

    Without a label it is decoration, hidden from screen readers.
    """
    named = {"aria_hidden": "true"} if label is None else {"role": "img", "aria_label": label}
    return element("svg", *children, width="100%", height=height, class_=class_, **named)


def points(xs: Sequence[float], ys: Sequence[float]) -> str:
    """Points of a polyline, as few as show its corners.

    >>> points([0, 1, 2, 2], [0, 0, 0, 5])
    '0,0 2,0 2,5'
    """
    kept: list[tuple[float, float]] = []
    for point in zip([round(x, 1) for x in xs], [round(y, 1) for y in ys], strict=True):
        if len(kept) > 1 and turns(kept[-2], kept[-1], point) == 0:
            kept[-1] = point
        elif not kept or kept[-1] != point:
            kept.append(point)
    return " ".join(f"{plain(float(x))},{plain(float(y))}" for x, y in kept)


def turns(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """Twice the area of the triangle: zero when three points go on straight in one direction."""
    area = (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
    back = (b[0] - a[0]) * (c[0] - b[0]) + (b[1] - a[1]) * (c[1] - b[1]) < 0
    return math.inf if back else round(area, 6)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that cover a range.

    Args:
        low: Lower end.
        high: Upper end, above `low`.
        most: About how many steps.

    >>> ticks(0, 0.23)
    [0.0, 0.05, 0.1, 0.15, 0.2, 0.25]
    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = high - low
    if not math.isfinite(span) or span <= 1e-8 * max(1.0, abs(low)):  # rounded below, its ticks would all be the same
        low, span = (low if math.isfinite(low) else 0.0), 1.0
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil((low + span) / step - 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def tick_label(value: float) -> str:
    """A tick's number without needless zeros.

    >>> tick_label(0.25), tick_label(1.0)
    ('0.25', '1')
    """
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")
