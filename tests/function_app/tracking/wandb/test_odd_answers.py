"""Any value in any place of W&B's answers: an error of ours or a result, never anything else."""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, repeat
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from function_app.errors import SyncError, WandbBusyError
from function_app.tracking import FixedKey
from function_app.tracking.wandb.access import require_writable
from function_app.tracking.wandb.api import WandbApi
from function_app.tracking.wandb.changes import write
from function_app.tracking.wandb.client import WandbClient
from function_app.tracking.wandb.versioned import versions
from function_app.tracking.wandb.versioned.latest import Latest
from tests.function_app.conftest import JOB

PLACE = {"name": "ft", "project": {"name": "fine-tuning", "entity": {"name": "acme"}}}
VERSION = {
    "id": "QXJ0",
    "metadata": json.dumps({"file_id": "file-1"}),
    "ttlDurationSeconds": -2,
    "createdBy": {"name": JOB},
    "aliases": [{"alias": "latest", "artifactCollection": PLACE}],
}
CONFIG = json.dumps({"_wandb": {"value": {}}, "model": {"value": "gpt-4o"}, "account": {"value": "aoai-ml"}})
RUN: dict[str, Any] = {"id": "UnVu", "name": JOB, "state": "running", "tags": ["openai"], "config": CONFIG}
RUN |= {"summaryMetrics": "{}", "historyLineCount": 3, "historyTail": '["{}"]', "heartbeatAt": "2026-11-30T12:00:00"}
RUN |= {"project": PLACE["project"]}
PAGE = {"endCursor": "c", "hasNextPage": False}
ORGANIZATION = {"orgEntity": {"name": "o"}}


def listed(*nodes: Any) -> dict[str, Any]:
    return {"edges": [{"node": node, "cursor": "c"} for node in nodes], "pageInfo": PAGE}


def in_project(**fields: Any) -> dict[str, Any]:
    return {"project": fields}


VERSIONS = in_project(l0={"artifact": VERSION}, artifactType={"artifactCollection": {"artifacts": listed(VERSION)}})
VERSIONS["project"]["artifactType"]["artifactCollection"]["artifacts"]["edges"][0]["version"] = "v0"
READS: dict[str, tuple[dict[str, Any], Callable[[WandbApi], object]]] = {
    "runs": (in_project(runs=listed(RUN)), lambda api: api.states([JOB], accounts=["aoai-ml"])),
    "run": (in_project(run=RUN), lambda api: api.stored(JOB)),
    "rows": (in_project(run={"history": ["{}"]}), lambda api: api.rows(JOB, 0, 9)),
    "alerts": ({"notifyScriptableRunAlert": {"success": True}}, lambda api: api.alert(JOB, "a", "b")),
    "superseding": (in_project(run=RUN), lambda api: api.supersede(JOB, f"{JOB}-2")),
    "versions": (VERSIONS, lambda api: Latest(api, "model", "ft").look()),
    "version": (
        in_project(c0={"artifact": VERSION}),
        lambda api: versions.named_in(api, api.ask("Q", versions.named(["ft:latest"])), ["ft:latest"]),
    ),
    "continued models": (
        in_project(runs=listed(RUN)),
        lambda api: versions.further_training_in(api.ask("Q", versions.further_training(["gpt-4o"])), ["gpt-4o"]),
    ),
    "models of runs": (
        in_project(runs=listed({"name": JOB, "outputArtifacts": listed(VERSION)})),
        lambda api: versions.made_by(api, [JOB], "gpt-4o"),
    ),
    "organization": ({"entity": {"organization": ORGANIZATION, "user": None}}, versions.organization_of),
    "organizations of a person": (
        {"entity": {"organization": None, "user": {"organizations": [ORGANIZATION]}}},
        versions.organization_of,
    ),
    "links": (
        {"artifact": {"artifactMemberships": listed({"artifactCollection": PLACE})}},
        lambda api: versions.is_linked(api, "QXJ0", api, "ft"),
    ),
    "access": ({"entity": {"readOnly": False}, "project": {"readOnly": False}}, require_writable),
    "writes": (
        {"w0": {"bucket": {"id": "x", "project": {}}}},
        lambda api: write(api, [versions.use(api, JOB, "QXJ0")])[0],
    ),
    "entity": ({"viewer": {"entity": "acme"}}, lambda api: WandbApi("p", api.keys, api.client).entity),
}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    (None, True, -1, 2**63, 1e308, "", "x", "\ud800", "x" * 30_000, [], [None], [[]], {}, {"name": 7})
)


