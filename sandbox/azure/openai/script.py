"""A scenario's script of a fine-tuning job: its creation, its course, its end, its metrics."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sandbox.runtime.clock import Duration, parse_duration


def digest(*parts: object) -> str:
    """Return 32 hex digits derived from `parts`, for ids and seeds, so that the same scenario gives the same world."""
    return hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def parse_moment(value: object) -> object:
    """An offset in seconds (see parse_duration) or an ISO 8601 time; one without a zone is UTC."""
    value = parse_duration(value)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value


Moment = Annotated[float | datetime, BeforeValidator(parse_moment)]


def epoch(moment: float | datetime, origin: float) -> float:
    """Epoch seconds of a Moment; offsets count from `origin`, the scenario's start."""
    return moment.timestamp() if isinstance(moment, datetime) else origin + moment


class Script(BaseModel):
    """Base of all parts of a scenario: nothing is converted silently, and unknown keys are errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Curve(Script):
    """One metric over the steps: a shape from `start` to `end`, or `points` (step: value) with lines between them.

    `every` is the distance between steps that carry a value, or "epoch" for ends of epochs; by default the name
    decides: full_valid_… at ends of epochs, valid_… at the job's `validation_every`, anything else at every step.
    `levels` rounds to that many equal steps of 1, as an accuracy over few tokens does.
    """

    shape: Literal["decay", "linear", "saturate"] = "decay"
    start: float = 1.0
    end: float = 1.0
    noise: float = Field(default=0.0, ge=0)
    low: float | None = None
    high: float | None = None
    levels: int | None = Field(default=None, ge=1)
    points: dict[int, float] | None = Field(default=None, min_length=1)
    every: Annotated[int, Field(ge=1)] | Literal["epoch"] | None = None

    @model_validator(mode="after")
    def _decay_is_positive(self) -> "Curve":
        if self.points is None and self.shape == "decay" and min(self.start, self.end) <= 0:
            raise ValueError("a decay goes from a positive start to a positive end")
        return self


SUPERVISED_METRICS = {
    "train_loss": Curve(start=2.0, end=0.4, noise=0.08),
    "train_mean_token_accuracy": Curve(shape="saturate", start=0.55, end=0.97, noise=0.03, low=0.0, high=1.0),
}
VALIDATION_METRICS = {
    "valid_loss": Curve(start=2.1, end=0.7, noise=0.05),
    "valid_mean_token_accuracy": Curve(shape="saturate", start=0.5, end=0.86, noise=0.02, low=0.0, high=1.0),
    "full_valid_loss": Curve(start=2.1, end=0.72),
    "full_valid_mean_token_accuracy": Curve(shape="saturate", start=0.5, end=0.85),
}
# Metric names of reinforcement jobs: Microsoft, "Reinforcement fine-tuning". Of DPO jobs only the loss is documented.
METHOD_METRICS = {
    "supervised": SUPERVISED_METRICS,
    "dpo": {"train_loss": Curve(start=0.69, end=0.000004, noise=0.1)},
    "reinforcement": {
        "train_reward_mean": Curve(shape="saturate", start=0.2, end=0.8, noise=0.05),
        "train_reasoning_tokens_mean": Curve(shape="linear", start=420.0, end=610.0, noise=15.0),
    },
}


class JobError(Script):
    """A failed job's `error`."""

    code: str
    message: str
    param: str | None = None


class Timeline(Script):
    """How long each phase takes, in virtual seconds (or "90s", "1h30m")."""

    queued: Duration = 60.0
    preprocessing: Duration = 90.0
    gpu_wait: Duration = 30.0
    steps: int = Field(default=100, ge=1)
    seconds_per_step: Annotated[float, BeforeValidator(parse_duration), Field(gt=0)] = 6.0
    epochs: int | None = Field(default=None, ge=1)  # None: hyperparameters.n_epochs, or 1
    checkpoints: int = Field(default=3, ge=0)  # kept, of the last epochs (Microsoft, fine-tuning tutorial: 3)
    postprocessing: Duration = 600.0  # last step → "Job succeeded."
    finished_after: Duration = 0.0  # "Job succeeded." → status succeeded and finished_at; hours in some recordings
    evaluation: Duration = 9.0  # "Job succeeded." → the last event, "Training tokens billed"


class Pause(Script):
    """A pause after a step; without `lasts` it lasts until somebody resumes the job."""

    at_step: int = Field(ge=1)
    lasts: Duration | None = None


