"""A function app looked at from outside, by plain ARM requests: identity, state, indexed functions, settings."""

import json
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.rest import HttpRequest
from azure.identity import AzureCliCredential
from azure.mgmt.core import ARMPipelineClient

from tests.conftest import Load
from tests.contracts import CONTRACTS, PRESENT, WHY_ABSENT
from tests.sandbox.azure import GROUP, tenant_of

APP: dict[str, Any] = {
    "name": "func-wandb",
    "group": "rg-ml",
    "functions": ["find_jobs", "sync_job", "report_poison"],
    "settings": {"WANDB_ENTITY": "acme"},
}
IDENTITY = {"name": "id-func", "kind": "managed identity"}


def ask(path: str = "", method: str = "GET", url: str = "") -> Any:
    policies = [BearerTokenCredentialPolicy(AzureCliCredential(), "https://management.azure.com/.default")]
    client: Any = ARMPipelineClient("https://management.azure.com", policies=policies)
    where = (
        url
        or f"https://management.azure.com{GROUP}/providers/Microsoft.Web/sites/func-wandb{path}?api-version=2024-11-01"
    )
    answer = client.send_request(HttpRequest(method, where))
    if answer.status_code >= 400:
        raise HttpResponseError(response=answer)
    return answer.json()


def with_app(role: str = "Owner", **more: Any) -> dict[str, Any]:
    scenario = tenant_of(role=role, function_apps=[{**APP, **more}])
    return scenario | {"principals": [*scenario["principals"], IDENTITY]}


@pytest.mark.contract
@pytest.mark.skipif(not PRESENT, reason=WHY_ABSENT)
def test_a_site_has_no_property_that_microsofts_type_does_not_know(load: Load) -> None:
    load(with_app(identity=["system", "id-func"]))
    generated = json.loads((CONTRACTS / "bicep-types" / "microsoft.web_sites@2024-11-01.json").read_text())
    assert unknown(ask(), generated["types"], str(generated["body"])) == []


def unknown(shown: Any, types: dict[str, Any], kind: str, path: str = "") -> list[str]:
    """The properties of some JSON that a generated type does not name."""
    described = types[kind]
    if not isinstance(shown, dict) or "properties" not in described:
        return []
    rest, found = described.get("additionalProperties"), []
    for name, value in shown.items():
        known = described["properties"].get(name, {}).get("type") or rest
        if known is None:
            found.append(f"{path}/{name}")
        else:
            found += unknown(value, types, known["$ref"].removeprefix("#/"), f"{path}/{name}")
    return found
