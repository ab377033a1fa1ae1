"""Microsoft.KeyVault, control plane: vaults as resources. Deleted ones are in deleted_vaults.py.

Answers follow recorded traffic (azure-mgmt-keyvault's and azure-cli's tests). Texts of refusals are from public reports.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.azure.arm.common import (
    authorize,
    complying,
    not_found,
    readable_group,
    require_deletable,
    require_region,
    require_tags,
    resource_scope,
    shown,
)
from sandbox.azure.arm.deleted_vaults import DeletedVaults
from sandbox.azure.bodies import PERMISSIONS, NameBody, PoliciesBody, VaultBody
from sandbox.azure.roles import ASSIGN
from sandbox.azure.tenant import AccessPolicy, Tenant, Vault
from sandbox.runtime.http import Call, Operation, Reply, ServiceError, refused

_PROVIDER = "/subscriptions/{sub}/providers/Microsoft.KeyVault"
_VAULTS = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults"
_KIND = "Microsoft.KeyVault/vaults"
# From this version on, a vault that is created without an access model uses RBAC (Microsoft, "Prepare for Key Vault API
# version 2026-02-01"). Versions are dates, so they compare as text.
_RBAC_BY_DEFAULT_SINCE = "2026-02-01"
_FLAGS = ("enabledForDeployment", "enabledForDiskEncryption", "enabledForTemplateDeployment")


class Vaults:
    """The vault operations of Microsoft.KeyVault."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        one = _VAULTS + "/{name}"
        self.operations: Sequence[Operation] = (
            Operation("Vaults_Get", "GET", one, self._get),
            Operation("Vaults_CreateOrUpdate", "PUT", one, self._put, writes=True),
            Operation("Vaults_Update", "PATCH", one, self._update, writes=True),
            Operation("Vaults_Delete", "DELETE", one, self._delete, writes=True),
            Operation("Vaults_UpdateAccessPolicy", "PUT", one + "/accessPolicies/{verb}", self._policies, writes=True),
            Operation("Vaults_ListByResourceGroup", "GET", _VAULTS, self._list),
            Operation("Vaults_ListBySubscription", "GET", _PROVIDER + "/vaults", self._list_all),
            Operation("Vaults_CheckNameAvailability", "POST", _PROVIDER + "/checkNameAvailability", self._check_name),
            *DeletedVaults(tenant).operations,
        )

    # --- reading ----------------------------------------------------------------------------------------------------

    def _vault(self, call: Call, action: str) -> Vault:
        scope = self._scope(call)
        authorize(self._tenant, call, f"{_KIND}/{action}", scope)
        vault = self._tenant.vaults.get(call.params["name"].lower())
        if vault is None or vault.deleted is not None or vault.id.lower() != scope.lower():
            raise not_found(self._tenant, call.params, _KIND)
        return vault

    def _scope(self, call: Call) -> str:
        return resource_scope(call, _KIND)

    def _get(self, call: Call) -> Reply:
        vault = self._vault(call, "read")
        if vault.registering:
            vault.registering -= 1
        return Reply(200, self._body(vault))

    def _list(self, call: Call) -> Reply:
        here = readable_group(self._tenant, call, f"{_KIND}/read")
        vaults = self._tenant.vaults.values()
        return Reply(
            200, {"value": [self._body(v) for v in vaults if v.deleted is None and v.id.lower().startswith(here)]}
        )

    def _list_all(self, call: Call) -> Reply:
        """Return the vaults that the caller may read. A missing right on the subscription is not refused."""
        who = call.who.object_id
        seen = [
            self._body(v)
            for v in self._tenant.vaults.values()
            if v.deleted is None
            and v.id.lower().startswith(f"/subscriptions/{call.params['sub'].lower()}/")
            and self._tenant.may(who, f"{_KIND}/read", v.id)
        ]
        return Reply(200, {"value": seen})

    def _check_name(self, call: Call) -> Reply:
        scope = f"/subscriptions/{call.params['sub']}"
        authorize(self._tenant, call, "Microsoft.KeyVault/checkNameAvailability/read", scope)
        name = call.read(NameBody)["name"]
        if not _is_name(name):
            return Reply(200, {"nameAvailable": False, "reason": "AccountNameInvalid", "message": _name_rules(name)})
        if name.lower() in self._tenant.vaults or name.lower() in self._tenant.foreign_vaults:
            return Reply(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": _in_use(name)})
        return Reply(200, {"nameAvailable": True})

    # --- creating, replacing, recovering ----------------------------------------------------------------------------

    def _put(self, call: Call) -> Reply:
        scope, name = self._scope(call), call.params["name"]
        authorize(self._tenant, call, f"{_KIND}/write", scope)
        if not self._tenant.has_group(call.params["sub"], call.params["group"]):
            raise not_found(self._tenant, call.params)
        if not _is_name(name):
            raise refused(400, "VaultNameNotValid", _name_rules(name))
        known = self._tenant.vaults.get(name.lower())
        body = call.read(VaultBody)
        # A Deny policy evaluates the bare body of a recovery, too (woivre.com, June 2026).
        there = known and known.deleted is None and known.id.lower() == scope.lower()
        body = complying(
            self._tenant, scope, self._body(known) if there and known else {"type": _KIND, "name": name}, body
        )
        properties = body.get("properties") or {}
        if properties.get("createMode") == "recover":
            return Reply(200, self._body(self._recover(known, scope)))
        if name.lower() in self._tenant.foreign_vaults or (known and known.id.lower() != scope.lower()):
            raise refused(409, "VaultAlreadyExists", _in_use(name))
        if known is None:
            known = self._create(call, scope, body)
        elif known.deleted is not None:
            raise _in_deleted_state()
        else:
            self._change(call, known, body)
        return Reply(200, self._body(known))

    def _create(self, call: Call, scope: str, body: Mapping[str, Any]) -> Vault:
        name, properties = call.params["name"], body.get("properties") or {}
        location, sku = body.get("location"), (properties.get("sku") or {}).get("name")
        if not location or not sku:
            raise refused(400, "BadRequest", "A vault needs a location and properties.sku.")  # UNVERIFIED wording
        require_region(location, _KIND)
        rbac = properties.get("enableRbacAuthorization")
        if rbac is None and call.query["api-version"] >= _RBAC_BY_DEFAULT_SINCE:
            rbac = True
        retention = properties.get("softDeleteRetentionInDays")
        vault = Vault(
            id=scope,
            name=name,
            location=location,
            uri=f"https://{name.lower()}.{self._tenant.names.vault_suffix}/",
            rbac=rbac,
            retention_days=90 if retention is None else retention,
            sku=sku,
            registering=self._tenant.transitions.vault_polls + 1,
        )
        if not vault.rbac and properties.get("accessPolicies") is None:
            # The official description: policies are required unless a vault is recovered. UNVERIFIED wording.
            raise refused(400, "BadRequest", "The parameter accessPolicies is not specified.")
        if not 7 <= vault.retention_days <= 90:
            why = "softDeleteRetentionInDays must be between 7 and 90."  # UNVERIFIED wording
            raise refused(400, "BadRequest", why)
        self._apply(vault, body)
        self._tenant.vaults[name.lower()] = vault
        return vault

    def _recover(self, known: Vault | None, scope: str) -> Vault:
        """Recover the vault as it was when it was deleted. Ignore the rest of the request (azure-rest-api-specs issue 21306)."""
        if known is None or known.deleted is None or known.id.lower() != scope.lower():
            # The code is known from a public report (terraform-provider-azurerm issue 12972); status UNVERIFIED.
            why = "A soft deleted vault with the given name does not exist."
            raise refused(404, "SoftDeletedVaultDoesNotExist", why)
        known.deleted = None
        known.registering = self._tenant.transitions.vault_polls + 1
        return known

    # --- changing ---------------------------------------------------------------------------------------------------

    def _update(self, call: Call) -> Reply:
        vault = self._vault(call, "write")
        self._change(call, vault, complying(self._tenant, vault.id, self._body(vault), call.read(VaultBody)))
        return Reply(200, self._body(vault))

    def _change(self, call: Call, vault: Vault, body: Mapping[str, Any]) -> None:
        """Keep values that the request omits or sets to null. For a PUT on an existing vault this is UNVERIFIED."""
        changes = body.get("properties") or {}
        rbac = changes.get("enableRbacAuthorization")
        if rbac is not None and rbac != bool(vault.rbac):
            self._require_unrestricted(call, vault)
        if changes.get("softDeleteRetentionInDays") not in (None, vault.retention_days):
            why = 'The property "softDeleteRetentionInDays" has been set already and cannot be modified.'  # UNVERIFIED wording
            raise refused(400, "BadRequest", why)
        self._apply(vault, body)
        if rbac is not None:
            vault.rbac = rbac

    def _require_unrestricted(self, call: Call, vault: Vault) -> None:
        """Require the right to assign roles without a condition, for a switch in either direction. Key Vault refuses with 400."""
        who, now = call.who, self._tenant.clock.time()
        if not self._tenant.rbac.unrestricted(who.object_id, ASSIGN, vault.id, now=now):
            raise refused(  # terraform-provider-azurerm issue 11085
                400,
                "InsufficientPermissions",
                "Caller is not allowed to change permission model. If role assignments, deny assignments or role definitions "
                f"were changed recently, please observe propagation time. Caller: appid={who.app_id};oid={who.object_id};"
                f"iss=https://sts.windows.net/{who.tenant_id}/; Action: '{ASSIGN}'; Resource: '{vault.id.lower()}'; "
                "decision=NotAllowed",
            )

    def _apply(self, vault: Vault, body: Mapping[str, Any]) -> None:
        changes = body.get("properties") or {}
        protection = changes.get("enablePurgeProtection")
        if protection is False:  # even on a vault that has none (azure-rest-api-specs issue 18106)
            raise refused(
                400,
                "BadRequest",
                'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a vault is '
                "an irreversible action.",
            )
        vault.purge_protection = protection or vault.purge_protection
        if changes.get("accessPolicies") is not None:
            vault.policies = [self._policy(vault, entry) for entry in changes["accessPolicies"]]
        if changes.get("publicNetworkAccess") is not None:
            vault.public_network = changes["publicNetworkAccess"].lower() == "enabled"
        if changes.get("networkAcls") is not None:
            _set_network(vault, changes["networkAcls"])
        vault.flags |= {name: changes[name] for name in _FLAGS if changes.get(name) is not None}
        if body.get("tags") is not None:
            require_tags(body["tags"])
            vault.tags = dict(body["tags"])

    def _policies(self, call: Call) -> Reply:
        vault, verb = self._vault(call, "accessPolicies/write"), call.params["verb"].lower()
        if verb not in ("add", "replace", "remove"):
            raise refused(400, "BadRequest", f"The operation kind '{call.params['verb']}' is not valid.")
        for entry in call.read(PoliciesBody)["properties"]["accessPolicies"]:
            vault.merge(self._policy(vault, entry), verb)
        body = {
            "id": f"{vault.id}/accessPolicies/",
            "type": f"{_KIND}/accessPolicies",
            "properties": {"accessPolicies": [p.as_arm(self._home(vault)) for p in vault.policies]},
        }
        return Reply(200, body)

    def _delete(self, call: Call) -> Reply:
        """Put the vault into the deleted state. Its role assignments are lost permanently (Microsoft, soft-delete overview)."""
        scope = self._scope(call)
        authorize(self._tenant, call, f"{_KIND}/delete", scope)
        vault = self._tenant.vaults.get(call.params["name"].lower())
        if vault is None or vault.deleted is not None or vault.id.lower() != scope.lower():
            return Reply(204)
        require_deletable(self._tenant, scope, _KIND)
        vault.deleted = self._tenant.clock.time()
        self._tenant.rbac.forget(vault.id)
        return Reply(200)

    def _home(self, vault: Vault) -> str:
        return vault.tenant_id or self._tenant.tenant_id

    def _policy(self, vault: Vault, entry: Mapping[str, Any]) -> AccessPolicy:
        """One entry of a request. Unknown permissions and other tenants are refused; wording UNVERIFIED."""
        given = entry.get("permissions", {})
        for kind, verbs in given.items():
            known = PERMISSIONS.get(kind.lower(), ())
            if strange := [verb for verb in verbs or [] if verb.lower() not in known]:
                raise refused(400, "BadRequest", f"An invalid value was provided for permissions.{kind}: {strange[0]}.")
        if (entry.get("tenantId") or self._home(vault)).lower() != self._home(vault):
            why = f"The tenant '{entry['tenantId']}' in accessPolicies is not the vault's tenant."
            raise refused(400, "BadRequest", why)
        return AccessPolicy(entry["objectId"], given, entry.get("applicationId"))

    def _body(self, vault: Vault) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "sku": {"family": "A", "name": vault.sku},
            "tenantId": self._home(vault),
            "accessPolicies": [p.as_arm(self._home(vault)) for p in vault.policies],
            "enabledForDeployment": False,
            **vault.flags,
            "enableSoftDelete": vault.soft_delete,
            "softDeleteRetentionInDays": vault.retention_days,
            # Without the trailing slash until the name is registered (recorded).
            "vaultUri": vault.uri.rstrip("/") if vault.registering else vault.uri,
            "provisioningState": "RegisteringDns" if vault.registering else "Succeeded",
            "publicNetworkAccess": "Enabled" if vault.public_network else "Disabled",
        }
        if vault.rbac is not None:
            properties["enableRbacAuthorization"] = vault.rbac
        if vault.purge_protection:
            properties["enablePurgeProtection"] = True
        if vault.firewall or vault.ip_rules or vault.subnets:  # omitted if all networks have access (recorded)
            properties["networkAcls"] = {
                "bypass": vault.bypass,
                "defaultAction": "Deny" if vault.firewall else "Allow",
                "ipRules": [{"value": rule} for rule in vault.ip_rules],
                "virtualNetworkRules": [{"id": subnet} for subnet in vault.subnets],
            }
        changed = {"lastModifiedByType": vault.changed_by}
        return shown(vault.id, _KIND, properties, location=vault.location, tags=vault.tags, systemData=changed)


