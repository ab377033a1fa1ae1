"""The virtual clock of the domain state, such as the age of a job, or whether a role has propagated.

Tokens use the wall clock, as the SDKs that cache them do: a token that expired in virtual time would always be refused.
"""

import re
import time
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Clock:
    """Virtual time. It runs at `rate` virtual seconds per real second; at rate 0 it only moves when advanced."""

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
        """Move forward by `seconds`. Never move back, because real services do not see time go backwards."""
        if seconds < 0:
            raise ValueError("the clock only goes forward")
        self._base += seconds


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([+-]?)((?:\d+(?:\.\d+)?[smhd])+)")


def parse_duration(value: object) -> object:
    """Seconds from "90s", "1h30m", "-2d"; anything else is left to pydantic."""
    if not isinstance(value, str) or not (match := _DURATION.fullmatch(value)):
        return value
    total = sum(float(n) * _UNITS[u] for n, u in re.findall(r"([\d.]+)([smhd])", match[2]))
    return -total if match[1] == "-" else total


Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0)]
"""Virtual seconds in a scenario: a number, or text such as "90s" or "1h30m"."""