def api_that(replies: Callable[[httpx2.Request], httpx2.Response], entity: str | None = "acme") -> WandbApi:
    client = WandbClient("https://wandb.contoso.example", transport=httpx2.MockTransport(replies))
    return WandbApi("fine-tuning", FixedKey(SecretStr("k" * 40)), client, entity=entity)


def api_with(answer: object | Iterator[object], entity: str | None = "acme") -> WandbApi:
    """W&B with this answer to every request, or with these answers."""
    answers = answer if isinstance(answer, Iterator) else repeat(answer)
    return api_that(lambda _: httpx2.Response(200, content=json.dumps({"data": next(answers)}).encode()), entity)


def places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield where
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*where, key))


def replaced(answer: Any, where: tuple[Any, ...], value: object) -> Any:
    if not where:
        return value
    first, *rest = where
    changed = copy.copy(answer)
    changed[first] = replaced(answer[first], (*rest,), value)
    return changed


@pytest.mark.parametrize("name", READS)
@given(data=st.data(), odd=ODD)
def test_any_value_in_any_place_of_an_answer_is_read_or_refused(name: str, data: st.DataObject, odd: object) -> None:
    answer, read = READS[name]
    read(api_with(answer))
    where = data.draw(st.sampled_from([*places(answer)]))
    with suppress(SyncError):
        read(api_with(replaced(answer, where, odd)))


@pytest.mark.parametrize("name", ["runs", "versions"])
def test_a_listing_without_an_end_is_given_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, read = READS[name]
    for module in ("api", "versioned.versions"):
        monkeypatch.setattr(f"function_app.tracking.wandb.{module}.PAGES_AT_MOST", 5)
    text = json.dumps(answer).replace('"hasNextPage": false', '"hasNextPage": true')
    pages = (json.loads(text.replace(JOB, f"run-{page}").replace("QXJ0", f"{page}")) for page in count())
    with pytest.raises(WandbBusyError, match="without an end"):
        read(api_with(pages))


def test_an_entity_that_wandb_does_not_name_is_asked_for_again() -> None:
    api = api_with(iter([{"viewer": None}, {"viewer": {"entity": "acme"}}]), entity=None)
    with pytest.raises(WandbBusyError, match="default entity"):
        _ = api.entity
    assert api.entity == "acme"


@pytest.mark.parametrize("answer", [None, {"bucket": None}, {"success": False}, {"success": None}])
def test_a_change_that_wandb_does_not_confirm_is_an_error(answer: object) -> None:
    with pytest.raises(WandbBusyError, match="did not confirm"):
        READS["writes"][1](api_with({"w0": answer}))


def test_latest_that_cannot_be_moved_is_a_warning() -> None:
    latest = Latest(api_with(VERSIONS | {"w0": {"success": True}}), "model", "ft")
    latest.look()
    newest = versions.Version("new", metadata={"id": JOB, "job_created_at": "2026-11-30T00:00:00Z"}, run=JOB)
    [warning] = latest.settle([newest])
    assert "`latest` of ft" in warning


def test_a_version_that_is_committed_late_is_found_while_many_jobs_write_into_the_collection() -> None:
    numbers = [number for number in range(200) if number != 120]

    def version(number: int) -> dict[str, Any]:
        created = f"2026-11-30T00:00:00.{1000 if number == 120 else number:04}Z"
        return VERSION | {"id": f"{number}", "metadata": json.dumps({"id": JOB, "job_created_at": created})}

    def reply(request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.content)["variables"]
        rest = [each for each in sorted(numbers, reverse=True) if each < int(asked.get("cursor") or 1000)]
        page = rest[: asked["perPage"]]
        edges = [{"version": f"v{each}", "node": version(each)} for each in page]
        info = {"endCursor": f"{page[-1]}", "hasNextPage": page != rest}
        found = {"artifactCollection": {"id": "c", "artifacts": {"edges": edges, "pageInfo": info}}}
        newest = {"artifact": version(199)}
        return httpx2.Response(200, json={"data": in_project(l0=newest, l1=newest, artifactType=found)})

    api = api_that(reply)
    latest, *_others = [Latest(api, "model", "ft") for _ in range(32)]
    latest.look()
    assert latest.moves([]) == []
    numbers.append(120)
    latest.look()
    assert [each.given["artifactID"] for each in latest.moves([])] == ["120"]


@pytest.mark.parametrize("number", ["9" * 5000, "01", "0", "1", "-2", "\u0662", ""])
def test_a_run_with_an_odd_number_belongs_to_no_job(number: str) -> None:
    run = RUN | {"name": f"{JOB}-{number}"}
    assert api_with(in_project(runs=listed(run))).states([JOB]) == {}
