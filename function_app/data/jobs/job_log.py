"""The times, the progress and the billing of a job, read from its log. Pure.

The service gives a job's `finished_at`, but moves it by days or weeks when a file of the job is deleted (recorded on Azure). So
times come from the log. `trained_tokens` is not what is billed (recorded: 6720 trained, 5000 billed), so the billed
amount comes from the log, too.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from function_app.data.fields import number
from function_app.data.jobs.metrics import PROGRESS, STEP, number_in
from function_app.models import TERMINAL, Event, Job

_STARTED = frozenset({"Training started.", "Fine-tuning job started"})
_ENDED = frozenset({"Job succeeded.", "The job has successfully completed"})
_BILLED = re.compile(
    r"Training (?P<unit>tokens|hours) billed: (?P<amount>\d+(?:\.\d+)?|(?<=tokens billed: )\d{1,3}(?:,\d{3})+)"
)
_GRADER_TOKENS = "model_graders_token_usage"
_ADDED = ("_prompt_tokens", "_completion_tokens")  # cached tokens are part of the prompt's tokens


@dataclass(frozen=True)
class JobLog:
    """Facts from a job's log. Times are seconds since the epoch; None where the log does not say.

    Attributes:
        started: when training began.
        ended: when the job ended: the time of its success message, or of the last event if it did not succeed.
        billed_tokens: training tokens that are billed.
        billed_hours: training hours that are billed, of reinforcement jobs.
        total_steps: how many steps the job has or will have.
        grader_tokens: prompt and completion tokens of model graders; None unless every step has an event.
    """

    started: float | None = None
    ended: float | None = None
    billed_tokens: int | None = None
    billed_hours: float | None = None
    total_steps: int | None = None
    grader_tokens: int | None = None


def read_log(events: Iterable[Event], status: str) -> JobLog:
    """Read a job's whole log.

    A job that was paused may have several billing events, which are added up; none has been recorded (UNVERIFIED).
    """
    log = sorted(
        {event.id or str(number): event for number, event in enumerate(events)}.values(), key=attrgetter("created_at")
    )
    billed: dict[str, float] = {}
    for event in log:
        found = _BILLED.fullmatch(event.message.strip())
        if found and (amount := _figure(found["amount"].replace(",", ""))) is not None:
            billed[found["unit"]] = billed.get(found["unit"], 0.0) + amount
    steps = {int(step): event.data for event in log if (step := _figure(event.data.get(STEP))) and step >= 1}
    totals = [int(total) for data in steps.values() if (total := _figure(data.get(PROGRESS))) and total >= 1]
    return JobLog(
        started=_first(log, _STARTED),
        ended=_end(log, status),
        billed_tokens=int(billed["tokens"]) if "tokens" in billed else None,
        billed_hours=billed.get("hours"),
        total_steps=totals[-1] if totals else None,
        grader_tokens=_grader_tokens(steps),
    )


def summary_of_log(job: Job, log: JobLog, now: float) -> dict[str, Any]:
    """Return times, progress and billing for the columns of the runs table, each with its type; None for what is not known.

    `queue_s` is seconds from the job's creation to the start of training, `duration_s` to its end. `estimated_finish` is
    the service's estimate while the job goes on: paused jobs keep one that is out of date (recorded).
    """
    estimate = job.estimated_finish
    estimated = estimate and not job.terminal and not job.status.startswith("paus") and estimate > now
    return {
        "queue_s": _seconds(job, log.started),
        "duration_s": _seconds(job, log.ended),
        "estimated_finish": estimate if estimated else None,
        "total_steps": log.total_steps,
        "billed_tokens": log.billed_tokens,
        "billed_hours": log.billed_hours,
        "grader_tokens": log.grader_tokens,
    }


def _figure(value: object) -> float | None:
    """Return a number of a size that occurs; None for anything else."""
    found = number_in(value)
    return None if found is None else number(found)


def _first(log: Iterable[Event], messages: frozenset[str]) -> float | None:
    return next((float(event.created_at) for event in log if event.message.strip() in messages), None)


def _end(log: list[Event], status: str) -> float | None:
    if status not in TERMINAL or not log:
        return None
    return _first(log, _ENDED) if status == "succeeded" else float(log[-1].created_at)


def _seconds(job: Job, until: float | None) -> int | None:
    return int(until - job.created_at) if until is not None and until >= job.created_at > 0 else None


def _grader_tokens(steps: Mapping[int, Mapping[str, Any]]) -> int | None:
    """Return the tokens of all steps. The figures of an event are those of its step (derived from OpenAI's recorded one)."""
    counted = {step: models for step, data in steps.items() if isinstance(models := data.get(_GRADER_TOKENS), Mapping)}
    if not counted or len(counted) < max(steps):
        return None
    figures = (
        (name, _figure(value))
        for models in counted.values()
        for usage in models.values()
        if isinstance(usage, Mapping)
        for name, value in usage.items()
    )
    return int(sum(value for name, value in figures if name.endswith(_ADDED) and value and value > 0))
