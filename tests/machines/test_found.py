"""Bugs that the state machines found, as minimal tests. An expected failure is a known bug."""

from typing import Any

import pytest

from evidence.processes import Processes
from sandbox.runtime.faults import Gate
from tests.function_app.conftest import JOB, SETTINGS, Bench, a_job

from .places import PIPELINE, after, fresh

LIVE: dict[str, Any] = {
    "created": "-4m",
    "timeline": {"queued": 30, "preprocessing": 30, "gpu_wait": 30, "steps": 60, "seconds_per_step": 10},
}


def test_the_run_of_an_accounts_only_job_ends_when_the_job_is_deleted(sync_bench: Bench) -> None:
    """An account that lists no job any more is asked about in W&B like any other."""
    fresh(sync_bench, a_job(**LIVE))
    engine = sync_bench.engine()
    sync_bench.tick(engine)
    assert sync_bench.state() == "running"
    sync_bench.cloud.world.openai.stores[0].delete_job(JOB)
    sync_bench.tick(engine)
    assert sync_bench.state() == "failed"


def test_an_interrupted_run_is_not_shown_as_finished(sync_bench: Bench) -> None:
    """It was shown so until the next tick, and permanently if the job was deleted before that."""
    fresh(sync_bench, a_job())
    engine = sync_bench.engine()
    [candidate] = engine.discover()[0]
    engine.mirror(candidate, stop=after(1))
    assert len(sync_bench.steps()) == 30
    assert sync_bench.state() == "running"


@pytest.mark.parametrize("created", ["0s", "-4m"], ids=["without rows", "with rows"])
def test_resuming_a_run_while_another_process_writes_rows_repeats_no_row(
    sync_bench: Bench, processes: Processes, created: str
) -> None:
    """The resume is told the last step; until it opens the run there are more, and its own would go behind them."""
    fresh(sync_bench, a_job(created=created, timeline=LIVE["timeline"]))
    cloud, engine = sync_bench.cloud, sync_bench.engine()
    sync_bench.tick(engine)
    assert bool(sync_bench.steps()) == (created != "0s")
    cloud.clock.advance(120)
    gate = cloud.world.gate = Gate("UpsertBucket", 1, acted=False)
    running = processes.start(("function_app", "sync"), cloud.environment(PIPELINE) | SETTINGS)
    assert not running.ends_before(gate.reached.is_set)
    sync_bench.tick(engine)
    there = sync_bench.steps()
    gate.opened.set()
    assert running.ended().status == 0
    steps = sync_bench.steps()
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= len(there) > 0
