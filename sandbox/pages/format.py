"""Numbers, sizes and times for people, on the page and in the terminal."""

import math
from datetime import UTC, datetime

_UNITS = ("B", "kB", "MB", "GB", "TB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def number(value: float) -> str:
    """Four significant digits; whole numbers in full with thousands separators."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def size(count: int) -> str:
    """Bytes with a decimal unit and three digits."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 99.5 else f"{value:.3g} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Seconds in the two largest units, rounded up: a countdown shows 0 s only at its end."""
    whole = max(0, math.ceil(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def _two(whole: int, large: int, name: str, small: int, small_name: str) -> str:
    rest = whole % large // small
    return f"{whole // large} {name}" + (f" {rest} {small_name}" if rest else "")


def moment(epoch: float) -> str:
    """Epoch seconds as date and time in UTC."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def count(n: int, thing: str, things: str = "") -> str:
    """`1 run`, `2 runs`; `things` is an irregular plural."""
    return f"{n:,} " + (thing if n == 1 else things or f"{thing}s")


def shortened(text: str, most: int) -> str:
    """Shorten a text to `most` characters with an ellipsis."""
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"
