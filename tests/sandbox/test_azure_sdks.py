"""The unmodified Azure SDKs, on their production host names, see the sandbox behave as Azure is known to."""

import uuid
from typing import Any

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError
from azure.identity import AzureCliCredential, ClientSecretCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient

from sandbox.cloud import Cloud
from tests.sandbox.azure import SUBSCRIPTION, Load, grant, inner_code, key_vaults, role_assignments, secrets, vault_id

VAULT = vault_id("kv-ml")


def test_a_token_for_one_plane_is_refused_on_another(cloud: Cloud) -> None:
    class VaultToken:
        def get_token(self, *_: str, **__: Any) -> Any:
            return AzureCliCredential().get_token("https://vault.azure.net/.default")

    with pytest.raises(ClientAuthenticationError, match="wrong audience"):
        KeyVaultManagementClient(VaultToken(), SUBSCRIPTION).vaults.get("rg-ml", "kv-ml")


def test_arm_shows_a_role_at_once_and_it_takes_effect_later(cloud: Cloud) -> None:
    key_vaults().update("rg-ml", "kv-ml", {"properties": {"enableRbacAuthorization": True}})
    created = role_assignments().create(VAULT, str(uuid.uuid4()), grant(cloud, "operator", "Key Vault Secrets Officer"))
    assert created.id in [a.id for a in role_assignments().list_for_scope(VAULT, filter="atScope()")]
    with pytest.raises(HttpResponseError) as refused:
        secrets().set_secret("wandb-api-key", "k" * 40)
    assert (refused.value.status_code, inner_code(refused.value)) == (403, "ForbiddenByRbac")
    cloud.clock.advance(91)
    assert secrets().set_secret("wandb-api-key", "k" * 40).properties.version


def test_the_same_grant_under_another_name_is_a_conflict_that_names_the_first(cloud: Cloud) -> None:
    wanted = grant(cloud, "dana", "Key Vault Secrets User")
    first = role_assignments().create(VAULT, str(uuid.uuid4()), wanted)
    with pytest.raises(ResourceExistsError, match=first.name.replace("-", "")):
        role_assignments().create(VAULT, str(uuid.uuid4()), wanted)
    assert role_assignments().create(VAULT, first.name, wanted).id == first.id
    with pytest.raises(HttpResponseError, match="RoleAssignmentUpdateNotPermitted"):
        role_assignments().create(VAULT, first.name, grant(cloud, "billing-api", "Key Vault Secrets User"))


@pytest.mark.parametrize("do", [{"status": 503}, {"reset": True}, {"lost_response": True}])
def test_a_fault_happens_once_and_the_sdk_recovers(load: Load, do: dict[str, Any]) -> None:
    cloud = load({"extends": "contoso", "faults": [{"op": "Vaults_Get", "when": {"nth": [1]}, "do": do}]})
    client = KeyVaultManagementClient(AzureCliCredential(), SUBSCRIPTION, retry_backoff_factor=0)
    assert client.vaults.get("rg-ml", "kv-ml").name == "kv-ml"
    assert cloud.counts["Vaults_Get"] == 2


def test_hosts_outside_the_world_are_refused_and_recorded(cloud: Cloud) -> None:
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://example.com/", timeout=10)
    assert cloud.denied.pop() == "example.com"


def test_the_trace_has_no_secret_and_records_polls_below_their_operation(cloud: Cloud) -> None:
    client = CognitiveServicesManagementClient(AzureCliCredential(), SUBSCRIPTION, polling_interval=0)
    body: Any = {"identity": {"type": "SystemAssigned"}}
    client.accounts.begin_update("rg-ml", "aoai-ml", body).result()
    app = cloud.world.tenant.named("reports-job")
    credential = ClientSecretCredential(cloud.world.tenant.tenant_id, app.app_id, "reports-secret")
    SecretClient("https://kv-ml.vault.azure.net/", credential).get_secret("billing-db-password")
    text = str([e.as_json() for e in cloud.world.trace.exchanges])
    assert "billing-db-password" in text
    assert not [secret for secret in ("correct-horse", "reports-secret", "eyJ") if secret in text]  # eyJ: any JWT
    update = next(e for e in cloud.world.trace.exchanges if e.operation == "Accounts_Update")
    assert [p["response"]["body"]["status"] for p in update.polls][-1] == "Succeeded"
