"""One tick: find the pending jobs and mirror each of them, independently of the others."""

import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Self

from function_app.azure.leases import NO_LEASE, Lease, Leases, never, no_lease
from function_app.engine.accounts import Finder, JobSource
from function_app.engine.discovery import Discovery, Projects, with_compared_counts
from function_app.engine.mirror import mark_deleted, mirror
from function_app.engine.outcomes import ActionLog, Candidate, failed_outcome, log_outcome, not_done, outcome_of
from function_app.engine.planner import Action, Decision, logs_by_itself
from function_app.engine.reporting import Reporting
from function_app.engine.retry import after, waiting
from function_app.engine.run_records import InMemory, RunRecord, name_of
from function_app.errors import (
    NotThereError,
    NotYetError,
    RunDeletedError,
    StorageError,
    SyncError,
    TakenError,
    UnusableRunError,
    WandbError,
    first_line,
)
from function_app.models import ALL, DELETED, Conventions, Outcome, Result, Selection
from function_app.settings import Settings
from function_app.text import duration
from function_app.tracking import Tracker, run_id
from function_app.traffic import counted

log = logging.getLogger(__name__)

_DELETED_AT_MOST = 20  # consecutive runs of one job that people have deleted


class Interrupted(Exception):  # noqa: N818 (nothing went wrong)
    """Somebody pressed Ctrl-C; `outcomes` contains the jobs that were done by then."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        super().__init__("interrupted")
        self.outcomes = tuple(outcomes)


@dataclass
class Engine:
    """Mirrors the jobs of some accounts into W&B: into one project, or the projects of the settings' rules. It keeps no state
    besides W&B's, except the records of deleted and of complete runs (`run_records`)."""

    accounts: Sequence[JobSource]
    tracker: Tracker
    settings: Settings
    resources: ExitStack = field(default_factory=ExitStack)
    conventions: Conventions | None = None
    leases: Leases = no_lease
    deleted: RunRecord = field(default_factory=InMemory)
    finished: RunRecord = field(default_factory=InMemory)
    finder: Finder | None = None
    _projects: Projects = field(init=False)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Derive the projects from the other fields."""
        self._projects = Projects(self.tracker, self.settings.wandb_routes)

    def __enter__(self) -> Self:
        """Return the engine; leaving the context closes its connections."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self.resources.close()

    def interrupt(self) -> None:
        """Stop the work on runs soon, and leave them as they are."""
        self._stop.set()

    def discover(
        self, selection: Selection = ALL, *, overwrite: bool = False, include_integrated: bool = False
    ) -> tuple[list[Candidate], list[Outcome]]:
        """See `Discovery.discover`."""
        if self.finder is None:
            return self._discovery.discover(selection, overwrite=overwrite, include_integrated=include_integrated)
        self.accounts = self.finder.accounts()
        unsearched = [failed_outcome("", place, error) for place, error in self.finder.failures.items()]
        candidates, failed = self._discovery.discover(
            selection, overwrite=overwrite, include_integrated=include_integrated
        )
        return candidates, [*unsearched, *failed]

    @property
    def _discovery(self) -> Discovery:
        policy, concurrency = self.settings.sync_datasets, self.settings.sync_concurrency
        return Discovery(self.accounts, self._projects, policy, concurrency, self.deleted, self.finished)

    def sync(
        self,
        selection: Selection = ALL,
        *,
        dry_run: bool = False,
        overwrite: bool = False,
        include_integrated: bool = False,
        begins: Callable[[int], None] = lambda jobs: None,
        report: Callable[[Outcome], None] = lambda outcome: None,
        stops: Callable[[], None] = lambda: None,
    ) -> list[Outcome]:
        """Mirror every pending job, at most `concurrency` jobs at the same time.

        `begins` is called with the number of jobs, `report` with each outcome, and `stops` immediately after Ctrl-C.

        With `overwrite` every selected job gets a new run, which replaces its existing one. With `include_integrated` jobs are
        mirrored whose own integration logs to W&B, too.

        Raises:
            Interrupted: on Ctrl-C, after the work on all runs has stopped.
            WandbError, VaultError: W&B is unreachable.
        """
        candidates, outcomes = self.discover(selection, overwrite=overwrite, include_integrated=include_integrated)
        pending = []
        for each in candidates:
            if each.decision.action is Action.MIRROR:
                pending.append(each)
            else:
                outcomes.append(not_done(each))
        if dry_run:
            outcomes += self._dry_outcomes(pending)
            pending = []
        for outcome in outcomes:
            report(outcome)
        begins(len(pending))

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            report(outcome)

        try:
            self._all(pending, done, stops)
        except KeyboardInterrupt:
            raise Interrupted(outcomes) from None
        return with_compared_counts(pending, outcomes)

    def _dry_outcomes(self, pending: Sequence[Candidate]) -> Iterator[Outcome]:
        """Yield the outcomes of a dry run for pending jobs. Those whose project would refuse them have failed."""
        refusals: dict[Tracker, WandbError | None] = {}
        for each in pending:
            tracker = each.tracker or self.tracker
            if tracker not in refusals:
                try:
                    tracker.require_writable()
                    refusals[tracker] = None
                except WandbError as error:
                    refusals[tracker] = error
            refusal = refusals[tracker]
            yield outcome_of(each, Result.FAILED, ActionLog(), refusal) if refusal else not_done(each)

    def sync_job(self, account_name: str, job_id: str, *, stop: Callable[[], bool] = never) -> Outcome:
        """Read one job again and mirror it if it is still pending, for a queue message.

        It reads after it has acquired the job's lease, so that it does not see another worker's unfinished work. When `stop`
        returns True, it stops soon and leaves the run as it is.
        """
        accounts = self.finder.accounts(account_name) if self.finder else self.accounts
        account = next((account for account in accounts if account.name == account_name), None)
        if account is None:
            return Outcome(job_id, account_name, Result.FAILED, message="no such account in AZURE_OPENAI_ENDPOINTS")
        try:
            with self.leases(job_id) as lease:
                if waiting(lease.failures, now := time.time()):
                    seconds = lease.failures.not_before - now
                    message = (
                        f"failed {lease.failures.count} times in a row; the next attempt is in {duration(seconds)}"
                    )
                    return Outcome(job_id, account_name, Result.SKIPPED, message=message)
                outcome = self._attempt(account, job_id, lease, stop)
                if not lease.lost():
                    lease.failures = after(outcome, lease.failures, time.time())
                return outcome
        except TakenError as error:
            return Outcome(job_id, account_name, Result.SKIPPED, message=error.message)
        except SyncError as error:
            return failed_outcome(job_id, account_name, error)

    def _attempt(self, account: JobSource, job_id: str, lease: Lease, stop: Callable[[], bool]) -> Outcome:
        """Sync the job. Errors become its outcome, so that the lease can record a failure."""
        try:
            return self._sync_job(account, job_id, lease, stop)
        except TakenError as error:
            return Outcome(job_id, account.name, Result.SKIPPED, message=error.message)
        except SyncError as error:
            return failed_outcome(job_id, account.name, error)

    def _sync_job(self, account: JobSource, job_id: str, lease: Lease, stop: Callable[[], bool]) -> Outcome:
        try:
            [candidate] = self._discovery.decided([(account, account.job(job_id))])[0]
        except NotThereError as error:
            return self._gone(job_id, account.name, error, lease)
        return (
            self.mirror(candidate, lease, stop) if candidate.decision.action is Action.MIRROR else not_done(candidate)
        )

    def _gone(self, job_id: str, account_name: str, error: NotThereError, lease: Lease) -> Outcome:
        """Record in the run of a deleted job that the job is gone. Every project is searched, as its route is unknown."""
        outcome = Outcome(job_id, account_name, Result.SKIPPED, message=error.message, final=True)
        try:
            for place in self._projects.places():
                tracker = self._projects.tracker(place)
                run = tracker.runs([job_id]).get(job_id)
                if run and run.account == account_name and run.rule is None:
                    done = ActionLog()
                    mark_deleted(tracker, run, done, lease)
                    return replace(
                        outcome, result=Result.SYNCED, message="", actions=tuple(done.actions), run_url=done.url
                    )
        except SyncError as refusal:
            return failed_outcome(job_id, account_name, refusal)
        return outcome

    def _all(self, jobs: Sequence[Candidate], done: Callable[[Outcome], None], stops: Callable[[], None]) -> None:
        self._stop.clear()
        begun = 0
        pending: dict[Future[Outcome], Candidate] = {}
        with ThreadPoolExecutor(self.settings.sync_concurrency, thread_name_prefix="sync") as pool:
            try:
                for each in jobs:  # inside the try block, because Ctrl-C may come while the first jobs are in progress
                    pending[pool.submit(self.mirror, each)] = each
                    begun += 1
                while pending:
                    # On Windows, Ctrl-C does not interrupt a wait without a timeout (Python before 3.14).
                    for future in wait(pending, timeout=0.5, return_when=FIRST_COMPLETED).done:
                        del pending[future]
                        done(future.result())
            except KeyboardInterrupt:
                self.interrupt()
                stops()
                pool.shutdown(wait=True, cancel_futures=True)
                for future, each in pending.items():
                    done(not_done(each) if future.cancelled() else future.result())
                for each in jobs[begun:]:
                    done(not_done(each))
                raise

    def mirror(self, candidate: Candidate, lease: Lease = NO_LEASE, stop: Callable[[], bool] = never) -> Outcome:
        """Bring one job's run up to date. Errors become part of the outcome. Stop if the lease is lost or
        `stop` returns True.
        """
        started = time.monotonic()
        with counted() as traffic:
            outcome = self._outcome(candidate, lease, stop)
        log_outcome(outcome, time.monotonic() - started, traffic)
        return outcome

    def _outcome(self, candidate: Candidate, lease: Lease, stop: Callable[[], bool]) -> Outcome:
        done = ActionLog()
        try:
            self._mirror(candidate, done, lambda: self._stop.is_set() or stop() or lease.lost(), lease)
            if lease.lost() and not done.final:
                raise TakenError("its lease was lost during the work; the new holder or the next tick continues")
        except TakenError as error:
            return replace(outcome_of(candidate, Result.SKIPPED, done, error), final=False)
        except NotYetError as error:
            return outcome_of(candidate, Result.PENDING, done, error)
        except RunDeletedError as error:
            self._note(self.deleted, candidate)
            return outcome_of(candidate, Result.SKIPPED, done, error)
        except NotThereError as error:
            return outcome_of(candidate, Result.SKIPPED, done, error)
        except SyncError as error:
            return outcome_of(candidate, Result.FAILED, done, error)
        except Exception as error:  # the boundary: an unexpected error of one job must not affect the others
            log.error(
                "unexpected job=%s account=%s error=%s", candidate.job.id, candidate.job.account, type(error).__name__
            )
            log.debug("unexpected job=%s", candidate.job.id, exc_info=error)
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            hint = "Free space in the temporary folder, or use the policy sample." if full else "Please report it."
            surprise = SyncError(f"unexpected {type(error).__name__}: {first_line(error)}", hint)
            return outcome_of(candidate, Result.FAILED, done, surprise)
        if done.final:
            self._note(self.finished, candidate)
        return outcome_of(candidate, Result.PENDING if done.broken_off else Result.SYNCED, done)

    def _note(self, record: RunRecord, candidate: Candidate) -> None:
        """Record a job. If storage fails, the next tick asks W&B instead."""
        try:
            record.note(self._name(candidate))
        except StorageError as error:
            log.warning("run not recorded job=%s reason=%s", candidate.job.id, error.message)

    def _number(self, candidate: Candidate) -> int:
        """Return the number of the run to write: that of the existing run, or the next one if a new run is needed."""
        if candidate.run:
            return candidate.run.number + candidate.decision.replace
        first_was_deleted = candidate.decision.replace and self._name(candidate) in self.deleted.known()
        return 2 if first_was_deleted else 1

    def _name(self, candidate: Candidate) -> str:
        return name_of(candidate.job.id, candidate.tracker or self.tracker)

    def _mirror(self, candidate: Candidate, done: ActionLog, interrupted: Callable[[], bool], lease: Lease) -> None:
        """Mirror into the job's run, or into a new run with the next id that was not deleted in W&B."""
        existing = candidate.run
        if existing and candidate.job.status == DELETED:
            with suppress(NotThereError):
                candidate.account.job(candidate.job.id)
                return  # the job exists; the next listing will have it
            mark_deleted(candidate.tracker or self.tracker, existing, done, lease)
            return
        if logs_by_itself(candidate.job) and not done.actions:
            done.actions.append("the job's own integration logs to W&B, too")
        replaces = candidate.decision.replace
        previous = existing.unmarked if existing else ()
        if existing and replaces:
            previous = (*previous, existing.id)
        number = self._number(candidate)
        for attempt in range(number, number + _DELETED_AT_MOST):
            try:
                mirror(
                    candidate.account,
                    candidate.job,
                    None if replaces else existing,
                    candidate.tracker or self.tracker,
                    done,
                    datasets=candidate.datasets,
                    registry=self.settings.wandb_registry,
                    run_id=run_id(candidate.job.id, attempt),
                    replaces=previous,
                    conventions=self.conventions or self.settings.conventions,
                    interrupted=interrupted,
                    reporting=Reporting(self.settings.fine_tuning_prices, self.settings.overdue_after),
                    lease=lease,
                )
            except UnusableRunError as error:
                if attempt > 1:
                    raise
                done.warnings.append(f"{error.message} A new run replaces it.")
                again = Decision(Action.MIRROR, error.message, replace=True)
                self._mirror(replace(candidate, decision=again), done, interrupted, lease)
                return
            except RunDeletedError:
                if not replaces or attempt == number + _DELETED_AT_MOST - 1:
                    raise
            else:
                return
