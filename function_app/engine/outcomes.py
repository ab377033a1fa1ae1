"""What a tick says of each job: from what was decided and done, or went wrong, to an Outcome."""

import logging
from dataclasses import dataclass

from function_app.azure.openai import Account
from function_app.engine.mirror import Mirrored
from function_app.engine.planner import Decision, Owed
from function_app.errors import SyncError, WandbError
from function_app.models import DatasetPolicy, Job, Outcome, Result, RunState
from function_app.tracking.wandb.api import WandbApi
from function_app.traffic import Traffic

log = logging.getLogger(__name__)

_AGAIN = "The next tick tries again."
_INTERRUPTED = "interrupted on the way"


@dataclass(frozen=True)
class Candidate:
    """A job, what W&B shows of it, what that makes owed, and where it goes; `api` is None for a job that goes nowhere."""

    account: Account
    job: Job
    run: RunState | None
    decision: Decision
    api: WandbApi | None = None
    datasets: DatasetPolicy = DatasetPolicy.OFF
    where: str = ""  # the project's name, where that is not the engine's own


def outcome_of(each: Candidate, result: Result, done: Mirrored, error: SyncError | None = None) -> Outcome:
    """Of a job that was mirrored, or not to the end: `error` says why not, unless it was interrupted."""
    return Outcome(
        job=each.job.id,
        account=each.job.account,
        result=result,
        status=each.job.status,
        why=_why(each, error) if error else _INTERRUPTED * done.broken_off,
        hint=_hint(error) if error else "",
        steps=done.steps,
        last_step=done.last_step,
        did=tuple(done.did),
        warnings=tuple(done.warnings),
        run_url=done.url or (each.run.url if each.run else ""),
        final=done.final or result is Result.SKIPPED or (error is not None and not error.retry),
    )


def _why(each: Candidate, error: SyncError) -> str:
    return _of_place(each.where, error.message) if isinstance(error, WandbError) else error.message


def _of_place(where: str, said: str) -> str:
    return f"{where}: {said}" if where else said


def not_done(each: Candidate) -> Outcome:
    """Of a job for which nothing was to be done, or that was only looked at: then it says what is owed."""
    results = {Owed.MIRROR: Result.OWED, Owed.NOTHING: Result.CURRENT, Owed.SKIP: Result.SKIPPED}
    return Outcome(
        job=each.job.id,
        account=each.job.account,
        result=results[each.decision.owed],
        status=each.job.status,
        why=_owed(each) if each.decision.owed is Owed.MIRROR else each.decision.why,
        last_step=each.run.last_step if each.run and each.run.last_step >= 0 else None,
        run_url=each.run.url if each.run else "",
        final=each.decision.owed is not Owed.MIRROR and not each.decision.later,
    )


def _owed(each: Candidate) -> str:
    if each.decision.anew:
        return "; ".join(filter(None, [each.decision.why, "a new run would replace it"]))
    if each.run is None:
        return f"no run in {each.where or 'W&B'} yet"
    return each.decision.why or "its run is not up to date"


def failed_outcome(job: str, account: str, error: SyncError, status: str = "", where: str = "") -> Outcome:
    """Of a job, or of a whole account when `job` is empty, that could not even be looked at."""
    why = _of_place(where, error.message)
    return Outcome(job, account, Result.FAILED, status, why, _hint(error), final=not error.retry)


def _hint(error: SyncError) -> str:
    return error.hint or (_AGAIN if error.retry else "")


def fields_of(outcome: Outcome, seconds: float, traffic: Traffic) -> dict[str, object]:
    """What a line of the log says of a job; OpenTelemetry shows each as a dimension."""
    return {
        "result": outcome.result.value,
        "job": outcome.job,
        "account": outcome.account,
        "status": outcome.status,
        "steps": outcome.steps,
        "run": outcome.run_url,
        "seconds": seconds,
        **traffic.counts(),
        "did": "; ".join(outcome.did),
        "why": outcome.why,
    }


def tell(outcome: Outcome, seconds: float, traffic: Traffic) -> None:
    """Log it."""
    fields = fields_of(outcome, seconds, traffic)
    log.log(
        logging.WARNING if outcome.result is Result.FAILED else logging.INFO,
        "%(result)s job=%(job)s account=%(account)s status=%(status)s steps=%(steps)d run=%(run)s seconds=%(seconds).1f"
        " azure=%(azure)d wandb=%(wandb)d storage=%(storage)d vault=%(vault)d did=%(did)s why=%(why)s",
        fields,
        extra=fields,
    )
