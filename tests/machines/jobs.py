"""The expected content of W&B for a job, derived from the sandbox's state independently of the engine."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.checks import SyncedWorld
from function_app.tracking.wandb.marks import KEY as MARKS
from sandbox.azure.openai.course import TERMINAL
from sandbox.azure.openai.jobs import Job
from sandbox.azure.openai.store import Store
from sandbox.wandb.runs import Run
from sandbox.world import World
from tests.function_app.conftest import ENTITY, PROJECT

GRACE = 600.0
"""Seconds after its end that a job's late events are waited for (the engine's promise)."""
_CLOCKS = 15.0
"""Seconds that the engine's clock may be off: it runs on by real time between two answers of the service."""


@dataclass
class Known:
    """What the machine knows about a job in addition to the sandbox's state."""

    job: Job
    gone_at: float | None = None  # somebody deleted it
    run_deleted: bool = False  # somebody deleted its run
    every_step: bool = True  # whenever it was looked at, its results file could be read
    steps: tuple[int, ...] = ()  # of its run, as it was last seen
    final: bool = False  # its run was seen final
    edits: dict[str, dict[str, Any]] = field(default_factory=dict)  # run id → what people changed in it

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def by_itself(self) -> bool:
        """Whether the service logs it to W&B."""
        return bool(self.job.script.integrations)


@dataclass(frozen=True)
class Comparison:
    """A world after a tick, job by job. Each method says in words what is wrong.

    `alone`: no two processes were at one job at once without a lease. Of steps they leave each once all the same; of
    artifacts both may make a version, where neither has seen the other's.
    """

    world: World
    alone: bool = True

    @property
    def now(self) -> float:
        """Virtual time."""
        return self.world.clock.time()

    @property
    def store(self) -> Store:
        """The account."""
        return self.world.openai.stores[0]

    def runs_of(self, known: Known) -> list[Run]:
        """Every run of the job."""
        return [each for each in self.world.wandb.store.runs(ENTITY, PROJECT) if each.id.startswith(known.id)]

    def run(self, known: Known) -> Run | None:
        """The run that counts: the job's own, or the last that replaced it."""
        return SyncedWorld(self.world).run(known.job)

    def readable(self, known: Known) -> bool:
        """Whether the results file can be read now, if there is anything in it."""
        there = self.store.file(known.job.script.results_file, self.now) is not None
        return there or not known.job.course.steps(self.now)

    # --- what must always hold -----------------------------------------------------------------------

    def always(self, known: Known) -> Iterator[str]:
        """Check what no crash, refusal or overlap may break."""
        at = self.now if known.gone_at is None else min(self.now, known.gone_at)
        expected = rows(known.job, at)
        for run in self.runs_of(known):
            if known.by_itself:
                yield "has a run, and logs to W&B by itself"
            yield from _of_history(run, expected)
            yield from _of_times(run, known.job, self.now)
            yield from (f"{run.id}: people's {what} is lost" for what in _lost(run, known.edits.get(run.id, {})))
            if run.state(self.now) in ("finished", "failed") and "rule" not in marks(run):
                yield f"{run.id}: is shown as {run.state(self.now)}, without a mark that it is complete"
        if known.run_deleted and self.run(known) and not _superseded(self.run(known)):
            yield "its run was deleted in W&B and is back"

    # --- what must hold after a tick that nothing disturbed --------------------------------------------------------------

    def after(self, known: Known, before: tuple[int, ...]) -> Iterator[str]:
        """Check the effect of an undisturbed tick. `before`: the steps that the run had before it."""
        run = self.run(known)
        if known.run_deleted or known.by_itself:
            return
        if known.gone_at is not None:
            if run and run.state(self.now) in ("running", "crashed"):
                yield "its job is gone and it is still running"
            return
        if run is None:
            yield "has no run"
            return
        yield from self._of_state(known, run)
        yield from self._of_steps(known, run, before)
        yield from self._of_inputs(known, run)

    def _of_state(self, known: Known, run: Run) -> Iterator[str]:
        body = known.job.body(self.now)
        status, shown = body["status"], (run.config.get("status"), run.summary.get("status"))
        if shown != (status, status):
            yield f"is {status} and says {shown}"
        if run.summary.get("fine_tuned_model") != body.get("fine_tuned_model"):
            yield "says another model"
        error = body.get("error")
        if error and run.config.get("error", {}).get("message") != error["message"]:
            yield "does not say its error"
        settled = self.settled(known)
        if settled is None:
            return
        state, rule = str(run.state(self.now)), marks(run).get("rule")
        expected = ("finished" if status == "succeeded" else "failed") if settled else "running"
        if state != expected or bool(rule) is not settled:
            yield f"is {status}, {'settled' if settled else 'not settled'}, and shown as {state} with rule {rule}"

    def settled(self, known: Known) -> bool | None:
        """Whether all that matters of the job is in; None where clocks may differ."""
        body = known.job.body(self.now)
        if body["status"] not in TERMINAL:
            return False
        if any(each["message"].startswith("Completed results file") for each in events(known.job, self.now)):
            return True
        age = self.now - known.job.course.finished
        return None if abs(age - GRACE) < _CLOCKS else age > GRACE

    def _of_steps(self, known: Known, run: Run, before: tuple[int, ...]) -> Iterator[str]:
        steps, in_file = steps_of(run), tuple(rows(known.job, self.now))
        if known.every_step:
            expected = in_file
        else:
            there = in_file if self.readable(known) else tuple(told_by_events(known.job, self.now))
            expected = (*before, *(step for step in there if step > max(before, default=0)))
        if steps != expected:
            yield f"has steps {_short(steps)}, not {_short(expected)}"
        if self.settled(known) and steps and steps != in_file and run.config.get("curve") != "sampled":
            yield f"lacks steps, and its curve is called {run.config.get('curve')!r}"

    def _of_inputs(self, known: Known, run: Run) -> Iterator[str]:
        used = [each.sequence.name for each in run.used]
        if self.alone and len(set(used)) != len(used):
            yield f"has an input twice: {used}"
        wanted = {known.job.script.training_file, known.job.script.validation_file} - {None}
        there = {name for name in wanted if name and self.store.file(name, self.now)}
        if lacking := there - set(used):
            yield f"lacks its inputs {sorted(lacking)}"

    def of_files(self) -> Iterator[str]:
        """There is one version for each dataset, however many jobs trained on it, and one for each model."""
        if not self.alone:
            return
        for each in self.world.wandb.store.artifacts(ENTITY, PROJECT):
            if each.type == "dataset" and each.index:
                yield f"dataset {each.sequence.name} has version {each.name}"
        models = [each for each in self.world.wandb.store.artifacts(ENTITY, PROJECT) if each.type == "model"]
        names = [each.metadata.get("fine_tuned_model") for each in models]
        if len(set(names)) != len(names):
            yield f"a model has several versions: {sorted(map(str, names))}"

    def of_models(self, known: Known) -> Iterator[str]:
        """The final model of a job that succeeded is a version under the job's id."""
        run = self.run(known)
        if known.job.status(self.now) != "succeeded" or run is None:
            return
        named = {
            each.metadata.get("fine_tuned_model")
            for each in self.world.wandb.store.artifacts(ENTITY, PROJECT)
            if each.type == "model" and known.id in each.aliases
        }
        if named != {known.job.fine_tuned_model}:
            yield f"its model is {sorted(map(str, named))}"


