"""Find pending jobs: compare the accounts' jobs with their runs in W&B, project by project. Writes nothing."""

import contextvars
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache

from function_app.data.routes import Destination, NotMirrored, Routes, Rule, stricter
from function_app.engine.accounts import JobSource
from function_app.engine.outcomes import Candidate, failed_outcome
from function_app.engine.planner import Action, Decision, decide
from function_app.engine.run_records import RunRecord, name_of
from function_app.errors import AccountError, WandbError
from function_app.models import ALL, DELETED, DatasetPolicy, Job, Outcome, Result, RunState, Selection
from function_app.tracking import Tracker, run_of

log = logging.getLogger(__name__)

Place = tuple[str | None, str]
"""Entity and project; without an entity, the engine's default entity."""

LONG_AGO = 86_400.0
"""Seconds after its end from which a job without a run is compared with the record of complete runs. Until then, the run is
asked for by its id."""

_SURPLUS = "Another program added {:,} rows to this run while it was written. The next sync checks them."

_Jobs = dict[str, tuple[JobSource, Job, DatasetPolicy]]


@dataclass
class Projects:
    """The projects for jobs: the engine's default project, and those of the `rules`."""

    own: Tracker
    rules: tuple[Rule, ...] = ()
    _trackers: dict[Place, Tracker] = field(default_factory=dict)

    def places(self) -> list[Place]:
        """Return every project that may contain jobs."""
        ruled = ((rule.entity, rule.project) for rule in self.rules if rule.project)
        return list(dict.fromkeys([(None, self.own.project), *ruled]))

    def tracker(self, place: Place) -> Tracker:
        """Return the tracker of a project. It keeps its entity, although the key's default entity may change."""
        entity, project = place
        named = entity or self.own.entity, project
        if named not in self._trackers:
            self._trackers[named] = self.own.elsewhere(project, named[0])
        return self._trackers[named]

    def named(self, place: Place) -> str:
        """Return the name of a project for messages; empty for the engine's default project."""
        entity, project = place
        if entity is None and project == self.own.project:
            return ""
        return f"{entity}/{project}" if entity else project


