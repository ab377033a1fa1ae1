"""A body or a number that an operation cannot take is refused in the service's own shape, and changes nothing."""

import json
from typing import Any

import pytest

from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario
from tests.contracts.attacker import KEY, WORLD, Attacker

pytestmark = pytest.mark.malformed("addresses")

_GROUP = (
    "https://management.azure.com/subscriptions/5b1f6d1c-0000-4000-8000-0000000000aa/resourceGroups/rg-ml/providers"
)
_VAULT = f"{_GROUP}/Microsoft.KeyVault/vaults/kv-ml"
_ASSIGNMENTS = f"{_VAULT}/providers/Microsoft.Authorization/roleAssignments"
_ARM, _KEYS = "?api-version=2023-07-01", "?api-version=7.5"
_SECRET = "https://kv-ml.vault.azure.net/secrets/wandb-api-key"
_STREAM = "https://api.forge.coreweave.com/files/acme/fine-tuning/a-run/file_stream"


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("PATCH", f"{_VAULT}{_ARM}", []),
        ("PATCH", f"{_VAULT}{_ARM}", {"properties": "all"}),
        ("PATCH", f"{_VAULT}{_ARM}", {"tags": 1.5}),
        ("PATCH", f"{_VAULT}{_ARM}", {"tags": {"a": "\ud800"}}),
        ("PUT", f"{_VAULT}{_ARM}", {"properties": {"accessPolicies": ["x"]}}),
        ("PUT", f"{_VAULT}/accessPolicies/add{_ARM}", {}),
        ("PUT", f"{_VAULT}/accessPolicies/add{_ARM}", {"properties": {"accessPolicies": [{"objectId": 1}]}}),
        ("PATCH", f"{_GROUP}/Microsoft.CognitiveServices/accounts/aoai-ml?api-version=2023-05-01", {"identity": "all"}),
        ("PUT", f"{_ASSIGNMENTS}/one?api-version=2022-04-01", {"properties": {"principalId": 7}}),
        ("GET", f"{_ASSIGNMENTS}?api-version=2022-04-01&$skiptoken=x", None),
        ("PUT", f"{_SECRET}{_KEYS}", [1]),
        ("PUT", f"{_SECRET}{_KEYS}", {"value": "x", "attributes": [[]]}),
        ("GET", f"{_SECRET}/versions{_KEYS}&maxresults=0", None),
        ("GET", f"{_SECRET}/versions{_KEYS}&$skiptoken=x", None),
        ("POST", "https://graph.microsoft.com/v1.0/directoryObjects/getByIds", {"ids": [[]]}),
        ("POST", "https://api.forge.coreweave.com/graphql", "x"),
        ("POST", "https://api.forge.coreweave.com/graphql", {"query": ["x"]}),
        ("POST", "https://api.forge.coreweave.com/graphql", {"query": "{ viewer { id } }", "variables": "x"}),
        (
            "POST",
            "https://api.forge.coreweave.com/graphql",
            {
                "query": "mutation M($config: JSONString) { upsertBucket(input: {config: $config}) { bucket { id } } }",
                "variables": {"config": "{"},
            },
        ),
        ("POST", _STREAM, {"files": {"wandb-history.jsonl": {"offset": 0, "content": ["no JSON"]}}}),
        ("POST", _STREAM, {"files": {"output.log": {"offset": -1, "content": ["x"]}}}),
    ],
)
def test_it_is_refused_with_400(cloud: Cloud, method: str, url: str, body: Any) -> None:
    cloud.load(Scenario.parse(_world()))
    assert Attacker(cloud).send(method, url, _wandb(url), b"" if body is None else json.dumps(body).encode()) == 400
    assert cloud.writes == 0
    cloud.world.wandb.unsupported.clear()


@pytest.mark.parametrize("signed", ["Expires=99999999999&Signature=%C2%80", f"Expires={'9' * 5000}&Signature=x"])
def test_an_upload_address_that_was_made_up_is_refused(cloud: Cloud, signed: str) -> None:
    url = f"https://storage.googleapis.com/wandb-production.appspot.com/wandb_artifacts/8/file?{signed}"
    assert Attacker(cloud).send("PUT", url, {}, b"") in (400, 403)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff\xfe", b"{", b'{"value": "\\ud800"}'])
def test_what_is_no_json_is_refused_with_400_however_deep(cloud: Cloud, body: bytes) -> None:
    cloud.load(Scenario.parse(_world()))
    assert Attacker(cloud).send("PUT", f"{_SECRET}{_KEYS}", {}, body) == 400
    assert cloud.writes == 0


def _world() -> dict[str, Any]:
    run = {"entity": "acme", "project": "fine-tuning", "id": "a-run", "user": "sync-bot"}
    return WORLD | {"wandb": Scenario.load("contoso").wandb.model_dump() | {"runs": [run]}}


def _wandb(url: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}"} if "coreweave" in url else {}
