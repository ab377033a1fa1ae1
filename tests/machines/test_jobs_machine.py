"""Jobs come, train, pause, fail, settle and vanish; ticks fire, overlap and die; people edit runs. W&B agrees with Azure."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from benchmarks.checks import SyncedWorld
from evidence.processes import Processes
from evidence.refusals import troubles
from function_app.engine.engine import Engine
from function_app.engine.planner import Action
from function_app.errors import SyncError
from function_app.models import Outcome, Result, Selection
from function_app.tracking.wandb.session import QUIET
from sandbox.azure.openai.script import JobCourse
from sandbox.azure.openai.store import Store
from sandbox.runtime.faults import Fault, Faults, Gate
from sandbox.wandb.runs import Run
from tests.function_app.conftest import FILE, SETTINGS, VALIDATION_FILE, Bench

from .jobs import Comparison, Known, marks, steps_of
from .places import FILES, PIPELINE, Leases, after, course, fresh
from .profiles import how

OF_WANDB = (
    "Runs",
    "RunResumeStatus",
    "UpsertBucket",
    "Run",
    "FileStream",
    "CreateArtifact",
    "CreateArtifactManifest",
    "CreateArtifactFiles",
    "UploadFile",
    "CommitArtifact",
    "UseArtifact",
    "ProjectArtifacts",
)
OF_AZURE = ("FineTuning_List", "FineTuning_GetEvents", "FineTuning_GetCheckpoints", "Files_GetContent")
_TRIED_AGAIN = ("429 s", "429 ms", "500", "503", "stall", "hang")
"""What the SDKs get over by themselves after seconds of real time; a lost answer stands for it. evidence/faults.py has all."""

ERROR = {"code": "oom", "message": "the graphics card is full"}
OUTCOMES: tuple[dict[str, Any], ...] = (
    {"status": "succeeded"},
    {"status": "failed", "during": "preprocessing", "error": {"code": "invalid", "message": "no such column"}},
    {"status": "failed", "during": "training", "at_step": 3, "error": ERROR},
    {"status": "cancelled", "at_step": 5},
    {"status": "under_review", "at_step": 4},  # a status that does not exist yet
)
COURSES = st.builds(
    lambda outcome, steps, pace, late, pause, every, results: course(
        outcome=outcome,
        timeline={"steps": steps, "seconds_per_step": pace, "finished_after": late},
        pauses=[{"at_step": 2, "lasts": 120}] if pause else [],
        events={"every": every},
        results=results,
    ),
    outcome=st.sampled_from(OUTCOMES),
    steps=st.integers(6, 40),
    pace=st.sampled_from((5, 20, 60)),
    late=st.sampled_from((0, 0, 1800)),
    pause=st.booleans(),
    every=st.sampled_from((1, 5, 10)),
    results=st.sampled_from(
        ({}, {"cut": True}, {"missing": "-1"}, {"listed": "succeeded"}, {"listed": "never"}, {"purged": True})
    ),
)
KINDS = st.sampled_from(
    (
        {"training_file": FILE},
        {"training_file": FILE, "validation_file": VALIDATION_FILE, "hyperparameters": {"n_epochs": 3}},
        {"training_file": FILE, "suffix": "tone"},
        {"training_file": FILES[1], "method": "dpo"},
        {"training_file": FILE, "integrations": [{"type": "wandb", "wandb": {"project": "theirs"}}]},
    )
)
EDITS = st.sampled_from(
    (
        ("name", "the good one"),
        ("notes", "keep this"),
        ("tags", ["ours", "openai/finetune"]),
        ("config learning", "slow"),
        ("config seed", 7),  # what the engine wrote once is people's from then on
    )
)
WAITS = st.sampled_from((0, 5, 60, 130, 400, 3600))


_Thing = TypeVar("_Thing")


class JobsMachine(RuleBasedStateMachine):
    """One project of W&B, one account of Azure OpenAI, and everything that can happen between them.

    `delay`: by how many seconds W&B's reads may be late.
    """

    delay = 0.0

    def __init__(self, bench: Bench, processes: Processes) -> None:
        super().__init__()
        self.bench = bench
        self.processes = processes
        self.known: list[Known] = []
        self.alone = True

    @initialize(jobs=st.lists(st.tuples(COURSES, KINDS), min_size=1, max_size=3))
    def a_new_world(self, jobs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
        fresh(self.bench)
        self.bench.reads()  # at once: the machine compares after every tick; LateReadsMachine has them late
        self.engine = self.bench.engine()
        for values, kind in jobs:
            self._create(values, kind)

    @property
    def _comparison(self) -> Comparison:
        return Comparison(self.bench.cloud.world, self.alone)

    # --- what happens in Azure --------------------------------------------------------------------------------------------

    @property
    def _store(self) -> Store:
        return self.bench.cloud.world.openai.stores[0]

    @property
    def _now(self) -> float:
        return self.bench.cloud.clock.time()

    def _one(self, data: st.DataObject, status: Sequence[str] = ()) -> Known | None:
        """One of the jobs that are there, with one of these statuses."""
        there = [each for each in self.known if each.gone_at is None]
        there = [each for each in there if not status or each.job.course.status(self._now) in status]
        return _any(data, there)

    @precondition(lambda self: len(self.known) < 5)
    @rule(values=COURSES, kind=KINDS)
    def a_job_appears(self, values: dict[str, Any], kind: dict[str, Any]) -> None:
        self._create(values, kind)

    def _create(self, values: dict[str, Any], kind: dict[str, Any]) -> None:
        going = JobCourse.model_validate(values)
        self._store.account = self._store.account.model_copy(update={"new_jobs": going})
        job = self._store.create({"model": "gpt-4o-mini-2024-07-18", **kind}, self._now)
        self.known.append(Known(job))

    @rule(seconds=WAITS)
    def time_passes(self, seconds: float) -> None:
        self.bench.cloud.clock.advance(seconds)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), verb=st.sampled_from(("cancel", "pause", "resume")))
    def somebody_acts(self, data: st.DataObject, verb: Any) -> None:
        going = ("pending", "running", "paused", "under_review")
        statuses = {"cancel": going, "pause": ("running",), "resume": ("paused",)}[verb]
        if one := self._one(data, statuses):
            one.job = self._store.act(one.job, verb, self._now)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def a_job_is_deleted(self, data: st.DataObject) -> None:
        if one := self._one(data):
            self._store.delete_job(one.id)
            one.gone_at = self._now

    @rule(data=st.data())
    def a_file_is_deleted(self, data: st.DataObject) -> None:
        results = [each.job.script.results_file for each in self.known]
        self._store.delete_file(data.draw(st.sampled_from((*FILES, VALIDATION_FILE, *results))), self._now)

    # --- what people do in W&B --------------------------------------------------------------------------------------------

    def _run(self, data: st.DataObject) -> tuple[Known, Run] | None:
        comparison = self._comparison
        there = [(each, run) for each in self.known if (run := comparison.run(each)) and marks(run)]
        return _any(data, there)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), edit=EDITS)
    def somebody_edits_a_run(self, data: st.DataObject, edit: tuple[str, Any]) -> None:
        if one := self._run(data):
            (known, run), (what, value) = one, edit
            if what == "tags":
                run.set_tags([*value, *(tag for tag in run.tags if tag == "superseded")])
            elif what.startswith("config "):
                run.set_config(what.removeprefix("config "), value)
            else:
                setattr(run, what, value)
            known.edits.setdefault(run.id, {})[what] = value

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def somebody_deletes_a_run(self, data: st.DataObject) -> None:
        if one := self._run(data):
            known, run = one
            self.bench.cloud.world.wandb.store.delete_run(run)
            known.run_deleted = True

    # --- ticks ------------------------------------------------------------------------------------------------------------

    @rule(seconds=WAITS)
    def a_tick(self, seconds: float) -> None:
        self.bench.cloud.clock.advance(seconds)
        self._clean(self.engine.sync)

    @rule(seconds=WAITS)
    def a_tick_of_a_new_process(self, seconds: float) -> None:
        self.bench.cloud.clock.advance(seconds)
        self.engine.close()
        self.engine = self.bench.engine()
        self._clean(self.engine.sync)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def a_clean_run_is_asked_for(self, data: st.DataObject) -> None:
        if one := self._one(data):
            before = self._comparison.run(one)
            self.engine.sync(Selection(jobs=frozenset({one.id})), overwrite=True)
            if self._comparison.run(one) is not before:
                one.run_deleted = False
                one.every_step = self._comparison.readable(one)
            self._disturbed()

    @rule(data=st.data(), operation=st.sampled_from((*OF_WANDB, *OF_AZURE)), nth=st.integers(0, 3))
    def a_tick_meets_trouble(self, data: st.DataObject, operation: str, nth: int) -> None:
        """At the n-th such request, or at each."""
        service = "wandb" if operation in OF_WANDB else "openai"
        known = [each for each in troubles(service, operation) if each.column not in _TRIED_AGAIN]
        lasting = [each for each in known if "403" in each.name or "401" in each.name]  # no client retries these
        trouble = data.draw(st.sampled_from(known if nth else lasting or known))
        when = {"nth": [nth]} if nth or not lasting else {}
        world = self.bench.cloud.world
        world.faults = Faults([Fault.model_validate({"op": operation, "when": when, "do": trouble.do})])
        with suppress(SyncError):  # this checks what it leaves behind, not its messages
            self.engine.sync()
        world.faults = Faults()
        self._disturbed()

    @rule(asked=st.integers(0, 30))
    def a_tick_is_interrupted(self, asked: int) -> None:
        for each in self.engine.discover()[0]:
            if each.decision.action is Action.MIRROR:
                self.engine.mirror(each, stop=after(asked))
        self._disturbed()

    @rule()
    def ticks_overlap(self) -> None:
        """Another engine begins when the first one has looked."""
        other = self.bench.engine()
        with ThreadPoolExecutor(1) as pool:
            begun = []
            self.engine.sync(begins=lambda jobs: begun.append(pool.submit(other.sync)))
            begun[0].result()
        other.close()
        self._disturbed()

    @rule(data=st.data())
    def two_workers_get_the_same_messages(self, data: st.DataObject) -> None:
        """Deliver stale messages, each of them twice. The worker with the job's lease processes it, and none fails."""
        ids = [each.id for each in self.known] + ["ftjob-" + "9" * 32]
        messages = data.draw(st.lists(st.sampled_from(ids), max_size=3)) if self.known else ids
        leases = Leases()
        workers = [self.bench.engine() for _ in range(2)]
        for each in workers:
            each.leases = leases
        with ThreadPoolExecutor(2) as pool:
            outcomes = [each for done in pool.map(lambda one: _worked(one, messages), workers) for each in done]
        for each in workers:
            each.close()
        assert [each for each in outcomes if each.result is Result.FAILED] == []
        self._disturbed()

    @rule(
        operation=st.sampled_from((*OF_WANDB, *OF_AZURE)),
        nth=st.sampled_from((1, 1, 2)),
        acted=st.booleans(),
        meanwhile=st.sampled_from((None, 0, 60)),
        values=COURSES,
    )
    def a_process_is_stopped(
        self, operation: str, nth: int, acted: bool, meanwhile: int | None, values: dict[str, Any]
    ) -> None:
        """A sync in a separate process is held at a request: it is killed there with -9, or continues after
        so many seconds (`meanwhile`) in which another sync ran.
        """
        self._create(values, {"training_file": FILE})
        cloud = self.bench.cloud
        cloud.clock.advance(400)
        gate = cloud.world.gate = Gate(operation, nth, acted)
        running = self.processes.start(
            ("function_app", "sync", "--output", "json"),
            cloud.environment(PIPELINE) | SETTINGS | {"SYNC_DATASETS": "full"},
        )
        try:
            if not running.ends_before(gate.reached.is_set):
                if meanwhile is None:
                    running.kill()
                else:
                    cloud.clock.advance(meanwhile)
                    self.engine.sync()
                    self.alone = False
        finally:
            gate.opened.set()
        running.ended()
        cloud.world.gate = Gate()
        cloud.clock.advance(QUIET)  # another process leaves a run alone for this long after a write without a lease
        self._disturbed()

    # --- what must hold ---------------------------------------------------------------------------------------------------

    def _clean(self, tick: Any) -> None:
        """Run an undisturbed tick, and check that W&B then agrees with Azure."""
        comparison = self._comparison
        before = {each.id: steps_of(comparison.run(each)) for each in self.known}
        outcomes: list[Outcome] = tick()
        assert [each for each in outcomes if each.result in (Result.FAILED, Result.PENDING)] == []
        self._disturbed()
        for known in self.known:
            wrong = [*comparison.after(known, before[known.id])]
            assert wrong == [], f"{known.id}: {wrong}"
            known.final = bool(comparison.settled(known))
        assert [*comparison.of_files()] == []

    def _disturbed(self) -> None:
        """Check what must hold after any event."""
        comparison = self._comparison
        for known in self.known:
            if known.gone_at is None and not known.final and not comparison.readable(known):
                known.every_step = False
            wrong = [*comparison.always(known)]
            assert wrong == [], f"{known.id}: {wrong}"
        assert self.bench.cloud.world.unmodelled == []
        assert self.bench.cloud.world.wandb.unsupported == []

    def teardown(self) -> None:
        """At the end every job has ended, its run is final, and a further tick writes nothing."""
        for known in self.known:
            if known.gone_at is None and known.job.course.finished == float("inf"):
                known.job = self._store.act(known.job, "cancel", self._now)
        self.bench.cloud.clock.advance(2 * 86400)
        self.engine.close()
        self.engine = self.bench.engine()
        self._clean(self.engine.sync)
        comparison = self._comparison
        for known in self.known:
            if known.gone_at is None and not known.run_deleted and not known.by_itself:
                assert comparison.settled(known)
                assert [*comparison.of_models(known)] == []
        self.bench.cloud.clock.advance(self.delay)
        asked, writes = self.bench.counted(lambda: self._clean(self.engine.sync))
        assert writes == 0, asked
        self._judged(comparison)
        self.engine.close()

    def _judged(self, comparison: Comparison) -> None:
        """Apply the checks of benchmarks/checks.py, to the jobs that they support."""
        for known in self.known:
            if known.run_deleted or known.by_itself or not known.job.has_results(self._now):
                self._store.delete_job(known.id)
        if not self._store.jobs(self._now):
            return
        judge = SyncedWorld(comparison.world)
        sampled = not all(each.every_step for each in self.known)
        assert [*judge.faithful(sampled=sampled), *judge.explained(), *judge.queryable(), *judge.clean()] == []


def _any(data: st.DataObject, there: Sequence[_Thing]) -> _Thing | None:
    """One of these, of which there may be none. What is drawn does not depend on how many there are: that may be another
    number the next time, as time passes and processes run at once, and Hypothesis draws the same again.
    """
    which = data.draw(st.integers(0, 59))
    return there[which % len(there)] if there else None


def _worked(engine: Engine, messages: Sequence[str]) -> list[Outcome]:
    return [engine.sync_job("aoai-ml", each) for each in messages]


@pytest.mark.timeout(0)  # the deep profile takes its time
@pytest.mark.usefixtures("part")
def test_wandb_always_agrees_with_azure(sync_bench: Bench, processes: Processes) -> None:
    """Each step once, statuses, inputs, models; what people changed stays; in the end nothing is left to write."""
    machine = partial(JobsMachine, sync_bench, processes)
    run_state_machine_as_test(machine, settings=how(examples=3, steps=12))  # type: ignore[arg-type]  # it calls it, no more
