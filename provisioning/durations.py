"""Durations as text: 90s, 10m, 1h, 180d."""

import re
from datetime import timedelta

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_MOST = 36500 * 86400  # no date that far ahead is out of range
_PART = r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)\s*"


def parse(text: str) -> timedelta:
    """Parse a time span such as "90s", "10m", "1h", "180d" or "1m30s", or as `spell` writes it. Only "0" needs no unit.

    Raises:
        ValueError: the text is not a time span, or too long.
    """
    if text.strip() == "0":
        return timedelta(0)
    if not re.fullmatch(f"(?:{_PART})+", text.lower()):
        raise ValueError(f"{text!r} is not a time span such as 90s, 10m, 1h or 180d")
    seconds = sum(float(n) * _SECONDS[unit] for n, unit in re.findall(_PART, text.lower()))
    if seconds > _MOST:
        raise ValueError(f"{text!r} is longer than a hundred years")
    return timedelta(seconds=seconds)


def spell(span: timedelta) -> str:
    """Format as 4 s, 1 min 40 s, 10 min or 180 d. Times under ten seconds have tenths, because most steps are that short."""
    seconds = span.total_seconds()
    if seconds < 9.95 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")) if n]
    return " ".join(parts) or "0 s"
