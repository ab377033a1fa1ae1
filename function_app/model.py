"""What the engine talks about: jobs, events, metric rows, checkpoints, runs and outcomes. Data only, no SDK.

The pure modules meet the engine at these signatures:

* ``results.parse_results(chunks: Iterable[bytes], *, complete: bool) -> Iterator[MetricRow]``: a results file in chunks of
  any size, CSV or base64 of it. ``complete=False``: the file is still growing, so a last line without newline is left out.
* ``results.rows_from_events(events: Iterable[Event]) -> Iterator[MetricRow]``: metrics events in any order; rows by step.
* ``results.with_event_times(rows: Iterable[MetricRow], events: Iterable[Event]) -> Iterator[MetricRow]``: the same rows with
  ``at`` taken from the metrics events, interpolated between them.
* ``datasets.read_rows(lines: Iterable[bytes]) -> Iterator[TableRow | Malformed]``: a training file line by line, any format.
* ``datasets.columns_of(rows: Iterable[TableRow]) -> list[str]``: every column that occurs, in the order people expect.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
"""The statuses after which a job does not change. Everything else, unknown ones too, is still going on."""

Cell = str | int | float | bool | None
"""What a table holds in one place."""


@dataclass(frozen=True)
class MetricRow:
    """The metrics of one training step.

    Attributes:
        step: the training step, from 1 up.
        values: metric name → finite number; a metric without a value at this step is absent.
        at: when the step happened, in seconds since the epoch; None when nobody said.
    """

    step: int
    values: Mapping[str, float]
    at: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A model that a job kept on its way (one per epoch, Azure keeps the last three)."""

    id: str
    created_at: int
    step: int
    model: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """One line of a job's log. `type` is "message" or "metrics"; only the latter has `data`."""

    id: str
    created_at: int
    message: str
    level: str = "info"
    type: str = "message"
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobError:
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True)
class Job:
    """A fine-tuning job as the service shows it now. Times are seconds since the epoch, UTC.

    Attributes:
        account: the Azure OpenAI account it belongs to, "openai" on OpenAI's own platform.
        method: "supervised", "dpo", "reinforcement" or whatever comes next; None when the service does not say (Azure's
            stable api-version 2024-10-21 does not).
        hyperparameters: as the job's method has them; "auto" and -1 mean that the service has not chosen yet.
        method_options: what else the method carries (a grader, a response format), unpacked as it came.
        training_type: Azure's trainingType ("Standard", "GlobalStandard", "developerTier", …).
        integrations: the job's own reporting ("wandb": it already logs there by itself).
        extras: fields no type here knows, kept as they came.
    """

    id: str
    account: str
    status: str
    model: str
    created_at: int
    training_file: str
    finished_at: int | None = None
    fine_tuned_model: str | None = None
    method: str | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    method_options: Mapping[str, Any] = field(default_factory=dict)
    suffix: str | None = None
    seed: int | None = None
    validation_file: str | None = None
    result_files: tuple[str, ...] = ()
    trained_tokens: int | None = None
    error: JobError | None = None
    integrations: tuple[Mapping[str, Any], ...] = ()
    training_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def terminal(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL


@dataclass(frozen=True)
class File:
    """A file of an account. `size` is in bytes."""

    id: str
    name: str = ""
    size: int | None = None


@dataclass(frozen=True)
class TableRow:
    """One example of a training file as table cells, by column. `line` counts from 1."""

    line: int
    cells: Mapping[str, Cell]
    format: str = ""


@dataclass(frozen=True)
class Malformed:
    """A line of a training file that is no example. `why` quotes nothing of the line: training data is private."""

    line: int
    why: str


@dataclass(frozen=True)
class RunState:
    """What W&B shows for a job id.

    Attributes:
        id: the run id, which is the job id.
        state: W&B's word: "running", "finished", "failed", "crashed", …
        url: where people look at it.
        status: the job status that the run was last brought to; None when another tool made the run.
        rule: the version of the settling rule under which the run was marked final; None when it was not.
        last_step: the highest training step the run has; -1 without any.
        source: where its rows came from, "file" or "events"; None without any.
        results_file: the id of the job's results file, once it was known.
        datasets: whether the job's files are attached.
        foreign: whether another tool (wandb's own WandbLogger) filled it.
    """

    id: str
    state: str
    url: str = ""
    status: str | None = None
    rule: int | None = None
    last_step: int = -1
    source: str | None = None
    results_file: str | None = None
    datasets: bool = False
    foreign: bool = False


@dataclass(frozen=True)
class Selection:
    """Which jobs: these ids, the newest so many of each account, those created since (seconds since the epoch); or all."""

    jobs: frozenset[str] = frozenset()
    last: int | None = None
    since: float | None = None

    def of(self, jobs: Iterable[Job]) -> list[Job]:
        """The selected ones of an account's jobs, which come newest first."""
        chosen = [job for job in jobs if not self.jobs or job.id in self.jobs]
        if self.since is not None:
            chosen = [job for job in chosen if job.created_at >= self.since]
        return chosen[: self.last]


ALL = Selection()


class Result(StrEnum):
    """How one job came out of one tick."""

    SYNCED = "synced"
    OWED = "owed"
    CURRENT = "current"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What one tick did for one job.

    Attributes:
        job: the job id; empty when an account could not even say which jobs it has.
        account: whose job.
        result: synced (something was written), owed (it would be, without --dry-run), current (nothing was owed),
            skipped or failed (`why` says why).
        status: the job's status.
        why: one sentence for people; empty when there is nothing to say.
        hint: what to do about it; empty when there is nothing to do.
        steps: metric rows written by this tick.
        last_step: the last training step that the run shows now; None when it shows none.
        did: what was done, as short phrases ("104 new steps", "2 models", "settled").
        run_url: the run in W&B; empty when there is none.
        final: whether nothing more is to come for this job, or waiting would not change what stands in its way.
    """

    job: str
    account: str
    result: Result
    status: str = ""
    why: str = ""
    hint: str = ""
    steps: int = 0
    last_step: int | None = None
    did: tuple[str, ...] = ()
    run_url: str = ""
    final: bool = False
