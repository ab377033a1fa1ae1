"""The real Azure SDKs as the sandbox's tests use them: as the principal that is signed in, without waiting between polls."""

from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.identity import AzureCliCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient

from sandbox.azure.roles import ROLE_IDS
from sandbox.cloud import Cloud

SUBSCRIPTION = "5b1f6d1c-0000-4000-8000-0000000000aa"
SUBSCRIPTION_ID = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{SUBSCRIPTION_ID}/resourceGroups/rg-ml"
TENANT = "72f988bf-0000-4000-8000-0000000000bb"
OPERATOR = {"name": "operator", "kind": "user", "display_name": "you@contoso.example"}


def vault_id(name: str) -> str:
    return f"{GROUP}/providers/Microsoft.KeyVault/vaults/{name}"


def key_vaults() -> Any:
    """Any: the SDK's operation groups are typed for models only, and these tests send plain data."""
    return KeyVaultManagementClient(AzureCliCredential(), SUBSCRIPTION, polling_interval=0).vaults


def role_assignments() -> Any:
    """Any: as above."""
    return AuthorizationManagementClient(AzureCliCredential(), SUBSCRIPTION).role_assignments


def secrets(vault: str = "kv-ml", suffix: str = "vault.azure.net") -> SecretClient:
    return SecretClient(f"https://{vault}.{suffix}/", AzureCliCredential())


def new_vault(**properties: Any) -> dict[str, Any]:
    sku = {"family": "A", "name": "standard"}
    return {"location": "swedencentral", "properties": {"tenantId": TENANT, "sku": sku, **properties}}


def tenant_of(
    *vaults: Mapping[str, Any], role: str = "Owner", scope: str = "subscription", **rest: Any
) -> dict[str, Any]:
    """A scenario where the operator holds one role, with these vaults."""
    return {
        "principals": [OPERATOR],
        "assignments": [{"principal": "operator", "role": role, "scope": scope}],
        "vaults": [{"group": "rg-ml", **vault} for vault in vaults],
        **rest,
    }


def grant(cloud: Cloud, who: str, role: str, **more: Any) -> dict[str, Any]:
    """The body of a role assignment."""
    principal = cloud.world.tenant.named(who)
    return {
        "properties": {
            "roleDefinitionId": f"{SUBSCRIPTION_ID}/providers/Microsoft.Authorization/roleDefinitions/{ROLE_IDS[role]}",
            "principalId": principal.object_id,
            "principalType": principal.kind,
            **more,
        }
    }


def inner_code(error: HttpResponseError) -> str:
    """Key Vault's inner code, which tells its 403s and 409s apart."""
    return str((error.error.innererror or {}).get("code", "")) if error.error else ""
