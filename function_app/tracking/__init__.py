"""What the engine needs of an experiment tracker. Each sub-package is one tracker; nothing of its SDK leaves it.

The engine knows a project as a `Tracker`, the run that it writes as a `Session`, and what goes with the run as
`Attachments`. Keys, files and run ids are the only other things that both sides know.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, Self

from pydantic import SecretStr

from function_app.data.routes import Registry
from function_app.models import Checkpoint, DatasetPolicy, File, Job, MetricRow, RunState

OF_JOB = "supersedes"
"""The config key by which a run that replaces others is found: its value is the job's id."""


class KeySource(Protocol):
    """Knows the tracker's API key."""

    def get(self, *, refused: SecretStr | None = None) -> SecretStr:
        """Return the key; another one than the `refused` key, if there is another.

        Raises:
            VaultError: it cannot be read.
        """

    def close(self) -> None:
        """Close whatever is open."""


class GivenKey:
    """A key that came with the environment."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def get(self, *, refused: SecretStr | None = None) -> SecretStr:
        """Return the key."""
        return self._key

    def close(self) -> None:
        """Nothing is open."""


class FileSource(Protocol):
    """Where a job's files are read."""

    name: str

    def file(self, file_id: str) -> File:
        """Return what is known of a file without reading it."""

    def content(self, file_id: str) -> AbstractContextManager[Iterable[bytes]]:
        """Stream a file's bytes.

        Raises:
            AccountError: it cannot be read; NotThereError when it was deleted.
        """


@dataclass(frozen=True)
class Identity:
    """What a run is called and filed under. Set on creation only, so that edits made in the tracker stay."""

    name: str
    group: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    job_type: str = "fine-tune"
    notes: str | None = None


@dataclass(frozen=True)
class Intent:
    """What is going to be written, so that the tracker reads everything it needs for that in one request.

    Attributes:
        files: ids of the files to attach.
        collection: the artifact that gets the job's models; None when none are written.
    """

    files: tuple[str, ...] = ()
    collection: str | None = None


class Turn(Protocol):
    """The right to write a job's run, which `azure.leases.Lease` is.

    Attributes:
        exclusive: whether it keeps other workers away.
        left: returns for how many seconds it is good.
    """

    @property
    def exclusive(self) -> bool: ...  # noqa: D102 (see above)

    @property
    def left(self) -> Callable[[], float]: ...  # noqa: D102


@dataclass(frozen=True)
class ModelTarget:
    """Where a job's models go: an artifact, its type, and the registry that the final model is linked to.

    Attributes:
        retires_at: when the models stop answering, in ISO 8601; None where the service does not say.
    """

    collection: str
    kind: str
    registry: Registry | None = None
    retires_at: str | None = None


@dataclass(frozen=True)
class Confirmed:
    """What the tracker has confirmed of a job's models.

    Attributes:
        models: how many were written by this session.
        linked: where the final model was linked to; empty when it was not, or before.
        warnings: what was refused without failing the job.
    """

    models: int = 0
    linked: str = ""
    warnings: tuple[str, ...] = ()


class Attachments(Protocol):
    """Files and models on their way to a run. Leaving the context waits until the tracker has them all.

    Every method raises WandbError or one of its kinds; `datasets` and `results` also what reading the files raises.
    """

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait for the uploads."""

    def datasets(self, source: FileSource, file_ids: Iterable[str], policy: DatasetPolicy) -> dict[str, dict[str, Any]]:
        """Attach files as the run's inputs; upload those that the project does not have yet.

        Returns what is known of each file (size, format, number of examples); `{"missing": True}` when the account has
        deleted it.
        """

    def previous_model(self, job: Job) -> bool:
        """Attach the model that the job trains further; return whether the project has it."""

    def results(self, job: Job, content: Iterable[bytes]) -> None:
        """Attach the results file itself, with a table of its rows."""

    def models(self, job: Job, checkpoints: Sequence[Checkpoint], target: ModelTarget) -> None:
        """Write the job's models that the project does not have yet."""


