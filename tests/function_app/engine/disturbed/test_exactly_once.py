"""Runs end in the same state after overlaps and interruptions (for kills and lost answers see evidence/)."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from evidence.commands.case import differences
from evidence.commands.sync import end
from evidence.processes import Processes
from function_app.engine.outcomes import Candidate
from function_app.models import DatasetPolicy, Outcome, Result
from sandbox.runtime.faults import Gate
from tests.docs.test_sync_output import problems
from tests.function_app.conftest import (
    FILE,
    JOB,
    NOT_FOUND,
    OTHER_JOB,
    PATIENCE,
    SETTLED,
    STEPS,
    Bench,
    a_job,
    child,
    syncing,
)

FAMILY = "gpt-4o-mini-2024-07-18"


def check_all_is_there(bench: Bench, uses: int = 1) -> None:
    """Everything is there, once; the use of the file may be noted more often."""
    assert bench.state() == "finished"
    assert bench.steps() == STEPS
    assert bench.marks()["rule"] == 1
    assert bench.run().config["status"] == "succeeded"
    assert {name for aliases in bench.aliases(FAMILY).values() for name in aliases} == {JOB, f"{JOB}-step-30", "latest"}
    assert "latest" in bench.aliases(FILE)["v0"]
    assert [used.sequence.name for used in bench.run().used] in [[FILE] * (n + 1) for n in range(uses)]


def test_two_processes_at_once_leave_every_step_once(bench: Bench, processes: Processes) -> None:
    bench.world(a_job())
    other = syncing(bench.cloud, processes)
    bench.tick()
    other.ended(PATIENCE)
    bench.tick()
    check_all_is_there(bench, uses=2)
    assert list(bench.aliases(FILE)) == ["v0"]


@pytest.mark.parametrize("operation", ["Run", "CreateArtifact", "CommitArtifact"])
def test_two_processes_with_a_new_file_make_one_version(bench: Bench, processes: Processes, operation: str) -> None:
    """If both have begun it, W&B answers the later commit with 409; otherwise the second gets the committed version."""
    bench.world(a_job(), a_job(id=OTHER_JOB))
    gate = bench.cloud.world.gate = Gate(operation)
    slow = syncing(bench.cloud, processes, "--job", JOB)
    assert gate.reached.wait(timeout=PATIENCE)
    assert bench.engine().sync_job("aoai-ml", OTHER_JOB).final
    gate.opened.set()
    slow.ended(PATIENCE)
    assert bench.tick(after=130)[JOB].result in (Result.SYNCED, Result.CURRENT)
    assert list(bench.aliases(FILE)) == ["v0"]
    assert [[each.name for each in bench.run(job).used] for job in (JOB, OTHER_JOB)] == [[f"{FILE}:v0"]] * 2


def test_a_process_that_is_overtaken_while_it_opens_the_run_repeats_no_row(bench: Bench, processes: Processes) -> None:
    """W&B answered both that there is no such run. The second one finds all rows there and appends none."""
    bench.mirrored(a_job())
    expected = end(bench.cloud.world)
    bench.world(a_job())
    gate = bench.cloud.world.gate = Gate("UpsertBucket")
    slow = syncing(bench.cloud, processes)
    assert gate.reached.wait(timeout=PATIENCE)
    assert bench.tick()[JOB].final
    gate.opened.set()
    assert slow.wait(PATIENCE) == 0
    assert differences(expected, end(bench.cloud.world)) == []
    assert bench.tick(after=SETTLED)[JOB].result == "current"


def test_a_process_that_was_overtaken_replaces_sampled_rows_by_every_step(bench: Bench, processes: Processes) -> None:
    """The other could not read the results file, and wrote the steps that the events have."""
    bench.world(a_job(), faults=[{"op": "Files_GetContent", "when": {"nth": [2]}, "do": NOT_FOUND}])
    gate = bench.cloud.world.gate = Gate("UpsertBucket")
    slow = syncing(bench.cloud, processes, SYNC_DATASETS="off")
    assert gate.reached.wait(timeout=PATIENCE)
    bench.tick(bench.engine(sync_datasets=DatasetPolicy.OFF))
    assert 0 < len(bench.steps()) < len(STEPS)
    gate.opened.set()
    assert slow.wait(PATIENCE) == 0
    assert bench.steps() == STEPS
    assert bench.run().config["curve"] == "every step"


LOSES_ITS_CORE = """
import os, signal
from evidence.processes import lineage
from function_app.settings import Settings
from function_app.wiring import engine_from
from tests.conftest import start_wandb_core

