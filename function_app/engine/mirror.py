"""Brings the run of one job up to what the job is now. W&B holds the state: replay, overlap and crash end the same.

Every write is safe to repeat: rows below the run's last step are not written, config and summary are set to what the job
says, artifacts are looked up first. The mark that a run is final goes last, after everything that it vouches for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from function_app.data.checkpoints import best_checkpoint
from function_app.data.description import (
    best_of,
    collection_of,
    config_changes,
    config_of,
    family_of,
    name_of,
    summary_of,
    tags_of,
)
from function_app.data.egress import FROM_SAMPLE_ON, allows, permitted
from function_app.data.formats import Format
from function_app.data.job_log import read_log
from function_app.data.results import ResultsError, parse_results, rows_from_events, with_event_times, with_events
from function_app.data.routes import Registry
from function_app.engine.accounts import JobSource
from function_app.engine.outcomes import Mirrored
from function_app.engine.planner import RULE, results_file, settled
from function_app.engine.reporting import (
    BY_DEFAULT,
    FAILED,
    Reporting,
    alert_of,
    condition_of,
    figures_in_words,
    is_news,
)
from function_app.errors import NotThereError
from function_app.models import (
    DELETED,
    OPENAI,
    TERMINAL,
    USUAL,
    Checkpoint,
    Conventions,
    DatasetPolicy,
    Event,
    Job,
    MetricRow,
    RunState,
    alerted_condition,
)
from function_app.tracking import OF_JOB, Attachments, Identity, Intent, ModelTarget, Session, Tracker

_FILE, _EVENTS, _MIXED = "file", "events", "mixed"
_EVERY_STEP, _SAMPLED, _NO_CURVE = "every step", "sampled", "none: neither results file nor metrics events"


def mirror(
    account: JobSource,
    job: Job,
    run: RunState | None,
    tracker: Tracker,
    done: Mirrored,
    *,
    datasets: DatasetPolicy,
    run_id: str,
    replaces: Sequence[str] = (),
    conventions: Conventions = USUAL,
    registry: Registry | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    reporting: Reporting = BY_DEFAULT,
) -> None:
    """Bring a job's run up to date: open it, write what it does not have, end it when the job is settled.

    Args:
        account: where the job is.
        job: as the account shows it now.
        run: as W&B lists it; None when there is none.
        tracker: the project that the run is in.
        done: told what is done as it is done; it stands when something goes wrong after it.
        datasets: how much of the job's files goes to W&B.
        run_id: of `run`, or what a new one is to have.
        replaces: the job's other runs, which are told so once this one stands.
        conventions: what a new run is to be called.
        registry: where the final model is linked to; None for nowhere.
        interrupted: asked between rows and before each further part; True leaves the run as it stands, not final.
        reporting: how the job is reported.

    Raises:
        SyncError: what went wrong; what was written stays, and asking again goes on from there.
    """
    try:
        events = account.events(job.id, known_step=run.last_step if run and not job.terminal else -1)
    except NotThereError:
        if run is None:
            raise
        mark_deleted(tracker, run, done)
        return
    if job.malformed:
        done.warnings.append(f"{account.name} shows values that cannot be used: {', '.join(job.malformed)}.")
    final = settled(job, events, account.now())
    job = permitted(job, datasets)
    new = None if run else _identity(job, run_id, conventions)
    target = ModelTarget(collection_of(job, conventions.model_artifact), conventions.model_type, registry)
    files = () if (run and run.datasets) or datasets is DatasetPolicy.OFF else tuple(_files_of(job).values())
    intent = Intent(ends=final, files=files, collection=target.collection if final else None)
    with tracker.open(run_id, new, intent) as opened:
        done.url, done.last_step = opened.url, opened.last_step
        _Mirroring(account, job, run, opened, events, final, done, interrupted, target, reporting).go(datasets)
    if interrupted():
        done.broken_off = True
        return
    for previous in replaces:
        tracker.supersede(previous, run_id)
        done.actions.append(f"replaces {previous}")
    done.final = final


def mark_deleted(tracker: Tracker, run: RunState, done: Mirrored) -> None:
    """Say in a job's run that the job was deleted before its last figures were read, and end the run.

    It ends as failed unless the job was last seen succeeded. Should the job be there again, its run goes on.
    """
    status = run.status if run.status in TERMINAL else DELETED
    # Before the run ends: no listing has the job any more, and who asks for runs without one asks for those that go on.
    tracker.mark(run.id, {"status": status, "job_deleted": True})
    with tracker.open(run.id, None, Intent(ends=True, rows=False)) as opened:
        done.url, done.last_step = opened.url, opened.last_step
        opened.summarise({"status": status})
        kept = {"source": run.source, "results_file": run.results_file, "datasets": run.datasets}
        opened.remember({**kept, "status": status, "account": run.account, "rule": RULE})
        opened.end(int(status != "succeeded"))
    done.actions.append("the job was deleted: its run was ended")
    done.final = True


def _identity(job: Job, run_id: str, said: Conventions) -> Identity:
    """What a new run is called: as was said, else as the engine does it."""
    supersedes = {OF_JOB: job.id} if run_id != job.id else {}
    return Identity(
        name=said.name or name_of(job),
        group=said.group or family_of(job),
        tags=tuple(dict.fromkeys([*tags_of(job, OPENAI), *said.tags])),
        config={**said.config, **config_of(job), **supersedes},
        job_type=said.job_type or "fine-tune",
        notes=said.notes,
    )


def _vouches(run: RunState | None, *, final: bool) -> bool:
    """Whether the run is to be marked with what keeps it from being written once more."""
    return final or not (run and run.datasets)


@dataclass
class _Mirroring:
    account: JobSource
    job: Job
    known: RunState | None
    run: Session
    events: list[Event]
    final: bool
    done: Mirrored
    interrupted: Callable[[], bool]
    target: ModelTarget
    reporting: Reporting
    state: dict[str, Any] = field(default_factory=dict)

    def go(self, policy: DatasetPolicy) -> None:
        """Write in the order in which a crash does least harm: rows, files, models, and the mark that vouches for them."""
        known = self.known
        file_id = results_file(self.job, self.events, known)
        self.state = self.run.recall("source", "datasets", "alerted")  # newer than `known` where others are at it, too
        self._remember(status=self.job.status, account=self.job.account, results_file=file_id)
        source, best = self._curve(file_id)
        self._remember(source=source)
        if self.interrupted():
            return
        config = config_of(self.job)
        if source:
            config["curve"] = _EVERY_STEP if source == _FILE else _SAMPLED
        elif self.final and self.job.status != "failed":
            config["curve"] = _NO_CURVE
        with self.run.attachments() as attached:
            if not (known and known.datasets):
                config |= self._inputs(policy, attached)
            adopted = known is not None and known.foreign
            self.run.configure(config_changes(self.run.config, config, adopted=adopted))
            summary = summary_of(
                self.job, read_log(self.events, self.job.status), self.account.now(), self.reporting.prices
            )
            self.run.summarise(summary | ({"best": best} if best else {}))
            self._alert()
            ends = self.final and not self.interrupted()
            if ends and source == _MIXED and file_id:
                self._keep_results(file_id, attached)
            if ends and self.job.status != "failed":
                attached.models(self.job, self._checkpoints(), self.target)
        if _vouches(known, final=self.final):
            self._confirm()
        if ends:
            self.state["rule"] = RULE
            self.done.actions += [*figures_in_words(summary), "settled"]
        self._remember(datasets=True)
        if ends:
            self.run.end(int(self.job.status != "succeeded"))

    def _remember(self, **news: Any) -> None:
        """Have the next tick know this, too."""
        self.state |= news
        self.run.remember(self.state)

    # --- the curve ------------------------------------------------------------------------------------------------

    def _curve(self, file_id: str | None) -> tuple[str | None, dict[str, Any]]:
        """Write the rows that the run does not have; say where they came from, and the best of them."""
        known = self.state.get("source")
        if file_id:
            try:
                rows, missed, best = self._from_file(file_id)
                if rows:
                    return (_MIXED if known == _MIXED or (known == _EVENTS and missed) else _FILE), best
                if not self.final:
                    return known, {}
            except NotThereError:
                self.done.actions.append("no results file: it was deleted")
            except ResultsError as error:
                self.done.actions.append(f"results file not readable: {error}")
        rows_of_events = list(rows_from_events(self.events))
        if rows_of_events:
            source = _MIXED if known in (_FILE, _MIXED) else _EVENTS
            self._remember(source=source)  # before the first row: after a crash it must not pass for the whole curve
            self._write(rows_of_events)
            return source, best_of(rows_of_events, self.run.kept("best"))
        return known, {}

    def _from_file(self, file_id: str) -> tuple[int, bool, dict[str, Any]]:
        """Write the file's rows: how many it has, whether it has steps that the run went past, and the best values."""
        told = {row.step for row in rows_from_events(self.events)}
        missed = False
        read = 0
        best: dict[str, Any] = {}

        def watched(rows: Iterable[MetricRow]) -> Iterator[MetricRow]:
            nonlocal missed, read
            for row in rows:
                read += 1
                missed |= row.step < self.run.starting_step and row.step not in told
                best_of([row], best)
                yield row

        ended = None if self.run.starting_step else self.job.finished_at  # what stands there was dated otherwise
        span = (self.job.created_at, ended) if ended else None
        with self.account.content(file_id) as chunks:
            read_rows = parse_results(chunks, complete=self.final)
            rows = watched(with_events(read_rows, self.events, complete=self.final))
            self._write(with_event_times(rows, self.events, now=self.account.now(), span=span))
        return read, missed, best

    def _write(self, rows: Iterable[MetricRow]) -> None:
        def until_interrupted() -> Iterator[MetricRow]:
            for row in rows:
                if self.interrupted():
                    return
                yield row

        self.done.steps += self.run.log(until_interrupted())
        self.done.last_step = self.run.last_step

    def _keep_results(self, file_id: str, attached: Attachments) -> None:
        """The curve has only a part of the steps, and W&B takes none below the last: keep the file beside it."""
        try:
            with self.account.content(file_id) as chunks:
                attached.results(self.job, chunks)
        except (NotThereError, ResultsError):  # which was said when its rows were read
            return
        self.done.actions.append("results file")

    # --- files and models -----------------------------------------------------------------------------------------

    def _inputs(self, policy: DatasetPolicy, attached: Attachments) -> dict[str, Any]:
        """Have the files that the job was trained on, and the model that it trained further, as inputs; what there is to
        say of them."""
        roles = _files_of(self.job)
        known = attached.datasets(self.account, roles.values(), policy)
        self.done.actions += _said_of_files(roles, known)
        said: dict[str, Any] = {}
        for role, file_id in roles.items():
            said |= _described(role, known[file_id], policy)
        if self.job.method is None and known.get(self.job.training_file, {}).get("format") == Format.PREFERENCE:
            said["method"] = "dpo"
        if attached.previous_model(self.job):
            self.done.actions.append("previous model")
        return said

    def _checkpoints(self) -> list[Checkpoint]:
        """Return the job's checkpoints, and say which is the best of its models."""
        checkpoints = self.account.checkpoints(self.job.id)
        if best := best_checkpoint(checkpoints):
            self.run.summarise(best.summary)
            self.done.actions.append(best.text)
        return checkpoints

    def _confirm(self) -> None:
        """Have the tracker confirm what the marks are going to vouch for."""
        confirmed = self.run.confirm()
        self.done.warnings += confirmed.warnings
        if confirmed.models:
            self.done.actions.append(f"{confirmed.models} model{'s' * (confirmed.models > 1)}")
        if confirmed.linked:
            self.done.actions.append(f"linked to registry {confirmed.linked}")

    def _alert(self) -> None:
        """Alert people once to each condition of the job that is news.

        A crash between the alert and the mark that it was sent repeats it: better twice than not at all.
        """
        now, before = self.account.now(), self.known.status if self.known else None
        condition = condition_of(self.job, self.events, now, self.reporting.overdue_after)
        if condition == FAILED and before != FAILED:
            code = self.job.error.code if self.job.error else ""
            self.done.actions.append(f"failed with {code}" if code else "failed")
        if condition == (alerted_condition(self.state.get("alerted")) or ""):
            return
        if condition:
            if not is_news(self.job, self.events, now, before):
                return
            alert = alert_of(self.job, condition, self.events, now)
            self.run.alert(alert.title, alert.text)
            self.done.actions.append(alert.action)
        self._remember(alerted=condition)


