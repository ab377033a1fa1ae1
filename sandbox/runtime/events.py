"""Other people's actions while a program runs: before or after a request, or at a virtual time.

This module decides when an event happens. What it does is a callable: see `sandbox.scenario.actions`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sandbox.runtime.clock import Clock, Duration
from sandbox.runtime.http import Call

ANY = "*"
"""Stands for every operation, as in `before: "*"`."""


class Trigger(BaseModel):
    """When an event happens: exactly one of `before`, `after` and `at`.

    `nth` counts the requests of the operation that match `path` and `caller`; the first is 1. Requests without a valid
    token are not counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: str | None = None  # an operationId, or "*" for every operation
    after: str | None = None  # the service has acted, the client has no answer yet
    at: Duration | None = None  # virtual seconds since the start
    every: Annotated[Duration, Field(gt=0)] | None = None  # with `at`: again after so many virtual seconds
    nth: int | Literal["every"] = 1
    path: str | None = None  # only requests whose path contains this text
    caller: str | None = None  # only requests of this principal (name or object id)

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        if sum(moment is not None for moment in (self.before, self.after, self.at)) != 1:
            raise ValueError("an event needs exactly one of before, after, at")
        if self.at is not None and self.model_fields_set & {"nth", "path", "caller"}:
            raise ValueError("nth, path and caller go with before or after")
        if self.at is None and self.every is not None:
            raise ValueError("every goes with at")
        if self.nth != "every" and self.nth < 1:
            raise ValueError("nth is 1 or more")
        return self

    def __str__(self) -> str:
        """The moment in words, for logs."""
        if self.at is not None:
            return f"at {self.at:g} s"
        which = "every" if self.nth == "every" else f"request {self.nth} of"
        return f"{'before' if self.before else 'after'} {which} {self.before or self.after}"


@dataclass
class Event:
    """Something that happens at a moment. `act` is called each time."""

    trigger: Trigger
    act: Callable[[], None]
    label: str
    since: float = 0.0  # virtual time from which `at` counts
    seen: int = 0  # requests that matched so far
    happened: int = 0

    def __str__(self) -> str:
        """The event in words."""
        return f"{self.trigger}: {self.label}"


@dataclass
class Events:
    """The events of one world, in the order of the scenario."""

    clock: Clock
    events: list[Event] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Add an event. Its virtual seconds count from now."""
        event.since = self.clock.time()
        self.events.append(event)

    def run_due(self) -> None:
        """Run the events whose virtual time has come, earliest first. The server calls this before each request."""
        while due := [(when, e) for e in self.events if (when := self._next(e)) is not None]:
            self._happen(min(due, key=lambda pair: pair[0])[1])

    def before(self, operation: str, call: Call) -> None:
        """Run the events that precede this request."""
        self._request(operation, call, lambda trigger: trigger.before)

    def after(self, operation: str, call: Call) -> None:
        """Run the events that follow this request, once the service has acted on it."""
        self._request(operation, call, lambda trigger: trigger.after)

    @property
    def pending(self) -> list[Event]:
        """Events that have not happened."""
        return [e for e in self.events if not e.happened]

    def _request(self, operation: str, call: Call, moment: Callable[[Trigger], str | None]) -> None:
        for event in list(self.events):
            if moment(event.trigger) in (operation, ANY) and call.matches(event.trigger.path, event.trigger.caller):
                event.seen += 1
                if event.trigger.nth in ("every", event.seen):
                    self._happen(event)

    def _next(self, event: Event) -> float | None:
        """The virtual time at which this event is due, if that is not in the future."""
        at, every = event.trigger.at, event.trigger.every
        if at is None or (event.happened and every is None):
            return None
        when = event.since + at + event.happened * (every or 0)
        return when if when <= self.clock.time() else None

    def _happen(self, event: Event) -> None:
        event.happened += 1
        self.log.append(f"{self.clock.now():%H:%M:%S} {event}")
        event.act()
