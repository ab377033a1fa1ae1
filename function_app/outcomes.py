"""What a tick says of each job: from what was decided and done, or went wrong, to an Outcome."""

import logging
from dataclasses import dataclass

from function_app.azure_openai import Account
from function_app.decide import Decision, Owed
from function_app.errors import SyncError, WandbError
from function_app.mirror import Mirrored
from function_app.model import DatasetPolicy, Job, Outcome, Result, RunState
from function_app.wandb_api import WandbApi

log = logging.getLogger(__name__)

_AGAIN = "The next tick tries again."


@dataclass(frozen=True)
class Candidate:
    """A job, what W&B shows of it, what that makes owed, and where it goes; `api` is None for a job that goes nowhere."""

    account: Account
    job: Job
    run: RunState | None
    decision: Decision
    api: WandbApi | None = None
    datasets: DatasetPolicy = DatasetPolicy.OFF
    where: str = ""  # what to put before a refusal of W&B


def outcome_of(each: Candidate, result: Result, done: Mirrored, error: SyncError | None = None) -> Outcome:
    """Of a job that was mirrored, or not to the end: `error` says why not."""
    return Outcome(
        job=each.job.id,
        account=each.job.account,
        result=result,
        status=each.job.status,
        why=_why(each, error) if error else "",
        hint=_hint(error) if error else "",
        steps=done.steps,
        last_step=done.last_step,
        did=tuple(done.did),
        warnings=tuple(done.warnings),
        run_url=done.url or (each.run.url if each.run else ""),
        final=done.final or result is Result.SKIPPED or (error is not None and not error.retry),
    )


def _why(each: Candidate, error: SyncError) -> str:
    return each.where + error.message if isinstance(error, WandbError) else error.message


def not_done(each: Candidate) -> Outcome:
    """Of a job for which nothing was to be done, or that was only looked at."""
    results = {Owed.MIRROR: Result.OWED, Owed.NOTHING: Result.CURRENT, Owed.SKIP: Result.SKIPPED}
    return Outcome(
        job=each.job.id,
        account=each.job.account,
        result=results[each.decision.owed],
        status=each.job.status,
        why=each.decision.why,
        last_step=each.run.last_step if each.run and each.run.last_step >= 0 else None,
        run_url=each.run.url if each.run else "",
        final=each.decision.owed is not Owed.MIRROR and not each.decision.later,
    )


def failed_outcome(job: str, account: str, error: SyncError, status: str = "", where: str = "") -> Outcome:
    """Of a job, or of a whole account when `job` is empty, that could not even be looked at."""
    return Outcome(job, account, Result.FAILED, status, where + error.message, _hint(error), final=not error.retry)


def _hint(error: SyncError) -> str:
    return error.hint or (_AGAIN if error.retry else "")


def tell(outcome: Outcome, seconds: float) -> None:
    """Log it."""
    log.log(
        logging.WARNING if outcome.result is Result.FAILED else logging.INFO,
        "%s job=%s account=%s status=%s steps=%d run=%s seconds=%.1f did=%s why=%s",
        outcome.result.value,
        outcome.job,
        outcome.account,
        outcome.status,
        outcome.steps,
        outcome.run_url,
        seconds,
        "; ".join(outcome.did),
        outcome.why,
    )
