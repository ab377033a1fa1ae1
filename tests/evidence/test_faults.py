"""The fault matrix finds what is broken: commands that hide an error, tell it badly, or do not heal."""

import json
import subprocess
import sys

import pytest

from evidence.faults import HEALED, RIGHT, Point, Tried, Use, points_of, table, try_it, unclear
from evidence.matrix import Failed
from evidence.processes import ROOT, Ended
from evidence.refusals import Trouble, troubles
from evidence.stage import Stage

from .conftest import little

BROKEN = Trouble("500", "500", {"status": 500})
LOST = Trouble("lost", "answer lost", {"lost_response": True})


def test_a_clear_error_that_the_next_run_makes_good_is_healed(stage: Stage) -> None:
    case = little("careful")
    whole = stage.undisturbed(case)
    assert try_it(stage, case, whole, Point("SetSecret", 1, BROKEN)) == HEALED
    assert try_it(stage, case, whole, Point("SetSecret", 1, LOST)) == HEALED


def test_a_fault_that_does_no_harm_is_right(stage: Stage) -> None:
    case = little("careful")
    slow = Trouble("stall", "a moment", {"delay": 0.01})
    assert try_it(stage, case, stage.undisturbed(case), Point("SetSecret", 1, slow)) == RIGHT


@pytest.mark.parametrize(
    ("how", "trouble", "why"),
    [
        ("silent", BROKEN, "all well, it said"),
        ("noisy", BROKEN, "a traceback"),
        ("careless", LOST, "after the next run the end is another one"),
    ],
)
def test_what_is_broken_is_told(stage: Stage, how: str, trouble: Trouble, why: str) -> None:
    case = little(how)
    with pytest.raises(Failed, match=why):
        try_it(stage, case, stage.undisturbed(case), Point("SetSecret", 1, trouble))


def test_a_fault_that_nothing_met_is_no_pass(stage: Stage) -> None:
    case = little("careful")
    with pytest.raises(Failed, match="did not come again"):
        try_it(stage, case, stage.undisturbed(case), Point("SetSecret", 2, BROKEN))


@pytest.mark.parametrize(
    ("status", "said", "why"),
    [
        (1, {"ok": False, "error": {"code": "service-error", "message": "It failed.", "hint": "Again."}}, ""),
        (
            3,
            {"ok": False, "error": {"code": "service-error", "message": "It failed.", "hint": "Again."}},
            "documented is 1",
        ),
        (
            1,
            {"ok": False, "error": {"code": "no-such-code", "message": "It failed.", "hint": "Again."}},
            "documented is None",
        ),
        (1, {"ok": False, "error": {"code": "service-error", "message": "It failed.", "hint": ""}}, "no hint"),
        (
            1,
            {"ok": False, "error": {"code": "service-error", "message": "Unexpected: x", "hint": "Again."}},
            "does not say",
        ),
        (1, {"ok": True}, "does not say that it failed"),
    ],
)
def test_an_error_is_clear_when_the_contract_knows_it(status: int, said: dict[str, object], why: str) -> None:
    told = unclear(little("careful"), Ended(status, json.dumps(said), ""))
    assert (why in told) if why else not told


def test_a_failed_job_of_a_sync_says_why_and_what_next() -> None:
    case = little("careful").__class__("sync", "x", (), {}, lambda world: None)
    job = {"result": "failed", "message": "W&B did not answer.", "hint": "The next tick tries again."}
    assert not unclear(case, Ended(1, json.dumps({"ok": False, "jobs": [job]}), ""))
    assert unclear(case, Ended(1, json.dumps({"ok": False, "jobs": [job | {"hint": ""}]}), ""))
    assert unclear(case, Ended(1, json.dumps({"ok": False, "jobs": [job | {"message": "unexpected KeyError"}]}), ""))
    assert unclear(case, Ended(1, "", "Killed"))


def test_every_service_has_every_fault_at_the_first_and_the_last_request() -> None:
    for service, operation in (
        ("arm", "Vaults_Get"),
        ("keyvault", "GetSecret"),
        ("graph", "DirectoryObjects_GetByIds"),
        ("openai", "FineTuning_List"),
        ("wandb", "Runs"),
        ("wandb", "UploadFile"),
    ):
        points = points_of([Use(operation, service, 3)])
        assert {point.nth for point in points if point.trouble.column != "stall"} == {1, 3}
        columns = {trouble.column for trouble in troubles(service, operation)}
        assert {"429 s", "429 ms", "500", "503", "reset", "lost", "cut", "403"} <= columns
        assert ("not JSON" in columns) == (operation != "UploadFile")


def test_the_table_shows_the_worst_of_first_and_last() -> None:
    points = [
        (Point("SetSecret", 1, BROKEN), RIGHT),
        (Point("SetSecret", 2, BROKEN), "FAILED: why"),
        (Point("A", 1, LOST), HEALED),
    ]
    header, *rows = table(points).splitlines()
    assert header.split() == [
        "429",
        "s",
        "429",
        "ms",
        "500",
        "503",
        "reset",
        "lost",
        "cut",
        "not",
        "JSON",
        "401",
        "403",
        "stall",
    ]
    assert [row.split() for row in rows] == [
        ["SetSecret", "·", "·", "FAILED", *"·" * 8],
        ["A", "·", "·", "·", "·", "·", "healed", *"·" * 5],
    ]
    tried = Tried(little("careful"), points)
    assert tried.good == 2
    assert '--operation SetSecret --fault "500"' in tried.failures[0]


@pytest.mark.slow
@pytest.mark.timeout(300)  # a loaded machine
@pytest.mark.parametrize(
    ("command", "kind", "operation", "some"),
    [
        ("setup", "Azure RBAC", "SetSecret", ("--every", "3")),
        ("sync", "live", "CommitArtifact", ("--every", "3")),
        ("sync", "finished", "UpsertBucket", ("--fault", "40")),  # 401 and 403, of which the SDK says nothing
        ("sync", "finished", "FileStream", ("--fault", "40")),
    ],
)
def test_a_slice_of_the_matrix(command: str, kind: str, operation: str, some: tuple[str, str]) -> None:
    argv = ["--command", command, "--kind", kind, "--operation", operation, *some, "--json"]
    done = subprocess.run([sys.executable, "-m", "evidence.faults", *argv], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["good"] == document["points"] >= 4
