"""The speed benchmark at small size, and when it fails."""

import sys
from dataclasses import replace

import pytest

from benchmarks.incumbent import INCUMBENT, OURS
from benchmarks.measure import Usage
from benchmarks.speed import AZURE_REQUESTS, WANDB_REQUESTS, Bench, Figures, Idle, Sync, measured, targets, verdict
from sandbox.cloud import Cloud


def test_the_benchmark_measures_a_sync_and_an_idle_tick(cloud: Cloud) -> None:
    bench = Bench(cloud, {OURS: sys.executable}, latency=0, training=6, validation=3)
    figures = measured(bench, [2], rounds=1)[OURS]
    assert figures.syncs[2].wrong == []
    first = 2  # what only the first jobs need, for each of these two: listings, the base model, the place of tables
    assert figures.syncs[2].requests_to("wandb") / 2 <= WANDB_REQUESTS + first
    assert figures.syncs[2].requests_to("openai") / 2 <= AZURE_REQUESTS + first
    assert figures.idle.requests == {"openai": {"FineTuning_List": 2}, "wandb": {"Runs": 2}}  # of two ticks


def _figures(**changed: float) -> Figures:
    """Figures that reach every target narrowly, compared with `THEIRS`, except for these changes."""
    given = {"many": 10.0, "one": 1.6, "tick": 0.1, "process": 1.2, "start": 0.4, "wandb": 495, "azure": 60, "mib": 49}
    given |= changed
    counts = {
        "wandb": {"UpsertBucket": int(given["wandb"])},
        "openai": {"FineTuning_GetEvents": 99, "Files_Get": int(given["azure"])},
    }
    many, one = (Sync(Usage(given["mib"]), Usage(given["mib"]), given[name], counts, []) for name in ("many", "one"))
    idle = Idle(given["process"], given["tick"], given["tick"], counts)
    return Figures({10: many, 1: one}, idle, {"check": given["start"]})


THEIRS = _figures(many=160, one=4, tick=2, process=7.2, mib=100)


@pytest.mark.parametrize(
    ("ours", "missed"),
    [
        *(({}, []), ({"many": 11}, [0]), ({"one": 1.7}, [1]), ({"tick": 0.2}, [2]), ({"process": 1.3}, [3, 4])),
        *(({"start": 0.5}, [5]), ({"wandb": 496}, [6]), ({"azure": 61}, [7]), ({"mib": 50}, [8])),
    ],
)
def test_each_target_is_missed_by_its_own_figure(ours: dict[str, float], missed: list[int]) -> None:
    met = targets(THEIRS, _figures(**ours)).values()
    assert [number for number, is_met in enumerate(met) if not is_met] == missed


def test_the_last_line_names_missed_targets_and_wrong_runs() -> None:
    ours = _figures(many=11)
    mangled = Figures({10: replace(ours.syncs[10], wrong=["a step is not there"])}, ours.idle)
    *_, last = verdict({INCUMBENT: THEIRS, OURS: mangled}, targets(THEIRS, ours))
    assert "MISSED: 14.5× as fast at 10 jobs, target 16×" in last
    assert last.endswith("ours is WRONG")
