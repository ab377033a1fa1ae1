"""The course of a fine-tuning job: dated messages, steps and states, from its script and callers' requests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sandbox.azure.openai.script import JobScript, epoch

TERMINAL = ("succeeded", "failed", "cancelled")
PAUSING_SECONDS = 30.0  # UNVERIFIED: how long a pause or resume takes on the service


@dataclass(frozen=True)
class Action:
    """A caller's request about a job, at virtual epoch seconds."""

    at: float
    verb: Literal["cancel", "pause", "resume"]


@dataclass(frozen=True)
class Message:
    """A future message event."""

    at: float
    text: str
    level: str = "info"


@dataclass(frozen=True)
class Span:
    """Consecutive steps `first`…`last`; step s is done at begins + (s - first + 1) · pace."""

    first: int
    last: int
    begins: float
    pace: float

    def at(self, step: int) -> float:
        """Return the time at which `step` is done."""
        return self.begins + (step - self.first + 1) * self.pace

    def done(self, now: float) -> int:
        """Return the last step that is done by `now`; first - 1 if there is none."""
        if math.isinf(self.begins):
            return self.first - 1
        if math.isinf(now):
            return self.last
        # Epoch seconds are only precise to a quarter of a microsecond; a step that is done "now" must count despite this.
        return min(self.last, self.first - 1 + max(0, math.floor((now - self.begins + 1e-6) / self.pace)))


@dataclass(frozen=True)
class Course:
    """A job's whole course, oldest first; entries after `now` have not happened yet.

    `training` is when training started (the results file exists from then), `finished` when the last state came.
    """

    log: tuple[Message | Span, ...]
    states: tuple[tuple[float, str], ...]
    training: float = math.inf
    finished: float = math.inf

    def status(self, now: float) -> str:
        """Return the status at `now`, as Azure spells it."""
        return [state for at, state in self.states if at <= now][-1]

    def steps(self, now: float) -> int:
        """Return the number of steps that are done at `now`."""
        spans = [entry for entry in self.log if isinstance(entry, Span)]
        return max((done for span in spans if (done := span.done(now)) >= span.first), default=0)

    def step_at(self, step: int) -> float:
        """Return the time at which `step` is done; step 0 is the start of training."""
        for span in self.log:
            if isinstance(span, Span) and span.first <= step <= span.last:
                return span.at(step)
        return self.training

    def cut(self, at: float) -> "Course":
        """Return the same course up to and including `at`, with nothing after it."""
        log: list[Message | Span] = []
        for entry in self.log:
            if isinstance(entry, Message):
                if entry.at <= at:
                    log.append(entry)
            elif (last := entry.done(at)) >= entry.first:
                log.append(replace(entry, last=last))
        states = tuple(s for s in self.states if s[0] <= at)
        training = self.training if self.training <= at else math.inf
        return Course(tuple(log), states, training, math.inf)

    def cancelled(self, at: float) -> "Course":
        """Return the same course, ended by a cancellation at `at`."""
        cut = self.cut(at)
        words = Message(at, _CANCELLED)
        return replace(cut, log=(*cut.log, words), states=(*cut.states, (at, "cancelled")), finished=at)


# UNVERIFIED wordings: no recording of the events of a failed, cancelled or paused job was found.
_CANCELLED = "Job cancelled."
_PAUSED = "Job paused."
_RESUMED = "Job resumed."


def course_of(script: JobScript, origin: float, actions: Sequence[Action] = ()) -> Course:
    """Return the course of a job with this script, in a scenario that starts at `origin` (epoch seconds)."""
    course = _Walk(script, epoch(script.created, origin), actions).walk()
    at = min((a.at for a in actions if a.verb == "cancel"), default=math.inf)
    return course.cancelled(at) if at < course.finished else course


