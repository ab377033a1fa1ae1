"""While a job trains, its run shows every step so far, with the service's values and the time of each step."""

import csv
import io
import json
import time
from datetime import datetime
from typing import Any

import pytest

from tests.function_app.conftest import ENTITY, JOB, LIVE, NOT_FOUND, PROJECT, STARTED, Bench, a_job
from tests.function_app.engine.mirror.test_recordings import metrics


def results(bench: Bench) -> dict[int, dict[str, str]]:
    """What the results file says now, read by Python's own csv: the whole lines only, by step."""
    now = bench.cloud.clock.time()
    job = bench.cloud.world.openai.stores[0].job(JOB, now)
    assert job is not None
    if not job.has_results(now):
        return {}
    text = job.results(now).decode()
    return {int(row["step"]): row for row in csv.DictReader(io.StringIO(text[: text.rindex("\n") + 1]))}


@pytest.mark.parametrize(
    "values",
    [
        {"results": {"cut": True}},
        {"results": {"cut": True, "missing": "-1"}, "validation_every": 3},
        {"results": {"listed": "succeeded"}},
        {"metrics": {"train_loss": {"start": 1e-3, "end": 4e-7}, "train_mean_token_accuracy": {"shape": "linear"}}},
    ],
    ids=["half a line at the end", "-1 for no value", "only an event names the file", "E-notation and whole numbers"],
)
def test_every_tick_shows_every_step_and_every_value_of_the_file(bench: Bench, values: dict[str, Any]) -> None:
    bench.world(a_job(**STARTED, **values))
    for _ in range(5):
        began = time.monotonic()
        bench.tick()
        took = time.monotonic() - began  # the engine's clock runs on between two answers of the account
        expected = {
            step: {name: float(cell) for name, cell in row.items() if name != "step" and cell not in ("", "-1")}
            for step, row in results(bench).items()
        }
        assert {row["_step"]: metrics(row) for row in bench.run().history} == expected
        times = [row["_timestamp"] for row in bench.run().history]
        assert times == sorted(times)
        assert not times or times[-1] <= bench.cloud.clock.time() + took, "no step is later than it was read"
        bench.cloud.clock.advance(97)
    assert len(times) > 30
    assert 9 <= (times[-1] - times[0]) / (len(times) - 1) <= 11
    assert times[0] > datetime.fromisoformat(bench.run().config["created_at"]).timestamp() + 150


def test_with_events_only_the_best_value_is_that_of_all_ticks(bench: Bench) -> None:
    """A later tick reads only the later events; what it does not see must not be forgotten."""
    losses = {"train_loss": {"points": {1: 3.0, 10: 0.125, 20: 2.0, 300: 1.0}}}
    fault = {"op": "Files_GetContent", "when": {"path": "/files/file-"}, "do": NOT_FOUND}
    timeline = {"queued": 60, "preprocessing": 60, "gpu_wait": 30, "steps": 300, "seconds_per_step": 10}
    bench.world(a_job(created="-3m", timeline=timeline, metrics=losses, events={"every": 1}), faults=[fault])
    for _ in range(4):
        bench.tick()
        bench.cloud.clock.advance(1200)
    assert bench.steps() == list(range(1, 301))
    assert bench.run().summary["best"]["train_loss"] == {"value": 0.125, "step": 10}


def test_a_file_that_becomes_readable_late_is_attached_to_the_sampled_curve(bench: Bench) -> None:
    """W&B takes no step below the last, so that the steps between the events cannot be made good in the curve."""
    bench.mirrored(a_job(**LIVE), faults=[{"op": "Files_GetContent", "when": {"times": 1}, "do": NOT_FOUND}])
    first = bench.steps()
    assert len(first) < first[-1]
    project = bench.store.add_project(ENTITY, PROJECT)
    bench.store.add_collection(project, f"results-{JOB}", "theirs")  # somebody uses the name
    outcome = bench.tick(after=3600)[JOB]
    assert (outcome.final, f"instead of 'results-{JOB}'" in outcome.warnings[0]) == (True, True)
    assert bench.steps() == [*first, *range(first[-1] + 1, 61)]
    assert bench.run().config["curve"] == "sampled"
    [kept] = [each for each in bench.store.artifacts(ENTITY, PROJECT) if each.type == "results"]
    assert kept.sequence.name == f"results-{JOB}.2"
    table = json.loads(kept.read("steps.table.json"))
    assert [row[0] for row in table["data"]] == list(range(1, 61))
