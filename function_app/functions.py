"""The triggers of Azure Functions: a timer that finds pending jobs, and a queue whose messages mirror them.

They are thin: the engine does the work, and the host schedules, retries and counts. A message contains only ids.
"""

import json
import logging
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, List  # noqa: UP035 (see find_jobs)

import azure.functions as func

from function_app.azure.leases import NO_FAILURES
from function_app.data.fields import Fields, parsed, text
from function_app.engine.backlog import top_up
from function_app.engine.planner import Action
from function_app.engine.retry import waiting
from function_app.errors import SyncError
from function_app.models import Outcome, Result
from function_app.shared_rules import VERSION
from function_app.startup import importing
from function_app.traffic import counted

if TYPE_CHECKING:
    from function_app.azure.storage import Storage
    from function_app.engine.engine import Engine
    from function_app.engine.outcomes import Candidate
    from function_app.settings import Settings

log = logging.getLogger(__name__)

QUEUE = "finetune-jobs"
POISON_QUEUE = f"{QUEUE}-poison"  # the host's name for the queue of messages that failed maxDequeueCount times
STORAGE = (
    "AzureWebJobsStorage"  # the setting, or with an identity the prefix of settings, for the queues' storage account
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}")
"""The pattern of an account name or job id from find_jobs."""

STOP_AFTER = 20 * 60.0
"""Seconds after which work on a job stops, and the next tick continues. After host.json's functionTimeout the host
would restart the whole process and count a failed attempt. Work in progress may take some minutes to finish."""

app = func.FunctionApp()

# These log requests at INFO. At DEBUG (PYTHON_ENABLE_DEBUG_LOGGING) they log addresses and answers of token endpoints.
# The worker forwards all records.
for chatty in ("azure.core", "azure.identity", "httpcore", "httpcore2", "httpx", "httpx2", "msal", "openai", "urllib3"):
    logging.getLogger(chatty).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Request:
    """A message of the queue: check this job."""

    account: str
    job: str

    @classmethod
    def parse(cls, body: bytes) -> "Request":
        """Parse a message.

        Raises:
            SyncError: the message is not one of ours.
        """
        ids = Fields(parsed(body))
        account, job = ids.read("account", text), ids.read("job", text)
        if not account or not job or not _NAME.fullmatch(account) or not _NAME.fullmatch(job):
            raise SyncError(
                f"a message in {QUEUE} is not {{account, job}}", "Only find_jobs should send messages to this queue."
            )
        return cls(account, job)

    def body(self) -> str:
        """The message as text for the queue."""
        return json.dumps(asdict(self))


@app.timer_trigger(arg_name="timer", schedule="%SYNC_SCHEDULE%", run_on_startup=False, use_monitor=True)
@app.queue_output(arg_name="requests", queue_name=QUEUE, connection=STORAGE)
def find_jobs(
    timer: func.TimerRequest,
    requests: func.Out[List[str]],  # noqa: UP006 (the worker does not load a function that says list[str])
) -> None:
    """Enqueue as many of the pending jobs as the queue has room for, except those whose next attempt is later.

    An unreachable account or W&B project is logged as an error and does not affect the others. An exception would, because
    the host would send no message at all. The tick fails only if nothing can be read.

    Raises:
        SyncError: settings, vault, W&B, all accounts or the storage account refuse. If the depth of the queue
            is unknown, nothing is enqueued, because the queue would grow with every tick.
    """
    started = time.monotonic()
    with counted() as traffic:
        engine = _engine()
        candidates, failed = engine.discover()
        accounts_failed, refused = _log_refusals(
            failed, {account.name for account in engine.accounts}, jobs=len(candidates)
        )
        depth = _storage().depth(QUEUE)
        pending = [each for each in candidates if each.decision.action is Action.MIRROR]
        failures = _storage().failures() if pending else {}
    _log_settings()
    due = [each for each in pending if not waiting(failures.get(each.job.id, NO_FAILURES), time.time())]
    enqueued = _to_enqueue(due, depth)
    if enqueued:
        requests.set([request.body() for request in enqueued])
    counts = Counter(each.decision.action for each in candidates)
    _log_tick(
        {
            "accounts": len(engine.accounts),
            "accounts_failed": accounts_failed,
            "jobs": len(candidates),
            "pending": len(pending),
            "lag": _lag(pending),
            "enqueued": len(enqueued),
            "queued": depth,
            "current": counts[Action.NOTHING],
            "skipped": counts[Action.SKIP],
            "waiting": len(pending) - len(due),
            "refused": refused,
            "past_due": timer.past_due,
            "seconds": time.monotonic() - started,
            **traffic.counts(),
            "package": VERSION,
        }
    )


def _log_settings() -> None:
    """Log the parts of the settings that the app ignores."""
    for ignored in _settings().deployed().routes.ignored():
        log.warning("route ignored: %s", ignored)
    if not _settings().datasets_chosen:
        log.warning(
            "SYNC_DATASETS is not set: training files stay in Azure, as with reference. Set full, sample, reference or off"
        )


def _log_tick(fields: dict[str, object]) -> None:
    log.info(
        "tick accounts=%(accounts)d accounts_failed=%(accounts_failed)d jobs=%(jobs)d pending=%(pending)d enqueued=%(enqueued)d"
        " queued=%(queued)d current=%(current)d skipped=%(skipped)d waiting=%(waiting)d refused=%(refused)d lag=%(lag)d"
        " past_due=%(past_due)s seconds=%(seconds).1f azure=%(azure)d wandb=%(wandb)d storage=%(storage)d vault=%(vault)d"
        " package=%(package)s",
        fields,
        extra=fields,
    )


