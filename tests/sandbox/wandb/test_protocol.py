"""What the sandbox's W&B requires of clients, tested without an SDK."""

import base64
import hashlib
import json
from inspect import signature
from typing import Any

import pytest
from graphql import GraphQLObjectType

from sandbox.wandb.graphql.executor import RENAMED, ROOTS, schema, snake_case
from sandbox.wandb.graphql.filters import MISSING, matching
from sandbox.wandb.graphql.root import TYPES
from sandbox.wandb.rules import RefusedError

from .client import UPSERT, Client

CREATE = """mutation CreateArtifact($input: CreateArtifactInput!) { createArtifact(input: $input) { artifact { id state } } }"""
MANIFEST = """mutation M($id: ID!) { createArtifactManifest(input: {artifactID: $id, name: "wandb_manifest.json", digest: "",
  entityName: "acme", projectName: "p", runName: "old", type: FULL}) { artifactManifest { file { uploadUrl } } } }"""
FILES = """mutation F($input: CreateArtifactFilesInput!) { createArtifactFiles(input: $input) {
  files { edges { node { name uploadUrl storagePath } } } } }"""
COMMIT = """mutation C($id: ID!) { commitArtifact(input: {artifactID: $id}) { artifact { id state versionIndex } } }"""


def draft(client: Client, **more: Any) -> tuple[int, Any]:
    names = {"entityName": "acme", "projectName": "p", "artifactTypeName": "dataset", "digest": "d1", **more}
    return client.graphql(CREATE, input={"artifactCollectionNames": ["data"], **names})


# --- the schema and its resolvers


def test_a_field_that_the_schema_does_not_have_is_refused_by_name_and_remembered() -> None:
    client = Client()
    status, body = client.graphql("query Q { viewer { shoeSize } }")

    assert status == 400
    assert "Cannot query field 'shoeSize' on type 'User'." in body["errors"][0]["message"]
    assert client.service.unsupported == [body["errors"][0]["message"]]


SCHEMA_TYPES = schema().type_map


@pytest.mark.parametrize("type_name", sorted(TYPES))
def test_resolvers_are_of_fields_of_the_schema_and_take_their_arguments(type_name: str) -> None:
    declared = SCHEMA_TYPES[type_name]
    assert isinstance(declared, GraphQLObjectType)
    assert set(TYPES[type_name]) <= set(declared.fields)
    if type_name in ROOTS:
        assert set(TYPES[type_name]) == set(declared.fields)
    for name, field in declared.fields.items():
        resolver = TYPES[type_name].get(name)
        if field.args and resolver:
            taken = signature(resolver).parameters
            wanted = {RENAMED.get(arg, snake_case(arg)) for arg in field.args}
            assert wanted <= set(taken) or any(each.kind is each.VAR_KEYWORD for each in taken.values()), name


# --- filestream


@pytest.mark.parametrize(
    ("posts", "state", "after_silence"),
    [
        ([{}], "running", "crashed"),
        ([{"complete": True, "exitcode": 0}], "finished", "finished"),
        ([{"complete": True, "exitcode": 2}], "failed", "failed"),
        ([{"complete": True, "exitcode": 0}, {"uploaded": ["x"]}], "running", "crashed"),
    ],
)
def test_the_state_follows_from_the_stream_and_five_minutes_of_silence_end_a_run(
    posts: list[dict[str, Any]], state: str, after_silence: str
) -> None:
    client = Client()
    client.graphql(UPSERT, name="new")
    for post in posts:
        assert client.stream("new", **post).status == 200
    assert client.resume_status("new")["state"] == state
    client.clock.advance(301)
    assert client.resume_status("new")["state"] == after_silence


# --- artifacts and the object store


def uploaded(client: Client, url: str, content: bytes) -> int:
    return client.call("PUT", url, content).status


def manifest(entries: dict[str, Any]) -> bytes:
    policy = {"version": 1, "storagePolicy": "wandb-storage-policy-v1", "storagePolicyConfig": {"storageLayout": "V2"}}
    return json.dumps({**policy, "contents": entries}).encode()


