"""The protocol of an experiment tracker. Each sub-package implements one tracker, and no SDK type leaves it.

The engine knows a project as a `Tracker`, the run that it writes as a `Session`, and the run's files and models as
`Attachments`. Apart from these, both sides share only the types for keys, files and run ids.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from pydantic import SecretStr

from function_app.data.routes import Registry
from function_app.models import Checkpoint, DatasetPolicy, File, Job, MetricRow, RunState

_NUMBER = re.compile(r"[1-9]\d{0,5}", re.ASCII)  # the number of a run; anybody may name a run like this
OF_JOB = "supersedes"
"""The config key by which a run that replaces others is found: its value is the job's id."""


class KeySource(Protocol):
    """Knows the tracker's API key."""

    def get(self, *, refused: SecretStr | None = None) -> SecretStr:
        """Return the key, but not the `refused` key if there is another one.

        Raises:
            VaultError: the key cannot be read.
        """

    def close(self) -> None:
        """Close all connections."""


class FixedKey:
    """An API key that never changes, such as one from the environment."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def get(self, *, refused: SecretStr | None = None) -> SecretStr:
        """Return the key."""
        return self._key

    def close(self) -> None:
        """Do nothing: there is no connection."""


class FileSource(Protocol):
    """Reads a job's files."""

    name: str

    def file(self, file_id: str) -> File:
        """Return the properties of a file without reading its content."""

    def content(self, file_id: str) -> AbstractContextManager[Iterable[bytes]]:
        """Stream a file's bytes.

        Raises:
            AccountError: the file cannot be read; NotThereError if it was deleted.
        """


@dataclass(frozen=True)
class Identity:
    """The name, group and tags of a run. They are set on creation only, so that edits in the tracker are kept."""

    name: str
    group: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    job_type: str = "fine-tune"
    notes: str | None = None


@dataclass(frozen=True)
class Intent:
    """The planned writes, so that the tracker can read everything that it needs in one request.

    Attributes:
        files: ids of the files to attach.
        collection: the artifact for the job's models; None if none are written.
    """

    files: tuple[str, ...] = ()
    collection: str | None = None


class RunLease(Protocol):
    """The lease on a job, which permits writing its run. `azure.leases.Lease` implements it.

    Attributes:
        exclusive: whether it excludes other workers.
        left: returns the remaining seconds of the lease.
    """

    @property
    def exclusive(self) -> bool: ...  # noqa: D102 (see above)

    @property
    def left(self) -> Callable[[], float]: ...  # noqa: D102


@dataclass(frozen=True)
class ModelTarget:
    """The destination of a job's models: an artifact, its type, and the registry for the final model.

    Attributes:
        dates: when the models and their base model end, in ISO 8601, by name (`data.description.dates_of_ends`).
    """

    collection: str
    kind: str
    registry: Registry | None = None
    dates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ConfirmedModels:
    """The tracker's confirmation of a job's models.

    Attributes:
        models: how many were written by this session.
        linked: the registry that the final model was linked to now; empty if it was linked before or not at all.
        warnings: refusals that do not fail the job.
    """

    models: int = 0
    linked: str = ""
    warnings: tuple[str, ...] = ()


class Attachments(Protocol):
    """Uploads of files and models for a run. Leaving the context waits until the tracker has them all.

    Every method may raise WandbError or a subclass; `datasets` and `results` also raise errors from reading the files.
    """

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait for the uploads."""

    def datasets(
        self, source: FileSource, files: Mapping[str, str], policy: DatasetPolicy
    ) -> dict[str, dict[str, Any]]:
        """Attach files, by their role, as the run's inputs; upload those that the project does not have yet. The run shows
        their tables.

        Returns the metadata of each file (size, format, number of examples) by its id; `{"missing": True}` if the account has
        deleted it.
        """

    def previous_model(self, job: Job) -> bool:
        """Attach the model that the job trains further; return whether the project has it."""

    def results(self, job: Job, content: Iterable[bytes]) -> None:
        """Attach the results file, with a table of its rows."""

    def models(self, job: Job, checkpoints: Sequence[Checkpoint], target: ModelTarget) -> None:
        """Write the job's models that the project does not have yet."""