@dataclass(frozen=True)
class Discovery:
    """Lists accounts and projects, and decides which jobs are pending.

    Attributes:
        datasets: the default data policy.
        concurrency: the number of accounts that are listed at the same time.
        deleted: the record of deleted runs, used if W&B shows no run.
        finished: the record of complete runs, used if W&B shows no run of a job that ended over a day ago.
    """

    accounts: Sequence[JobSource]
    projects: Projects
    datasets: DatasetPolicy
    concurrency: int
    deleted: RunRecord
    finished: RunRecord

    def discover(
        self, selection: Selection = ALL, *, overwrite: bool = False, include_integrated: bool = False
    ) -> tuple[list[Candidate], list[Outcome]]:
        """Return the jobs with their decisions, running jobs first, then the newest. Also return the failures: unreachable
        accounts, and jobs whose project refuses.

        This takes one listing per account, and one W&B query per thousand jobs of each project, or one per possible project
        if all jobs are listed.

        Raises:
            WandbError, VaultError: W&B is unreachable, so nothing can be decided.
            StorageError: the records of runs are unreachable.
        """
        found, failed = self._listed(selection)
        missing = selection.jobs - {job.id for _, job in found}
        if missing and not failed:
            names = ", ".join(account.name for account in self.accounts)
            message, hint = f"no such job in {names}", "Check its id, and AZURE_OPENAI_ENDPOINTS."
            failed += (Outcome(job, names, Result.FAILED, "", message, hint, final=True) for job in sorted(missing))
        whole = selection == ALL and not failed
        candidates, refused = self.decided(
            found, overwrite=overwrite, include_integrated=include_integrated, whole=whole
        )
        return sorted(candidates, key=lambda each: (each.job.terminal, -each.job.created_at)), failed + refused

    def _listed(self, selection: Selection) -> tuple[list[tuple[JobSource, Job]], list[Outcome]]:
        """List the jobs of every account, at most `concurrency` accounts at the same time. Also return the failures."""

        def ask(account: JobSource) -> list[Job] | AccountError:
            try:
                return account.jobs()
            except AccountError as error:
                return error

        here = contextvars.copy_context()  # their requests count as requests of the caller
        found: list[tuple[JobSource, Job]] = []
        failed: list[Outcome] = []
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="list") as pool:
            answers = pool.map(lambda account: here.copy().run(ask, account), self.accounts)
            for account, answer in zip(self.accounts, answers, strict=True):
                if isinstance(answer, AccountError):
                    failed.append(failed_outcome("", account.name, answer))
                jobs = answer.listed if isinstance(answer, AccountError) else answer
                found += ((account, job) for job in selection.of(jobs))
        return found, failed

    def decided(
        self,
        found: Sequence[tuple[JobSource, Job]],
        *,
        overwrite: bool = False,
        include_integrated: bool = False,
        whole: bool = False,
    ) -> tuple[list[Candidate], list[Outcome]]:
        """Decide what is pending for these jobs, project by project. Also return the failures of projects that refuse.

        If these are the `whole` of the accounts' jobs, an unfinished run of a job that is not among them must be
        ended, because its job was probably deleted.

        Raises:
            WandbError: every project refuses.
            StorageError: the records of runs are unreachable.
        """
        candidates, by_place = self._routed(found)
        if whole:  # a project may still have unfinished runs although no job is routed there now
            for place in self.projects.places():
                by_place.setdefault(place, {})
        listed = {job.id for _, job in found}
        recorded = _Records(self.deleted, self.finished)
        gone: dict[str, Candidate] = {}
        failed: list[Outcome] = []
        refusals: list[WandbError] = []
        for place, jobs in by_place.items():
            try:
                tracker = self.projects.tracker(place)
                runs = tracker.runs([*jobs], accounts=[each.name for each in self.accounts] if whole else [])
            except WandbError as error:
                refusals.append(error)
                failed += self._refused(place, jobs, error)
                continue
            for account, job, datasets in jobs.values():
                run = runs.get(job.id)
                decision = decide(
                    job,
                    run,
                    **({} if run or overwrite else recorded.of(job, account.now(), name_of(job.id, tracker))),
                    overwrite=overwrite,
                    include_integrated=include_integrated,
                )
                candidates.append(Candidate(account, job, run, decision, tracker, datasets, self.projects.named(place)))
            for name, run in runs.items():
                if name not in jobs and run_of(name, listed) is None:
                    gone.setdefault(
                        run.url, self._without_job(run, tracker, place)
                    )  # two places may be the same project
        if refusals and len(refusals) == len(by_place):
            raise refusals[0]
        return [*candidates, *gone.values()], failed

    def _refused(self, place: Place, jobs: _Jobs, error: WandbError) -> Iterator[Outcome]:
        """Yield a failure for each job of a project that refuses."""
        where = self.projects.named(place)
        if not jobs:  # no job waits for it; its unfinished runs are ended once it answers
            name = where or self.projects.own.project
            log.warning("project not queried project=%s reason=%s", name, error.message)
        for account, job, _ in jobs.values():
            yield failed_outcome(job.id, account.name, error, job.status, where)

    def _routed(self, found: Iterable[tuple[JobSource, Job]]) -> tuple[list[Candidate], dict[Place, _Jobs]]:
        """Split the jobs into those that are not mirrored, and the others by project and id.

        A run's id comes from its job's, which is unique: 32 random hex digits. A repeated id is the same job,
        listed through another endpoint of its account, and is used once.
        """
        named = Routes(Destination(None, self.projects.own.project, self.datasets), self.projects.rules)
        policy = stricter(self.datasets, DatasetPolicy.REFERENCE)  # nobody named a discovered account
        discovered = Routes(replace(named.default, datasets=policy), self.projects.rules)
        nowhere: list[Candidate] = []
        by_place: dict[Place, _Jobs] = {}
        for account, job in found:
            goes = (discovered if account.discovered else named).of(job)
            if isinstance(goes, NotMirrored):
                nowhere.append(Candidate(account, job, None, Decision(Action.SKIP, goes.message)))
            else:
                jobs = by_place.setdefault((goes.entity, goes.project), {})
                jobs.setdefault(job.id, (account, job, goes.datasets))
        return nowhere, by_place

    def _without_job(self, run: RunState, tracker: Tracker, place: Place) -> Candidate:
        account = next(each for each in self.accounts if each.name == run.account)
        job = Job(run.id, account.name, DELETED, "", 0, "")
        decision = Decision(Action.MIRROR, "its account no longer lists it")
        return Candidate(account, job, run, decision, tracker, where=self.projects.named(place))


class _Records:
    """The records of deleted and of complete runs, each read once and only if it is needed."""

    def __init__(self, deleted: RunRecord, finished: RunRecord) -> None:
        self._deleted = cache(deleted.known)
        self._finished = cache(finished.known)

    def of(self, job: Job, now: float, name: str) -> dict[str, bool]:
        """Return what the records say about a job without a run, as arguments for `decide`."""
        ended = job.terminal and now - (job.finished_at or job.created_at) > LONG_AGO
        return {"deleted": name in self._deleted(), "complete": ended and name in self._finished()}


def with_compared_counts(mirrored: Iterable[Candidate], outcomes: Iterable[Outcome]) -> list[Outcome]:
    """List the ended runs again, and return the outcomes with a warning for each run that has more rows than were
    written. This is for the command line, which has no leases. Every later listing compares again (`planner.decide`).
    """
    ended = {outcome.job for outcome in outcomes if outcome.final and outcome.result is Result.SYNCED}
    by_tracker: dict[Tracker, list[str]] = defaultdict(list)
    for each in mirrored:
        if each.tracker and each.job.id in ended:
            by_tracker[each.tracker].append(each.job.id)
    warnings: dict[str, str] = {}
    for tracker, jobs in by_tracker.items():
        try:
            runs = tracker.runs(jobs)
        except WandbError as error:
            log.info("rows not compared project=%s reason=%s", tracker.project, error.message)
            continue
        for job, run in runs.items():
            if run.surplus < 0:  # usually the count is only some seconds late
                log.info("rows not shown yet job=%s rows=%d missing=%d", job, run.lines, -run.surplus)
            if run.surplus > 0:
                warnings[job] = _SURPLUS.format(run.surplus)
    return [
        replace(each, warnings=(*each.warnings, warnings[each.job])) if each.job in warnings else each
        for each in outcomes
    ]
