"""Bring the run of one job up to date. W&B holds the state, so replay, overlap and crash end in the same state.

Every write is safe to repeat: a row is identified by its line, config and summary are set from the job, and artifacts are
looked up first. The mark that a run is final is written last, after everything else, and counts once the run has ended.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from function_app.azure.leases import NO_LEASE, Lease
from function_app.data.egress import permitted, permitted_checkpoint
from function_app.data.jobs.checkpoints import best_checkpoint, better_step
from function_app.data.jobs.description import (
    base_model,
    collection_of,
    config_changes,
    config_of,
    dates_of_ends,
    family_of,
    name_of,
    notes_of,
    summary_of,
    tags_of,
)
from function_app.data.jobs.job_log import read_log
from function_app.data.jobs.results import ResultsError
from function_app.data.routes import Registry
from function_app.data.training.formats import Format
from function_app.engine.accounts import JobSource
from function_app.engine.curve import FILE, MIXED, CurveReader
from function_app.engine.input_files import description_of_file, files_of, phrases_about_files
from function_app.engine.outcomes import ActionLog
from function_app.engine.planner import RULE, results_file, settled
from function_app.engine.prefetch import prefetched
from function_app.engine.reporting import (
    FAILED,
    OVERDUE,
    PAUSED,
    Reporting,
    alert_of,
    condition_of,
    figures_in_words,
    figures_of,
    is_news,
)
from function_app.errors import AccountBusyError, KeyRefusedError, NotThereError, WandbBusyError, WandbError
from function_app.models import (
    DELETED,
    OPENAI,
    TERMINAL,
    Checkpoint,
    Conventions,
    DatasetPolicy,
    Event,
    Job,
    ModelEnds,
    RunState,
)
from function_app.tracking import OF_JOB, Attachments, Identity, Intent, ModelTarget, Session, Tracker

_OTHERS = (
    "Other programs logged rows into this run, so no more rows are written."
    " The results file is attached when the job has ended; `sync --overwrite` makes a new run."
)
_EVERY_STEP, _SAMPLED, _NO_CURVE = "every step", "sampled", "none: neither results file nor metrics events"


def mirror(
    account: JobSource,
    job: Job,
    run: RunState | None,
    tracker: Tracker,
    done: ActionLog,
    *,
    datasets: DatasetPolicy,
    run_id: str,
    replaces: Sequence[str] = (),
    conventions: Conventions,
    registry: Registry | None,
    reporting: Reporting,
    interrupted: Callable[[], bool] = lambda: False,
    lease: Lease = NO_LEASE,
) -> None:
    """Bring a job's run up to date: open it, write what is missing, and end it if the job is settled.

    Args:
        account: the account of the job.
        job: the job as the account shows it now.
        run: the run as W&B lists it; None if there is none.
        tracker: the project of the run.
        done: records each action when it is done, so that the record is right even after an error.
        datasets: how much of the job's files goes to W&B.
        run_id: the id of `run`, or of a new run, for which `conventions` has names, tags and config.
        replaces: the job's other runs, which are marked as superseded once this one exists.
        registry: the registry for the final model; None for no link.
        reporting: settings of alerts and prices.
        interrupted: called before each part; True stops the work and leaves the run not final.
        lease: the right to write the run.

    Raises:
        SyncError: the work failed. What was written is kept, and a repetition continues from there.
    """
    allowed = permitted(job, datasets)
    target = ModelTarget(collection_of(allowed, conventions.model_artifact), conventions.model_type, registry)
    new = None if run else _identity(allowed, run_id, conventions, tracker, datasets)
    with ExitStack() as scope:
        ended = prefetched(scope, lambda: account.events(job.id)) if job.terminal else None  # all of them
        opened = scope.enter_context(tracker.open(run_id, new, _intent(job, run, target, datasets), lease))
        done.url, done.last_step = opened.url, opened.last_step
        read = ended or (lambda: account.events(job.id, known_step=opened.known_step))
        events = _events(account, job, run, read)
        if events is None:
            end_of_deleted(opened, done)
            return
        final = _is_settled(account, job, opened, events, done)
        adopted = run is not None and run.foreign
        mirroring = _Mirroring(
            account, allowed, opened, events, final, done, interrupted, target, adopted, reporting, scope
        )
        mirroring.write(datasets)
    if interrupted():
        done.broken_off = True
        return
    for previous in replaces:
        tracker.supersede(previous, run_id)
        done.actions.append(f"replaces {previous}")
    done.final = final


def _events(account: JobSource, job: Job, run: RunState | None, read: Callable[[], list[Event]]) -> list[Event] | None:
    """Return the job's events; None if the job was deleted, so its run ends.

    Raises:
        AccountBusyError: the account has the job, but not its events.
        NotThereError: the events are not found, and the job has no run.
    """
    try:
        return read()
    except NotThereError as error:
        if run is None:
            raise
        with suppress(NotThereError):
            account.job(job.id)
            raise AccountBusyError(f"{account.name} has the job, but not its events: {error.message}") from error
    return None


def _intent(job: Job, run: RunState | None, target: ModelTarget, datasets: DatasetPolicy) -> Intent:
    """Return what the run is opened for: the files that it does not have yet, and models if there may be some."""
    files = () if (run and run.datasets) or datasets is DatasetPolicy.OFF else tuple(files_of(job).values())
    return Intent(files, target.collection if _may_have_models(job) else None)


def _is_settled(account: JobSource, job: Job, opened: Session, events: Sequence[Event], done: ActionLog) -> bool:
    """Return whether the job is settled; record when it was first seen terminal, and warn about unusable values."""
    if job.malformed:
        fields = ", ".join(job.malformed)
        done.warnings.append(f"{account.name} returned unusable values in these fields: {fields}.")
    now = account.now()
    ended = (opened.known and opened.known.ended) or (int(now) if job.terminal else None)
    opened.remember(ended=ended)
    return settled(job, events, now, seen=ended)


def mark_deleted(tracker: Tracker, run: RunState, done: ActionLog, lease: Lease) -> None:
    """Record in a job's run that the job was deleted before its last figures were read, and end the run."""
    with tracker.open(run.id, None, Intent(), lease) as opened:
        done.url, done.last_step = opened.url, opened.last_step
        end_of_deleted(opened, done)


