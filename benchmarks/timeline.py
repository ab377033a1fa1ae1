"""Where the time of a process went: which of its requests were on their way, moment by moment. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Flight:
    """A request on its way, by one clock, in seconds."""

    service: str
    began: float
    ended: float


@dataclass(frozen=True)
class Timeline:
    """Parts of a process's time, in seconds, which make the whole together.

    Attributes:
        start: before its first request: Python starts, modules are imported.
        main: requests of the main service were on their way.
        other: none of these, but some of other services.
        none: nothing was on its way, between the first and the last request: the process, or its helpers, worked.
        end: after its last request.
        at_once: how many requests of the main service were on their way at the same time, on average over `main`.
    """

    start: float
    main: float
    other: float
    none: float
    end: float
    at_once: float

    @property
    def waited(self) -> float:
        """How long something was on its way."""
        return self.main + self.other

    @property
    def whole(self) -> float:
        """From start to exit."""
        return self.start + self.waited + self.none + self.end


def timeline(began: float, ended: float, flights: Iterable[Flight], main: str) -> Timeline:
    """Take a process's time apart.

    Args:
        began: when it was started.
        ended: when it was over; what was on its way later is not its.
        flights: its requests, in any order.
        main: the service that matters.
    """
    mine = [
        Flight(each.service, max(began, each.began), min(ended, each.ended))
        for each in flights
        if each.began < ended and each.ended > began
    ]
    if not mine:
        return Timeline(ended - began, 0.0, 0.0, 0.0, 0.0, 0.0)
    first, last = min(each.began for each in mine), max(each.ended for each in mine)
    waited = _covered(mine)
    of_main = [each for each in mine if each.service == main]
    on_main = _covered(of_main)
    together = sum(each.ended - each.began for each in of_main)
    return Timeline(
        start=first - began,
        main=on_main,
        other=waited - on_main,
        none=last - first - waited,
        end=ended - last,
        at_once=together / on_main if on_main else 0.0,
    )


def _covered(flights: Iterable[Flight]) -> float:
    """Seconds in which at least one was on its way."""
    covered, until = 0.0, float("-inf")
    for began, ended in sorted((each.began, each.ended) for each in flights):
        covered += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return covered
