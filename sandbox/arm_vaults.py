"""Microsoft.KeyVault, control plane: vaults as resources."""

from collections.abc import Sequence
from typing import Any

from .arm_errors import arm_error, authorize, not_found
from .http import Call, Operation, Reply
from .tenant import AccessPolicy, Tenant, Vault

_VAULTS = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults"
_KIND = "Microsoft.KeyVault/vaults"


class Vaults:
    """The vault operations of Microsoft.KeyVault."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.operations: Sequence[Operation] = (
            Operation("Vaults_Get", "GET", _VAULTS + "/{name}", self._get),
            Operation("Vaults_Update", "PATCH", _VAULTS + "/{name}", self._update, writes=True),
            Operation("Vaults_ListByResourceGroup", "GET", _VAULTS, self._list),
            Operation(
                "Vaults_GetDeleted",
                "GET",
                "/subscriptions/{sub}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{name}",
                self._get_deleted,
            ),
        )

    def _vault(self, call: Call, action: str) -> Vault:
        scope = self._tenant.resource_id(call.params["group"], _KIND, call.params["name"])
        authorize(self._tenant, call, f"{_KIND}/{action}", scope)
        vault = self._tenant.vaults.get(call.params["name"].lower())
        if vault is None or vault.deleted is not None or vault.id.lower() != scope.lower():
            raise not_found(self._tenant, call.params, _KIND)
        return vault

    def _get(self, call: Call) -> Reply:
        return Reply(200, self._body(self._vault(call, "read")))

    def _list(self, call: Call) -> Reply:
        group = self._tenant.resource_id(call.params["group"], _KIND, "").rstrip("/")
        authorize(self._tenant, call, f"{_KIND}/read", group)
        if call.params["group"].lower() not in self._tenant.groups:
            raise not_found(self._tenant, call.params)
        here = [v for v in self._tenant.vaults.values() if v.id.lower().startswith(group.lower() + "/")]
        return Reply(200, {"value": [self._body(v) for v in here if v.deleted is None]})

    def _get_deleted(self, call: Call) -> Reply:
        scope = f"/subscriptions/{self._tenant.subscription_id}"
        authorize(self._tenant, call, "Microsoft.KeyVault/deletedVaults/read", scope)
        vault = self._tenant.vaults.get(call.params["name"].lower())
        if vault is None or vault.deleted is None:
            raise arm_error(
                404, "DeletedVaultNotFound", f"The specified deleted vault '{call.params['name']}' does not exist."
            )
        body = {
            "id": f"{scope}/providers/Microsoft.KeyVault/locations/{vault.location}/deletedVaults/{vault.name}",
            "name": vault.name,
            "type": "Microsoft.KeyVault/deletedVaults",
            "properties": {"vaultId": vault.id, "location": vault.location, "tags": vault.tags},
        }
        return Reply(200, body)

    def _update(self, call: Call) -> Reply:
        vault = self._vault(call, "write")
        changes = call.json.get("properties") or {}
        rbac = changes.get("enableRbacAuthorization")
        if rbac is not None and rbac != bool(vault.rbac):
            # Microsoft's pages disagree on whether vaults/write is enough; the stricter one is modelled.
            authorize(self._tenant, call, "Microsoft.Authorization/roleAssignments/write", vault.id)
        if rbac is not None:
            vault.rbac = rbac
        if changes.get("accessPolicies") is not None:
            vault.policies = [_policy(entry) for entry in changes["accessPolicies"]]
        if call.json.get("tags") is not None:
            vault.tags = dict(call.json["tags"])
        return Reply(200, self._body(vault))

    def _body(self, vault: Vault) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "sku": {"family": "A", "name": "standard"},
            "tenantId": self._tenant.tenant_id,
            "accessPolicies": [p.as_arm(self._tenant.tenant_id) for p in vault.policies],
            "enabledForDeployment": False,
            "enableSoftDelete": True,
            "softDeleteRetentionInDays": vault.retention_days,
            "vaultUri": vault.uri,
            "provisioningState": "Succeeded",
            "publicNetworkAccess": "Enabled" if vault.public_network else "Disabled",
        }
        if vault.rbac is not None:
            properties["enableRbacAuthorization"] = vault.rbac
        if vault.purge_protection:
            properties["enablePurgeProtection"] = True
        if vault.firewall:
            properties["networkAcls"] = {
                "bypass": "AzureServices",
                "defaultAction": "Deny",
                "ipRules": [],
                "virtualNetworkRules": [],
            }
        return {
            "id": vault.id,
            "name": vault.name,
            "type": _KIND,
            "location": vault.location,
            "tags": vault.tags,
            "properties": properties,
        }


def _policy(entry: dict[str, Any]) -> AccessPolicy:
    return AccessPolicy(entry["objectId"], entry.get("permissions", {}), entry.get("applicationId"))
