"""What the engine needs of an account of fine-tuning jobs; `azure.openai.Account` is one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from function_app.errors import AccountError
from function_app.models import Checkpoint, Event, File, Job


class Finder(Protocol):
    """Knows which accounts there are, where they are not only those of the settings."""

    def accounts(self, wanted: str = "") -> Sequence["JobSource"]:
        """Return the accounts; if the name `wanted` is not among them, it may search for it."""

    @property
    def failures(self) -> Mapping[str, AccountError]:
        """The places that could not be searched, with the reason."""


class JobSource(Protocol):
    """An account. Every method raises AccountError or one of its kinds."""

    name: str
    discovered: bool
    """Whether it was found in a subscription. Nobody named it, so that only references of its files leave it."""

    def now(self) -> float:
        """Seconds since the epoch by the account's own clock, which is the clock of its jobs' times."""

    def jobs(self) -> list[Job]:
        """Return all jobs, the newest first."""

    def job(self, job_id: str) -> Job:
        """Return one job.

        Raises:
            NotThereError: the account has no such job.
        """

    def events(self, job_id: str, *, known_step: int = -1) -> list[Event]:
        """Return a job's log, oldest first: all of it, or what is needed to go on after `known_step`."""

    def checkpoints(self, job_id: str) -> list[Checkpoint]:
        """Return the job's checkpoints, by step."""

    def retirement(self, model: str) -> float | None:
        """Return when a model stops answering, in seconds since the epoch; None if the service does not say."""

    def file(self, file_id: str) -> File:
        """Return what is known of a file without reading it."""

    def content(self, file_id: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream a file's bytes in chunks."""
