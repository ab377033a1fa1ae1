"""Brings the run of one job up to what the job is now. W&B holds the state: replay, overlap and crash end the same.

Every write is safe to repeat: rows below the run's last step are not written, config and summary are set to what the job
says, artifacts are looked up first. The mark that a run is final goes last, after everything that it vouches for.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from function_app.azure_openai import OPENAI, Account
from function_app.datasets import Format
from function_app.decide import RULE, results_file, settled
from function_app.describe import best_of, config_changes, config_of, family_of, name_of, summary_of, tags_of
from function_app.errors import NotThereError
from function_app.model import Event, Job, MetricRow, RunState
from function_app.results import ResultsError, parse_results, rows_from_events, with_event_times
from function_app.settings import DatasetPolicy
from function_app.wandb_api import WandbApi
from function_app.wandb_artifacts import attach_dataset, log_models, log_results, said_of
from function_app.wandb_runs import Identity, OpenRun, open_run

_ALERT_FOR = 24 * 3600.0  # seconds after its end that a failure is news
_FILE, _EVENTS, _MIXED = "file", "events", "mixed"


@dataclass
class Mirrored:
    """What was done for one job; `final`: nothing more is to come."""

    url: str = ""
    steps: int = 0
    last_step: int | None = None
    did: list[str] = field(default_factory=list)
    final: bool = False


def mirror(
    account: Account,
    job: Job,
    run: RunState | None,
    api: WandbApi,
    done: Mirrored,
    *,
    datasets: DatasetPolicy,
    interrupted: Callable[[], bool] = lambda: False,
) -> None:
    """Bring a job's run up to date: open it, write what it does not have, end it when the job is settled.

    Args:
        account: where the job is.
        job: as the account shows it now.
        run: as W&B lists it; None when there is none.
        api: the project that the run is in.
        done: told what is done as it is done; it stands when something goes wrong after it.
        datasets: how much of the job's files goes to W&B.
        interrupted: asked between rows; True leaves the run as it stands, not final.

    Raises:
        SyncError: what went wrong; what was written stays, and asking again goes on from there.
    """
    events = account.events(job.id, known_step=run.last_step if run else -1)
    final = settled(job, events, account.now())
    new = None if run else Identity(name_of(job), family_of(job), tags_of(job, OPENAI), config_of(job))
    with open_run(api, job.id, new, ends=final) as opened:
        done.url, done.last_step = opened.url, opened.last_step
        opened.exit_code = int(final and job.status != "succeeded")
        _Mirroring(account, job, run, api, opened, events, final, done, interrupted).go(datasets)
    done.final = final and not interrupted()


@dataclass
class _Mirroring:
    account: Account
    job: Job
    known: RunState | None
    api: WandbApi
    run: OpenRun
    events: list[Event]
    final: bool
    done: Mirrored
    interrupted: Callable[[], bool]

    def go(self, policy: DatasetPolicy) -> None:
        """Write in the order in which a crash does least harm: rows, files, models, and the mark that vouches for them."""
        known = self.known
        file_id = results_file(self.job, self.events, known)
        state: dict[str, Any] = {"status": self.job.status, "account": self.job.account, "results_file": file_id}
        before = {"source": known.source, "datasets": known.datasets} if known else {}
        self.run.remember(before | state)
        state["source"], best = self._curve(file_id)
        self.run.remember(before | state)
        config = config_of(self.job)
        if state["source"]:
            config["curve"] = "every step" if state["source"] == _FILE else "sampled"
        if not (known and known.datasets):
            config |= self._datasets(policy)
        state["datasets"] = True
        self.run.configure(config_changes(self.run.config, config))
        self.run.summarise(summary_of(self.job) | ({"best": best} if best else {}))
        self._tell_of_failure()
        if self.final and not self.interrupted():
            if state["source"] == _MIXED and file_id:
                self._keep_results(file_id)
            self._models()
            state["rule"] = RULE
            self.done.did.append("settled")
        self.run.remember(state)

    # --- the curve ------------------------------------------------------------------------------------------------

    def _curve(self, file_id: str | None) -> tuple[str | None, dict[str, Any]]:
        """Write the rows that the run does not have; say where they came from, and the best of them."""
        known = self.known.source if self.known else None
        if file_id:
            try:
                rows, missed, best = self._from_file(file_id)
                if rows:
                    return (_MIXED if known == _MIXED or (known == _EVENTS and missed) else _FILE), best
                if not self.final:
                    return known, {}
            except (NotThereError, ResultsError) as error:
                self.done.did.append(f"no results file ({type(error).__name__})")
        rows_of_events = list(rows_from_events(self.events))
        if rows_of_events:
            self._write(rows_of_events)
            return (_MIXED if known in (_FILE, _MIXED) else _EVENTS), best_of(rows_of_events)
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

        with self.account.content(file_id) as chunks:
            rows = watched(parse_results(chunks, complete=self.final))
            self._write(with_event_times(rows, self.events))
        return read, missed, best

    def _write(self, rows: Iterable[MetricRow]) -> None:
        def until_interrupted() -> Iterator[MetricRow]:
            for row in rows:
                if self.interrupted():
                    return
                yield row

        written = self.run.log(until_interrupted())
        self.done.steps += written
        self.done.last_step = self.run.last_step
        if written:
            self.done.did.append(f"{written} new steps")

    def _keep_results(self, file_id: str) -> None:
        """The curve has only a part of the steps, and W&B takes none below the last: keep the file beside it."""
        try:
            with self.account.content(file_id) as chunks:
                log_results(self.api, self.run, self.job, chunks)
        except NotThereError:
            return
        self.done.did.append("results file")

    # --- files and models -----------------------------------------------------------------------------------------

    def _datasets(self, policy: DatasetPolicy) -> dict[str, Any]:
        named = {"training": self.job.training_file, "validation": self.job.validation_file}
        roles = {role: file_id for role, file_id in named.items() if file_id}
        known = {
            file_id: attach_dataset(self.api, self.run, self.account, file_id, policy)
            for file_id in dict.fromkeys(roles.values())
        }
        if any(known.values()):
            self.done.did.append(f"{len(known)} dataset{'s' * (len(known) > 1)}")
        said: dict[str, Any] = {}
        for role, file_id in roles.items():
            said |= said_of(role, known[file_id])
        if self.job.method is None and known.get(self.job.training_file, {}).get("format") == Format.PREFERENCE:
            said["method"] = "dpo"
        return said

    def _models(self) -> None:
        if self.job.status == "failed":
            return
        written = log_models(self.api, self.run, self.job, self.account.checkpoints(self.job.id))
        if written:
            self.done.did.append(f"{len(written)} model{'s' * (len(written) > 1)}")

    def _tell_of_failure(self) -> None:
        """Once, when the failure is first seen, and only while it is news: a backfill wakes nobody up."""
        if self.job.status != "failed" or (self.known and self.known.status == "failed"):
            return
        ended = self.job.finished_at or self.job.created_at
        if self.account.now() - ended > _ALERT_FOR:
            return
        error = self.job.error
        why = f"{error.code}: {error.message}" if error else "no reason given"
        self.run.alert(f"Fine-tuning failed: {name_of(self.job)}", f"{self.job.id} on {self.job.account}\n{why}")
        self.done.did.append("alert")