class Session(Protocol):
    """A run that is being brought up to date. Values are collected until `send` or `confirm` writes them.

    Attributes:
        id: the run's id.
        url: its page.
        known: what the tracker has of it now, which may be newer than what it lists; None for a new run.
        last_step: the step of its last row; None without any.
        known_step: the step up to which rows are not needed; -1 where all are.
        others: whether other programs logged rows into it, so that none are written any more.
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
        """The run's config, with what people have changed."""

    def configure(self, values: Mapping[str, Any]) -> None:
        """Set config values; the others stay."""

    def summarise(self, values: Mapping[str, Any]) -> None:
        """Set summary values; the others stay as they were read."""

    def remember(self, **values: Any) -> None:
        """Set what the next tick has to know, by the names of RunState."""

    def rows(self, source: str, rows: Iterable[MetricRow], *, began: float) -> None:
        """Take rows from a source, in the order of their steps, those up to `known_step` or not."""

    def send(self, *, attach: bool, ends: bool = False) -> int:
        """Write what was collected, then the rows; return how many rows are new.

        Args:
            attach: whether attachments follow.
            ends: whether the run's end follows.

        Raises:
            NotYetError: the tracker does not show yet what was written before.
            UnusableRunError: rows were lost; the run has to be replaced.
            TakenError: the lease ends too soon.
        """

    def alert(self, title: str, text: str) -> None:
        """Notify people."""

    def attachments(self) -> Attachments:
        """Files and models that go with the run."""

    def confirm(self) -> Confirmed:
        """Have the tracker confirm, once all is uploaded, the run's inputs, what was collected, and the place of its models."""

    def end(self, exit_code: int) -> None:
        """End the run: 0 finished, else failed. Call it last; a run that is closed without it goes on."""


class Tracker(Protocol):
    """One project of a tracker. Every method raises KeyRefusedError, WandbBusyError or WandbError."""

    project: str

    @property
    def entity(self) -> str:
        """Whose project it is."""

    @property
    def address(self) -> str:
        """Server, entity and project as one text, safe as a name."""

    def elsewhere(self, project: str, entity: str | None = None) -> Self:
        """The same server with the same key, another project; of the same entity if no other is named."""

    def require_writable(self) -> None:
        """Check, without a write, that the key may write to this project.

        Raises:
            WandbError: there is no such entity, or the key may only read it.
        """

    def runs(self, job_ids: Sequence[str], *, accounts: Sequence[str] = ()) -> dict[str, RunState]:
        """Return each job's newest run, and, by their own ids, further runs of these accounts that still go on."""

    def open(self, run_id: str, new: Identity | None, intent: Intent, turn: Turn) -> AbstractContextManager[Session]:
        """Open a run, or prepare to make it as `new` says. Nothing is written before `Session.send`.

        Raises:
            RunDeletedError: the id was deleted.
            NotYetError: another program is writing it.
        """

    def supersede(self, run_id: str, successor: str) -> None:
        """Mark a run as replaced by another one. Nothing happens when it is gone."""


def run_id(job_id: str, number: int) -> str:
    """Return the id of a job's first run, which WandbLogger uses too, or of the n-th one that replaces it.

    A deleted id never comes back, so that each replacement needs another.
    """
    return job_id if number == 1 else f"{job_id}-{number}"


def run_of(run: str, job_ids: Collection[str]) -> tuple[str, int] | None:
    """Return whose run this is, and which of its runs; None when it is none of these jobs'. The inverse of `run_id`."""
    if run in job_ids:
        return run, 1
    job_id, _, number = run.rpartition("-")
    if job_id in job_ids and number.isascii() and number.isdecimal() and run_id(job_id, int(number)) == run:
        return (job_id, int(number)) if int(number) >= 2 else None
    return None
