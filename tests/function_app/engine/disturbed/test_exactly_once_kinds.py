"""Runs end in the same state after outages of W&B, concurrent syncs, and edits by people (for kills see evidence/)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from function_app.models import Result
from tests.function_app.conftest import FILE, JOB, LIVE, STEPS, Bench, a_job


@pytest.mark.parametrize(("operation", "times"), [("UpsertBucket", 2), ("FileStream", 1), ("CommitArtifact", 2)])
def test_after_an_outage_the_next_tick_continues_with_the_same_steps(bench: Bench, operation: str, times: int) -> None:
    """As many refusals as it takes until the SDK gives up; the stream of rows it sends until W&B accepts it."""
    bench.world(a_job(**LIVE), faults=[{"op": operation, "when": {"times": times}, "do": {"status": 503}}])
    engine = bench.engine()
    first = bench.tick(engine)[JOB]
    assert first.result is (Result.SYNCED if operation == "FileStream" else Result.FAILED)
    assert bench.tick(engine, after=60)[JOB].result is Result.SYNCED
    steps = bench.steps()
    assert steps == list(range(1, steps[-1] + 1))
    assert bench.state() == "running"
    assert bench.tick(engine, after=3600)[JOB].final
    assert bench.steps() == list(range(1, 61))
    assert bench.state() == "finished"
    assert [used.sequence.name for used in bench.run().used] == [FILE]


@pytest.mark.parametrize(
    ("operation", "outcome", "state"),
    [
        ("FineTuning_GetCheckpoints", {}, "finished"),
        ("CommitArtifact", {}, "finished"),
        ("UseArtifact", {"status": "failed", "during": "training", "at_step": 5}, "failed"),
    ],
)
def test_no_run_ends_before_it_is_complete(bench: Bench, operation: str, outcome: dict[str, Any], state: str) -> None:
    """Whichever request is refused, the run counts as incomplete until a later tick brings the rest."""
    fault = {"op": operation, "when": {"nth": [1]}, "do": {"status": 403}}
    bench.world(a_job(**({"outcome": outcome} if outcome else {})), faults=[fault])
    engine = bench.engine()
    assert bench.tick(engine)[JOB].result is Result.FAILED
    assert bench.state() == "running"
    assert bench.tick(engine)[JOB].final
    assert bench.state() == state


def test_two_workers_of_one_process_with_the_same_message_leave_every_step_once(bench: Bench) -> None:
    bench.world(a_job())
    engine = bench.engine()
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: engine.sync_job("aoai-ml", JOB), range(2)))
    assert any(outcome.final and outcome.result is Result.SYNCED for outcome in outcomes)
    assert not any(outcome.message.startswith("unexpected") for outcome in outcomes)
    bench.tick(engine)
    assert bench.steps() == STEPS
    assert bench.state() == "finished"
    assert [used.sequence.name for used in bench.run().used] == [FILE]


def test_peoples_edits_survive_every_tick_including_the_last(bench: Bench) -> None:
    """Ours is what the service changes. A value in the summary survives once W&B shows it: each write replaces all of it."""
    bench.world(a_job(**LIVE, suffix="tickets", hyperparameters={"n_epochs": 3}))
    bench.reads(summary=60.0, line_count=10.0)
    bench.tick()
    run = bench.run()
    run.name, run.notes, run.group = "our best one", "looks good", "spring"
    run.set_tags(["keep"])
    theirs = {"reviewed_by": "dana", "suffix": "renamed", "hyperparameters": {"n_epochs": 99}, "training_data": "v2"}
    for name, value in {**theirs, "status": "great"}.items():
        run.set_config(name, value)
    run.summary["verdict"] = "ship it"
    for wait in (60, 3600):
        last = bench.tick(after=wait)[JOB]
        assert (run.name, run.notes, run.group, run.tags) == ("our best one", "looks good", "spring", ["keep"])
        assert {name: run.config[name] for name in theirs} == theirs
        assert run.summary["verdict"] == "ship it"
        assert run.config["status"] == last.status
    assert last.final
