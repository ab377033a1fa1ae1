"""The protocol of an account with fine-tuning jobs, which `azure.openai.Account` implements."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from function_app.errors import AccountError
from function_app.models import Checkpoint, Event, File, Job, ModelEnds


class Finder(Protocol):
    """Finds accounts, besides those that the settings name."""

    def accounts(self, name: str = "") -> Sequence["JobSource"]:
        """Return the accounts. If none of them has this `name`, it may search for it."""

    @property
    def failures(self) -> Mapping[str, AccountError]:
        """The places that could not be searched, with the reason."""


class JobSource(Protocol):
    """An account. Every method may raise AccountError or a subclass."""

    name: str
    discovered: bool
    """Whether it was found in a subscription. Nobody named it, so only references to its files are sent to W&B."""

    def now(self) -> float:
        """Return the time in seconds since the epoch by the account's clock, as in its jobs."""

    def jobs(self) -> list[Job]:
        """Return all jobs, the newest first.

        Raises:
            AccountError: a part of the account refuses; `listed` has the jobs of the rest.
        """

    def job(self, job_id: str) -> Job:
        """Return one job.

        Raises:
            NotThereError: the account has no such job.
        """

    def events(self, job_id: str, *, known_step: int = -1) -> list[Event]:
        """Return a job's events, oldest first: all of them, or those that are needed to continue after `known_step`."""

    def checkpoints(self, job_id: str) -> list[Checkpoint]:
        """Return the job's checkpoints, by step."""

    def ends(self, model: str) -> ModelEnds:
        """Return when a model ends, as far as the service says so."""

    def file(self, file_id: str) -> File:
        """Return the properties of a file without reading its content."""

    def content(self, file_id: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream a file's bytes in chunks."""
