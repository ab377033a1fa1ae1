"""One instance of the function app, for benchmarks.scale: calls the app's functions as a host would, in a separate process.
It reads one order per line from stdin and writes one answer per line to stdout, both in JSON, and ends when stdin ends.

    {"tick": true}  or  {"message": BODY, "attempt": 1}   →   {"ok": …, "error": …, "seconds": …, "asked": […], …}
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import azure.functions as func
from azure.functions.queue import QueueMessage as Message

from benchmarks.measure import children_of, peak_of
from function_app import app


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


def answer(functions: Mapping[str | None, Callable[..., Any]], order: dict[str, Any], lines: Lines) -> dict[str, Any]:
    """Carry out an order by calling the function of that name."""
    sent, lines.lines = Sent(), []
    started, cpu, error = time.monotonic(), time.process_time(), ""
    try:
        if order.get("tick"):
            functions["find_jobs"](Timer(), sent)
        else:
            body = order["message"].encode()
            message = Message(id="m", body=body, dequeue_count=order["attempt"])  # type: ignore[no-untyped-call] # Microsoft's
            functions["sync_job"](message)
    except Exception as raised:  # noqa: BLE001 (the host's part: an invocation that raises has failed)
        error = f"{type(raised).__name__}: {raised}"
    return {
        "ok": not error,
        "error": error,
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu,
        "asked": sent.messages,
        "lines": lines.lines,
        "process_mib": peak_of("self"),
        "wandb_core_mib": max(map(peak_of, children_of("self")), default=0.0),
    }


def main() -> None:
    """Answer orders until stdin ends."""
    lines = Lines()
    ours = logging.getLogger("function_app")
    ours.addHandler(lines)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    logging.getLogger().addHandler(logging.NullHandler())  # otherwise azure.functions creates one that prints
    functions = {each.get_function_name(): each.get_user_function() for each in app.get_functions()}
    for line in sys.stdin:
        print(json.dumps(answer(functions, json.loads(line), lines)), flush=True)


if __name__ == "__main__":
    main()