def _files_of(job: Job) -> dict[str, str]:
    """The files that it was trained on, by what they were for."""
    named = {"training": job.training_file, "validation": job.validation_file}
    return {role: file_id for role, file_id in named.items() if file_id}


def _said_of_files(roles: Mapping[str, str], known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What people are told of a job's files: how many there are, what is wrong in them, which the account has deleted."""
    there = [file for file in known.values() if file and "missing" not in file]
    if there:
        malformed = sum(int(file.get("malformed_lines", 0)) for file in there)
        lines = f" ({malformed:,} malformed line{'s' * (malformed > 1)})" if malformed else ""
        yield f"{len(there)} dataset{'s' * (len(there) > 1)}{lines}"
    yield from (f"no {role} file: it was deleted" for role, file_id in roles.items() if "missing" in known[file_id])


def _described(role: str, known: Mapping[str, Any], policy: DatasetPolicy) -> dict[str, Any]:
    """Return what of a file's metadata goes into the run's config, so that runs can be compared by it."""
    names = ("examples", "format", "malformed_lines", "rows_in_table", "bytes", "missing")
    if not known:
        return {}
    named = {f"{role}_file_name": known["filename"]} if known.get("filename") and allows(policy, FROM_SAMPLE_ON) else {}
    return {f"{role}_data": {name: known[name] for name in names if name in known}, **named}
