"""schemathesis, which makes requests from the official API descriptions, right and wrong ones, cannot make a 500."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from requests import Request
from schemathesis import GenerationMode

from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario
from sandbox.world import World

from . import CONTRACTS, why_missing
from .attacker import FILE, JOB, WORLD, Attacker, also_unmodelled, repeatable

pytestmark = [pytest.mark.contract, pytest.mark.malformed, pytest.mark.timeout(600)]

_SPECIFICATION = CONTRACTS / "azure-rest-api-specs" / "specification"
_ARM, _VAULT, _OPENAI = "management.azure.com", "kv-ml.vault.azure.net", "aoai-ml.openai.azure.com"
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
def requests(draw: st.DrawFn, description: Path) -> Any:
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


def attacks(cloud: Cloud, description: Path, examples: int) -> None:
    """Send as many requests; each to a world that no other has changed."""
    prefix = "/openai" if DESCRIPTIONS[description] == _OPENAI else ""

    @repeatable(examples)
    @given(requests(description))
    def attack(case: Any) -> None:
        cloud.load(SCENARIO)
        sent = case.as_transport_kwargs(base_url=f"https://{DESCRIPTIONS[description]}{prefix}")
        ready = Request(
            **{name: sent.get(name) for name in ("method", "url", "headers", "params", "json", "data", "files")}
        )
        prepared = ready.prepare()
        method, url, body = str(prepared.method), str(prepared.url), prepared.body or b""
        content = body.encode() if isinstance(body, str) else body
        assert isinstance(content, bytes)
        status = Attacker(cloud).send(method, url, {k: str(v) for k, v in prepared.headers.items()}, content)
        assert status < 500 or status == 501, (method, url, content)

    with also_unmodelled(cloud):
        attack()


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda path: f"{path.stem}-{path.parent.name}")
def test_no_generated_request_gets_a_500(cloud: Cloud, description: Path) -> None:
    if not description.is_file():
        pytest.skip(why_missing(description))
    attacks(cloud, description, 10)