# --- what a job says, read from the sandbox ------------------------------------------------------------------------------


def rows(job: Job, now: float) -> dict[int, dict[str, float]]:
    """Step → metrics: the results file's whole lines at a time, read by Python's own csv, whether or not anybody may."""
    text = job.results(now).decode()
    table = csv.DictReader(io.StringIO(text[: text.rindex("\n") + 1]))
    return {
        int(row["step"]): {name: float(cell) for name, cell in row.items() if name != "step" and cell not in ("", "-1")}
        for row in table
    }


def events(job: Job, now: float) -> Iterator[dict[str, Any]]:
    """The job's log, oldest first."""
    return (job.event(number) for number in range(job.event_count(now)))


def told_by_events(job: Job, now: float) -> list[int]:
    """The steps that metrics events report."""
    return [each["data"]["step"] for each in events(job, now) if each["type"] == "metrics"]


def marks(run: Run) -> dict[str, Any]:
    """What the engine keeps in a run's config."""
    found: dict[str, Any] = json.loads(run.config.get(MARKS, "{}"))
    return found


def steps_of(run: Run | None) -> tuple[int, ...]:
    """The steps of a run's history, in the order of the file."""
    return tuple(row["_step"] for row in run.history) if run else ()


def _of_history(run: Run, expected: dict[int, dict[str, float]]) -> Iterator[str]:
    steps = steps_of(run)
    if list(steps) != sorted(set(steps)):
        yield f"{run.id}: steps do not rise: {_short(steps)}"
    for row in run.history:
        values = {name: value for name, value in row.items() if not name.startswith("_")}
        if values != expected.get(row["_step"]):
            yield f"{run.id}: step {row['_step']} has {values}, and the file {expected.get(row['_step'])}"


def _of_times(run: Run, job: Job, now: float) -> Iterator[str]:
    wrong = [row["_step"] for row in run.history if not int(job.created) <= row["_timestamp"] <= now + _CLOCKS]
    if wrong:
        yield f"{run.id}: steps {wrong} are dated before the job or after now"


def _lost(run: Run, edits: dict[str, Any]) -> Iterator[str]:
    for what, value in edits.items():
        if what.startswith("config "):
            found = run.config.get(what.removeprefix("config "))
        elif what == "tags":
            found = [tag for tag in run.tags if tag != "superseded"]
        else:
            found = getattr(run, what)
        if found != value:
            yield f"{what} {value!r} (now {found!r})"


def _superseded(run: Run | None) -> bool:
    return run is not None and "superseded_by" in run.config


def _short(steps: tuple[int, ...]) -> str:
    if len(steps) > 12:
        return f"{list(steps[:5])}…{list(steps[-5:])} ({len(steps)})"
    return str(list(steps))