def end_of_deleted(opened: Session, done: ActionLog) -> None:
    """End the run of a deleted job: as failed, unless the job was last seen succeeded. If the job appears again, its
    run continues.
    """
    last = opened.known.status if opened.known else None
    status = last if last in TERMINAL else DELETED
    opened.configure({"status": status, "job_deleted": True})
    opened.summarise({"status": status})
    opened.remember(status=status, rule=RULE)
    opened.send(attach=False, ends=True)
    opened.end(int(status != "succeeded"))
    done.actions.append("the job was deleted: its run was ended")
    done.final = True


def _identity(job: Job, run_id: str, chosen: Conventions, tracker: Tracker, datasets: DatasetPolicy) -> Identity:
    """Return the name, tags and config of a new run: from the conventions, else the engine's defaults."""
    page_of = None if datasets is DatasetPolicy.OFF else tracker.dataset_page
    supersedes = {OF_JOB: job.id} if run_id != job.id else {}
    return Identity(
        name=chosen.name or name_of(job),
        group=chosen.group or family_of(job),
        tags=tuple(dict.fromkeys([*tags_of(job, OPENAI), *chosen.tags])),
        config={**chosen.config, **config_of(job), **supersedes},
        job_type=chosen.job_type or "fine-tune",
        notes=chosen.notes or notes_of(job, page_of),
    )


class _Fetched(NamedTuple):
    """Data of the account that a job's models need. The requests are in progress; each call waits for its answer."""

    checkpoints: Callable[[], list[Checkpoint]]
    dates: Callable[[], dict[str, str]]


