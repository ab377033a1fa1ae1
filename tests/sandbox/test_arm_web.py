"""A function app as ARM shows it has no property that Microsoft's own type does not know."""

import json
from typing import Any

import pytest
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
    "identity": ["system", "id-func"],
}


@pytest.mark.contract
@pytest.mark.skipif(not PRESENT, reason=WHY_ABSENT)
def test_a_site_has_no_property_that_microsofts_type_does_not_know(load: Load) -> None:
    scenario = tenant_of(function_apps=[APP])
    load(scenario | {"principals": [*scenario["principals"], {"name": "id-func", "kind": "managed identity"}]})
    policies = [BearerTokenCredentialPolicy(AzureCliCredential(), "https://management.azure.com/.default")]
    client: Any = ARMPipelineClient("https://management.azure.com", policies=policies)
    url = f"https://management.azure.com{GROUP}/providers/Microsoft.Web/sites/func-wandb?api-version=2024-11-01"
    shown = client.send_request(HttpRequest("GET", url)).json()
    generated = json.loads((CONTRACTS / "bicep-types" / "microsoft.web_sites@2024-11-01.json").read_text())
    assert unknown(shown, generated["types"], str(generated["body"])) == []


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
