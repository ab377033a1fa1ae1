"""Convert the decision, the actions and the error for a job to an Outcome."""

import logging
from dataclasses import dataclass, field
from typing import Any

from function_app.engine.accounts import JobSource
from function_app.engine.planner import Action, Decision
from function_app.errors import SyncError, WandbError
from function_app.models import DatasetPolicy, Job, Outcome, Result, RunState
from function_app.tracking import Tracker
from function_app.traffic import Traffic

log = logging.getLogger(__name__)

_AGAIN = "The next tick tries again."
_INTERRUPTED = "interrupted before the end"


@dataclass(frozen=True)
class Candidate:
    """A job, its run in W&B, the decision, and its destination.

    Attributes:
        tracker: its project; None for a job that is not mirrored.
        datasets: the data policy for its files.
        where: the project's name if it is not the engine's default project.
    """

    account: JobSource
    job: Job
    run: RunState | None
    decision: Decision
    tracker: Tracker | None = None
    datasets: DatasetPolicy = DatasetPolicy.OFF
    where: str = ""


@dataclass
class ActionLog:
    """The actions for one job, recorded when they are done, so that the record is right if something fails afterwards.

    Attributes:
        final: whether there will be no more work for the job.
        broken_off: whether the work was stopped on request.
    """

    url: str = ""
    steps: int = 0
    last_step: int | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    final: bool = False
    broken_off: bool = False


def outcome_of(candidate: Candidate, result: Result, done: ActionLog, error: SyncError | None = None) -> Outcome:
    """Return the outcome of a job that was mirrored. `error` is why the work is not complete, unless it was interrupted."""
    return Outcome(
        job=candidate.job.id,
        account=candidate.job.account,
        result=result,
        status=candidate.job.status,
        message=_message(candidate, error) if error else _INTERRUPTED * done.broken_off,
        hint=_hint(error) if error else "",
        steps=done.steps,
        last_step=done.last_step,
        figures=done.figures,
        actions=tuple(done.actions),
        warnings=tuple(done.warnings),
        run_url=done.url or (candidate.run.url if candidate.run else ""),
        final=done.final or result is Result.SKIPPED or (error is not None and not error.retry),
        resumes=candidate.job.resumes,
    )


def _message(candidate: Candidate, error: SyncError) -> str:
    return _of_place(candidate.where, error.message) if isinstance(error, WandbError) else error.message


def _of_place(where: str, text: str) -> str:
    return f"{where}: {text}" if where else text


def not_done(candidate: Candidate) -> Outcome:
    """Return the outcome of a job that was current, skipped, or only examined: then the message says what is pending."""
    results = {Action.MIRROR: Result.PENDING, Action.NOTHING: Result.CURRENT, Action.SKIP: Result.SKIPPED}
    return Outcome(
        job=candidate.job.id,
        account=candidate.job.account,
        result=results[candidate.decision.action],
        status=candidate.job.status,
        message=_pending(candidate) if candidate.decision.action is Action.MIRROR else candidate.decision.message,
        last_step=candidate.run.last_step if candidate.run and candidate.run.last_step >= 0 else None,
        run_url=candidate.run.url if candidate.run else "",
        final=candidate.decision.action is not Action.MIRROR and not candidate.decision.later,
        resumes=candidate.job.resumes,
    )


def _pending(candidate: Candidate) -> str:
    if candidate.decision.replace:
        return "; ".join(filter(None, [candidate.decision.message, "a new run would replace it"]))
    if candidate.run is None:
        return f"no run in {candidate.where or 'W&B'} yet"
    return candidate.decision.message or "its run is not up to date"


def failed_outcome(job: str, account: str, error: SyncError, status: str = "", where: str = "") -> Outcome:
    """Return the outcome of a job, or of a whole account if `job` is empty, that could not be examined."""
    message = _of_place(where, error.message)
    return Outcome(job, account, Result.FAILED, status, message, _hint(error), final=not error.retry)


def _hint(error: SyncError) -> str:
    return error.hint or (_AGAIN if error.retry else "")


def fields_of(outcome: Outcome, seconds: float, traffic: Traffic) -> dict[str, object]:
    """Return the fields of the log line about a job, which are dimensions in OpenTelemetry."""
    return {
        "result": outcome.result.value,
        "job": outcome.job,
        "account": outcome.account,
        "status": outcome.status,
        "steps": outcome.steps,
        "estimated_finish": outcome.estimated_finish,
        "run": outcome.run_url,
        "seconds": seconds,
        **traffic.counts(),
        "actions": "; ".join(outcome.actions),
        "reason": outcome.message,
    }


def log_outcome(outcome: Outcome, seconds: float, traffic: Traffic) -> None:
    """Log the outcome, and each of its warnings."""
    fields = fields_of(outcome, seconds, traffic)
    log.log(
        logging.WARNING if outcome.result is Result.FAILED else logging.INFO,
        "%(result)s job=%(job)s account=%(account)s status=%(status)s steps=%(steps)d"
        " estimated_finish=%(estimated_finish)s run=%(run)s seconds=%(seconds).1f azure=%(azure)d wandb=%(wandb)d"
        " storage=%(storage)d vault=%(vault)d actions=%(actions)s reason=%(reason)s",
        fields,
        extra=fields,
    )
    for text in outcome.warnings:
        warning: dict[str, object] = {"job": outcome.job, "account": outcome.account, "reason": text}
        log.warning("warning job=%(job)s account=%(account)s reason=%(reason)s", warning, extra=warning)