@dataclass
class _Mirroring:
    account: JobSource
    job: Job
    run: Session
    events: list[Event]
    final: bool
    done: ActionLog
    interrupted: Callable[[], bool]
    target: ModelTarget
    adopted: bool
    reporting: Reporting
    scope: ExitStack

    def write(self, policy: DatasetPolicy) -> None:
        """Write in the order in which a crash does the least harm: rows, models, files, and last the mark of their completion."""
        known = self.run.known
        paused = self.job.status == PAUSED and (known is None or known.status != PAUSED)
        models = (self.final or paused) and _may_have_models(self.job)
        fetched = self._fetched() if models else None
        file_id = results_file(self.job, self.events, known)
        curve = CurveReader(self.account, self.job, self.run, self.events, self.final, self.done.actions)
        source, best = curve.read(file_id)
        if self.interrupted():
            return
        self.run.remember(status=self.job.status, results_file=file_id, source=source, best=best)
        self.run.configure(config_changes(self.run.config, self._config(source), adopted=self.adopted))
        if self.run.config.get("job_deleted"):  # it has appeared again
            self.run.configure({"job_deleted": False})
        log = read_log(self.events, self.job.status)
        summary = summary_of(self.job, log, self.account.now(), self.reporting.prices)
        self.run.summarise(summary | ({"best": best} if best else {}))
        self.done.figures = figures_of(summary)
        attach = models or not (known and known.datasets)
        self.done.steps = self.run.send(attach=attach, ends=self.final)
        self.done.last_step = self.run.last_step
        if self.run.others:
            self.done.warnings.append(_OTHERS)
        ends = self.final and not self.interrupted()
        if attach:
            ends = self._attach(
                policy, fetched, best, file_id if source == MIXED or self.run.others else None, ends=ends
            )
        alerted = self._alert()
        if ends:
            self.run.remember(rule=RULE)
        if attach or alerted or ends:
            self._confirm()
        if ends:
            self.run.end(int(self.job.status != "succeeded"))
            self.done.actions += [*figures_in_words(summary), "settled"]

    def _config(self, source: str | None) -> dict[str, Any]:
        config = config_of(self.job)
        if source:
            config["curve"] = _EVERY_STEP if source == FILE else _SAMPLED
        elif self.final and self.job.status != "failed":
            config["curve"] = _NO_CURVE
        return config

    # --- files and models -----------------------------------------------------------------------------------------

    def _attach(
        self,
        policy: DatasetPolicy,
        fetched: _Fetched | None,
        best: Mapping[str, Any],
        results: str | None,
        *,
        ends: bool,
    ) -> bool:
        """Upload models, training files and, for a run that lacks steps, the results file. Return whether the run still ends.

        W&B's SDK sends the models one after the other. The files are read in the meantime.
        """
        known = self.run.known
        with self.run.attachments() as attached:
            if fetched and (ends or not self.final):
                checkpoints = self._checkpoints(fetched.checkpoints(), best)
                attached.models(self.job, checkpoints, self._target(fetched.dates()))
            if not (known and known.datasets):
                self.run.configure(
                    config_changes(self.run.config, self._inputs(policy, attached), adopted=self.adopted)
                )
            ends = ends and not self.interrupted()
            if ends and results:
                self._keep_results(results, attached)
        self.run.remember(datasets=True)
        return ends

    def _keep_results(self, file_id: str, attached: Attachments) -> None:
        """Attach the file to a run that has only some of the steps, because W&B accepts no step below the last one."""
        try:
            with self.account.content(file_id) as chunks:
                attached.results(self.job, chunks)
        except (NotThereError, ResultsError):  # already reported when its rows were read
            return
        self.done.actions.append("results file")

    def _inputs(self, policy: DatasetPolicy, attached: Attachments) -> dict[str, Any]:
        """Attach the job's training files and its previous model as inputs. Return the metadata of the files for the
        run's config."""
        roles = files_of(self.job)
        known = attached.datasets(self.account, roles, policy)
        self.done.actions += phrases_about_files(roles, known)
        described: dict[str, Any] = {}
        for role, file_id in roles.items():
            described |= description_of_file(role, known[file_id], policy)
        if self.job.method is None and known.get(self.job.training_file, {}).get("format") == Format.PREFERENCE:
            described["method"] = "dpo"
        if attached.previous_model(self.job):
            self.done.actions.append("previous model")
        return described

    def _checkpoints(self, read: Iterable[Checkpoint], curve: Mapping[str, Any]) -> list[Checkpoint]:
        """Return the job's checkpoints, and record which of its models is the best. `curve` has the best values of the rows."""
        checkpoints = [*map(permitted_checkpoint, read)]
        if best := best_checkpoint(checkpoints):
            step = better_step(best, curve)
            self.run.summarise(best.summary if step is None else best.summary | {"better_step": step})
            self.done.actions.append(best.text)
            if step is not None:
                self.done.actions.append(f"step {step} was better, but the service kept no model of it")
        return checkpoints

    def _fetched(self) -> _Fetched:
        checkpoints = prefetched(self.scope, lambda: self.account.checkpoints(self.job.id))
        return _Fetched(checkpoints, prefetched(self.scope, self._ends))

    def _ends(self) -> dict[str, str]:
        """Return the dates on which the job's model and its base model end, if they can be read."""
        own = self.account.ends(self.job.fine_tuned_model) if self.job.fine_tuned_model else ModelEnds()
        return dates_of_ends(own, self.account.ends(base_model(self.job)))

    def _target(self, dates: Mapping[str, str]) -> ModelTarget:
        self.run.configure(dates)
        return replace(self.target, dates=dates)

    def _confirm(self) -> None:
        """Let the tracker confirm everything that the marks will record as done."""
        confirmed = self.run.confirm()
        self.done.warnings += confirmed.warnings
        if confirmed.models:
            self.done.actions.append(f"{confirmed.models} model{'s' * (confirmed.models > 1)}")
        if confirmed.linked:
            self.done.actions.append(f"linked to registry {confirmed.linked}")

    def _alert(self) -> bool:
        """Alert people once to each new condition of the job. Return whether there is a mark to write.

        A crash between the alert and its mark repeats the alert, which is better than no alert.
        """
        known = self.run.known
        now, before = self.account.now(), known.status if known else None
        condition = condition_of(self.job, self.events, now, self.reporting.overdue_after)
        if condition == FAILED and before != FAILED:
            code = self.job.error.code if self.job.error else ""
            self.done.actions.append(f"failed with {code}" if code else "failed")
        if condition == (known.alerted if known else ""):
            return False
        if condition:
            after = (self.reporting.overdue_after or 0.0) if condition == OVERDUE else 0.0
            if not is_news(self.job, self.events, now, before, after=after):
                return False
            alert = alert_of(self.job, condition, self.events, now)
            try:
                self.run.alert(alert.title, alert.text)
            except (WandbBusyError, KeyRefusedError):
                raise
            except WandbError as error:
                self.done.warnings.append(f"Nobody was alerted: {error.message} {error.hint}".strip())
                return False
            self.done.actions.append(alert.action)
        self.run.remember(alerted=condition)
        return True


def _may_have_models(job: Job) -> bool:
    """Return whether the job may have models to log: it ended without failing, or paused, which makes a checkpoint."""
    return (job.terminal and job.status != FAILED) or job.status == PAUSED