def _set_network(vault: Vault, rules: Mapping[str, Any]) -> None:
    vault.bypass = rules.get("bypass") or "AzureServices"
    vault.firewall = rules.get("defaultAction") == "Deny"
    # A single address is shown as a range of one (recorded).
    vault.ip_rules = [r["value"] if "/" in r["value"] else r["value"] + "/32" for r in rules.get("ipRules") or []]
    vault.subnets = [r["id"] for r in rules.get("virtualNetworkRules") or []]


def _is_name(name: str) -> bool:
    return re.fullmatch(r"(?=.{3,24}$)[A-Za-z](-?[A-Za-z0-9])*", name) is not None


def _name_rules(name: str) -> str:
    return (
        f"The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must "
        "begin with a letter, end with a letter or digit, and not contain consecutive hyphens. Follow this link for more "
        "information: https://go.microsoft.com/fwlink/?linkid=2147742"
    )


def _in_use(name: str) -> str:
    return (
        f"The vault name '{name}' is already in use. Vault names are globally unique so it is possible that the name is "
        "already taken. If you are sure that the vault name was not taken then it is possible that a vault with the same "
        "name was recently deleted but not purged after being placed in a recoverable state. If the vault is in a "
        "recoverable state then the vault will need to be purged before reusing the name. For more information about "
        "VaultAlreadyExists, soft delete and purging a vault follow this link "
        "https://go.microsoft.com/fwlink/?linkid=2147740."
    )


def _in_deleted_state() -> ServiceError:
    return refused(
        409,
        "ConflictError",
        "A vault with the same name already exists in deleted state. You need to either recover or purge existing key "
        "vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete.",
    )
