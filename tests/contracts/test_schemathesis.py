"""schemathesis, which makes requests from the official API descriptions, right and wrong ones, cannot make a 500."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario
from sandbox.world import World

from . import CONTRACTS, why_missing

pytestmark = [pytest.mark.contract, pytest.mark.malformed, pytest.mark.timeout(600)]

_SPECIFICATION = CONTRACTS / "azure-rest-api-specs" / "specification"
_ARM, _VAULT, _OPENAI = "management.azure.com", "kv-ml.vault.azure.net", "aoai-ml.openai.azure.com"
_AUDIENCES = {
    _ARM: "https://management.azure.com",
    _VAULT: "https://vault.azure.net",
    _OPENAI: "https://cognitiveservices.azure.com",
}
DESCRIPTIONS = {
    _SPECIFICATION / "keyvault/resource-manager/Microsoft.KeyVault/stable/2023-07-01/keyvault.json": _ARM,
    _SPECIFICATION / "cognitiveservices/resource-manager/Microsoft.CognitiveServices/stable/2023-05-01"
    "/cognitiveservices.json": _ARM,
    _SPECIFICATION / "authorization/resource-manager/Microsoft.Authorization/stable/2022-04-01"
    "/authorization-RoleAssignmentsCalls.json": _ARM,
    _SPECIFICATION / "authorization/resource-manager/Microsoft.Authorization/stable/2022-04-01"
    "/authorization-RoleDefinitionsCalls.json": _ARM,
    _SPECIFICATION / "resources/resource-manager/Microsoft.Resources/stable/2022-12-01/subscriptions.json": _ARM,
    _SPECIFICATION / "keyvault/data-plane/Microsoft.KeyVault/stable/7.5/secrets.json": _VAULT,
    _SPECIFICATION / "cognitiveservices/data-plane/AzureOpenAI/authoring/stable/2024-06-01/azureopenai.json": _OPENAI,
    CONTRACTS / "derived" / "keyvault-secrets-2026-04-01.from-7.5.json": _VAULT,
    CONTRACTS / "derived" / "aoai-authoring-2024-10-21.finetuning.json": _OPENAI,
    CONTRACTS / "derived" / "aoai-authoring-2025-04-01-preview.finetuning.json": _OPENAI,
}
"""Each official description, and the host that the sandbox has for it."""

KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"
JOB, FILE = "ftjob-" + "1" * 32, "file-" + "a" * 32
_ROLES = ("Owner", "Key Vault Secrets Officer", "Cognitive Services OpenAI Contributor")
WORLD: dict[str, Any] = {
    "extends": "contoso",
    "transitions": {"rbac_propagation": 0, "identity_polls": 1},
    "assignments": [
        {"principal": who, "role": role, "scope": "subscription"}
        for who in ("operator", "reports-job")
        for role in _ROLES
    ],
    "accounts": [
        {
            "name": "aoai-ml",
            "group": "rg-ml",
            "jobs": [{"id": JOB, "model": "gpt-4o-mini", "created": "-2d", "training_file": FILE}],
            "files": [{"id": FILE, "filename": "train.jsonl", "created": "-3d", "count": 5}],
        }
    ],
    "vaults": [
        {"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": [{"name": "wandb-api-key", "value": KEY}]},
        {"name": "kv-gone", "group": "rg-ml", "deleted": True},
    ],
    "function_apps": [
        {"name": "func-ml", "group": "rg-ml", "identity": "function-app", "functions": ["find_jobs"], "settings": {}}
    ],
}
"""One of everything, and an operator who may do everything with it."""


KNOWN = {
    "subscriptionId": ["5b1f6d1c-0000-4000-8000-0000000000aa"],
    "resourceGroupName": ["rg-ml"],
    "vaultName": ["kv-ml", "kv-gone", "kv-new"],
    "accountName": ["aoai-ml"],
    "scope": ["subscriptions/5b1f6d1c-0000-4000-8000-0000000000aa/resourceGroups/rg-ml"],
    "operationKind": ["add", "replace", "remove"],
    "location": ["swedencentral"],
    "secret-name": ["wandb-api-key", "another"],
    "fine-tuning-job-id": [JOB],
    "file-id": [FILE],
}
"""What is there, so that requests come further than to a 404."""

SCENARIO = Scenario.parse(WORLD)
_MANY_NAMES = ("RoleAssignments_", "Permissions_")  # one operation of ARM each, described once per kind of scope


@cache
def operations_of(description: Path) -> list[Any]:
    """Those of a description that the sandbox has."""
    known = {each.id for service in World(SCENARIO, {}, []).services for each in service.operations}
    schema: Any = schemathesis.openapi.from_path(str(description))  # its operations are typed as errors, too
    found = [each.ok() for each in schema.get_all_operations()]
    names = {id(each): str(each.definition.raw["operationId"]) for each in found}
    return [each for each in found if names[id(each)] in known or names[id(each)].startswith(_MANY_NAMES)]


@st.composite
def cases(draw: st.DrawFn, description: Path) -> Any:
    """A request of one of the description's operations, right or wrong, mostly to what is there."""
    operation = draw(st.sampled_from(operations_of(description)))
    mode = draw(st.sampled_from(list(GenerationMode)))
    case = draw(operation.as_strategy(generation_mode=mode))
    for name in case.path_parameters or {}:
        if name in KNOWN and draw(st.integers(0, 9)):
            case.path_parameters[name] = draw(st.sampled_from(KNOWN[name]))
    if draw(st.integers(0, 9)):
        case.query["api-version"] = operation.schema.raw_schema["info"]["version"]
    return case


def status_of(cloud: Cloud, case: Any, host: str) -> int:
    """Send a request as it is, with the operator's token. Return the status of the answer."""
    sent = case.as_transport_kwargs(base_url=f"https://{host}{'/openai' if host == _OPENAI else ''}")
    parts = ("method", "url", "headers", "params", "json", "data", "files")
    prepared = requests.Request(**{name: sent.get(name) for name in parts}).prepare()
    session = {"X-Session": cloud.environment()["SANDBOX_SESSION"]}
    token = requests.get(f"{cloud.url}/_sandbox/token?resource={_AUDIENCES[host]}", headers=session, timeout=30).json()
    prepared.headers.pop("api-key", None)
    prepared.headers["Authorization"] = f"Bearer {token['accessToken']}"
    with requests.Session() as client:
        environment = client.merge_environment_settings(str(prepared.url), {}, None, None, None)
        return client.send(prepared, allow_redirects=False, timeout=30, **environment).status_code


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda path: f"{path.stem}-{path.parent.name}")
def test_no_generated_request_gets_a_500(cloud: Cloud, description: Path) -> None:
    """Send ten requests, each to a world that no other has changed, and the same ones every time."""
    if not description.is_file():
        pytest.skip(why_missing(description))
    phases = [Phase.generate, Phase.shrink]

    @settings(max_examples=10, derandomize=True, database=None, phases=phases, suppress_health_check=[*HealthCheck])
    @given(cases(description))
    def attack(case: Any) -> None:
        cloud.load(SCENARIO)
        status = status_of(cloud, case, DESCRIPTIONS[description])
        assert status < 500 or status == 501, case

    attack()
    cloud.world.unmodelled.clear()
