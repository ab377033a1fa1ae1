"""Time. All code that waits takes a Clock, so tests can use a virtual one."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Protocol

Progress = Callable[[timedelta, timedelta], None]
"""Called with elapsed time and budget during a wait."""


class Clock(Protocol):
    """A source of time."""

    def now(self) -> datetime:
        """The current time in UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The clock of the operating system."""

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        time.sleep(seconds)


def attempts(clock: Clock, budget: timedelta, progress: Progress) -> Iterator[timedelta]:
    """Yield the elapsed time once per attempt, with pauses of 1, 2, 4, 8, then 15 seconds, until the budget is spent.

    The last attempt comes at the end of the budget.
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
    """Wait until `end`, and report progress within `budget`, which ends at the same time."""
    _pause(clock, end, lambda: progress(budget - min(end - clock.now(), budget), budget))


def _pause(clock: Clock, end: datetime, report: Callable[[], None]) -> None:
    """Sleep one second at a time and report each time."""
    while (left := (end - clock.now()).total_seconds()) > 0:
        report()
        clock.sleep(min(1.0, left))
