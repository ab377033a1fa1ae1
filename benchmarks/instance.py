"""One instance of the function app, for benchmarks.scale: calls the app's functions as a host would, in a separate process."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import azure.functions as func
from azure.functions.queue import QueueMessage as Message

from benchmarks.measure import children_of, peak_of

_functions: dict[str | None, Callable[..., Any]] = {}
"""The app's functions by name, in a process that has begun."""


class Timer(func.TimerRequest):
    """A timer that is on time."""

    past_due = False


class Sent(func.Out[list[str]]):
    """The messages that a tick puts into the queue."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def set(self, val: list[str]) -> None:
        """Keep the messages."""
        self.messages = val

    def get(self) -> list[str]:
        """Return the messages."""
        return self.messages


class Lines(logging.Handler):
    """The app's own log lines."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a log line."""
        self.lines.append(record.getMessage())


_lines = Lines()


@dataclass(frozen=True)
class Answer:
    """How an invocation ended, what it sent and logged, and the memory of the instance and of its wandb-core so far."""

    error: str
    seconds: float
    cpu_seconds: float
    sent: list[str]
    lines: list[str]
    process_mib: float
    wandb_core_mib: float


def begin(environment: Mapping[str, str]) -> None:
    """Make this process an instance of the app with exactly this environment."""
    os.environ.clear()
    os.environ.update(environment)
    from function_app import app  # reads the environment

    ours = logging.getLogger("function_app")
    ours.addHandler(_lines)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    logging.getLogger().addHandler(logging.NullHandler())  # otherwise azure.functions creates one that prints
    _functions.update({each.get_function_name(): each.get_user_function() for each in app.get_functions()})


def invoke(message: str | None = None, attempt: int = 1) -> Answer:
    """Call the function for this message, or the timer's where there is none."""
    sent, _lines.lines = Sent(), []
    started, cpu, error = time.monotonic(), time.process_time(), ""
    try:
        if message is None:
            _functions["find_jobs"](Timer(), sent)
        else:
            _functions["sync_job"](Message(id="m", body=message.encode(), dequeue_count=attempt))  # type: ignore[no-untyped-call] # Microsoft's
    except Exception as raised:  # noqa: BLE001 (the host's part: an invocation that raises has failed)
        error = f"{type(raised).__name__}: {raised}"
    return Answer(
        error,
        time.monotonic() - started,
        time.process_time() - cpu,
        sent.messages,
        _lines.lines,
        peak_of("self"),
        max(map(peak_of, children_of("self")), default=0.0),
    )