class Outcome(Script):
    """The end of the job: its last status, and its point on the timeline (the end, for "succeeded").

    A status that is not terminal (pending, running, or an unknown one) never ends.
    """

    status: str = "succeeded"
    during: Literal["queue", "preprocessing", "training", "postprocessing"] | None = None
    at_step: int | None = Field(default=None, ge=0)
    error: JobError | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_status(cls, value: object) -> object:
        return {"status": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _point_is_given(self) -> "Outcome":
        if self.status not in ("succeeded", "pending") and self.during is None and self.at_step is None:
            raise ValueError(f"outcome {self.status!r} needs `during` or `at_step`: the point at which the job stops")
        if self.during == "training" and self.at_step is None:
            raise ValueError("an outcome during training needs `at_step`")
        return self

    @property
    def phase(self) -> str:
        """The point at which the job stops; "end" means that it runs to its end."""
        if self.during is not None:
            return self.during
        if self.at_step is not None:
            return "training"
        return "queue" if self.status == "pending" else "end"


class Events(Script):
    """The steps with a metrics event: every n-th step, and the first (as in recorded DPO runs)."""

    every: int = Field(default=10, ge=1)
    first_step: bool = True


class Results(Script):
    """The results file.

    `columns` are the header without "step"; a documented name such as validation_mean_token_accuracy stands for
    the metric valid_mean_token_accuracy. `listed`: from when the job names it in result_files.
    """

    file: str | None = None
    columns: list[str] | None = None
    missing: Literal["", "-1"] = ""
    base64: bool = False
    cut: bool = False  # a read while the job trains ends in the middle of a row
    purged: bool = False  # the content is gone: 404
    listed: Literal["training", "succeeded", "never"] = "training"


class Method(Script):
    """`method` of the job. `parameters` is the value under the method's name, e.g. {hyperparameters: {beta: 0.1}}."""

    type: Literal["supervised", "dpo", "reinforcement"] = "supervised"
    parameters: dict[str, Any] = Field(default_factory=dict)
    shown: bool = True  # jobs created without `method` come back without it

    @model_validator(mode="before")
    @classmethod
    def _from_type(cls, value: object) -> object:
        return {"type": value} if isinstance(value, str) else value


class Recorded(Script):
    """Recorded answers, served unchanged: the job's body, events and checkpoints (newest first), and the results file.

    Without events or checkpoints the job has none; without `results` its results file is missing.
    """

    body: dict[str, Any]
    events: list[dict[str, Any]] = Field(default_factory=list)
    checkpoints: list[dict[str, Any]] = Field(default_factory=list)
    results: str | None = None


class JobCourse(Script):
    """The script of jobs that no scenario describes."""

    timeline: Timeline = Timeline()
    outcome: Outcome = Outcome()
    pauses: list[Pause] = Field(default_factory=list)
    metrics: dict[str, Curve] = Field(default_factory=dict)  # empty means the usual metrics of the method
    validation_every: int = Field(default=10, ge=1)
    events: Events = Events()
    results: Results = Results()
    messages: list[str] | None = None  # after "Job succeeded."; {file} and {tokens} are filled in

    @model_validator(mode="after")
    def _stops_within_its_steps(self) -> "JobCourse":
        for step in [self.outcome.at_step or 0, *(p.at_step for p in self.pauses)]:
            if step > self.timeline.steps:
                raise ValueError(f"step {step} is beyond the timeline's {self.timeline.steps} steps")
        return self


class JobScript(JobCourse):
    """A fine-tuning job of a scenario.

    `style` is how its body is written: "azure" leaves out what has no value; "openai" writes nulls and empty lists,
    as OpenAI's own platform does and one recorded Azure reinforcement job did.
    """

    id: str = Field(min_length=1)
    model: str = Field(min_length=1)
    training_file: str = Field(min_length=1)
    validation_file: str | None = None
    created: Moment = 0.0
    project: str | None = None  # the Foundry project that it belongs to
    suffix: str | None = None
    seed: int | None = None
    method: Method = Method()
    hyperparameters: dict[str, float | int] = Field(default_factory=dict)
    auto: list[str] = Field(default_factory=list)  # hyperparameters that read -1 until training starts
    training_type: str | None = None
    trained_tokens: int | None = None
    integrations: list[dict[str, Any]] | None = None
    metadata: dict[str, str] | None = None
    style: Literal["azure", "openai"] = "azure"
    extra: dict[str, Any] = Field(default_factory=dict)  # undocumented fields, in every version's body
    retires: Moment | None = None  # when the model of the job ends; without it the service does not know the model
    recorded: Recorded | None = None  # replaces everything that follows from the other fields

    @property
    def measured(self) -> dict[str, Curve]:
        """The metrics that the job reports, in order."""
        if self.metrics:
            return self.metrics
        extra = VALIDATION_METRICS if self.validation_file and self.method.type == "supervised" else {}
        return {**METHOD_METRICS[self.method.type], **extra}

    @property
    def epochs(self) -> int:
        """The number of epochs that the steps are divided into."""
        epochs = self.timeline.epochs or int(self.hyperparameters.get("n_epochs", 0))
        return min(max(epochs, 1), self.timeline.steps)

    @property
    def tokens(self) -> int:
        """The billed tokens."""
        if self.trained_tokens is not None:
            return self.trained_tokens
        return self.timeline.steps * max(int(self.hyperparameters.get("batch_size", 1)), 1) * 137

    @property
    def results_file(self) -> str:
        """The id of the results file."""
        if self.recorded and self.recorded.body.get("result_files"):
            return str(self.recorded.body["result_files"][0])
        return self.results.file or f"file-{digest(self.id, 'results')}"
