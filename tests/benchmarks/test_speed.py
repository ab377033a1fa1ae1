"""The speed benchmark at small size, and when it fails."""

import sys
from dataclasses import replace

import pytest

from benchmarks.incumbent import INCUMBENT, OURS
from benchmarks.measure import Taken
from benchmarks.speed import Bench, Figures, Idle, Sync, measured, targets, verdict
from sandbox.cloud import Cloud


def test_the_benchmark_measures_a_sync_and_an_idle_tick(cloud: Cloud) -> None:
    bench = Bench(cloud, {OURS: sys.executable}, latency=0, training=6, validation=3)
    figures = measured(bench, [2], rounds=1)[OURS]
    assert figures.syncs[2].wrong == []
    assert figures.syncs[2].requests_to("wandb") / 2 <= 36
    assert figures.idle.requests == {"openai": {"FineTuning_List": 2}, "wandb": {"Runs": 2}}  # of two ticks


def _figures(seconds: float, idle: float, requests: int, mib: float) -> Figures:
    counts = {"wandb": {"UpsertBucket": requests}, "openai": {"FineTuning_List": 1}}
    sync = Sync(Taken(mib), Taken(mib), seconds, counts, [])
    return Figures({10: sync, 1: sync}, Idle(idle, idle, counts))


@pytest.mark.parametrize(
    ("ours", "met"),
    [
        (_figures(10, 0.1, 300, 99), [True, True, True, True]),
        (_figures(11, 0.1, 300, 99), [False, True, True, True]),
        (_figures(10, 0.2, 300, 99), [True, False, True, True]),
        (_figures(10, 0.1, 301, 99), [True, True, False, True]),
        (_figures(10, 0.1, 300, 100), [True, True, True, False]),
    ],
)
def test_each_target_is_missed_by_its_own_figure(ours: Figures, met: list[bool]) -> None:
    assert list(targets(_figures(120, 2, 600, 100), ours).values()) == met


def test_the_last_line_names_missed_targets_and_wrong_runs() -> None:
    ours, theirs = _figures(11, 0.1, 300, 99), _figures(120, 2, 600, 100)
    mangled = Figures({10: replace(ours.syncs[10], wrong=["a step is not there"])}, ours.idle)
    *_, last = verdict({INCUMBENT: theirs, OURS: mangled}, targets(theirs, ours))
    assert "MISSED: 10.9× as fast at 10 jobs, target 12×" in last
    assert last.endswith("ours is WRONG")
