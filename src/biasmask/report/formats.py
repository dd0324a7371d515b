"""How a number is written in the report: fixed digits, a real minus sign, and the word `undefined` for NaN."""

import math

MINUS = "\N{MINUS SIGN}"
UNDEFINED = "undefined"


def number(value: float, digits: int = 3) -> str:
    """Write a number with fixed digits.

    Args:
        value: Any float; NaN and infinities are undefined.
        digits: Digits after the point, 0 or more.

    Returns:
        The text, `undefined` for a number that is not finite. A value that rounds to zero has no sign.

    >>> number(0.21), number(-0.0001)
    ('0.210', '0.000')
    >>> number(-1.5, digits=1) == MINUS + "1.5", number(float("nan"))
    (True, 'undefined')
    """
    if not math.isfinite(value):
        return UNDEFINED
    text = f"{value:,.{digits}f}"
    if not any(digit in text for digit in "123456789"):
        return text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float, digits: int = 3) -> str:
    """Write a difference: like `number`, with a plus sign when it is above zero.

    >>> signed(0.012), signed(0.0)
    ('+0.012', '0.000')
    >>> signed(float("nan"))
    'undefined'
    """
    text = number(value, digits)
    return f"+{text}" if value > 0 and any(digit in text for digit in "123456789") else text


def interval(low: float, high: float, digits: int = 3, plus: bool = False) -> str:
    """Write an interval as `low to high`.

    Returns:
        The text, empty where a bound is missing.

    >>> interval(0.1, 0.25)
    '0.100 to 0.250'
    >>> interval(float("nan"), 0.25)
    ''
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    write = signed if plus else number
    return f"{write(low, digits)} to {write(high, digits)}"


def count(value: float | None) -> str:
    """Write a whole number with thousands separated by a comma; a missing one as a dash.

    >>> count(4652008), count(None)
    ('4,652,008', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{int(value):,}".replace("-", MINUS)


def percent(share: float, digits: int = 1) -> str:
    """Write a share in [0, 1] as per cent.

    >>> percent(0.5).replace("\N{NO-BREAK SPACE}", " "), percent(float("nan"))
    ('50.0 %', 'undefined')
    """
    text = number(100 * share, digits)
    return text if text == UNDEFINED else f"{text}\N{NO-BREAK SPACE}%"


def small_number(value: float) -> str:
    """Write a number of unknown size with three significant digits, such as a step length or a mask threshold.

    >>> small_number(0.0123456), small_number(0)
    ('0.0123', '0')
    """
    if not math.isfinite(value):
        return UNDEFINED
    return f"{value:.3g}".replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """Write a time span for a reader.

    >>> duration(12.34), duration(192), duration(7260)
    ('12.3 s', '3 min 12 s', '2 h 1 min')
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
