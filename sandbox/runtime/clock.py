"""The virtual clock that domain state lives by: how old a job is, whether a role has arrived.

Tokens do not: SDKs cache them by the wall clock, so a token that expired in virtual time would always be refused.
"""

import re
import time
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Clock:
    """Virtual time: stands still unless advanced, or runs at `rate` virtual seconds per real second."""

    def __init__(self, start: datetime = START, *, rate: float = 0.0) -> None:
        self._base = start.timestamp()
        self._rate = rate
        self._since = time.monotonic()

    def time(self) -> float:
        """Virtual seconds since the epoch."""
        return self._base + (time.monotonic() - self._since) * self._rate

    def now(self) -> datetime:
        """Virtual time as an aware UTC datetime."""
        return datetime.fromtimestamp(self.time(), UTC)

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds` (never back: services do not see time go backwards)."""
        if seconds < 0:
            raise ValueError("the clock only goes forward")
        self._base += seconds


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([+-]?)((?:\d+(?:\.\d+)?[smhd])+)")


def parse_duration(value: object) -> object:
    """Seconds from "90s", "1h30m", "-2d"; anything else is left for pydantic to judge."""
    if not isinstance(value, str) or not (match := _DURATION.fullmatch(value)):
        return value
    total = sum(float(n) * _UNITS[u] for n, u in re.findall(r"([\d.]+)([smhd])", match[2]))
    return -total if match[1] == "-" else total


Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0)]
"""Virtual seconds in a scenario: a number, or text such as "90s" or "1h30m"."""