class Session(Protocol):
    """A run that is being brought up to date. Values are collected until `send` or `confirm` writes them.

    Attributes:
        id: the run's id.
        url: its page.
        known: the run's current state in the tracker, which may be newer than the listing; None for a new run.
        last_step: the step of its last row; None if it has no rows.
        known_step: the step up to which rows are not needed; -1 if all are needed.
        others: whether other programs logged rows into it; if so, no more rows are written.
    """

    id: str
    url: str
    known: RunState | None

    @property
    def last_step(self) -> int | None: ...  # noqa: D102 (see above)

    @property
    def known_step(self) -> int: ...  # noqa: D102

    @property
    def others(self) -> bool: ...  # noqa: D102

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the run's config, including people's changes."""

    def configure(self, values: Mapping[str, Any]) -> None:
        """Set config values and keep the others."""

    def summarise(self, values: Mapping[str, Any]) -> None:
        """Set summary values and keep the others as they were read."""

    def remember(self, **values: Any) -> None:
        """Set values for the next tick, by the names of RunState's fields."""

    def rows(self, source: str, rows: Iterable[MetricRow], *, began: float) -> None:
        """Add rows from a source, in the order of their steps, with or without those up to `known_step`."""

    def send(self, *, attach: bool, ends: bool = False) -> int:
        """Write the collected values, then the rows. Return the number of new rows.

        Args:
            attach: whether attachments follow.
            ends: whether the run's end follows.

        Raises:
            NotYetError: the tracker does not show earlier writes yet.
            UnusableRunError: rows were lost, so the run must be replaced.
            TakenError: the lease ends too soon.
        """

    def alert(self, title: str, text: str) -> None:
        """Notify people."""

    def attachments(self) -> Attachments:
        """Return the uploads of files and models for the run."""

    def confirm(self) -> ConfirmedModels:
        """After the uploads, write and confirm the run's inputs, the collected values, and the place of its models."""

    def end(self, exit_code: int) -> None:
        """End the run: 0 means finished, other codes failed. Call this last. Without it the run stays unfinished."""


class Tracker(Protocol):
    """One project of a tracker. Every method may raise KeyRefusedError, WandbBusyError or WandbError."""

    project: str

    @property
    def entity(self) -> str:
        """The owner of the project: a team or user. If the settings name none, it may change while the process runs;
        a tracker from `elsewhere` keeps its own.
        """

    @property
    def address(self) -> str:
        """Server, entity and project as one string that is safe as a name."""

    def dataset_page(self, file_id: str) -> str:
        """Return the address of the page with a file's dataset and its table."""

    def elsewhere(self, project: str, entity: str) -> Self:
        """Return another project on the same server with the same key."""

    def require_writable(self) -> None:
        """Check, without a write, that the key may write to this project.

        Raises:
            WandbError: there is no such entity, or the key may only read it.
        """

    def runs(self, job_ids: Sequence[str], *, accounts: Sequence[str] = ()) -> dict[str, RunState]:
        """Return each job's newest run. Also return, by run id, other unfinished runs of these accounts."""

    def open(
        self, run_id: str, new: Identity | None, intent: Intent, lease: RunLease
    ) -> AbstractContextManager[Session]:
        """Open a run, or prepare to create it from `new`. Nothing is written before `Session.send`.

        Raises:
            RunDeletedError: the id was deleted.
            NotYetError: another program is writing it.
        """

    def supersede(self, run_id: str, successor: str) -> None:
        """Mark a run as replaced by another one. If it no longer exists, do nothing."""


def run_id(job_id: str, number: int) -> str:
    """Return the id of a job's first run, which WandbLogger also uses, or of the n-th run, which replaces the previous one.

    A deleted id cannot be reused, so each replacement needs a new one.
    """
    return job_id if number == 1 else f"{job_id}-{number}"


def run_of(run: str, job_ids: Collection[str]) -> tuple[str, int] | None:
    """Return the job of a run and the run's number; None if it belongs to none of these jobs. The inverse of `run_id`."""
    if run in job_ids:
        return run, 1
    job_id, _, number = run.rpartition("-")
    return (job_id, int(number)) if job_id in job_ids and number != "1" and _NUMBER.fullmatch(number) else None
