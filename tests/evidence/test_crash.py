"""The crash matrix finds what is broken: its points, its comparison, and a slice of the real one."""

import json
import subprocess
import sys
from typing import Any

import pytest

from evidence.commands import CASES
from evidence.crash import GOOD, Killed, Point, kill_and_finish, points_of
from evidence.matrix import Failed
from evidence.processes import ROOT
from evidence.stage import Request, Stage, Undisturbed

from .conftest import little


def test_a_command_that_looks_before_it_writes_passes_at_every_point(stage: Stage) -> None:
    case = little("careful")
    whole = stage.undisturbed(case)
    assert [str(request) for request in whole.requests] == ["GetSecret#1", "SetSecret#1"]
    assert [kill_and_finish(stage, case, whole, at) for at in points_of(whole)] == [GOOD] * 4


def test_a_command_that_writes_twice_fails_after_its_write_and_only_there(stage: Stage) -> None:
    case = little("careless")
    whole = stage.undisturbed(case)
    write = Request("SetSecret", 1)
    assert kill_and_finish(stage, case, whole, Point(write, acted=False)) == GOOD
    with pytest.raises(Failed, match="the end is another one") as failed:
        kill_and_finish(stage, case, whole, Point(write, acted=True))
    assert "vaults.kv-ml.secrets.wandb-api-key.versions" in str(failed.value)


def test_a_request_that_does_not_come_is_no_pass(stage: Stage) -> None:
    case = little("careful")
    whole = stage.undisturbed(case)
    with pytest.raises(Failed, match="did not come to SetSecret#2"):
        kill_and_finish(stage, case, whole, Point(Request("SetSecret", 2), acted=True))


def test_the_killed_process_was_in_the_middle_of_it(stage: Stage) -> None:
    """Before: the service has done nothing; after: it has, and the command never heard."""
    case = little("careful")
    for acted in (False, True):
        stage.set(case)
        gate = stage.world.gate = type(stage.world.gate)("SetSecret", 1, acted)
        running = stage.start(case)
        assert not running.ends_before(gate.reached.is_set)
        running.kill()
        gate.opened.set()
        assert running.ended().status == -9
        assert ("wandb-api-key" in stage.world.tenant.vaults["kv-ml"].secrets) is acted


def test_every_request_is_a_point_before_and_after_and_a_slice_is_always_the_same() -> None:
    whole = Undisturbed((Request("A", 1), Request("A", 2), Request("B", 1)), None)
    every = [str(point) for point in points_of(whole)]
    assert every == ["before A#1", "after A#1", "before A#2", "after A#2", "before B#1", "after B#1"]
    assert [str(point) for point in points_of(whole, 4)] == ["before A#1", "before B#1"]


def test_a_failure_says_how_to_repeat_just_it() -> None:
    at = Point(Request("SetSecret", 1), acted=True)
    killed = Killed(little("careless"), 1, [(at, "FAILED: why")])
    assert killed.line == "setup, careless: 0 of 1 (1 requests)"
    assert '--command setup --kind "careless" --at SetSecret#1 --when after' in killed.failures[0]
    assert killed.document["failed"][0]["repeat"] in killed.failures[0]


def test_there_is_a_case_for_every_command_that_writes() -> None:
    assert {case.command for case in CASES} == {"setup", "rotate-key", "teardown", "sync"}
    assert len({case.name for case in CASES}) == len(CASES)


def crash(*argv: str) -> dict[str, Any]:
    """The document of the real command."""
    command = [sys.executable, "-m", "evidence.crash", "--json", *argv]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return document


@pytest.mark.slow
@pytest.mark.timeout(300)  # a loaded machine
@pytest.mark.parametrize(
    ("command", "kind", "every"),
    [
        ("setup", "Azure RBAC", 7),
        ("rotate-key", "ours", 6),
        ("teardown", "Azure RBAC", 11),
        ("sync", "live", 9),
        ("sync", "no results file", 15),
    ],
)
def test_a_slice_of_the_matrix(command: str, kind: str, every: int) -> None:
    document = crash("--command", command, "--kind", kind, "--every", str(every))
    assert document["good"] == document["points"] >= 4


@pytest.mark.slow
@pytest.mark.timeout(300)  # a loaded machine
@pytest.mark.parametrize("name", ["setup, Azure RBAC", "sync, live"])
def test_a_forked_command_makes_the_same_requests_as_one_started_anew(name: str) -> None:
    [case] = [case for case in CASES if case.name == name]
    seen = []
    for fork in (True, False):
        with Stage(fork=fork) as stage:
            whole = stage.undisturbed(case)
            seen.append((sorted(map(str, whole.requests)), whole.end))
    assert seen[0] == seen[1]
