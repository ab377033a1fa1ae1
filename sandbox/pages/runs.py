"""Fine-tuning jobs in Azure OpenAI beside their runs in W&B, as plain data for page and terminal."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sandbox.azure.openai.course import TERMINAL
from sandbox.azure.openai.jobs import Job
from sandbox.pages.charts import Point
from sandbox.pages.format import count
from sandbox.wandb.artifacts import Artifact, Collection, Maker
from sandbox.wandb.runs import Run, RunState
from sandbox.wandb.store import Project
from sandbox.world import World

ROWS_SHOWN = 3
MOST = 60  # runs or jobs in one view, the newest
_LARGEST_TABLE = 8 * 1024 * 1024  # bytes; a larger one is not read for a page
_ENDED = {"succeeded": RunState.FINISHED, "failed": RunState.FAILED, "cancelled": RunState.FAILED}


@dataclass(frozen=True)
class Agreement:
    """Whether W&B agrees with Azure. `mark` is one of ok, waiting, bad, off."""

    mark: str
    words: str


@dataclass(frozen=True)
class Table:
    """The first rows of a table by column, without empty cells; `total` is the number of its rows."""

    name: str
    rows: Sequence[Mapping[str, str]]
    total: int


@dataclass(frozen=True)
class RunView:
    """One W&B run: its state, the number of its job's steps (0 if the job is unknown) and its curves."""

    run: Run
    state: str
    of: int
    series: Mapping[str, Sequence[Point]]

    @property
    def id(self) -> str:
        """The run's id, which is the job's."""
        return self.run.id

    @property
    def steps(self) -> int:
        """The run's last step."""
        return max((int(row["_step"]) for row in self.run.history if "_step" in row), default=0)

    @property
    def status(self) -> str:
        """The job's status in the run's config."""
        return str(self.run.config.get("status", ""))

    @property
    def model(self) -> str:
        """The model that the job trains."""
        return str(self.run.config.get("model", ""))

    @property
    def method(self) -> str:
        """The job's method."""
        method = self.run.config.get("method", "")
        return str(method.get("type", "") if isinstance(method, Mapping) else method)

    @property
    def error(self) -> str:
        """The job's error; empty when there is none."""
        error = self.run.summary.get("error") or self.run.config.get("error")
        if not isinstance(error, Mapping):
            return str(error or "")
        return ": ".join(str(part) for part in (error.get("code"), error.get("message")) if part)


@dataclass(frozen=True)
class JobView:
    """One job in Azure OpenAI, its run if there is one, and whether they agree."""

    account: str
    id: str
    model: str
    status: str
    step: int
    of: int
    run: RunView | None
    agreement: Agreement


def href(run: Maker) -> str:
    """The address of a run's page."""
    return "/runs/" + "/".join(quote(part, safe="") for part in (run.entity, run.project, run.id))


def runs(world: World, most: int = MOST) -> list[RunView]:
    """The runs of the newest jobs, at most `most`, newest first."""
    known = {job.id: job for _, job in _jobs(world)}
    found = [run for project in _projects(world) for run in project.runs.values()]
    found.sort(key=lambda run: known[run.id].created if run.id in known else run.created_at, reverse=True)
    now = world.clock.time()
    return [view(run, now, known[run.id].script.timeline.steps if run.id in known else 0) for run in found[:most]]


def totals(world: World) -> tuple[int, int]:
    """The number of runs in W&B and of jobs in Azure OpenAI."""
    return sum(len(project.runs) for project in _projects(world)), sum(1 for _ in _jobs(world))


def find(world: World, entity: str, project: str, run_id: str) -> RunView | None:
    """Find a run."""
    try:
        run = world.wandb.store.run(entity, project, run_id)
    except KeyError:
        return None
    of = next((job.script.timeline.steps for _, job in _jobs(world) if job.id == run_id), 0)
    return view(run, world.clock.time(), of)


def jobs(world: World, known: Sequence[RunView], most: int = MOST) -> list[JobView]:
    """The newest jobs, at most `most`, newest first, each with its run among `known`."""
    by_id = {run.id: run for run in known}
    newest = sorted(_jobs(world), key=lambda pair: (pair[1].created, pair[1].id), reverse=True)
    return [_job(world, account, job, by_id.get(job.id)) for account, job in newest[:most]]


