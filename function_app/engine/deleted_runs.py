"""Record the runs that people deleted in W&B, which never reuses an id.

W&B reports this only when a run is opened, and the SDK retries that for a quarter of a minute, so the answer is kept. The
command line keeps it in memory. In Functions, where timer and queue run in separate instances (Microsoft, "Per-function
scaling"), it is kept in storage.
"""

from collections.abc import Collection
from typing import Protocol
from urllib.parse import quote

from function_app.tracking import Tracker


class DeletedRuns(Protocol):
    """The known deleted runs, by the names of `name_of`."""

    def known(self) -> Collection[str]:
        """Return all names.

        Raises:
            StorageError: storage cannot be read.
        """

    def note(self, name: str) -> None:
        """Add a name.

        Raises:
            StorageError: storage cannot be written.
        """


class InMemory:
    """A record in this process only."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def known(self) -> Collection[str]:
        """See DeletedRuns."""
        return self._names

    def note(self, name: str) -> None:
        """See DeletedRuns."""
        self._names.add(name)


def name_of(job_id: str, tracker: Tracker) -> str:
    """Return the name to record for a job. It includes server and project, because the run may be created in another one."""
    return f"{tracker.address}/{quote(job_id, safe='')}"
