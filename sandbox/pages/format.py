"""Numbers and times for people, on the page and in the terminal."""

import math
from datetime import UTC, datetime


def number(value: float) -> str:
    """Four significant digits; whole numbers in full with thousands separators."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds in the two largest units, rounded up: a countdown shows 0 s only at its end."""
    whole = max(0, math.ceil(seconds))
    parts = ((whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    return " ".join([f"{n} {unit}" for n, unit in parts if n][:2]) or "0 s"


def moment(epoch: float) -> str:
    """Epoch seconds as date and time in UTC."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def count(n: int, thing: str, things: str = "") -> str:
    """`1 run`, `2 runs`; `things` is an irregular plural."""
    return f"{n:,} " + (thing if n == 1 else things or f"{thing}s")


def shortened(text: str, most: int) -> str:
    """Shorten a text to `most` characters with an ellipsis."""
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"