def test_an_artifact_commits_only_when_its_manifest_and_every_file_are_there() -> None:
    client = Client()
    md5 = base64.b64encode(hashlib.md5(b"hello", usedforsecurity=False).digest()).decode()
    artifact_id = draft(client)[1]["data"]["createArtifact"]["artifact"]["id"]

    status, body = client.graphql(COMMIT, id=artifact_id)
    assert (status, "manifest was not uploaded" in body["errors"][0]["message"]) == (400, True)
    url = client.data(MANIFEST, id=artifact_id)["createArtifactManifest"]["artifactManifest"]["file"]["uploadUrl"]
    assert uploaded(client, url, manifest({"f.txt": {"digest": md5, "size": 5}})) == 200
    status, body = client.graphql(COMMIT, id=artifact_id)
    assert (status, "file 'f.txt' was not uploaded" in body["errors"][0]["message"]) == (400, True)

    spec = {"artifactFiles": [{"artifactID": artifact_id, "name": "f.txt", "md5": md5}]}
    (edge,) = client.data(FILES, input=spec)["createArtifactFiles"]["files"]["edges"]
    assert uploaded(client, edge["node"]["uploadUrl"], b"other bytes") == 400
    assert uploaded(client, edge["node"]["uploadUrl"], b"hello") == 200
    assert client.data(COMMIT, id=artifact_id)["commitArtifact"]["artifact"]["versionIndex"] == 0
    assert client.store.artifacts("acme", "p")[0].read("f.txt") == b"hello"

    other = draft(client, digest="d2")[1]["data"]["createArtifact"]["artifact"]["id"]
    spec["artifactFiles"][0]["artifactID"] = other
    (edge,) = client.data(FILES, input=spec)["createArtifactFiles"]["files"]["edges"]
    assert edge["node"]["uploadUrl"] is None  # these bytes are stored already


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"artifactCollectionNames": ["a/b"]}, "invalid artifact name"),
        ({"artifactCollectionNames": ["a" * 129]}, "invalid artifact name"),
        ({"artifactTypeName": "a:b"}, "invalid artifact type"),
        ({"aliases": [{"artifactCollectionName": "data", "alias": "a:b"}]}, "invalid alias"),
        ({"tags": [{"tagName": "a/b"}]}, "invalid tag"),
        ({"metadata": json.dumps({str(key): key for key in range(101)})}, "at most 100"),
        ({"metadata": "[]"}, "not a JSON object"),
    ],
)
def test_names_and_sizes_of_artifacts_are_checked(more: dict[str, Any], message: str) -> None:
    client = Client()
    status, body = draft(client, **more)
    assert (status, message in body["errors"][0]["message"]) == (400, True)
    assert client.store.artifacts("acme", "p") == []


RUN_FILES = """mutation CreateRunFiles { createRunFiles(input: {entityName: "acme", projectName: "p", runName: "old",
  files: ["a b.txt"]}) { files { uploadUrl } } }"""


def test_a_key_sent_to_the_object_store_is_a_leak() -> None:
    client = Client()
    url = client.data(RUN_FILES)["createRunFiles"]["files"][0]["uploadUrl"]
    assert client.call("PUT", url, b"x", client.authorization).status == 400
    assert "a key was sent to the object store" in client.service.unsupported[0]


# --- filters, orders, pages


def value(row: dict[str, Any], key: str) -> Any:
    return row.get(key, MISSING)


ROWS: list[dict[str, Any]] = [
    {"n": 1, "t": ["a"]},
    {"n": 2, "t": ["a", "b"]},
    {"n": 3.5, "t": []},
    {"t": ["c"], "s": "abc"},
]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({}, [0, 1, 2, 3]),
        ({"n": 2}, [1]),
        ({"n": {"$gt": 1, "$lt": 3.5}}, [1]),
        ({"n": {"$ne": 1}}, [1, 2, 3]),
        ({"n": {"$exists": False}}, [3]),
        ({"n": None}, [3]),
        ({"t": "a"}, [0, 1]),
        ({"t": {"$in": ["b", "c"]}}, [1, 3]),
        ({"t": {"$nin": ["a"]}}, [2, 3]),
        ({"s": {"$regex": "^ab"}}, [3]),
        ({"s": {"$not": {"$regex": "^ab"}}}, [0, 1, 2]),
        ({"$not": {"t": "a"}}, [2, 3]),
        ({"$nor": [{"n": 1}, {"n": 2}]}, [2, 3]),
        ({"$and": [{"t": "a"}, {"$or": [{"n": 2}, {"n": 3.5}]}]}, [1]),
        ({"n": {"$gt": "1"}}, []),
    ],
)
def test_filters_work_as_in_mongodb(condition: dict[str, Any], found: list[int]) -> None:
    assert [ROWS.index(row) for row in matching(ROWS, json.dumps(condition), value)] == found


def test_unknown_operators_and_keys_are_refused() -> None:
    with pytest.raises(RefusedError, match="near"):
        matching(ROWS, '{"n": {"$near": 1}}', value)
    status, body = Client().graphql(
        'query Q($f: JSONString) { project(name: "p", entityName: "acme") { runCount(filters: $f) } }', f='{"shoe": 1}'
    )
    assert (status, "unknown key 'shoe'" in body["errors"][0]["message"]) == (400, True)
