"""Deliberate faults: at which operation, at which request, and what goes wrong. Deterministic, so failures repeat."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sandbox.runtime.http import Call, Reply

_STRICT = ConfigDict(extra="forbid", frozen=True)


class When(BaseModel):
    """Selects the operation's requests that meet the fault: those that match all given fields, or every one without any."""

    model_config = _STRICT

    nth: list[int] | None = None  # 1 is the first request of this operation
    times: int | None = None  # the first n requests
    page: int | None = None  # the n-th page of a listing; the first has neither `after` nor a skip token
    path: str | None = None  # only paths that contain this text
    caller: str | None = None  # only this principal (name or object id)


class Do(BaseModel):
    """A fault. `status` answers without acting; `lost_response` acts and never answers; `late` repeats an earlier answer."""

    model_config = _STRICT

    status: int | None = None
    headers: dict[str, str] = {}
    body: dict[str, Any] | None = None
    reset: bool = False  # the connection breaks before the service acted
    lost_response: bool = False  # the service acted, then the connection breaks
    delay: float = 0.0  # real seconds before acting
    drip: float = 0.0  # real seconds between the bytes of the answer
    cut_body: int | None = None  # the connection breaks after so many bytes of the answer
    malformed_json: bool = False
    late: bool = False  # a replica that is behind: the previous answer to the same read


class Fault(BaseModel):
    """One fault of a scenario; `op` is the official operationId."""

    model_config = _STRICT

    op: str
    when: When = When()
    do: Annotated[Do, Field(alias="do")]


@dataclass
class Faults:
    """The faults of one run. Finds the fault that a request meets, and lists the faults that were never met."""

    faults: list[Fault] = field(default_factory=list)
    met: list[int] = field(default_factory=list)
    _seen: dict[str, int] = field(default_factory=dict)
    _pages: dict[str, int] = field(default_factory=dict)
    _answers: dict[tuple[str, bytes], Reply] = field(default_factory=dict)

    def meet(self, operation: str, call: Call) -> Do | None:
        """The first fault that this request meets, if any. Counts the request either way."""
        nth = self._seen[operation] = self._seen.get(operation, 0) + 1
        paged = any(k in call.query for k in ("after", "$skiptoken"))
        page = self._pages[operation] = self._pages.get(operation, 0) + 1 if paged else 1
        for index, fault in enumerate(self.faults):
            if fault.op == operation and self._holds(index, fault.when, call, nth, page):
                self.met.append(index)
                return fault.do
        return None

    def _holds(self, index: int, when: When, call: Call, nth: int, page: int) -> bool:
        return (
            (when.nth is None or nth in when.nth)
            and (when.times is None or self.met.count(index) < when.times)
            and (when.page is None or page == when.page)
            and call.matches(when.path, when.caller)
        )

    def answer(self, do: Do | None, call: Call, reply: Reply) -> Reply:
        """The answer to a read: this one, or the previous one to the same request if the fault is a late answer."""
        if do is not None and do.late:
            return self._answers.get((call.url, call.body), reply)
        if any(fault.do.late for fault in self.faults):
            self._answers[call.url, call.body] = reply
        return reply

    @property
    def unmet(self) -> list[Fault]:
        """Faults that no request met. A test whose fault is never met proves nothing."""
        return [f for i, f in enumerate(self.faults) if i not in self.met]


@dataclass
class Gate:
    """Records every request's operation as it arrives, and holds one request, so that a test has time to kill the client.

    Requests that are refused for a missing token also count here, although no fault meets them. The held request's connection
    breaks once `opened` is set; `acted` says whether the service acts on it before.
    """

    operation: str = ""  # None: record only
    nth: int = 1
    acted: bool = False
    seen: list[str] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def meet(self, operation: str) -> bool:
        """Record a request. Return whether it is the one to hold."""
        self.seen.append(operation)
        return operation == self.operation and self.seen.count(operation) == self.nth

    async def hold(self) -> None:
        """Report that the request has arrived, and wait until it may continue."""
        self.reached.set()
        await asyncio.to_thread(self.opened.wait)


def refusal(do: Do) -> Reply:
    """The answer of a fault that refuses without acting."""
    body = do.body
    if body is None:
        body = {"error": {"code": str(do.status), "message": "a fault on purpose"}}
    return Reply(do.status or 500, body, do.headers)
