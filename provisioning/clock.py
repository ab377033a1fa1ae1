"""Time, and how to wait in it. Everything that waits takes a Clock, so that tests need not."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Protocol

Progress = Callable[[timedelta, timedelta], None]
"""Told elapsed and budget, now and then, while something is waited for."""


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""


class SystemClock:
    """The real one."""

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        time.sleep(seconds)


def attempts(clock: Clock, budget: timedelta, progress: Progress) -> Iterator[timedelta]:
    """One item per attempt: the time elapsed so far. Pauses of 1, 2, 4, 8, then 15 seconds, until the budget is spent.

    The last attempt is made when the budget has just run out.
    """
    start = clock.now()
    for pause in chain((1, 2, 4, 8), repeat(15)):
        elapsed = clock.now() - start
        yield elapsed
        if elapsed >= budget:
            return
        end = min(clock.now() + timedelta(seconds=pause), start + budget)
        _pause(clock, end, lambda: progress(clock.now() - start, budget))


def pause_until(clock: Clock, end: datetime, budget: timedelta, progress: Progress) -> None:
    """Let time pass until `end`; elapsed counts towards a budget that ends then, too."""
    _pause(clock, end, lambda: progress(budget - min(end - clock.now(), budget), budget))


def _pause(clock: Clock, end: datetime, tell: Callable[[], None]) -> None:
    """Sleep a second at a time and tell each time."""
    while (left := (end - clock.now()).total_seconds()) > 0:
        tell()
        clock.sleep(min(1.0, left))
