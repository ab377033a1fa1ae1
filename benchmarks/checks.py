"""Compare the content of W&B with the scenario's jobs. Each check describes the difference, for either tool."""

import base64
import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sandbox.azure.openai.jobs import Job
from sandbox.azure.openai.store import Store
from sandbox.wandb.artifacts import Artifact
from sandbox.wandb.runs import Run
from sandbox.world import World

ENTITY, PROJECT = "acme", "fine-tuning"
_STATES = {"succeeded": "finished", "failed": "failed", "cancelled": "failed"}


@dataclass(frozen=True)
class SyncedWorld:
    """A world after a sync by a tool."""

    world: World

    @property
    def now(self) -> float:
        """Virtual time."""
        return self.world.clock.time()

    @property
    def account(self) -> Store:
        """The accounts of the jobs."""
        return next(store for store in self.world.openai.stores if store.jobs(self.now))

    @property
    def jobs(self) -> list[Job]:
        """The jobs, newest first."""
        return self.account.jobs(self.now)

    @property
    def runs(self) -> list[Run]:
        """Every run of the project."""
        return self.world.wandb.store.runs(ENTITY, PROJECT)

    def run(self, job: Job) -> Run | None:
        """Return the current run of a job: the one with its id, or the one that replaced that."""
        run = next((each for each in self.runs if each.id == job.id), None)
        while run and (successor := run.config.get("superseded_by")):
            run = next((each for each in self.runs if each.id == successor), None)
        return run

    def results(self, job: Job) -> dict[int, dict[str, float]]:
        """Return step → metrics from the job's results file, read independently of both tools."""
        content = job.results(self.now)
        if job.script.results.base64:
            content = base64.b64decode(content)
        table = csv.DictReader(io.StringIO(content.decode()))
        return {
            int(row["step"]): {
                name: float(text) for name, text in row.items() if name != "step" and text not in ("", "-1")
            }
            for row in table
        }

    # --- checks --------------------------------------------------------------------------------------------------------

    def faithful(self, *, sampled: bool = False) -> list[str]:
        """Check that every job has its own run with its state, model and curve. `sampled`: some of the steps are enough."""
        wrong = []
        lacking = [job.id for job in self.jobs if self.run(job) is None]
        if lacking:
            wrong.append(f"{len(lacking)} of {len(self.jobs)} jobs have no run")
        for job in self.jobs:
            if run := self.run(job):
                wrong += (f"{_short(job)}: {what}" for what in self._of_run(job, run, sampled=sampled))
        return wrong

    def _of_run(self, job: Job, run: Run, *, sampled: bool) -> Iterator[str]:
        status = job.status(self.now)
        state = str(run.state(self.now))
        if state != _STATES.get(status, "running"):
            yield f"shown as {state}, and is {status}"
        model = run.summary.get("fine_tuned_model")
        own = job.body(self.now).get("fine_tuned_model")
        if model != own:
            yield f"shown with {'the model of another job' if own is None or model else 'no model'}"
        yield from self._of_curve(job, run, sampled=sampled)

    def _of_curve(self, job: Job, run: Run, *, sampled: bool) -> Iterator[str]:
        expected = self.results(job) if job.has_results(self.now) else {}
        names = {name for values in expected.values() for name in values} or {"train_loss"}
        rows = [row for row in run.history if names & row.keys()]
        counts = Counter(row["_step"] for row in rows)
        repeated = sum(count > 1 for count in counts.values())
        lacking = len(expected.keys() - counts.keys())
        foreign = sum(not _same(row, expected.get(row["_step"], {})) for row in rows)
        if repeated:
            yield f"{repeated} steps stand there more than once"
        if (lacking and not sampled) or (expected and not rows):
            yield f"{lacking} of {len(expected)} steps are not there"
        if foreign:
            yield f"{foreign} rows are not this job's"

    def tables(self) -> Iterator[str]:
        """Check that every example of every job's training file is in a table."""
        for job in self.jobs:
            run = self.run(job)
            script = next(each for each in self.account.account.files if each.id == job.script.training_file)
            lengths = [length for artifact in (run.used if run else []) for length in _table_lengths(artifact)]
            if script.count - script.malformed not in lengths:
                yield f"{_short(job)}: no table of its {script.count} {script.format} examples"

    def explained(self) -> Iterator[str]:
        """Check that a failed job's run contains the reason."""
        for job in self.jobs:
            error = job.body(self.now).get("error")
            run = self.run(job)
            if error and run and error["message"] not in json.dumps({**run.config, **run.summary}):
                yield f"{_short(job)}: its error is nowhere in W&B"

    def queryable(self) -> Iterator[str]:
        """Check that hyperparameters are numbers under their names, the method is its name, and times have a time zone."""
        for job in self.jobs:
            if (run := self.run(job)) is None:
                continue
            config = run.config
            shown = config.get("hyperparameters") or {}
            lacking = [name for name, value in job.script.hyperparameters.items() if shown.get(name) != value]
            if lacking:
                yield f"hyperparameters that cannot be queried: {', '.join(lacking)}"
            if config.get("method") != job.script.method.type:
                yield f"method is {str(config.get('method'))[:24]!r}…, not {job.script.method.type!r}"
            created = datetime.fromisoformat(str(config.get("created_at")))
            if created.tzinfo is None or created.timestamp() != int(job.created):
                yield f"created_at is {config.get('created_at')}, without a zone"

    def training_times(self) -> Iterator[str]:
        """Check that a row has the time of its step."""
        for job in self.jobs:
            run = self.run(job)
            rows = [row for row in (run.history if run else []) if "train_loss" in row]
            late = sum(not job.created <= row["_timestamp"] <= job.course.finished for row in rows)
            if late:
                yield f"{_short(job)}: {late} of {len(rows)} rows have the time of the sync"

    def newest_model(self) -> list[str]:
        """Check that `latest` of a model artifact is the model of its newest job."""
        collections = [
            each for each in self.world.wandb.store.all_collections() if each.type == "model" and each.versions
        ]
        newest = [job.id for job in self.jobs if job.status(self.now) == "succeeded"][:1]
        return [
            f"{each.name}:latest is the model of {', '.join(sorted(each.aliases_of(each.latest))) if each.latest else None}"
            for each in collections
            if each.latest is None or not set(newest) & set(each.aliases_of(each.latest))
        ] or ([] if collections else ["no models"])

    def clean(self) -> Iterator[str]:
        """Check that each job has one run that is not superseded, and that no run has a step twice."""
        for job in self.jobs:
            mine = [run for run in self.runs if run.id.startswith(job.id) and "superseded" not in run.tags]
            if len(mine) != 1:
                yield f"{_short(job)}: {len(mine)} runs"

    def only(self, count: int) -> list[str]:
        """Check that this number of the newest jobs have runs, and no others."""
        got = [job.id for job in self.jobs if self.run(job)]
        wanted = [job.id for job in self.jobs[:count]]
        return [] if got == wanted else [f"synced are the jobs {_places(self.jobs, got)} from the newest on"]

    def undisturbed(self) -> list[str]:
        """Check that the user's own run has what they logged, and nothing from a job."""
        own = next((run for run in self.runs if run.id == "own"), None)
        if own is None:
            return ["the user's own run is not there"]
        mine = [{name: value for name, value in row.items() if not name.startswith("_")} for row in own.history]
        return (
            []
            if mine == [{"mine": 1}] and "model" not in own.config
            else ["the user's own run was written to or broken off"]
        )

    def discreet(self) -> list[str]:
        """Check that W&B contains nothing about the machine of the sync."""
        found = sorted(
            {"the host's name" for run in self.runs if run.host}
            | {name for run in self.runs for name in run.files if name in ("wandb-metadata.json", "requirements.txt")}
        )
        return [f"uploaded: {', '.join(found)}"] if found else []

    def read_once(self) -> list[str]:
        """Check that each results file was downloaded once."""
        paths = Counter(
            str(each.request["url"]) for each in self.world.trace.exchanges if each.operation == "Files_GetContent"
        )
        again = [job for job in self.jobs for url, n in paths.items() if job.script.results_file in url and n > 1]
        return [f"{_short(job)}: its results were downloaded more than once" for job in again]


def _same(row: dict[str, float], expected: dict[str, float]) -> bool:
    return all(math.isclose(row.get(name, math.nan), value, rel_tol=1e-6) for name, value in expected.items()) and bool(
        expected
    )


def _table_lengths(artifact: Artifact) -> Iterator[int]:
    for path in artifact.entries:
        if path.endswith(".table.json"):
            yield len(json.loads(artifact.read(path))["data"])


def _places(jobs: list[Job], ids: list[str]) -> str:
    places = [str(number) for number, job in enumerate(jobs, start=1) if job.id in ids]
    return ", ".join(places) or "none"


def _short(job: Job) -> str:
    return f"…{job.id[-2:]}"
