"""The speed benchmark at small size: it counts what there is to count, and misses a target when there is one to miss."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace

import pytest

from benchmarks.incumbent import INCUMBENT, OURS
from benchmarks.measure import Taken
from benchmarks.speed import Bench, Figures, Idle, Sync, good, measured, targets, verdict
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


def _figures(seconds: float, idle: float, requests: int, mib: float) -> Figures:
    counts: Mapping[str, Mapping[str, int]] = {"wandb": {"UpsertBucket": requests}, "openai": {"FineTuning_List": 1}}
    sync = Sync(Taken(mib), Taken(mib), seconds, 1.0, counts, [])
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


def test_a_missed_target_or_a_wrong_run_fails_it() -> None:
    ours, theirs = _figures(11, 0.1, 300, 99), _figures(120, 2, 600, 100)
    met = targets(theirs, ours)
    assert not good(ours, met)
    assert good(ours, met[1:])
    *_, last = verdict({INCUMBENT: theirs, OURS: ours}, met)
    assert "10.9× as fast at 10 jobs (MISSED: asked 12×)" in last
    mangled = Figures({10: replace(ours.syncs[10], wrong=["a step is not there"])}, ours.idle)
    assert not good(mangled, met[1:])


def test_one_document_and_an_exit_status(run: Run) -> None:
    done = run("benchmarks.speed", "--ours-only", "--jobs", "1", "--rounds", "1", "--examples", "3", "2", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"]
    sync = document["tools"][OURS]["syncs"]["1"]
    assert sync["wrong"] == []
    assert sync["seconds"] > 0
    assert sync["process"]["cpu_seconds"] > 0
