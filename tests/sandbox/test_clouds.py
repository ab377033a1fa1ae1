"""The clouds besides the public one, through the real SDKs under those clouds' own host names."""

from typing import Any

import pytest
from azure.core import AzureClouds
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import AzureCliCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.keyvault import KeyVaultManagementClient

from tests.sandbox.azure import SUBSCRIPTION, Load, tenant_of


@pytest.mark.parametrize(
    ("name", "setting", "uri"),
    [
        ("us government", AzureClouds.AZURE_US_GOVERNMENT, "https://kv-ml.vault.usgovcloudapi.net/"),
        ("china", AzureClouds.AZURE_CHINA_CLOUD, "https://kv-ml.vault.azure.cn/"),
    ],
)
def test_a_vault_answers_on_both_planes_of_its_cloud_and_no_other(
    load: Load, name: str, setting: AzureClouds, uri: str
) -> None:
    vault = {"name": "kv-ml", "rbac": True, "secrets": [{"name": "key", "value": "v"}]}
    scenario = tenant_of(vault, role="Reader", cloud=name)
    scenario["assignments"].append({"principal": "operator", "role": "Key Vault Secrets User"})
    load(scenario)
    client: Any = KeyVaultManagementClient(AzureCliCredential(), SUBSCRIPTION, cloud_setting=setting)
    assert client.vaults.get("rg-ml", "kv-ml").properties.vault_uri == uri
    assert SecretClient(uri, AzureCliCredential()).get_secret("key").value == "v"
    public = AzureCliCredential().get_token("https://vault.azure.net/.default")

    class PublicToken:
        def get_token(self, *_: str, **__: Any) -> Any:
            return public

    with pytest.raises(ClientAuthenticationError):
        SecretClient(uri, PublicToken()).get_secret("key")
