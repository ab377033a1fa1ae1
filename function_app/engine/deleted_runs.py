"""Remembers the runs that people deleted in W&B, which never gives an id out again.

W&B says so only when a run is opened, and the SDK retries that for a quarter of a minute: the answer is worth keeping. The
command line keeps it in memory; in Functions, where timer and queue run in separate instances (Microsoft, "Per-function
scaling"), it is kept in storage.
"""

from collections.abc import Collection
from typing import Protocol
from urllib.parse import quote

from function_app.tracking import Tracker


class DeletedRuns(Protocol):
    """The deleted runs known so far, by the names of `name_of`."""

    def known(self) -> Collection[str]:
        """Return all names.

        Raises:
            StorageError: storage cannot be read.
        """

    def note(self, name: str) -> None:
        """Add one.

        Raises:
            StorageError: storage cannot be written.
        """


class InMemory:
    """Kept in this process only."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def known(self) -> Collection[str]:
        """See DeletedRuns."""
        return self._names

    def note(self, name: str) -> None:
        """See DeletedRuns."""
        self._names.add(name)


def name_of(job_id: str, tracker: Tracker) -> str:
    """Return the name to note for a job: in another project, or on another server, its run may well be made."""
    return f"{tracker.address}/{quote(job_id, safe='')}"
