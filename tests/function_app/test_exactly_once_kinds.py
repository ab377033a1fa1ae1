"""Jobs of every kind end the same whatever happened on the way: kills, outages of W&B, two at once, people who edit."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from function_app.model import Result

from .conftest import ENTITY, FILE, JOB, PROJECT, VALIDATION_FILE, Bench, a_file, a_job
from .test_exactly_once import child

LIVE = {
    "created": "-8m",
    "timeline": {"queued": 60, "preprocessing": 60, "gpu_wait": 30, "steps": 60, "seconds_per_step": 10},
}
FAILED = {"status": "failed", "during": "training", "at_step": 12, "error": {"code": "oom", "message": "too big"}}
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "live": (LIVE, "chat"),
    "with checkpoints and validation": (
        {"validation_file": VALIDATION_FILE, "hyperparameters": {"n_epochs": 3}},
        "chat",
    ),
    "failed": ({"outcome": FAILED}, "chat"),
    "cancelled": ({"outcome": {"status": "cancelled", "at_step": 20}}, "chat"),
    "dpo": ({"method": "dpo", "hyperparameters": {"n_epochs": 2}}, "dpo"),
}
WRITES = ("UpsertBucket", "FileStream", "CreateArtifact", "UploadFile", "CommitArtifact", "UseArtifact")
TIMES = {"created_at", "finished_at"}
SDKS_OWN = {"_runtime", "_timestamp", "_wandb", "_step"}  # of the process that wrote last


def world(bench: Bench, kind: str, *faults: dict[str, Any]) -> None:
    said, written = KINDS[kind]
    files = [a_file(format=written), a_file(id=VALIDATION_FILE, filename="valid.jsonl", count=3)]
    bench.world(a_job(**said), files=files, faults=list(faults))


def left(bench: Bench) -> dict[str, Any]:
    """All that must not depend on what happened on the way."""
    run = bench.run()
    artifacts = bench.cloud.world.wandb.store.artifacts(ENTITY, PROJECT)
    return {
        "state": bench.state(),
        "history": [{name: row[name] for name in row if name not in ("_runtime", "_timestamp")} for row in run.history],
        "config": {name: value for name, value in run.config.items() if name not in TIMES},
        "summary": {n: v for n, v in run.summary.items() if n not in SDKS_OWN},
        "inputs": sorted(used.sequence.name for used in run.used),
        "versions": sorted((each.type, each.sequence.name, sorted(each.aliases)) for each in artifacts if each.entries),
    }


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_write_and_run_again_everything_is_there_once(bench: Bench, kind: str, when: str) -> None:
    world(bench, kind)
    asked, _ = bench.counted(bench.tick)
    expected = left(bench)
    do = {"reset": True} if when == "before" else {"lost_response": True}
    for operation in WRITES:
        for nth in sorted({1, asked.get(operation, 0)} - {0}) if operation in asked else []:
            world(bench, kind, {"op": operation, "when": {"nth": [nth]}, "do": do})
            process = child(bench.cloud)
            while bench.cloud.world.faults.unmet and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert bench.cloud.world.faults.unmet == [], (operation, nth)
            bench.tick()
            assert left(bench) == expected, (operation, nth)


@pytest.mark.parametrize(
    ("operation", "times"), [("UpsertBucket", 5), ("FileStream", 1), ("CreateArtifact", 5), ("CommitArtifact", 5)]
)
def test_after_an_outage_in_the_middle_of_a_run_the_next_tick_goes_on_with_the_same_steps(
    bench: Bench, operation: str, times: int
) -> None:
    """As many refusals as the SDK takes before it gives up, but for the stream of rows, which it sends until it is taken."""
    world(bench, "live", {"op": operation, "when": {"times": times}, "do": {"status": 503}})
    engine = bench.engine()
    first = bench.tick(engine)[JOB]
    assert first.result is (Result.SYNCED if operation == "FileStream" else Result.FAILED)
    bench.cloud.clock.advance(60)
    assert bench.tick(engine)[JOB].result is Result.SYNCED
    steps = bench.steps()
    assert steps == list(range(1, steps[-1] + 1))
    assert bench.state() == "running"
    bench.cloud.clock.advance(3600)
    assert bench.tick(engine)[JOB].final
    assert bench.steps() == list(range(1, 61))
    assert bench.state() == "finished"
    assert [used.sequence.name for used in bench.run().used] == [FILE]


def test_two_workers_of_one_process_with_the_same_message_leave_every_step_once(bench: Bench) -> None:
    bench.world(a_job())
    engine = bench.engine()
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: engine.sync_job("aoai-ml", JOB), range(2)))
    assert any(outcome.final and outcome.result is Result.SYNCED for outcome in outcomes)
    assert not any(outcome.why.startswith("unexpected") for outcome in outcomes)
    bench.tick(engine)
    assert bench.steps() == list(range(1, 31))
    assert bench.state() == "finished"
    assert [used.sequence.name for used in bench.run().used] == [FILE]


def test_what_people_edit_survives_every_tick_and_the_last_one(bench: Bench) -> None:
    """Theirs: name, notes, tags, group, keys they add, values they change. Ours: what the service itself changes."""
    bench.world(a_job(**LIVE, suffix="tickets", hyperparameters={"n_epochs": 3}))
    bench.tick()
    run = bench.run()
    run.name, run.notes, run.group = "our best one", "looks good", "spring"
    run.set_tags(["keep"])
    theirs = {"reviewed_by": "dana", "suffix": "renamed", "hyperparameters": {"n_epochs": 99}, "training_data": "v2"}
    for name, value in {**theirs, "status": "great"}.items():
        run.set_config(name, value)
    run.summary["verdict"] = "ship it"
    for wait in (60, 3600):
        bench.cloud.clock.advance(wait)
        last = bench.tick()[JOB]
        assert (run.name, run.notes, run.group, run.tags) == ("our best one", "looks good", "spring", ["keep"])
        assert {name: run.config[name] for name in theirs} == theirs
        assert run.summary["verdict"] == "ship it"
        assert run.config["status"] == last.status
    assert last.final
