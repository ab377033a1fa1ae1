"""A fine-tuning job as a pure function of (script, now): body, events, checkpoints, results file. Times are epoch seconds.

It supports jobs of 100,000 steps: events, checkpoints and rows are created on request, never the whole list.
"""

import base64
import math
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sandbox.azure.openai.course import Action, Course, Message, Span, course_of
from sandbox.azure.openai.metrics import Figures, epoch_ends, number, text
from sandbox.azure.openai.script import JobScript, Recorded, digest, epoch

ORGANIZATION = f"org-{digest('organization')[:24]}"


class Job:
    """One fine-tuning job. It is immutable except for caches: the same (script, origin, actions, now) gives the same answers."""

    def __init__(self, script: JobScript, origin: float, actions: Sequence[Action] = ()) -> None:
        self.script = script
        self.created = epoch(script.created, origin)
        self.course: Course = course_of(script, origin, actions)
        self._figures = Figures(script)
        self._results = _Csv(script, self._figures)

    @property
    def id(self) -> str:
        """The job's id, ftjob-…"""
        return self.script.id

    def status(self, now: float) -> str:
        """Return the status at `now`, as the job's platform spells it."""
        status = self.course.status(now)
        if self.script.style == "openai" and status == "pending":
            return "validating_files" if now < self.created + self.script.timeline.queued else "queued"
        return status

    # -- the job itself

    def body(self, now: float) -> dict[str, Any]:
        """The job as the service shows it at `now`, with every field that any version of the API has."""
        script, succeeded = self.script, self._ended(now, "succeeded")
        common = {
            "id": script.id,
            "object": "fine_tuning.job",
            "model": script.model,
            "status": self.status(now),
            "created_at": int(self.created),
            "finished_at": int(self.course.finished) if self.course.finished <= now else None,
            "estimated_finish": self._estimate,
            "training_file": script.training_file,
            "validation_file": script.validation_file,
            "result_files": self._listed_results(now),
            "fine_tuned_model": self.fine_tuned_model if succeeded else None,
            "trained_tokens": script.tokens if succeeded else None,
            "error": self._error(now),
            "seed": self._seed,
            "integrations": script.integrations,
            "metadata": script.metadata,
        }
        return (self._in_openais_style if script.style == "openai" else self._in_azures_style)(
            now, common
        ) | script.extra

    def _in_azures_style(self, now: float, common: dict[str, Any]) -> dict[str, Any]:
        script = self.script
        body = common | {
            "hyperparameters": self._hyperparameters(now) or None,
            "suffix": script.suffix,
            "method": self._method() if script.method.shown else None,
            "result_files": common["result_files"] or None,
            "trainingType": script.training_type,
        }
        return {key: value for key, value in body.items() if value is not None}

    def _in_openais_style(self, now: float, common: dict[str, Any]) -> dict[str, Any]:
        method, given = self.script.method, {"hyperparameters": self._hyperparameters(now)}
        supervised = given if method.type == "supervised" else {}
        return {
            **common,
            **supervised,
            "organization_id": ORGANIZATION,
            "error": common["error"] or {},
            "user_provided_suffix": self.script.suffix,
            "estimated_finish": self._estimate if self.status(now) == "running" else None,
            "integrations": common["integrations"] or [],
            "usage_metrics": None,
            "shared_with_openai": False,
            "eval_id": None,
            "method": {"type": method.type, method.type: {**given, **method.parameters}},
        }

    def _ended(self, now: float, status: str) -> bool:
        return self.course.status(now) == status

    def _hyperparameters(self, now: float) -> dict[str, float | int]:
        waiting = now < self.course.training
        return {
            name: -1 if waiting and name in self.script.auto else number(float(value))
            for name, value in self.script.hyperparameters.items()
        }

    def _method(self) -> dict[str, Any]:
        # Recorded supervised jobs contain only the type; the place of DPO's parameters is UNVERIFIED.
        method = self.script.method
        return {"type": method.type, method.type: method.parameters} if method.parameters else {"type": method.type}

    def _error(self, now: float) -> dict[str, Any] | None:
        error = self.script.outcome.error
        return error.model_dump(exclude_none=True) if error and self._ended(now, "failed") else None

    def _listed_results(self, now: float) -> list[str]:
        listed = {"training": self.course.training <= now, "succeeded": self._ended(now, "succeeded"), "never": False}
        return [self.script.results_file] if listed[self.script.results.listed] else []

    @cached_property
    def _seed(self) -> int:
        return self.script.seed if self.script.seed is not None else int(digest(self.id, "seed")[:7], 16)

    @cached_property
    def _estimate(self) -> int:
        line = self.script.timeline
        return int(self.created + line.queued + line.preprocessing + line.gpu_wait + line.steps * line.seconds_per_step)

    @property
    def fine_tuned_model(self) -> str:
        """Return the name of the model that a successful job creates."""
        script = self.script
        if script.style == "openai":
            return f"ft:{script.model}:{ORGANIZATION[-6:]}:{script.suffix or ''}:{script.id[-8:]}"
        name = f"{script.model}.ft-{script.id.removeprefix('ftjob-')}"
        return f"{name}-{script.suffix}" if script.suffix else name

    # -- events

    def event_count(self, now: float) -> int:
        """Return the number of events at `now`."""
        return sum(self._count(entry, now) for entry in self.course.log)

    def event(self, index: int) -> dict[str, Any]:
        """Return the event with this index; 0 is the oldest. An event keeps its index.

        Raises:
            IndexError: the job's whole course has fewer events.
        """
        left = index
        for entry in self.course.log:
            count = self._count(entry, math.inf)
            if 0 <= left < count:
                return self._event(index, entry, left)
            left -= count
        raise IndexError(index)

    def event_index(self, event_id: str) -> int | None:
        """The number of the event with this id; None when the job has no such event."""
        try:
            index = int(event_id[-8:], 16)
            return index if self._event_id(index) == event_id and index < self.event_count(math.inf) else None
        except ValueError:
            return None

    def _event_id(self, index: int) -> str:
        # The number is part of the id, so a page is found without creating the events before it.
        return f"ftevent-{digest(self.id, 'event', index)[:24]}{index:08x}"

    def _event(self, index: int, entry: Message | Span, nth: int) -> dict[str, Any]:
        head = {"id": self._event_id(index), "object": "fine_tuning.job.event"}
        if isinstance(entry, Message):
            return head | {"created_at": int(entry.at), "level": entry.level, "message": entry.text, "type": "message"}
        step = self._nth_reported(self._reported(entry.first - 1) + nth)
        figures = {name: number(value) for name, value in self._figures.at(step).items()}
        return head | {
            "created_at": int(entry.at(step)),
            "level": "info",
            "message": self._metrics_message(step, figures),
            "type": "metrics",
            "data": {"step": step, **figures},
        }

    def _metrics_message(self, step: int, figures: dict[str, float]) -> str:
        of = f"/{self.script.timeline.steps}" if self.script.style == "openai" else ""
        if "train_loss" in figures:
            return f"Step {step}{of}: training loss={text(float(figures['train_loss']))}"
        # UNVERIFIED: the message of a job without a training loss (reinforcement).
        return f"Step {step}{of}: " + ", ".join(f"{name}={text(float(value))}" for name, value in figures.items())

    def _count(self, entry: Message | Span, now: float) -> int:
        if isinstance(entry, Message):
            return int(entry.at <= now)
        return self._reported(entry.done(now)) - self._reported(entry.first - 1)

    def _reported(self, steps: int) -> int:
        """How many of the first `steps` steps get an event."""
        every, first = self.script.events.every, self._first_is_extra
        return steps // every + int(first and steps >= 1)

    def _nth_reported(self, n: int) -> int:
        """The step of metrics event number `n` (from 0)."""
        every, first = self.script.events.every, self._first_is_extra
        return max(n * every, 1) if first else (n + 1) * every

    @property
    def _first_is_extra(self) -> bool:
        return self.script.events.first_step and self.script.events.every > 1

    # -- checkpoints

    def checkpoints(self, now: float) -> list[dict[str, Any]]:
        """The checkpoints kept at `now`, newest first."""
        done = self.course.steps(now)
        reached = [step for step in self._epoch_ends if step <= done]
        kept = self.script.timeline.checkpoints
        return [self._checkpoint(step) for step in reversed(reached[-kept:] if kept else [])]

    @cached_property
    def _epoch_ends(self) -> list[int]:
        return epoch_ends(self.script)

    def _checkpoint(self, step: int) -> dict[str, Any]:
        last = step == self.script.timeline.steps
        figures = {name: number(value) for name, value in self._figures.at(step).items()}
        return {
            "id": f"ftchkpt-{digest(self.id, 'checkpoint', step)}",
            "created_at": int(self.course.step_at(step)),
            "fine_tuned_model_checkpoint": self.fine_tuned_model + ("" if last else f":ckpt-step-{step}"),
            "step_number": step,
            "metrics": {"step": step, **figures},
            "fine_tuning_job_id": self.id,
            "object": "fine_tuning.job.checkpoint",
        }

    # -- the results file

    def has_results(self, now: float) -> bool:
        """Return whether there is a results file at `now`: from the start of training until it is purged."""
        return self.course.training <= now and not self.script.results.purged

    def readable_steps(self, now: float) -> int:
        """Return the newest step that is readable at `now`, in the results file or, without one, in the events."""
        done = self.course.steps(now)
        if self.has_results(now):
            return done
        reported = self._reported(done)
        return self._nth_reported(reported - 1) if reported else 0

    def results(self, now: float) -> bytes:
        """The results file's content at `now`: the header and a row for every step that is done."""
        done = self.course.steps(now)
        training = now < self.course.finished and done < self.script.timeline.steps
        content = self._results.upto(done, half_a_row_more=training and self.script.results.cut)
        return base64.b64encode(content) if self.script.results.base64 else content


