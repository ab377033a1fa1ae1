"""A worker's memory does not grow with what it mirrors (benchmarks/memory.py measures the sizes that people have)."""

import sys

import pytest

from benchmarks.measure import measure
from tests.function_app.conftest import SETTINGS, Bench, a_file, a_job

SYNC = [sys.executable, "-m", "function_app", "sync"]


def peak(bench: Bench, *, examples: int, steps: int) -> float:
    """MiB that one sync of such a job takes, wandb-core not counted."""
    bench.world(a_job(timeline={"steps": steps, "seconds_per_step": 1}), files=[a_file(count=examples, padding=40_000)])
    ran = measure(SYNC, bench.cloud.environment() | SETTINGS)
    assert ran.status == 0
    assert bench.run().history[-1]["_step"] == steps
    assert bench.run().used[0].metadata["examples"] == examples
    return ran.process.mib


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_many_steps_and_a_large_file_need_no_more_memory_than_a_smaller_one(bench: Bench) -> None:
    """Both files fill the table's share of memory; held whole, the big one would take 48 MiB more, its rows twice that."""
    small = peak(bench, examples=400, steps=500)
    large = peak(bench, examples=1_600, steps=10_000)
    assert large - small < 20