class _Walk:
    """Walks the timeline once and records the events with their times."""

    def __init__(self, script: JobScript, created: float, actions: Sequence[Action]) -> None:
        self._script = script
        self._line = script.timeline
        self._words = OPENAI if script.style == "openai" else AZURE
        self._now = created
        self._training = math.inf
        self._log: list[Message | Span] = []
        self._states: list[tuple[float, str]] = []
        self._pauses = {p.at_step: math.inf if p.lasts is None else p.lasts for p in script.pauses}
        if script.outcome.status == "paused" and script.outcome.at_step:
            self._pauses[script.outcome.at_step] = math.inf
        self._actions = sorted(actions, key=lambda a: a.at)

    def walk(self) -> Course:
        """Return the course up to the end that the outcome defines."""
        script, line, stop = self._script, self._line, self._script.outcome.phase
        self._state("pending")
        self._say(self._words.queue)
        self._now += line.queued
        if stop == "queue":
            return self._end()
        self._say(self._words.preprocessing)
        self._now += line.preprocessing
        if stop == "preprocessing":
            return self._end()
        self._say(self._words.validated if script.validation_file else self._words.validated[:1])
        self._state("running")
        self._say(self._words.started)
        self._now += line.gpu_wait
        self._training = self._now
        self._say(self._words.training)
        stops = stop == "training" and script.outcome.status != "paused"  # a resume may end a pause
        self._train((script.outcome.at_step or 0) if stops else line.steps)
        if stops:
            return self._end()
        self._now += line.postprocessing
        return self._end() if stop == "postprocessing" else self._succeed()

    def _succeed(self) -> Course:
        self._say([self._words.success])
        succeeded = self._now
        after = self._script.messages if self._script.messages is not None else self._words.after
        for i, text in enumerate(after, 1):
            self._now = succeeded + self._line.evaluation * i / len(after)
            self._say([text])
        self._now = succeeded + self._line.finished_after
        self._state("succeeded")
        return self._course()

    def _end(self) -> Course:
        outcome = self._script.outcome
        if self._states[-1][1] != outcome.status:
            self._state(outcome.status)
        if outcome.status == "failed":
            reason = outcome.error.message if outcome.error else "The job failed due to an internal error."
            self._log.append(Message(self._now, f"Job failed. {reason}", "error"))
        elif outcome.status == "cancelled":
            self._say([_CANCELLED])
        return self._course()

    def _course(self) -> Course:
        # Nothing happens after a pause that does not end.
        log = [entry for entry in self._log if not isinstance(entry, Message) or not math.isinf(entry.at)]
        states = [state for state in self._states if not math.isinf(state[0])]
        finished = states[-1][0] if states[-1][1] in TERMINAL else math.inf
        return Course(tuple(log), tuple(states), self._training, finished)

    def _train(self, last: int) -> None:
        done, pace = 0, self._line.seconds_per_step
        while done < last:
            span = Span(done + 1, last, self._now, pace)
            pause = self._next_pause(span)
            if pause is None:
                self._log.append(span)
                self._now = span.at(last)
                return
            at, lasts = pause
            done = span.done(at)
            if done >= span.first:
                self._log.append(replace(span, last=done))
            self._rest(at, lasts)

    def _next_pause(self, span: Span) -> tuple[float, float] | None:
        """Return (start, length) of the next pause during `span`, from the script or from a request."""
        scripted = min((s for s in self._pauses if s >= span.first), default=None)
        asked = next((a.at for a in self._actions if a.verb == "pause" and span.begins <= a.at), math.inf)
        at = span.at(scripted) if scripted is not None else math.inf
        if min(at, asked) >= span.at(span.last) and scripted != span.last:
            return None
        if asked < at or scripted is None:
            return asked, math.inf
        return at, self._pauses.pop(scripted)

    def _rest(self, at: float, lasts: float) -> None:
        """A pause from `at`: pausing, paused, resuming, running. A caller's resume ends it early."""
        self._now = at
        self._say([_PAUSED])
        self._state("pausing")
        self._now = at + PAUSING_SECONDS
        self._state("paused")
        asked = next((a.at for a in self._actions if a.verb == "resume" and a.at >= at), math.inf)
        self._now = max(min(at + lasts, asked), at + PAUSING_SECONDS)
        self._state("resuming")
        self._now += PAUSING_SECONDS
        self._state("running")
        self._say([_RESUMED])

    def _state(self, status: str) -> None:
        self._states.append((self._now, status))

    def _say(self, lines: Sequence[str]) -> None:
        script = self._script
        known = {"job": script.id, "training": script.training_file, "file": script.results_file}
        filled = (line.format(**known, tokens=script.tokens) for line in lines)
        self._log.extend(Message(self._now, line) for line in filled)


@dataclass(frozen=True)
class _Words:
    """The messages of one platform, phase by phase."""

    queue: Sequence[str]
    preprocessing: Sequence[str]
    validated: Sequence[str]  # the training file's, then the validation file's
    started: Sequence[str]
    training: Sequence[str]
    success: str
    after: Sequence[str]


# Microsoft, fine-tuning tutorial and microsoft-foundry/fine-tuning (printed events of real jobs).
AZURE = _Words(
    queue=["Job enqueued. Waiting for jobs ahead to complete."],
    preprocessing=["Preprocessing running for file training file."],
    validated=["Preprocessing completed for file training file.", "Preprocessing completed for file validation file."],
    started=["Job started.", "Data Import started.", "Finetuning started.", "Job queued, waiting for GPUs."],
    training=["Training started.", "Created results file: {file}"],
    success="Job succeeded.",
    after=["Model Evaluation Passed.", "Completed results file: {file}", "Training tokens billed: {tokens}"],
)
# OpenAI, fine-tuning guide.
OPENAI = _Words(
    queue=["Created fine-tuning job: {job}", "Validating training file: {training}"],
    preprocessing=["Files validated, moving job to queued state"],
    validated=[],
    started=["Fine-tuning job started"],
    training=[],
    success="New fine-tuned model created",
    after=["The job has successfully completed"],
)
