"""The W&B server where it is late, strict or strange: each behavior that a scenario can choose."""

import base64
import hashlib
import json
from typing import Any

import pytest

from .client import OLD, UPSERT, Client
from .test_protocol import COMMIT, FILES, MANIFEST, draft, manifest, uploaded

# --- late reads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["historyLineCount", "summaryMetrics", "historyTail"])
def test_each_read_of_a_run_is_late_by_its_own_delay(field: str) -> None:
    delays = {"historyLineCount": "line_count", "summaryMetrics": "summary", "historyTail": "tail"}
    client = Client(server={"delays": {delays[field]: 10}})
    before = client.resume_status()
    client.rows(2, 7)
    client.stream("old", files={"wandb-summary.json": {"offset": 0, "content": ['{"loss": 3}']}})

    after = client.resume_status()
    changed = {name for name in delays if after[name] != before[name]}
    assert changed == set(delays) - {field}
    client.clock.advance(10)
    current = client.resume_status()
    assert (current["historyLineCount"], json.loads(current["summaryMetrics"])) == (3, {"loss": 3})
    assert json.loads(json.loads(current["historyTail"])[0]) == {"_step": 7}


def test_a_run_that_was_just_made_is_read_late_too() -> None:
    client = Client(server={"delays": {"line_count": 10, "summary": 10, "tail": 10}})
    client.upsert(name="new", summary='{"loss": 1}')
    client.rows(0, 1, 2, run_id="new")
    status = client.resume_status("new")
    assert (status["historyLineCount"], status["summaryMetrics"], status["historyTail"]) == (0, "{}", "[]")
    assert client.upsert(name="new")["bucket"]["historyLineCount"] == 0


def test_a_sessions_summary_replaces_what_others_wrote() -> None:
    client = Client(server={"delays": {"summary": 10}})
    cached = client.resume_status()["summaryMetrics"]
    client.upsert(id=client.upsert(name="old")["bucket"]["id"], summary='{"verdict": "good"}')
    client.stream("old", files={"wandb-summary.json": {"offset": 0, "content": [cached]}})
    assert client.run().summary == {}


# --- rows -----------------------------------------------------------------------------------------------------------


def steps(client: Client) -> list[int]:
    return [row["_step"] for row in client.run().history]


def test_rows_at_a_taken_offset_replace_and_a_gap_is_refused() -> None:
    client = Client()
    assert client.rows(1, 8, 9) == 200
    assert client.rows(4, 10) == 400
    assert steps(client) == [0, 8, 9]


def test_with_rebased_offsets_a_low_write_moves_the_end_and_a_higher_offset_is_pulled_down() -> None:
    """The report of wandb#12269: 20 rows, a second writer's row at line 0, then ten rows at line 20."""
    client = Client(server={"offsets": "rebased"}, runs=[{**OLD, "history": []}])
    client.rows(0, *range(20))
    client.rows(0, 100)
    client.rows(20, *range(20, 30))
    assert steps(client) == [100, *range(20, 30), *range(11, 20)]
    assert client.resume_status()["historyLineCount"] == 20


# --- config ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "kept"),
    [("replace", {"b": {"value": {"y": 2}}}), ("merge", {"a": {"value": 1}, "b": {"value": {"x": 1, "y": 2}}})],
)
def test_a_config_replaces_or_merges(model: str, kept: dict[str, Any]) -> None:
    client = Client(server={"config": model})
    client.upsert(name="new", config=json.dumps({"a": {"value": 1}, "b": {"value": {"x": 1}}}))
    client.upsert(name="new", config=json.dumps({"b": {"value": {"y": 2}}}))
    assert client.run("new").raw_config == kept


def test_a_run_without_the_sdks_config_entry_is_unknown_to_a_resume() -> None:
    client = Client(runs=[{**OLD, "sdk_mark": False}])
    assert client.resume_status()["wandbConfig"] == "{}"
    client = Client()
    client.upsert(name="old", config="{}")
    assert client.resume_status()["wandbConfig"] == "{}"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"jobType": "j" * 64, "display": "d" * 128, "group": "g" * 128}, 200),
        ({"jobType": "j" * 65}, 400),
        ({"display": "d" * 129}, 400),
        ({"group": "g" * 129}, 400),
        ({"config": json.dumps({"a": {"value": "x" * 15_000_000}})}, 400),
        ({"summary": json.dumps({"a": {"_type": "x" * 65}})}, 422),
    ],
    ids=["fits", "job type", "name", "group", "config", "summary"],
)
def test_values_that_are_too_long_are_refused(sent: dict[str, Any], status: int) -> None:
    assert Client().graphql(UPSERT, name="new", **sent)[0] == status


# --- listings -------------------------------------------------------------------------------------------------------


def pages(client: Client, most: int = 6) -> list[list[str]]:
    """The names on each page, one or two a page, at most so many pages."""
    out: list[list[str]] = []
    after, more = None, True
    while more and len(out) < most:
        found = client.listing(after=after, first=2)
        out.append([edge["node"]["name"] for edge in found["edges"]])
        after, more = found["pageInfo"]["endCursor"], found["pageInfo"]["hasNextPage"]
    return out


@pytest.mark.parametrize(
    ("listings", "shown"),
    [
        ("stable", [["r0", "r1"], ["r2", "r3"], ["r4"]]),
        ("shifting", [["r0", "r1"], ["r1", "r2"], ["r3"]]),
    ],
)
def test_listings_may_shift(listings: str, shown: list[list[str]]) -> None:
    runs = [{**OLD, "id": f"r{number}", "age": 100 - number} for number in range(5)]
    assert pages(Client(server={"listings": listings}, runs=runs)) == shown


