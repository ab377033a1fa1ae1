"""Time spans as people write and read them."""

import re
from datetime import timedelta

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def parse(text: str) -> timedelta:
    """A time span from "90s", "10m", "1h", "1m30s" or plain seconds.

    Raises:
        ValueError: it is none of these.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smh]?)\s*", text.lower())
    if not parts or not re.fullmatch(r"(?:\d+(?:\.\d+)?\s*[smh]?\s*)+", text.lower()):
        raise ValueError(f"{text!r} is not a time span such as 90s, 10m or 1h")
    return timedelta(seconds=sum(float(n) * _SECONDS[unit] for n, unit in parts))


def spell(span: timedelta) -> str:
    """4 s, 1 m 40 s, 10 m; tenths below ten seconds, because most steps take that little."""
    seconds = span.total_seconds()
    if seconds < 9.95 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if n]
    return " ".join(parts) or "0 s"
