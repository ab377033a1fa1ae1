"""The speed benchmark at small size: it counts what there is to count, and misses a target when there is one to miss."""

import json
import sys
from collections.abc import Mapping

import pytest

from benchmarks.incumbent import INCUMBENT, OURS
from benchmarks.speed import Bench, Figures, Idle, Sync, measured, targets
from sandbox.cloud import Cloud
from tests.conftest import Run

_OF_AN_ARTIFACT = {"CreateArtifact": 1, "CreateArtifactManifest": 2, "CreateArtifactFiles": 1, "CommitArtifact": 1}
_FILES = 5  # of the three artifacts of a job: two files with their tables, and the model's description
_JOBS = 2


@pytest.fixture
def bench(cloud: Cloud) -> Bench:
    """Ours alone, without a delay."""
    return Bench(cloud, {OURS: sys.executable}, latency=0, training=6, validation=3)


def test_a_jobs_requests_to_wandb_are_what_the_sdk_needs_and_three_more(bench: Bench) -> None:
    """The least is what the SDK sends for a run with three artifacts, and the lineage of its files: 30; two are ours."""
    figures = measured(bench, [_JOBS], rounds=1)[OURS]
    asked = dict(figures.syncs[_JOBS].requests["wandb"])
    assert figures.syncs[_JOBS].wrong == []
    assert asked.pop("Runs") == 1
    assert 2 * _JOBS <= asked.pop("UpsertBucket") <= 3 * _JOBS  # two, and one more when it takes more than five seconds
    run = {"RunResumeStatus": 1, "FileStream": 2, "ServerFeaturesQuery": 1}
    artifacts = {name: 3 * count for name, count in _OF_AN_ARTIFACT.items()} | {"UploadFile": 3 + _FILES}
    own = {"UseArtifact": 1, "Run": 1, "ProjectArtifacts": 1}
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
    sync = Sync(seconds, 1.0, mib, mib, counts, [])
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


def test_one_document_and_an_exit_status(run: Run) -> None:
    said = run("benchmarks.speed", "--ours-only", "--jobs", "1", "--rounds", "1", "--examples", "3", "2", "--json")
    assert said.returncode == 0, said.stderr
    document = json.loads(said.stdout)
    assert document["ok"]
    assert set(document["tools"]) == {OURS}
    assert INCUMBENT not in document["tools"]
    assert document["tools"][OURS]["syncs"]["1"]["wrong"] == []