with engine_from(Settings.load()) as engine:
    engine.discover()
    start_wandb_core()
    _, core = lineage(os.getpid())
    os.kill(core, signal.SIGKILL)
    os.waitpid(core, 0)
    print([outcome.message for outcome in engine.sync()])
    print([outcome.final for outcome in engine.sync()])
"""


def test_a_worker_that_loses_wandb_core_fails_once_and_then_works_again(bench: Bench) -> None:
    bench.world(a_job())
    output, _ = child(bench.cloud, "-c", LOSES_ITS_CORE).communicate(timeout=PATIENCE)
    failure = "wandb-core, the SDK's own process, had stopped. It was started again."
    assert output.decode().splitlines() == [str([failure]), "[True]"]
    check_all_is_there(bench)


HAS_A_STOPPED_CORE = """
import os, signal, sys
import wandb
from evidence.processes import lineage
from function_app.settings import Settings
from function_app.tracking.wandb.client import Limits
from function_app.wiring import engine_from
from tests.conftest import start_wandb_core

with engine_from(Settings.load(), limits=Limits(connect=3.0, opening=1.0)) as engine:
    engine.discover()
    start_wandb_core()
    _, core = lineage(os.getpid())
    if sys.argv[1] == "others":
        wandb.init(mode="offline", project="theirs", settings=wandb.Settings(silent=True))
    os.kill(core, signal.SIGSTOP)
    while core in lineage(os.getpid()):
        print([outcome.result.value for outcome in engine.sync()])
with engine_from(Settings.load()) as engine:
    print([outcome.final for outcome in engine.sync()], flush=True)
    os._exit(0)  # without the SDK's wait for their run
"""


@pytest.mark.parametrize(("runs", "timeouts"), [("others", 3), ("none", 1)])
def test_a_hanging_wandb_core_is_replaced_at_once_unless_others_use_it(bench: Bench, runs: str, timeouts: int) -> None:
    bench.world(a_job())
    output, _ = child(bench.cloud, "-c", HAS_A_STOPPED_CORE, runs).communicate(timeout=PATIENCE)
    assert output.decode().splitlines() == ["['failed']"] * timeouts + ["[True]"]
    assert bench.tick(after=300)[JOB].final
    check_all_is_there(bench)


class InterruptedAfterTheFirst(list[Candidate]):
    """Ctrl-C while jobs are still handed to the workers."""

    def __iter__(self) -> Iterator[Candidate]:
        yield self[0]
        raise KeyboardInterrupt


def test_ctrl_c_while_jobs_are_started_reports_all_of_them(bench: Bench) -> None:
    ids = [JOB, *(f"ftjob-{number}" + "2" * 31 for number in (3, 4))]
    bench.world(*(a_job(id=each) for each in ids))
    engine = bench.engine()
    reported: list[Outcome] = []
    with pytest.raises(KeyboardInterrupt):
        engine._all(InterruptedAfterTheFirst(engine.discover()[0]), reported.append, stops=lambda: None)
    assert {outcome.job for outcome in reported} == set(ids)
    assert [outcome.result for outcome in reported][1:] == [Result.PENDING] * 2


def test_ctrl_c_reports_what_is_done_and_exits_with_130(bench: Bench, processes: Processes) -> None:
    """Neither the job in progress nor the next one, whose models are of another family, is reported as synced."""
    bench.world(a_job(), a_job(id=OTHER_JOB, created="-9d", suffix="later"))
    gate = bench.cloud.world.gate = Gate("FineTuning_GetEvents")
    process = syncing(bench.cloud, processes, "-o", "json", SYNC_CONCURRENCY="1")
    assert gate.reached.wait(timeout=PATIENCE)
    os.kill(process.pid, signal.SIGINT)
    gate.opened.set()
    ended = process.ended(PATIENCE)
    assert ended.status == 130
    document = json.loads(ended.out)
    assert problems(document) == []
    assert (document["ok"], document["interrupted"]) == (False, True)
    messages = {JOB: "interrupted before the end", OTHER_JOB: "no run in W&B yet"}
    assert {job["job"]: job["message"] for job in document["jobs"] if job["result"] == "pending"} == messages
    bench.tick()
    check_all_is_there(bench)
