"""The matrices find commands that cannot be repeated, hide a failure or report it badly. Parts of the real matrices hold."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from evidence.commands import CASES
from evidence.commands.case import PIPELINE, Case
from evidence.commands.message import CASES as MESSAGE
from evidence.commands.provisioning import end
from evidence.crash import points as crash_points
from evidence.faults import points as fault_points
from evidence.processes import ROOT
from evidence.runner import FAILED, CaseResult, attempt
from evidence.stage import Point, Stage

WORLD: dict[str, Any] = {
    "extends": "contoso",
    "principals": [{"name": PIPELINE, "kind": "managed identity"}],
    "assignments": [{"principal": PIPELINE, "role": "Key Vault Secrets Officer", "scope": "rg-ml"}],
    "vaults": [{"name": "kv-ml", "group": "rg-ml", "rbac": True}],
}


def example(how: str) -> Case:
    return Case("setup", how, ("tests.evidence.example", how), WORLD, end)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage(fork=False) as stage:
        yield stage


def results(stage: Stage, points: list[Point]) -> dict[str, str]:
    return {" ".join(point.where.values()): attempt(stage, point) for point in points}


def test_a_command_that_reads_before_it_writes_passes_at_every_request(stage: Stage) -> None:
    places = {f"{operation}#1 {when}" for operation in ("GetSecret", "SetSecret") for when in ("before", "after")}
    assert results(stage, crash_points(stage, example("careful"))) == dict.fromkeys(places, "same end")


def test_a_command_that_writes_twice_fails_after_its_write_and_the_failure_can_be_repeated(stage: Stage) -> None:
    case = example("careless")
    points = crash_points(stage, case)
    before, after = results(stage, points).values()
    assert before == "same end"
    assert after.startswith(FAILED + "the final state is another one")
    assert "vaults.kv-ml.secrets.wandb-api-key.versions.1" in after
    examined = CaseResult("crash", case, list(zip(points, (before, after), strict=True)))
    again = "python -m evidence crash --command setup --kind careless --at 'SetSecret#1' --when after"
    assert f"    repeat it: {again}" in examined.lines()


@pytest.mark.parametrize(
    ("how", "fault", "result"),
    [
        ("careful", "500", "healed"),
        ("careful", "answer lost after the service acted", "healed"),
        ("silent", "500", FAILED + "the command reported success and left"),
        ("noisy", "500", FAILED + "a traceback"),
        ("careless", "answer lost after the service acted", FAILED + "after the next run the final state is another"),
    ],
)
def test_a_failure_is_reported_and_repaired_by_the_next_run(stage: Stage, how: str, fault: str, result: str) -> None:
    points = fault_points(stage, example(how))
    [point] = [p for p in points if (p.where["operation"], p.where["fault"]) == ("SetSecret", fault)]
    assert attempt(stage, point).startswith(result)


def test_every_command_that_writes_is_a_case() -> None:
    assert {case.command for case in CASES} == {"setup", "rotate-key", "teardown", "rescue", "sync"}
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.timeout(300)  # a loaded machine
@pytest.mark.skipif(not MESSAGE, reason="Microsoft's worker library is missing: `make test` installs it")
def test_a_worker_that_the_platform_ends_leaves_its_message_to_the_next_tick() -> None:
    """At the request that writes rows. `python -m evidence crash --command message` ends it at every request."""
    evidence("crash --command message --kind 'live, SIGTERM' --at FileStream#1 --when after --jobs 1")


@pytest.mark.slow
@pytest.mark.timeout(300)  # a loaded machine
@pytest.mark.parametrize(
    "part",
    [
        "crash --command message --kind 'finished, with checkpoints and validation, SIGKILL' --every 29",
        "crash --command message --kind 'live, SIGKILL' --every 13",
        "crash --command setup --kind 'Azure RBAC' --every 7",
        "crash --command rotate-key --every 6",
        "crash --command teardown --kind 'Azure RBAC' --every 11",
        "crash --command sync --kind live --every 9",
        "crash --command sync --kind 'no results file' --every 15",
        "faults --command setup --kind 'Azure RBAC' --operation SetSecret --every 3",
        "faults --command setup --kind 'kept on access policies' --operation Vaults_* --every 13",
        "faults --command setup --kind 'no vault' --operation RoleAssignments_Create --every 9",
        "faults --command teardown --kind 'back to access policies' --every 60",
        "faults --command sync --kind live --operation CommitArtifact --every 3",
        "faults --command sync --kind finished --operation UpsertBucket --fault 40*",
        "faults --command sync --kind finished --operation FileStream --fault 40*",
    ],
)
def test_a_slice_of_the_matrix(part: str) -> None:
    evidence(part)


def evidence(part: str) -> None:
    """Run a part of a matrix, in which every point must hold."""
    command = [sys.executable, "-m", "evidence", *shlex.split(part)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)  # a loaded machine
@pytest.mark.parametrize("name", ["setup, Azure RBAC", "sync, live"])
def test_a_forked_command_makes_the_same_requests_as_one_started_from_scratch(name: str) -> None:
    [case] = [case for case in CASES if case.name == name]
    seen = []
    for fork in (True, False):
        with Stage(fork=fork) as stage:
            whole = stage.undisturbed(case)
            seen.append((sorted(whole.operations), whole.end))
    assert seen[0] == seen[1]
