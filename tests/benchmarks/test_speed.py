"""The speed benchmark at small size: it counts what there is to count, and misses a target when there is one to miss."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import replace

import pytest

from benchmarks.incumbent import INCUMBENT, OURS
from benchmarks.memory import Taken
from benchmarks.speed import Bench, Figures, Idle, Sync, good, limits, measured, targets, verdict
from benchmarks.timeline import Timeline
from function_app.settings import Settings
from sandbox.cloud import Cloud
from tests.conftest import Run

_OF_AN_ARTIFACT = {"CreateArtifact": 1, "CreateArtifactManifest": 2, "CreateArtifactFiles": 1, "CommitArtifact": 1}
_FILES = 5  # of the three artifacts of a job: two files with their tables, and the model's description
_JOBS = 2


@pytest.fixture
def bench(cloud: Cloud) -> Bench:
    """Ours alone, without a delay."""
    return Bench(cloud, {OURS: sys.executable}, latency=0, training=6, validation=3)


def test_a_jobs_requests_to_wandb_are_what_the_sdk_needs_and_one_more(bench: Bench) -> None:
    """The least is what the SDK sends for a run with three artifacts, and the lineage of its files: 30. One is ours, and of
    jobs of one family that end at the same moment some say once more which model is the latest.
    """
    figures = measured(bench, [_JOBS], rounds=1)[OURS]
    asked = dict(figures.syncs[_JOBS].requests["wandb"])
    assert figures.syncs[_JOBS].wrong == []
    assert asked.pop("Runs") == 1
    assert asked.pop("AddAliases", 0) <= _JOBS
    assert 2 * _JOBS <= asked.pop("UpsertBucket") <= 3 * _JOBS  # two, and one more when it takes more than five seconds
    run = {"RunResumeStatus": 1, "FileStream": 2, "ServerFeaturesQuery": 1}
    artifacts = {name: 3 * count for name, count in _OF_AN_ARTIFACT.items()} | {"UploadFile": 3 + _FILES}
    own = {"UseArtifact": 1, "Run": 1}
    assert asked == {name: _JOBS * count for name, count in (run | artifacts | own).items()}


def test_a_tick_with_nothing_to_do_asks_each_side_once(bench: Bench) -> None:
    figures = measured(bench, [1, _JOBS], rounds=1)[OURS]
    assert set(figures.syncs) == {1, _JOBS}
    assert figures.idle.requests == {"openai": {"FineTuning_List": 2}, "wandb": {"Runs": 2}}  # of two ticks


def test_every_request_is_on_its_way_for_the_delay_that_is_asked_for(cloud: Cloud) -> None:
    Bench(cloud, {OURS: sys.executable}, latency=0.02, training=2, validation=1).round(OURS, 1)
    taken = {each.service: each.seconds for each in cloud.world.trace.exchanges}
    assert taken.keys() == {"openai", "wandb"}
    assert all(each.seconds >= 0.02 for each in cloud.world.trace.exchanges)


def _figures(seconds: float, idle: float, requests: int, mib: float) -> Figures:
    counts: Mapping[str, Mapping[str, int]] = {"wandb": {"UpsertBucket": requests}, "openai": {"FineTuning_List": 1}}
    took = Timeline(seconds, 0, 0, 0, 0, 0)
    sync = Sync(Taken(mib), Taken(mib), took, 1.0, counts, [])
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
    assert [each.met for each in targets(_figures(120, 2, 600, 100), ours)] == met


def test_a_miss_or_what_is_wrong_fails_it_and_the_last_line_says_so() -> None:
    ours, theirs = _figures(11, 0.1, 300, 99), _figures(120, 2, 600, 100)
    met = targets(theirs, ours)
    assert not good(ours, met)
    assert good(ours, met[1:])
    *_, last = verdict({INCUMBENT: theirs, OURS: ours}, met)
    assert last == (
        "Against WandbLogger.sync: 10.9× as fast at 10 jobs (MISSED: asked 12×); idle tick 20.0× as fast; "
        "30.0 W&B requests per job; 99% of its peak memory; what W&B shows of ours is right"
    )
    mangled = Figures({10: replace(ours.syncs[10], wrong=["a step is not there"])}, ours.idle)
    assert not good(mangled, met[1:])
    told = list(verdict({OURS: mangled}, []))
    assert told == ["function_app sync, 10 jobs: WRONG  a step is not there", "ours is WRONG"]


def test_the_limit_is_what_one_job_waits_times_the_turns_that_all_take() -> None:
    """A job that waits 1 s for requests of 50 ms waits for 20 in sequence."""
    one = replace(_figures(5, 0.1, 30, 50).syncs[1], time=Timeline(0.5, 0.8, 0.2, 0, 0, 1))
    many = replace(one, time=Timeline(0.5, 9, 1, 0.5, 0, 4), requests={"wandb": {"UpsertBucket": 1550}})
    said = list(limits(Figures({1: one, 50: many}, Idle(0.1, 0.1, {})), latency=0.05))
    turns = math.ceil(50 / Settings.model_fields["sync_concurrency"].default)
    assert said[0] == "The least: 30 W&B requests per job. Ours: 31.0, +1.0."
    assert "as long as 20 take in sequence" in said[1]
    assert f"{0.5 + turns:.1f} s at least. Ours: 11.0 s." in said[1]
    assert "4.0 at once" in said[2]


def test_one_document_and_an_exit_status(run: Run) -> None:
    said = run("benchmarks.speed", "--ours-only", "--jobs", "1", "--rounds", "1", "--examples", "3", "2", "--json")
    assert said.returncode == 0, said.stderr
    document = json.loads(said.stdout)
    assert document["ok"]
    assert set(document["tools"]) == {OURS}
    assert INCUMBENT not in document["tools"]
    sync = document["tools"][OURS]["syncs"]["1"]
    assert sync["wrong"] == []
    assert sync["seconds"] == pytest.approx(
        sum(sync["time"][part] for part in ("start", "main", "other", "none", "end"))
    )
    assert all(sync["time"][part] > 0 for part in ("start", "main", "end"))
    assert sync["process"]["cpu_seconds"] > 0