def _log_refusals(failed: Sequence[Outcome], accounts: set[str], *, jobs: int) -> tuple[int, int]:
    """Log unreachable accounts and failed jobs, repeated failures once. Return the number of accounts and jobs.

    Raises:
        SyncError: no account could be listed.
    """
    unlisted = [outcome for outcome in failed if not outcome.job]
    for outcome in unlisted:
        fields: dict[str, object] = {"account": outcome.account, "reason": outcome.message, "hint": outcome.hint}
        log.error("account not listed account=%(account)s reason=%(reason)s %(hint)s", fields, extra=fields)
    if unlisted and not jobs and accounts <= {outcome.account for outcome in unlisted}:
        raise SyncError(f"no account could be listed: {unlisted[0].message}", unlisted[0].hint)
    refused = Counter((outcome.account, outcome.message, outcome.hint) for outcome in failed if outcome.job)
    for (account, reason, hint), number in refused.items():
        fields = {"account": account, "jobs": number, "reason": reason, "hint": hint}
        line = "jobs not compared with W&B account=%(account)s jobs=%(jobs)d reason=%(reason)s %(hint)s"
        log.error(line, fields, extra=fields)
    return len(unlisted), refused.total()


def _to_enqueue(pending: Sequence["Candidate"], depth: int) -> list[Request]:
    """Return the messages to send: as many of the pending jobs as the queue has room for."""
    ended_by_request = {Request(each.account.name, each.job.id): each.job.terminal for each in pending}
    running = [request for request, has_ended in ended_by_request.items() if not has_ended]
    ended = [request for request, has_ended in ended_by_request.items() if has_ended]
    return top_up(running, ended, depth=depth, turn=int(time.time() // 60))


def _lag(pending: Sequence["Candidate"]) -> int:
    """Return the seconds since the end of the pending job that ended first; 0 if no pending job has ended."""
    now = time.time()
    return int(max((now - (each.job.finished_at or now) for each in pending if each.job.terminal), default=0))


@app.queue_trigger(arg_name="message", queue_name=QUEUE, connection=STORAGE)
def sync_job(message: func.QueueMessage) -> None:
    """Read one job again and mirror it if it is still pending. A late or repeated message only costs one check. If
    another worker holds the job, the message ends without a check, and the next tick enqueues the job again.

    A job that fails ends its message normally, and its lease records when to try again (`engine.retry`). An exception here
    means that no job could be worked on at all, and the host tries the message again.

    Raises:
        SyncError: a setting is wrong.
    """
    from function_app.engine.outcomes import fields_of

    request = _readable(message)
    if request is None:
        return
    started = time.monotonic()
    with counted() as traffic:
        outcome = _engine().sync_job(
            request.account, request.job, stop=lambda: time.monotonic() - started >= STOP_AFTER
        )
    fields = {**fields_of(outcome, time.monotonic() - started, traffic), "attempt": message.dequeue_count}
    log.log(
        logging.WARNING if outcome.result is Result.FAILED else logging.INFO,
        "message result=%(result)s job=%(job)s account=%(account)s status=%(status)s"
        " estimated_finish=%(estimated_finish)s run=%(run)s attempt=%(attempt)s seconds=%(seconds).1f"
        " azure=%(azure)d wandb=%(wandb)d storage=%(storage)d vault=%(vault)d reason=%(reason)s",
        fields,
        extra=fields,
    )


# Azure Resource Manager lists the bindings of an indexed function, and doctor reads the version there (UNVERIFIED: that Azure
# keeps a binding's additional fields, which the library documents, in that list).
@app.queue_trigger(arg_name="message", queue_name=POISON_QUEUE, connection=STORAGE, packageVersion=VERSION)
def report_poison(message: func.QueueMessage) -> None:
    """Log that the host gave up on a message because every attempt ended the process. Its job is enqueued again while it is
    pending.
    """
    request = _readable(message)
    if request is None:
        return
    fields = {"job": request.job, "account": request.account}
    log.error("poison job=%(job)s account=%(account)s: every attempt ended the process", fields, extra=fields)


def _readable(message: func.QueueMessage) -> Request | None:
    """Parse a message. A message that is not ours is dropped and logged."""
    try:
        return Request.parse(message.get_body())
    except SyncError as error:
        log.error("message not readable id=%s reason=%s", str(message.id)[:100], error.message)
        return None


@cache
def _storage() -> "Storage":
    """Return the storage account of the host's connection."""
    from function_app.azure.storage import Connection, Storage

    return Storage(Connection.read(STORAGE, os.environ))


@cache
def _settings() -> "Settings":
    """The app settings, read once."""
    from function_app.settings import Settings

    return Settings.load()


@cache
def _engine() -> "Engine":
    """Return the engine of this process, created at the first invocation: indexing does not need the slow SDKs."""
    try:
        with importing():
            from function_app.wiring import engine_from
    except ImportError as error:
        raise SyncError(
            f"a package is missing, or was built for another Python than this {platform.python_version()}: {error}",
            "Deploy the complete package, which Azure does not build (docs/deploy.md, The package).",
        ) from error

    return engine_from(
        _settings().deployed(),
        managed_identity=True,
        leases=_storage().lease,
        deleted=_storage().deleted,
        finished=_storage().finished,
    )
