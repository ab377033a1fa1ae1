"""What the engine talks about: jobs, events, metric rows, checkpoints, runs and outcomes. Data only, no SDK."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
"""The statuses after which a job does not change. Everything else, unknown ones too, is still going on."""

OPENAI = "openai"
"""The name of OpenAI's own platform among the accounts."""

DELETED = "deleted"
"""The status that a run shows when its job was deleted before its end was seen."""

MOVING = frozenset({"created", "validating_files", "pending", "queued", "running", "pausing", "resuming"})
"""The statuses that pass by themselves. A paused job waits for a person, and of an unknown status nobody can say."""

Cell = str | int | float | bool | None
"""What a table holds in one place."""


class Method(StrEnum):
    """The training methods that are known, in the API's words. A job may have a newer one."""

    SUPERVISED = "supervised"
    DPO = "dpo"
    REINFORCEMENT = "reinforcement"


class DatasetPolicy(StrEnum):
    """How much of a training file goes to W&B. Training data is private."""

    FULL = "full"  # the file and a table of its examples
    SAMPLE = "sample"  # a table of some examples
    REFERENCE = "reference"  # that it was used, its id, size and statistics; none of its text
    OFF = "off"  # nothing


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
        finished_at: the end, as the service shows it now: Azure moves it by weeks when a file of the job is deleted (recorded).
        estimated_finish: when the service expects the end; out of date while the job is paused, and once it ended.
        method: "supervised", "dpo", "reinforcement" or whatever comes next; None when the service does not say (Azure's
            stable api-version 2024-10-21 does not).
        hyperparameters: as the job's method has them; "auto" and -1 mean that the service has not chosen yet.
        method_options: what else the method carries (a grader, a response format), unpacked as it came.
        training_type: Azure's trainingType ("Standard", "GlobalStandard", "developerTier", …); the v1 surface shows it.
        region: Azure's name of the account's region ("swedencentral"); None where nobody says.
        integrations: the job's own reporting ("wandb": it already logs there by itself).
        extras: fields no type here knows, kept as they came.
        malformed: names of fields whose value could not be used, which then count as absent.
    """

    id: str
    account: str
    status: str
    model: str
    created_at: int
    training_file: str
    finished_at: int | None = None
    estimated_finish: int | None = None
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
    region: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)
    malformed: tuple[str, ...] = ()

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
    """A line of a training file that is no example. `message` quotes nothing of the line: training data is private."""

    line: int
    message: str


def alerted_condition(value: Any) -> str | None:
    """Return the condition that a stored `RunState.alerted` names; version 0.1 stored whether a failure was alerted."""
    return value if isinstance(value, str) else "failed" if value is True else None


@dataclass(frozen=True)
class RunState:
    """What W&B shows for a job: the newest of its runs, as there are several once one was made to replace another.

    Attributes:
        id: the run id: the job's id, `<job id>-2` of the run that replaced that one, and so on.
        number: which of the job's runs it is, from 1 up.
        state: W&B's word: "running", "finished", "failed", "crashed", …
        url: where people look at it.
        status: the job status that the run was last brought to; of another tool's run, what its summary says.
        model: the fine-tuned model that its summary names.
        account: whose job it is, as the run was told; None when another tool made it.
        rule: the version of the settling rule under which the run was marked final; None when it was not.
        last_step: the highest training step the run has; -1 without any.
        source: where its rows came from, "file" or "events"; None without any.
        results_file: the id of the job's results file, once it was known.
        datasets: whether the job's files are attached.
        alerted: the condition of the job that people were last alerted to; empty for none.
        ended: when the job was first seen terminal, in seconds since the epoch; None when it was not.
        best: the best value of each metric and its step.
        lines: how many rows the run has; W&B may say too few for some seconds.
        foreign: whether another tool (wandb's own WandbLogger) made it.
        superseded_by: the id of the run that replaced it, which is gone, as else that one would be shown here.
        unmarked: ids of the job's previous runs that do not say yet that they were replaced.
    """

    id: str
    state: str
    url: str = ""
    status: str | None = None
    account: str | None = None
    rule: int | None = None
    last_step: int = -1
    source: str | None = None
    results_file: str | None = None
    datasets: bool = False
    alerted: str = ""
    foreign: bool = False
    number: int = 1
    model: str | None = None
    ended: int | None = None
    best: Mapping[str, Any] = field(default_factory=dict)
    lines: int = 0
    superseded_by: str | None = None
    unmarked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conventions:
    """What people who call `sync()` want new runs and models to be called. Nothing set: as the engine does it.

    Attributes:
        tags: beside the engine's own.
        config: beside the job's own values, which win.
        model_artifact: one name for the models of all jobs; None is one for each family of jobs.
        model_type: the artifact type of models.
    """

    name: str | None = None
    notes: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    model_artifact: str | None = None
    model_type: str = "model"


USUAL = Conventions()


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
    PENDING = "pending"
    CURRENT = "current"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What one tick did for one job.

    Attributes:
        job: the job id; empty when an account could not even say which jobs it has.
        account: whose job.
        result: synced (something was written), pending (there is work that was not done, as under --dry-run), current (there was
            none), skipped or failed (`message` says why).
        status: the job's status.
        message: one sentence for people; empty when there is nothing to say.
        hint: what to do about it; empty when there is nothing to do.
        steps: metric rows written by this tick.
        last_step: the last training step that the run shows now; None when it shows none.
        actions: what was done, as short phrases ("104 new steps", "2 models", "settled").
        warnings: what was left undone without failing the job, each with what to do about it.
        run_url: the run in W&B; empty when there is none.
        final: whether nothing more is to come for this job, or waiting would not change what stands in its way.
    """

    job: str
    account: str
    result: Result
    status: str = ""
    message: str = ""
    hint: str = ""
    steps: int = 0
    last_step: int | None = None
    actions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    run_url: str = ""
    final: bool = False

    @property
    def summary(self) -> str:
        """One line: why something was not done, or what was done."""
        steps = [f"{self.steps:,} new step{'s' * (self.steps > 1)}"] if self.steps else []
        message = [self.message.rstrip(".")] if self.message else []
        return "; ".join([*message, *steps, *self.actions]) or "nothing new"

    @property
    def moving(self) -> bool:
        """Whether waiting brings more: late events, further steps, an account that answers again."""
        return not self.final and self.status in {"", *MOVING, *TERMINAL}
