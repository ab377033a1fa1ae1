"""Runs that people deleted in W&B, which never gives an id out again. It says so only when asked to open one, after retries
of its SDK that take a quarter of a minute: an answer to keep.

Where it is kept is the caller's: in memory for who works alone; in storage in Functions, where the timer and the queue run
in instances of their own (Microsoft, "Per-function scaling").
"""

from collections.abc import Collection
from typing import Protocol
from urllib.parse import quote, urlsplit

from function_app.tracking.wandb.api import WandbApi

_USUAL = "https://api.wandb.ai"


class DeletedRuns(Protocol):
    """What W&B has said so far, by the names of `name_of`."""

    def known(self) -> Collection[str]:
        """All names.

        Raises:
            StorageError: nobody can say.
        """

    def note(self, name: str) -> None:
        """One more.

        Raises:
            StorageError: it could not be kept.
        """


class InMemory:
    """Known to this process, as long as it lives."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def known(self) -> Collection[str]:
        """See DeletedRuns."""
        return self._names

    def note(self, name: str) -> None:
        """See DeletedRuns."""
        self._names.add(name)


def name_of(job_id: str, api: WandbApi) -> str:
    """What to note of a job: in another project, or in another W&B, its run may well be made."""
    server = urlsplit(api.base_url or _USUAL).netloc
    return "/".join(quote(part, safe="") for part in (server, api.entity, api.project, job_id))