class _RecordedJob(Job):
    """A job whose answers were recorded: they do not depend on the time."""

    def __init__(self, script: JobScript, origin: float, recorded: Recorded) -> None:
        super().__init__(script, origin)
        self._recorded = recorded

    def status(self, now: float) -> str:
        return str(self._recorded.body.get("status"))

    def body(self, now: float) -> dict[str, Any]:
        return self._recorded.body

    def event_count(self, now: float) -> int:
        return len(self._recorded.events)

    def event(self, index: int) -> dict[str, Any]:
        return self._recorded.events[len(self._recorded.events) - 1 - index]

    def event_index(self, event_id: str) -> int | None:
        return next((i for i in range(self.event_count(0)) if self.event(i).get("id") == event_id), None)

    def checkpoints(self, now: float) -> list[dict[str, Any]]:
        return self._recorded.checkpoints

    def has_results(self, now: float) -> bool:
        return self._recorded.results is not None

    def results(self, now: float) -> bytes:
        content = (self._recorded.results or "").encode()
        return base64.b64encode(content) if self.script.results.base64 else content


def job_of(script: JobScript, origin: float, actions: Sequence[Action] = ()) -> Job:
    """Return the job of a script."""
    return _RecordedJob(script, origin, script.recorded) if script.recorded else Job(script, origin, actions)