def _job(world: World, account: str, job: Job, run: RunView | None) -> JobView:
    now, of = world.clock.time(), job.script.timeline.steps
    status, step = job.status(now), job.course.steps(now)
    deleted = any(job.id in project.deleted_runs for project in _projects(world))
    state, have = (run.state, run.steps) if run else ("", 0)
    agreed = agreement(status, step, state, have, readable=job.readable_steps(now), deleted=deleted)
    return JobView(account, job.id, job.script.model, status, step, of, run, agreed)


def agreement(
    status: str, step: int, state: str, have: int, *, readable: int | None = None, deleted: bool = False
) -> Agreement:
    """Compare a job's status and step in Azure with its run's state and last step in W&B.

    `state` is empty when there is no run; `readable` is the newest step whose metrics Azure shows, by default `step`.
    """
    readable = step if readable is None else readable
    if deleted and not state:
        return Agreement("off", "deleted in W&B")
    if not state:
        return Agreement("waiting", "not in W&B yet")
    if status not in TERMINAL:
        if state == RunState.RUNNING:
            return _in_step(step, readable, have, "in step")
        words = "no heartbeat in W&B" if state == RunState.CRASHED else "ended in W&B"
        return Agreement("waiting" if state == RunState.CRASHED else "bad", words)
    if state in (RunState.RUNNING, RunState.CRASHED):
        return Agreement("waiting", "not ended in W&B yet")
    if state != _ENDED[status]:
        return Agreement("bad", "states differ")
    return _in_step(step, readable, have, "match")


def _in_step(step: int, readable: int, have: int, words: str) -> Agreement:
    if have > step:
        return Agreement("bad", f"W&B is {count(have - step, 'step')} ahead")
    if have < readable:
        return Agreement("waiting", f"W&B is {count(readable - have, 'step')} behind")
    if have < step:
        words += "; Azure has no more metrics" if have else "; Azure has no metrics"
    return Agreement("ok", words)


def view(run: Run, now: float, of: int = 0) -> RunView:
    """Show a run; `of` is the number of its job's steps."""
    return RunView(run, str(run.state(now)), of, series_of(run.history))


def series_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Point]]:
    """The finite numbers of a history by name as (step, value), without the SDK's own columns."""
    out: dict[str, list[Point]] = {}
    for position, row in enumerate(rows):
        step = float(row.get("_step", position))
        for name, value in row.items():
            if name.startswith("_") or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if math.isfinite(value):
                out.setdefault(name, []).append((step, float(value)))
    return out


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as text, by dotted name."""
    out: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            out |= flat(value, f"{prefix}{name}.")
        else:
            out[f"{prefix}{name}"] = as_text(value)
    return out


def as_text(value: Any) -> str:
    """A JSON value for people: strings as they are, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- artifacts ------------------------------------------------------------------------------------------------------


def collections(world: World) -> list[Collection]:
    """The collections of every project by type, oldest first, without empty ones and portfolios."""
    found = [c for p in _projects(world) for c in p.collections.values() if c.versions and not c.portfolio]
    return sorted(found, key=lambda c: c.type)


def tables(artifact: Artifact, rows: int = ROWS_SHOWN) -> list[Table]:
    """The first rows of each W&B table that a version stores as JSON, except very large ones."""
    out = []
    for path, entry in artifact.entries.items():
        if path.endswith(".table.json") and entry.ref is None and entry.size <= _LARGEST_TABLE:
            data = json.loads(artifact.read(path))
            cells = [dict(zip(map(str, data["columns"]), row, strict=True)) for row in data["data"][:rows]]
            shown = [{name: as_text(cell) for name, cell in row.items() if cell not in (None, "")} for row in cells]
            out.append(Table(path.removesuffix(".table.json"), shown, len(data["data"])))
    return out


def _jobs(world: World) -> Iterator[tuple[str, Job]]:
    for store in world.openai.stores:
        for job in store.jobs(world.clock.time()):
            yield store.account.name, job


def _projects(world: World) -> list[Project]:
    store = world.wandb.store
    return [project for entity in store.entities for project in store.projects(entity)]
