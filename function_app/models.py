"""The data of the engine: jobs, events, metric rows, checkpoints, runs and outcomes. No SDK types."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
"""The statuses in which a job no longer changes. All others, including unknown ones, are unfinished."""

OPENAI = "openai"
"""The name of OpenAI's own platform among the accounts."""

DELETED = "deleted"
"""The status of a run whose job was deleted before its end was seen."""

MOVING = frozenset({"created", "validating_files", "pending", "queued", "running", "pausing", "resuming"})
"""The statuses that end without anybody's action. A paused job may wait for somebody (`Job.resumes`), and so may a job in an
unknown status."""

_DEVELOPER_TIER = "developertier"

Cell = str | int | float | bool | None
"""The value of a table cell."""


class Method(StrEnum):
    """The known training methods, with the API's names. A job may have a newer one."""

    SUPERVISED = "supervised"
    DPO = "dpo"
    REINFORCEMENT = "reinforcement"


class DatasetPolicy(StrEnum):
    """How much of a training file goes to W&B. Training data is private."""

    FULL = "full"  # the file and a table of its examples
    SAMPLE = "sample"  # a table of some examples
    REFERENCE = "reference"  # its use, id, size and statistics, but none of its text
    OFF = "off"  # nothing


@dataclass(frozen=True)
class MetricRow:
    """The metrics of one training step.

    Attributes:
        step: the training step, from 1 up.
        values: metric name → finite number; a metric without a value at this step is absent.
        at: the time of the step, in seconds since the epoch; None if unknown.
    """

    step: int
    values: Mapping[str, float]
    at: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A model that a job saved during training (one per epoch; Azure keeps the last three)."""

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
    """The error of a failed job."""

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
        method: "supervised", "dpo", "reinforcement" or a newer one; None if the service does not show it (Azure's
            stable api-version 2024-10-21 does not).
        hyperparameters: those of the job's method; "auto" and -1 mean that the service has not chosen yet.
        method_options: the other fields of the method (a grader, a response format), unchanged.
        training_type: Azure's trainingType ("Standard", "GlobalStandard", "developerTier", …); the v1 surface shows it.
        region: Azure's name of the account's region ("swedencentral"); None if unknown.
        integrations: the job's own integrations ("wandb" means that it logs to W&B by itself).
        extras: other fields, unchanged.
        malformed: names of fields with unusable values, which count as absent.
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

    @property
    def developer_tier(self) -> bool:
        """Whether the service pauses and resumes the job by itself (Microsoft, cost management for fine-tuning)."""
        return (self.training_type or "").lower() == _DEVELOPER_TIER

    @property
    def resumes(self) -> bool:
        """Whether the job is paused and the service resumes it by itself. That its status is then `paused` is UNVERIFIED."""
        return self.status == "paused" and self.developer_tier


@dataclass(frozen=True)
class ModelEnds:
    """When a model ends, in seconds since the epoch; None where the service does not say.

    Attributes:
        inference: when it stops answering.
        training: when a base model can no longer be trained, by customers that never used it (Microsoft, model retirement).
    """

    inference: float | None = None
    training: float | None = None


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
    """A line of a training file that is not an example. `message` does not quote the line, as training data is private."""

    line: int
    message: str


def alerted_condition(value: Any) -> str | None:
    """Return the condition that a stored `RunState.alerted` names; version 0.1 stored whether a failure was alerted."""
    return value if isinstance(value, str) else "failed" if value is True else None


@dataclass(frozen=True)
class RunState:
    """W&B's state of a job: the newest of its runs. There are several if a run was replaced.

    Attributes:
        id: the run id: the job's id, or `<job id>-2` for the run that replaced the first one, and so on.
        number: the number of the run among the job's runs, from 1.
        state: W&B's state: "running", "finished", "failed", "crashed", …
        url: the address of its page.
        status: the job status at the last sync; for another tool's run, the status in its summary.
        model: the fine-tuned model in its summary.
        account: the account of the job, from the run's config; None if another tool made the run.
        rule: the version of the settling rule by which the run was marked final; None if it is not final.
        last_step: the highest training step the run has; -1 without any.
        source: the source of its rows, "file" or "events"; None if it has none.
        results_file: the id of the job's results file, if known.
        datasets: whether the job's files are attached.
        alerted: the condition of the job that people were last alerted to; empty for none.
        ended: when the job was first seen terminal, in seconds since the epoch; None if it was not.
        best: the best value of each metric and its step.
        lines: the number of rows of the run; W&B may show too few for some seconds.
        surplus: the rows that W&B shows beyond those that we wrote, negative for missing ones, while that can still be corrected.
        foreign: whether another tool, wandb's own WandbLogger, made it.
        other_user: the W&B user who made it, if that is not the user of our key.
        superseded_by: the id of the run that replaced it and was deleted. If it existed, it would be the newest run.
        unmarked: ids of the job's previous runs that are not yet marked as superseded.
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
    other_user: str = ""
    number: int = 1
    model: str | None = None
    ended: int | None = None
    best: Mapping[str, Any] = field(default_factory=dict)
    lines: int = 0
    surplus: int = 0
    superseded_by: str | None = None
    unmarked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conventions:
    """Names, tags and config for new runs and models, from callers of `sync()`. Unset values mean the engine's defaults.

    Attributes:
        tags: tags in addition to the engine's.
        config: config values in addition to the job's, which take precedence.
        model_artifact: one name for the models of all jobs; None for one artifact per family of jobs.
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


@dataclass(frozen=True)
class Selection:
    """Selects jobs: by id, the newest of each account, those created since a time (seconds since the epoch), or all."""

    jobs: frozenset[str] = frozenset()
    last: int | None = None
    since: float | None = None

    def of(self, jobs: Iterable[Job]) -> list[Job]:
        """Return the selected jobs of an account. `jobs` are sorted, the newest first."""
        chosen = [job for job in jobs if not self.jobs or job.id in self.jobs]
        if self.since is not None:
            chosen = [job for job in chosen if job.created_at >= self.since]
        return chosen[: self.last]


ALL = Selection()


class Result(StrEnum):
    """The result of one tick for one job."""

    SYNCED = "synced"
    PENDING = "pending"
    CURRENT = "current"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """The result, the actions and the messages of one tick for one job.

    Attributes:
        job: the job id; empty if an account could not be listed.
        account: the account of the job.
        result: synced (something was written), pending (there is unfinished work, as with --dry-run), current (there was no
            work), skipped or failed (`message` has the reason).
        status: the job's status.
        message: one sentence for people, or empty.
        hint: the next step; empty if there is none.
        steps: metric rows written by this tick.
        last_step: the last training step that the run shows now; None if it shows none.
        figures: times, progress, billing and cost of the job as the run's summary has them; only what is known.
        actions: what was done, as short phrases ("104 new steps", "2 models", "settled").
        warnings: problems that did not fail the job, each with the next step.
        run_url: the run in W&B; empty if there is none.
        final: whether there will be no more work for this job, or waiting does not help.
        resumes: whether the job is paused and the service resumes it by itself.
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
    figures: Mapping[str, Any] = field(default_factory=dict)
    resumes: bool = False

    @property
    def summary(self) -> str:
        """Return one line: the reason why work was not done, or what was done; and when the job is expected to end."""
        steps = [f"{self.steps:,} new step{'s' * (self.steps > 1)}"] if self.steps else []
        message = [self.message.rstrip(".")] if self.message else []
        expected = self.estimated_finish.replace("T", " ").replace("Z", " UTC")
        estimate = [f"expected to end at {expected}"] if expected else []
        return "; ".join([*([*message, *steps, *self.actions] or ["nothing new"]), *estimate])

    @property
    def estimated_finish(self) -> str:
        """Return the service's estimate of the job's end, in ISO 8601; empty if there is none."""
        return str(self.figures.get("estimated_finish") or "")

    @property
    def waiting_helps(self) -> bool:
        """Whether waiting helps: late events, further steps, or an account that answers again."""
        return not self.final and (self.resumes or self.status in {"", *MOVING, *TERMINAL})