class _Csv:
    """The results file's rows, computed once and kept: row s depends only on the script and s."""

    def __init__(self, script: JobScript, figures: Figures) -> None:
        columns = script.results.columns or figures.names
        self._metrics = [_metric_of(column, figures.names) for column in columns]
        self._missing = script.results.missing
        self._figures = figures
        self._steps = script.timeline.steps
        self._text = bytearray(",".join(["step", *columns]).encode() + b"\n")
        self._ends = [len(self._text)]  # where the rows of the first n steps end
        self._lock = threading.Lock()

    def upto(self, step: int, *, half_a_row_more: bool) -> bytes:
        with self._lock:
            for missing in range(len(self._ends), min(step + half_a_row_more, self._steps) + 1):
                self._text += self._row(missing)
                self._ends.append(len(self._text))
            end = self._ends[step]
            if half_a_row_more and step < self._steps:
                end = (end + self._ends[step + 1]) // 2
            return bytes(self._text[:end])

    def _row(self, step: int) -> bytes:
        figures = self._figures.at(step)
        cells = (text(figures[name]) if name in figures else self._missing for name in self._metrics)
        return (",".join([str(step), *cells]) + "\n").encode()


def _metric_of(column: str, names: Sequence[str]) -> str:
    """Return the metric of a column: Microsoft's documentation writes validation_ for the service's valid_."""
    return column if column in names else column.replace("validation_", "valid_")
