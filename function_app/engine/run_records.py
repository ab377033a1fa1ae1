"""Records of jobs whose runs W&B's listings do not show: those that people deleted, and those that were complete.

W&B never reuses the id of a deleted run, and reports a deletion only when the run is opened, which the SDK retries for a
quarter of a minute. So the answer is kept. A complete run may be missing because somebody moved it, or because a listing
omits it. Its job must not be mirrored a second time.

The command line keeps these records in memory. In Functions, where timer and queue run in separate instances (Microsoft,
"Per-function scaling"), they are kept in storage.
"""

from collections.abc import Collection
from typing import Protocol
from urllib.parse import quote

from function_app.tracking import Tracker


class RunRecord(Protocol):
    """A set of jobs, by the names of `name_of`."""

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
        """See RunRecord."""
        return self._names

    def note(self, name: str) -> None:
        """See RunRecord."""
        self._names.add(name)


def name_of(job_id: str, tracker: Tracker) -> str:
    """Return the name to record for a job. It includes server and project, because the run may be created in another project."""
    return f"{tracker.address}/{quote(job_id, safe='')}"
