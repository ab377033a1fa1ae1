"""Benches for engines, alone and several at once."""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from function_app.azure.leases import NO_FAILURES, Failures, Lease, held
from function_app.errors import TakenError
from tests.function_app.conftest import ACCOUNT, VALIDATION_FILE, Bench, a_file

PIPELINE = "pipeline"
"""The managed identity that engines sign in as: a person's `az` would have to be started for each of them."""
FILES = ("file-" + "a" * 32, "file-" + "c" * 32)
"""Training files, of chats and of preferences."""


def fresh(bench: Bench, *jobs: Mapping[str, Any]) -> None:
    """A world with these jobs, and no others until they come."""
    files = [
        a_file(),
        a_file(id=FILES[1], filename="pairs.jsonl", format="dpo", count=4),
        a_file(id=VALIDATION_FILE, filename="valid.jsonl", count=3),
    ]
    bench.world(
        *jobs,
        files=files,
        principals=[{"name": "operator", "kind": "user"}, {"name": PIPELINE, "kind": "managed identity"}],
        assignments=[{"principal": PIPELINE, "role": "Cognitive Services OpenAI User", "scope": ACCOUNT}],
    )


@dataclass
class Leases:
    """The leases of several workers, in memory."""

    taken: set[str] = field(default_factory=set)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, job: str) -> AbstractContextManager[Lease]:
        """The lease of a job."""
        return held(_Lock(self, job), job)


@dataclass
class _Lock:
    leases: Leases
    job: str

    def acquire(self) -> Failures:
        with self.leases.guard:
            if self.job in self.leases.taken:
                raise TakenError("another worker holds the lease")
            self.leases.taken.add(self.job)
        return NO_FAILURES

    def renew(self) -> None:
        """It never ends."""

    def release(self, failures: Failures) -> None:
        with self.leases.guard:
            self.leases.taken.remove(self.job)


def after(asked: int) -> Callable[[], bool]:
    """Return True from the n-th call on."""
    left = [asked]

    def stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    return stop


def course(**values: Any) -> dict[str, Any]:
    """The course of a job; its phases are short, so that a few ticks see all of them."""
    quick = {"queued": 30, "preprocessing": 30, "gpu_wait": 30, "postprocessing": 60, "evaluation": 9}
    return {**values, "timeline": quick | values.get("timeline", {})}