def test_cursors_are_offsets_so_that_a_new_run_shifts_the_pages() -> None:
    client = Client(runs=[{**OLD, "id": f"r{number}", "age": 100 - number} for number in range(4)])
    first = client.listing(first=2, order="-created_at")
    assert base64.b64decode(first["pageInfo"]["endCursor"]) == b"arrayconnection:1"
    client.upsert(name="new")
    assert client.listed(first=2, after=first["pageInfo"]["endCursor"], order="-created_at") == ["r2", "r1"]


# --- people and runs ------------------------------------------------------------------------------------------------


def test_a_moved_run_opens_under_its_old_path_and_answers_the_new_one_and_accepts_no_rows_there() -> None:
    client = Client(runs=[{**OLD, "project": "archive", "moved_from": "p"}])
    assert client.listed() == []
    assert client.resume_status()["historyLineCount"] == 2
    opened = client.upsert(name="old")
    assert (opened["inserted"], opened["bucket"]["project"]["name"]) == (False, "archive")
    assert client.rows(2, 9) == 200
    assert len(client.run("old", "archive").history) == 2


def test_a_deleted_runs_id_is_taken_until_the_run_is_restored() -> None:
    client = Client(runs=[{**OLD, "deleted": True}])
    status, body = client.graphql(UPSERT, name="old")
    assert (status, "previously created and deleted" in body["errors"][0]["message"]) == (409, True)
    client.store.restore_run("acme", "p", "old")
    assert client.listed() == ["old"]


STOP = "mutation StopRun($id: ID!) { stopRun(input: {id: $id}) { success } }"


@pytest.mark.parametrize("ends", [True, False], ids=["its client ends it", "its client is silent"])
def test_a_run_that_a_person_stops_is_killed(*, ends: bool) -> None:
    client = Client()
    client.data(STOP, id=client.upsert(name="new")["bucket"]["id"])
    end: dict[str, Any] = {"complete": True, "exitcode": 0} if ends else {}
    answer = client.stream("new", **end).body
    assert isinstance(answer, dict)
    assert answer["stopped"] is True
    client.clock.advance(301)
    assert client.resume_status("new")["state"] == "killed"


def test_opening_a_run_is_not_a_heartbeat_but_makes_it_running() -> None:
    client = Client(runs=[{**OLD, "state": "crashed"}])
    before = client.resume_status()["heartbeatAt"]
    client.upsert(name="old")
    status = client.resume_status()
    assert (status["state"], status["heartbeatAt"]) == ("running", before)
    client.clock.advance(301)
    assert client.resume_status()["state"] == "crashed"
    client.stream("old")
    assert client.resume_status()["heartbeatAt"] > before


# --- artifacts ------------------------------------------------------------------------------------------------------


def begun(client: Client, digest: str, content: bytes = b"hello", **more: Any) -> str:
    """A version with everything uploaded, not committed; its id."""
    md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    artifact_id: str = draft(client, digest=digest, enableDigestDeduplication=True, **more)[1]["data"][
        "createArtifact"
    ]["artifact"]["id"]
    spec = {"artifactFiles": [{"artifactID": artifact_id, "name": "f.txt", "md5": md5}]}
    (edge,) = client.data(FILES, input=spec)["createArtifactFiles"]["files"]["edges"]
    if edge["node"]["uploadUrl"]:
        assert uploaded(client, edge["node"]["uploadUrl"], content) == 200
    url = client.data(MANIFEST, id=artifact_id)["createArtifactManifest"]["artifactManifest"]["file"]["uploadUrl"]
    assert uploaded(client, url, manifest({"f.txt": {"digest": md5, "size": len(content)}})) == 200
    return artifact_id


def test_the_second_of_two_writers_that_commit_the_same_file_gets_409() -> None:
    client = Client()
    one, other = begun(client, "d1"), begun(client, "d1")
    assert client.graphql(COMMIT, id=one)[0] == 200
    status, body = client.graphql(COMMIT, id=other)
    assert (status, "rebase required" in body["errors"][0]["message"]) == (409, True)
    assert len(client.store.artifacts("acme", "p")) == 1


def test_content_that_is_logged_again_stays_the_first_version_with_its_metadata_and_maker() -> None:
    client = Client(runs=[OLD, {**OLD, "id": "other"}])
    client.data(COMMIT, id=begun(client, "d1", runName="old", metadata='{"policy": "reference"}'))
    status, body = draft(
        client, digest="d1", enableDigestDeduplication=True, runName="other", metadata='{"policy": "full"}'
    )
    assert (status, body["data"]["createArtifact"]["artifact"]["state"]) == (200, "COMMITTED")
    (version,) = client.store.artifacts("acme", "p")
    assert version.metadata == {"policy": "reference"}
    assert ([each.name for each in client.run().logged], client.run("other").logged) == (["data:v0"], [])


@pytest.mark.parametrize(("rule", "state"), [("any", "COMMITTED"), ("latest", "PENDING")])
def test_content_is_compared_with_any_version_or_with_the_latest(rule: str, state: str) -> None:
    client = Client(server={"deduplication": rule})
    client.data(COMMIT, id=begun(client, "d1", b"one"))
    client.data(COMMIT, id=begun(client, "d2", b"two"))
    _, body = draft(client, digest="d1", enableDigestDeduplication=True)
    assert body["data"]["createArtifact"]["artifact"]["state"] == state
