"""The unmodified Azure SDKs, on their production host names, see the sandbox behave as Azure is known to."""

from typing import Any

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import AzureCliCredential, ClientSecretCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient

from sandbox.cloud import Cloud
from tests.sandbox.azure import SUBSCRIPTION, vault_id

VAULT = vault_id("kv-ml")


def test_a_token_for_one_plane_is_refused_on_another(cloud: Cloud) -> None:
    class VaultToken:
        def get_token(self, *_: str, **__: Any) -> Any:
            return AzureCliCredential().get_token("https://vault.azure.net/.default")

    with pytest.raises(ClientAuthenticationError, match="wrong audience"):
        KeyVaultManagementClient(VaultToken(), SUBSCRIPTION).vaults.get("rg-ml", "kv-ml")


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
