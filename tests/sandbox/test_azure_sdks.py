"""The unmodified Azure SDKs, on their production host names, see the stand-in behave as Azure is known to."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
)
from azure.identity import AzureCliCredential, ClientSecretCredential, ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient

from sandbox.azure.roles import ROLE_IDS
from sandbox.cloud import Cloud

Load = Callable[[Mapping[str, Any]], Cloud]
SUBSCRIPTION = "5b1f6d1c-0000-4000-8000-0000000000aa"
SUBSCRIPTION_ID = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{SUBSCRIPTION_ID}/resourceGroups/rg-ml"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-ml"
URL = "https://kv-ml.vault.azure.net/"


def authorization() -> AuthorizationManagementClient:
    return AuthorizationManagementClient(AzureCliCredential(), SUBSCRIPTION)


def assign(cloud: Cloud, who: str, role: str, scope: str = VAULT, name: str | None = None) -> Any:
    principal = cloud.world.tenant.named(who)
    body: Any = {
        "properties": {
            "roleDefinitionId": f"{SUBSCRIPTION_ID}/providers/Microsoft.Authorization/roleDefinitions/{ROLE_IDS[role]}",
            "principalId": principal.object_id,
            "principalType": principal.kind,
        }
    }
    return authorization().role_assignments.create(scope, name or str(uuid.uuid4()), body)


def test_nobody_signed_in_is_told_so(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SANDBOX_SESSION")
    with pytest.raises(ClientAuthenticationError, match="az login"):
        AzureCliCredential().get_token("https://management.azure.com/.default")


def test_a_token_for_one_plane_is_refused_on_another(cloud: Cloud) -> None:
    class VaultToken:
        def get_token(self, *_: str, **__: Any) -> Any:
            return AzureCliCredential().get_token("https://vault.azure.net/.default")

    client = KeyVaultManagementClient(VaultToken(), SUBSCRIPTION)
    with pytest.raises(ClientAuthenticationError, match="wrong audience"):
        client.vaults.get("rg-ml", "kv-ml")


def test_a_role_works_only_after_it_has_propagated_though_arm_shows_it_at_once(cloud: Cloud) -> None:
    vaults = KeyVaultManagementClient(AzureCliCredential(), SUBSCRIPTION).vaults
    body: Any = {"properties": {"enableRbacAuthorization": True}}
    vaults.update("rg-ml", "kv-ml", body)
    created = assign(cloud, "operator", "Key Vault Secrets Officer")
    assert created.id in [a.id for a in authorization().role_assignments.list_for_scope(VAULT, filter="atScope()")]
    secrets = SecretClient(URL, AzureCliCredential())
    with pytest.raises(HttpResponseError) as refused:
        secrets.set_secret("wandb-api-key", "k" * 40)
    assert refused.value.status_code == 403
    assert "ForbiddenByRbac" in str(refused.value.error.innererror)  # type: ignore[union-attr]
    cloud.clock.advance(91)
    assert secrets.set_secret("wandb-api-key", "k" * 40).properties.version


def test_access_policies_count_until_the_switch_and_not_after(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment("billing-api").items():
        monkeypatch.setenv(name, value)
    secrets = SecretClient(URL, ManagedIdentityCredential())
    assert secrets.get_secret("billing-db-password").value == "correct-horse-battery-staple"
    cloud.world.tenant.vaults["kv-ml"].rbac = True
    with pytest.raises(HttpResponseError, match=r"ForbiddenByRbac|not authorized"):
        secrets.get_secret("billing-db-password")


def test_the_same_grant_under_another_name_is_a_conflict_that_names_the_first(cloud: Cloud) -> None:
    first = assign(cloud, "dana", "Key Vault Secrets User")
    with pytest.raises(ResourceExistsError, match=first.name.replace("-", "")):
        assign(cloud, "dana", "Key Vault Secrets User")
    assert assign(cloud, "dana", "Key Vault Secrets User", name=first.name).id == first.id
    with pytest.raises(HttpResponseError, match="RoleAssignmentUpdateNotPermitted"):
        assign(cloud, "billing-api", "Key Vault Secrets User", name=first.name)


@pytest.mark.parametrize(
    ("do", "raises"), [({"status": 503}, None), ({"reset": True}, None), ({"lost_response": True}, None)]
)
def test_a_fault_is_met_once_and_the_sdk_gets_over_it(load: Load, do: dict[str, Any], raises: None) -> None:
    cloud = load({"extends": "contoso", "faults": [{"op": "Vaults_Get", "when": {"nth": [1]}, "do": do}]})
    client = KeyVaultManagementClient(AzureCliCredential(), SUBSCRIPTION, retry_backoff_factor=0)
    assert client.vaults.get("rg-ml", "kv-ml").name == "kv-ml"
    assert cloud.counts["Vaults_Get"] == 2


def test_hosts_that_are_nobodys_are_refused_and_noted(cloud: Cloud) -> None:
    import requests

    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://example.com/", timeout=10)
    assert cloud.denied.pop() == "example.com"


def test_the_trace_holds_no_secret_and_folds_polls_under_their_operation(cloud: Cloud) -> None:
    client = CognitiveServicesManagementClient(AzureCliCredential(), SUBSCRIPTION, polling_interval=0)
    body: Any = {"identity": {"type": "SystemAssigned"}}
    client.accounts.begin_update("rg-ml", "aoai-ml", body).result()
    app = cloud.world.tenant.named("reports-job")
    SecretClient(URL, ClientSecretCredential(cloud.world.tenant.tenant_id, app.app_id, "reports-secret")).get_secret(
        "billing-db-password"
    )
    text = str([e.as_json() for e in cloud.world.trace.exchanges])
    assert "correct-horse" not in text
    assert "reports-secret" not in text
    assert "eyJ" not in text  # the start of any JWT
    assert "billing-db-password" in text
    update = next(e for e in cloud.world.trace.exchanges if e.operation == "Accounts_Update")
    assert [p["response"]["body"]["status"] for p in update.polls][-1] == "Succeeded"
