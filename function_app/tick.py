"""One tick: which jobs are owed something, and each of them mirrored, without one holding up another."""

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Self

from azure.core.credentials import TokenCredential

from function_app.azure_openai import Account, accounts_from
from function_app.decide import Decision, Owed, decide
from function_app.errors import AccountError, NotThereError, RunDeletedError, SyncError
from function_app.mirror import Mirrored, mirror
from function_app.model import ALL, Job, Outcome, Result, RunState, Selection
from function_app.settings import DatasetPolicy, Settings
from function_app.vault import azure_credential, key_source
from function_app.wandb_api import WandbApi
from function_app.wandb_sdk import said_briefly

log = logging.getLogger(__name__)

_AGAIN = "The next tick tries again."


@dataclass(frozen=True)
class Candidate:
    """A job, what W&B shows of it, and what that makes owed."""

    account: Account
    job: Job
    run: RunState | None
    decision: Decision


class Interrupted(Exception):  # noqa: N818 (nothing went wrong)
    """Somebody pressed Ctrl-C; `outcomes` are of the jobs that were done by then."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        super().__init__("interrupted")
        self.outcomes = tuple(outcomes)


@dataclass
class Engine:
    """Mirrors the jobs of some accounts into one W&B project. Keeps nothing that W&B does not know, but for the ids that
    W&B said were deleted, so as not to ask for them at every tick of this process."""

    accounts: Sequence[Account]
    api: WandbApi
    datasets: DatasetPolicy = DatasetPolicy.FULL
    concurrency: int = 8
    resources: ExitStack = field(default_factory=ExitStack)
    _deleted: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        """Itself; leaving closes its connections."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self.resources.close()

    def interrupt(self) -> None:
        """Have the runs at work left as they stand, soon."""
        self._stop.set()

    def look(self, selection: Selection = ALL) -> tuple[list[Candidate], list[Outcome]]:
        """What is owed, running jobs first, then the newest; and the accounts that could not be asked.

        One listing an account and one W&B query a thousand jobs.

        Raises:
            WandbError, VaultError: W&B cannot be asked; nothing can be decided.
        """
        found: list[tuple[Account, Job]] = []
        failed: list[Outcome] = []
        for account in self.accounts:
            try:
                found += ((account, job) for job in selection.of(account.jobs()))
            except AccountError as error:
                failed.append(_failed("", account.name, error))
        missing = selection.jobs - {job.id for _, job in found}
        if missing and not failed:
            names = ", ".join(account.name for account in self.accounts)
            failed += (
                Outcome(job, names, Result.FAILED, why="no such job in these accounts", final=True)
                for job in sorted(missing)
            )
        runs = self.api.states([job.id for _, job in found])
        candidates = [self._candidate(account, job, runs.get(job.id)) for account, job in found]
        return sorted(candidates, key=lambda each: (each.job.terminal, -each.job.created_at)), failed

    def sync(
        self,
        selection: Selection = ALL,
        *,
        dry_run: bool = False,
        report: Callable[[Outcome], None] = lambda outcome: None,
    ) -> list[Outcome]:
        """Mirror everything that is owed, at most `concurrency` jobs at once; `report` hears of each as it is done.

        Raises:
            Interrupted: on Ctrl-C, after the runs at work were left as they stand.
            WandbError, VaultError: W&B cannot be asked.
        """
        candidates, outcomes = self.look(selection)
        owed = []
        for each in candidates:
            if each.decision.owed is Owed.MIRROR and not dry_run:
                owed.append(each)
            else:
                outcomes.append(_not_done(each))
        for outcome in outcomes:
            report(outcome)

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            report(outcome)

        try:
            self._all(owed, done)
        except KeyboardInterrupt:
            raise Interrupted(outcomes) from None
        return outcomes

    def sync_job(self, account_name: str, job_id: str) -> Outcome:
        """Look at one job anew and mirror it if it is still owed: what a queue message asks for."""
        account = next((account for account in self.accounts if account.name == account_name), None)
        if account is None:
            return Outcome(job_id, account_name, Result.FAILED, why="no such account in AZURE_OPENAI_ENDPOINTS")
        try:
            job = account.job(job_id)
            candidate = self._candidate(account, job, self.api.states([job_id]).get(job_id))
        except NotThereError as error:
            return Outcome(job_id, account_name, Result.SKIPPED, why=error.message)
        except SyncError as error:
            return _failed(job_id, account_name, error)
        return self.mirror(candidate) if candidate.decision.owed is Owed.MIRROR else _not_done(candidate)

    def _all(self, owed: Sequence[Candidate], done: Callable[[Outcome], None]) -> None:
        self._stop.clear()
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="sync") as pool:
            pending: set[Future[Outcome]] = {pool.submit(self.mirror, each) for each in owed}
            try:
                while pending:
                    finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in finished:
                        done(future.result())
            except KeyboardInterrupt:
                self.interrupt()
                pool.shutdown(wait=True, cancel_futures=True)
                for future in pending:
                    if future.done() and not future.cancelled():
                        done(future.result())
                raise

    def _candidate(self, account: Account, job: Job, run: RunState | None) -> Candidate:
        return Candidate(account, job, run, decide(job, run, deleted=run is None and job.id in self._deleted))

    def mirror(self, each: Candidate) -> Outcome:
        """Bring one job's run up to date; whatever goes wrong is in the outcome."""
        started, done = time.monotonic(), Mirrored()
        try:
            stop = self._stop.is_set
            mirror(each.account, each.job, each.run, self.api, done, datasets=self.datasets, interrupted=stop)
            outcome = _outcome(each, Result.SYNCED, done)
        except RunDeletedError as error:
            self._deleted.add(each.job.id)
            outcome = _outcome(each, Result.SKIPPED, done, error)
        except NotThereError as error:
            outcome = _outcome(each, Result.SKIPPED, done, error)
        except SyncError as error:
            outcome = _outcome(each, Result.FAILED, done, error)
        except Exception as error:  # the boundary: one job's surprise is nobody else's
            log.error("unexpected job=%s account=%s error=%s", each.job.id, each.job.account, type(error).__name__)
            log.debug("unexpected job=%s", each.job.id, exc_info=error)
            surprise = SyncError(f"unexpected {type(error).__name__}: {said_briefly(str(error))}", "Please report it.")
            outcome = _outcome(each, Result.FAILED, done, surprise)
        _tell(outcome, time.monotonic() - started)
        return outcome


def engine_from(settings: Settings, *, managed_identity: bool) -> Engine:
    """The engine that the settings describe; `managed_identity` in Functions, where nobody is signed in.

    Raises:
        SettingsError: they contradict each other.
    """
    with ExitStack() as resources:

        @functools.cache
        def identity() -> TokenCredential:
            credential = azure_credential(settings, managed_identity=managed_identity)
            resources.callback(credential.close)
            return credential

        keys = key_source(settings, identity)
        resources.callback(keys.close)
        accounts = accounts_from(settings, identity)
        for account in accounts:
            resources.callback(account.close)
        api = WandbApi(settings.wandb_project, keys, entity=settings.wandb_entity, base_url=settings.wandb_base_url)
        return Engine(accounts, api, settings.sync_datasets, settings.sync_concurrency, resources.pop_all())


def _outcome(each: Candidate, result: Result, done: Mirrored, error: SyncError | None = None) -> Outcome:
    return Outcome(
        job=each.job.id,
        account=each.job.account,
        result=result,
        status=each.job.status,
        why=error.message if error else "",
        hint=_hint(error) if error else "",
        steps=done.steps,
        last_step=done.last_step,
        did=tuple(done.did),
        run_url=done.url or (each.run.url if each.run else ""),
        final=done.final or result is Result.SKIPPED or (error is not None and not error.retry),
    )


def _not_done(each: Candidate) -> Outcome:
    results = {Owed.MIRROR: Result.OWED, Owed.NOTHING: Result.CURRENT, Owed.SKIP: Result.SKIPPED}
    return Outcome(
        job=each.job.id,
        account=each.job.account,
        result=results[each.decision.owed],
        status=each.job.status,
        why=each.decision.why,
        last_step=each.run.last_step if each.run and each.run.last_step >= 0 else None,
        run_url=each.run.url if each.run else "",
        final=each.decision.owed is not Owed.MIRROR,
    )


def _failed(job: str, account: str, error: SyncError) -> Outcome:
    return Outcome(job, account, Result.FAILED, why=error.message, hint=_hint(error), final=not error.retry)


def _hint(error: SyncError) -> str:
    return error.hint or (_AGAIN if error.retry else "")


def _tell(outcome: Outcome, seconds: float) -> None:
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
