"""Key Vault's data plane: secrets, the challenge, and both permission models (api-versions 7.x to 2026-04-01)."""

import re
import uuid
from collections.abc import Sequence
from typing import Any

from sandbox.azure.bodies import SecretBody
from sandbox.azure.identity import Tokens
from sandbox.azure.policy import SECRET, PolicyAssignment, denials
from sandbox.azure.tenant import Secret, SecretVersion, Tenant, Vault
from sandbox.runtime.http import Call, Caller, Operation, Reply, ServiceError

_ACTIONS = {  # access-policy permission -> data action (Microsoft, "Migrate to Azure RBAC", permission table)
    "get": "getSecret/action",
    "list": "readMetadata/action",
    "set": "setSecret/action",
    "update": "update/action",
    "delete": "delete",
    "recover": "recover/action",
    "purge": "purge/action",
}
_PAGE = 25
_TAGS = 15
CLIENT_ADDRESS = "203.0.113.7"  # the address that the network rules see for every client


class KeyVault:
    """Every vault of the tenant, found by its host name."""

    name = "keyvault"

    def __init__(self, tenant: Tenant, tokens: Tokens) -> None:
        self._tenant = tenant
        self._tokens = tokens
        one = "/secrets/{name}"
        self.operations: Sequence[Operation] = (
            Operation("GetSecrets", "GET", "/secrets", self._list),
            Operation("GetSecretVersions", "GET", one + "/versions", self._versions),
            Operation("GetSecret", "GET", one + "/{version}", self._get),
            Operation("GetSecret", "GET", one, self._get),  # the SDK asks for the latest as /secrets/NAME/
            Operation("SetSecret", "PUT", one, self._set, writes=True),
            Operation("UpdateSecret", "PATCH", one + "/{version}", self._update, writes=True),
            Operation("UpdateSecret", "PATCH", one, self._update, writes=True),  # as above
            Operation("DeleteSecret", "DELETE", one, self._delete, writes=True),
            Operation("GetDeletedSecrets", "GET", "/deletedsecrets", self._list_deleted),
            Operation("GetDeletedSecret", "GET", "/deletedsecrets/{name}", self._get_deleted),
            Operation("RecoverDeletedSecret", "POST", "/deletedsecrets/{name}/recover", self._recover, writes=True),
            Operation("PurgeDeletedSecret", "DELETE", "/deletedsecrets/{name}", self._purge, writes=True),
        )

    def serves(self, host: str) -> bool:
        """Return whether a vault has this host. The name of a vault that does not exist does not resolve."""
        name, _, suffix = host.partition(".")
        vault = self._tenant.vaults.get(name.lower())
        return suffix == self._tenant.names.vault_suffix and vault is not None and vault.live

    def identify(self, operation: Operation, call: Call) -> tuple[str, bool]:
        """See Service."""
        return operation.id, operation.writes

    def authenticate(self, call: Call) -> Caller | None:
        """Require a token for Key Vault. Otherwise answer with the challenge that tells the client where to get one."""
        try:
            caller = self._tokens.verify(call, (self._tenant.names.vault_audience,))
            if caller.tenant_id != self._home(call):
                raise ServiceError(401, {"error": f"the issuer is tenant {caller.tenant_id}"})
            return caller
        except ServiceError as refused:
            message = "AKV10000: Request is missing a Bearer or PoP token."
            if "authorization" in call.headers:
                message = f"AKV10022: Invalid audience or token: {refused}"
            authority = f"https://{self._tenant.names.login}/{self._home(call)}"
            challenge = f'Bearer authorization="{authority}", resource="{self._tenant.names.vault_audience}"'
            raise _error(401, "Unauthorized", message, headers={"www-authenticate": challenge}) from None

    def unknown(self, call: Call) -> Reply:
        """See Service."""
        return _error(501, "NotImplementedHere", f"{call.method} {call.path} is not modelled").reply

    def malformed(self, call: Call, why: str) -> Reply:
        """See Service."""
        return _error(400, "BadParameter", f"The request body is not JSON: {why}").reply

    # --- access ---------------------------------------------------------------------------------------------------

    def _vault(self, call: Call) -> Vault:
        return self._tenant.vaults[call.host.partition(".")[0].lower()]

    def _home(self, call: Call) -> str:
        """The tenant whose tokens the vault accepts."""
        vault = self._tenant.vaults.get(call.host.partition(".")[0].lower())
        return (vault and vault.tenant_id) or self._tenant.tenant_id

    def _authorize(self, call: Call, permission: str, secret: str | None = None) -> Vault:
        vault = self._vault(call)
        if not vault.admits(CLIENT_ADDRESS):
            raise _firewalled(vault, call.who)
        if vault.rbac:
            action = f"Microsoft.KeyVault/vaults/secrets/{_ACTIONS[permission]}"
            scope = vault.id + (f"/secrets/{secret}" if secret else "")
            if not self._tenant.may(call.who.object_id, action, scope, data=True):
                denial = self._tenant.rbac.denial(call.who.object_id, action, scope, data=True)
                raise _forbidden_by_rbac(vault, call.who, action, scope, denial.id if denial else None)
        elif not self._by_policy(vault, call.who, "set" if permission == "update" else permission):
            raise _forbidden_by_policy(vault, call.who, permission)
        return vault

    def _by_policy(self, vault: Vault, caller: Caller, permission: str) -> bool:
        who = self._tenant.rbac.ids_of(caller.object_id)
        for policy in vault.policies:
            if (policy.tenant_id or caller.tenant_id) != caller.tenant_id:
                continue
            compound = policy.application_id is not None and policy.application_id != caller.app_id
            allowed = {p.lower() for p in policy.permissions.get("secrets") or []}
            if policy.object_id in who and not compound and allowed & {permission, "all"}:
                return True
        return False

    # --- secrets --------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._tenant.clock.time())

    def _found(self, vault: Vault, name: str) -> Secret:
        secret = vault.secrets.get(name.lower())
        if secret is None or secret.deleted is not None:
            raise _missing(name)
        if self._awaited(secret):  # just recovered: reads find it a little later
            raise _missing(name)
        return secret

    def _awaited(self, secret: Secret) -> bool:
        """Return whether the last delete or recover is still in progress. The call counts as one read."""
        if not secret.hidden:
            return False
        secret.hidden -= 1
        return True

    def _get(self, call: Call) -> Reply:
        name = call.params["name"]
        vault = self._authorize(call, "get", name)
        secret = self._found(vault, name)
        version = _version(secret, call.params.get("version"))
        if not version.enabled:  # exp and nbf only inform: an expired version is readable (Microsoft, about secrets)
            raise _error(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")
        return Reply(200, _bundle(vault, secret, version))

    def _set(self, call: Call) -> Reply:
        name = call.params["name"]
        if not re.fullmatch(r"[0-9a-zA-Z-]{1,127}", name):
            raise _error(400, "BadParameter", f"The request URI contains an invalid name: {name}")
        vault = self._authorize(call, "set", name)
        body = call.read(SecretBody)
        if not isinstance(body.get("value"), str) or len(body["value"].encode()) > 25 * 1024:
            raise _error(400, "BadParameter", "Property value is missing, or larger than 25 KB.")
        secret = vault.secrets.setdefault(name.lower(), Secret(name))
        if self._awaited(secret) or secret.deleted is not None:
            raise _occupied(secret)
        version = SecretVersion(uuid.uuid4().hex, body["value"], self._now(), self._now())
        self._change(vault, secret, version, body)
        secret.versions.append(version)
        return Reply(200, _bundle(vault, secret, version))

    def _update(self, call: Call) -> Reply:
        name = call.params["name"]
        vault = self._authorize(call, "update", name)
        secret = self._found(vault, name)
        version = _version(secret, call.params.get("version"))
        self._change(vault, secret, version, call.read(SecretBody))
        version.updated = self._now()
        bundle = _bundle(vault, secret, version)
        del bundle["value"]
        return Reply(200, bundle)

    def _change(self, vault: Vault, secret: Secret, version: SecretVersion, body: dict[str, Any]) -> None:
        """Change a version. Policies judge it as it would be; whether they do so when only `enabled` changes is UNVERIFIED."""
        attributes = body.get("attributes") or {}
        if len(body.get("tags") or ()) > _TAGS:
            raise _error(400, "BadParameter", f"Property tags has more than {_TAGS} elements.")
        wanted = {
            "type": SECRET,
            "name": secret.name,
            "created": version.created,
            "expires": attributes.get("exp", version.expires),
            "contentType": body.get("contentType", version.content_type),
        }
        if refusing := denials(self._tenant.policies, wanted, vault.id, self._tenant.rbac.within):
            raise _disallowed(refusing[0])
        if attributes.get("enabled") is not None:
            version.enabled = attributes["enabled"]
        version.expires = attributes.get("exp", version.expires)
        version.not_before = attributes.get("nbf", version.not_before)
        version.content_type = body.get("contentType", version.content_type)
        version.tags = body.get("tags", version.tags)

    def _list(self, call: Call) -> Reply:
        vault = self._authorize(call, "list")
        live = [s for s in vault.secrets.values() if s.deleted is None and s.versions]
        return _page(call, [_item(vault, s, s.versions[-1]) for s in live])

    def _versions(self, call: Call) -> Reply:
        name = call.params["name"]
        vault = self._authorize(call, "list", name)
        secret = vault.secrets.get(name.lower())
        if secret is None or secret.deleted is not None:
            return _page(call, [])
        ordered = sorted(secret.versions, key=lambda v: v.version)  # by name, not by age (recorded)
        return _page(call, [_item(vault, secret, v, versioned=True) for v in ordered])

    def _delete(self, call: Call) -> Reply:
        name = call.params["name"]
        vault = self._authorize(call, "delete", name)
        secret = self._found(vault, name)
        if not vault.soft_delete:
            del vault.secrets[name.lower()]
            return Reply(200, _bundle(vault, secret, secret.versions[-1]))
        secret.deleted = self._now()
        secret.hidden = self._tenant.transitions.recover_reads
        return Reply(200, _deleted(vault, secret))

    def _gone(self, vault: Vault, name: str) -> Secret:
        if not vault.soft_delete:  # status and code are UNVERIFIED
            raise _error(400, "NotSupported", "Soft delete is not enabled for this vault.")
        secret = vault.secrets.get(name.lower())
        if secret is None or secret.deleted is None:
            raise _missing(name)
        if self._awaited(secret):
            raise _missing(name)
        return secret

    def _get_deleted(self, call: Call) -> Reply:
        vault = self._authorize(call, "get", call.params["name"])
        return Reply(200, _deleted(vault, self._gone(vault, call.params["name"])))

    def _list_deleted(self, call: Call) -> Reply:
        vault = self._authorize(call, "list")
        gone = [s for s in vault.secrets.values() if s.deleted is not None]
        return _page(call, [_deleted_item(vault, s) for s in gone])

    def _recover(self, call: Call) -> Reply:
        vault = self._authorize(call, "recover", call.params["name"])
        secret = vault.secrets.get(call.params["name"].lower())
        if secret is None or secret.deleted is None:
            raise _missing(call.params["name"])
        secret.deleted = None
        secret.hidden = self._tenant.transitions.recover_reads
        bundle = _bundle(vault, secret, secret.versions[-1])
        del bundle["value"]
        return Reply(200, bundle)

    def _purge(self, call: Call) -> Reply:
        vault = self._authorize(call, "purge", call.params["name"])
        if vault.purge_protection:
            raise _error(
                403,
                "Forbidden",
                'Operation "purge" is not allowed because purge protection is enabled for this vault. Key Vault service '
                "will automatically purge it after the retention period has passed.\r\n"
                f"Vault: {vault.name};location={vault.location}",
            )
        secret = self._gone(vault, call.params["name"])
        del vault.secrets[secret.name.lower()]
        return Reply(204)


def _version(secret: Secret, wanted: str | None) -> SecretVersion:
    """The version of this name; the latest where none is named."""
    for version in reversed(secret.versions):
        if wanted in (None, "", version.version):
            return version
    raise _missing(f"{secret.name}/{wanted}")


def _attributes(vault: Vault, version: SecretVersion) -> dict[str, Any]:
    recoverable = "Recoverable" if vault.purge_protection else "Recoverable+Purgeable"
    attributes: dict[str, Any] = {
        "enabled": version.enabled,
        "created": version.created,
        "updated": version.updated,
        "recoveryLevel": recoverable if vault.soft_delete else "Purgeable",
        "recoverableDays": vault.retention_days if vault.soft_delete else 0,
    }
    if version.expires is not None:
        attributes["exp"] = version.expires
    if version.not_before is not None:
        attributes["nbf"] = version.not_before
    return attributes


def _item(vault: Vault, secret: Secret, version: SecretVersion, *, versioned: bool = False) -> dict[str, Any]:
    name = f"{vault.uri}secrets/{secret.name}" + (f"/{version.version}" if versioned else "")
    item: dict[str, Any] = {"id": name, "attributes": _attributes(vault, version)}
    if version.content_type is not None:
        item["contentType"] = version.content_type
    if version.tags is not None:
        item["tags"] = version.tags
    return item


def _bundle(vault: Vault, secret: Secret, version: SecretVersion) -> dict[str, Any]:
    return {"value": version.value, **_item(vault, secret, version, versioned=True)}


def _deleted_item(vault: Vault, secret: Secret, *, versioned: bool = False) -> dict[str, Any]:
    deleted = secret.deleted or 0
    return {
        "recoveryId": f"{vault.uri}deletedsecrets/{secret.name}",
        "deletedDate": deleted,
        "scheduledPurgeDate": deleted + vault.retention_days * 86400,
        **_item(vault, secret, secret.versions[-1], versioned=versioned),
    }


def _deleted(vault: Vault, secret: Secret) -> dict[str, Any]:
    return _deleted_item(vault, secret, versioned=True)


def _page(call: Call, items: list[dict[str, Any]]) -> Reply:
    start, size = call.number("$skiptoken", 0), call.number("maxresults", _PAGE, least=1)
    if size > _PAGE:
        raise _error(400, "BadParameter", f"Parameter maxresults must be between 1 and {_PAGE}.")  # UNVERIFIED wording
    rest = len(items) > start + size
    query = f"api-version={call.query.get('api-version', '')}&$skiptoken={start + size}&maxresults={size}"
    link = f"https://{call.host}{call.path}?{query}" if rest else None
    return Reply(200, {"value": items[start : start + size], "nextLink": link})


# --- refusals (shapes: Key Vault REST error codes; texts as public captures show them) ---------------------------------


def _error(
    status: int, code: str, message: str, inner: str | None = None, headers: dict[str, str] | None = None
) -> ServiceError:
    error: dict[str, Any] = {"code": code, "message": message}
    if inner:
        error["innererror"] = {"code": inner}
    return ServiceError(status, {"error": error}, headers)


def _missing(name: str) -> ServiceError:
    return _error(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")


def _occupied(secret: Secret) -> ServiceError:
    """409: the name is not free, for one of three reasons (azure-sdk-for-net issues 31581 and 34322, Sample 4)."""
    if secret.deleted is None:
        why = "is currently being recovered and cannot be re-created; retry later."
        return _error(409, "Conflict", f"Secret {secret.name} {why}", "ObjectIsBeingRecovered")
    if secret.hidden:
        why = "is currently being deleted and cannot be re-created; retry later."
        return _error(409, "Conflict", f"Secret {secret.name} {why}", "ObjectIsBeingDeleted")
    why = (
        "is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret can only "
        "be recovered or purged."
    )
    return _error(409, "Conflict", f"Secret {secret.name} {why}", "ObjectIsDeletedButRecoverable")


def _speaker(caller: Caller) -> str:
    return f"appid={caller.app_id};oid={caller.object_id};iss=https://sts.windows.net/{caller.tenant_id}/"


def _disallowed(policy: PolicyAssignment) -> ServiceError:
    """403 of Azure Policy on the content of a vault (external-secrets issue 6173); the message is UNVERIFIED."""
    days = policy.parameters.get("maximumValidityInDays")
    limit = f": the secret's validity period is longer than {days} days" if days else ""
    message = f"Operation is not allowed by policy assignment '{policy.name}' ({policy.definition.title}){limit}."
    return _error(403, "Forbidden", message, "ForbiddenByGovernancePolicy")


def _forbidden_by_rbac(
    vault: Vault, caller: Caller, action: str, scope: str, denial: str | None = None
) -> ServiceError:
    reason = "DeniedByDenyAssignment" if denial else "DeniedWithNoValidRBAC"  # the first one is UNVERIFIED
    message = (
        "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role "
        f"definitions were changed recently, please observe propagation time.\r\nCaller: {_speaker(caller)}\r\n"
        f"Action: '{action}'\r\nResource: '{scope.lower()}'\r\nAssignment: (not found)\r\n"
        f"DenyAssignmentId: {denial or 'null'}\r\nDecisionReason: '{reason}' \r\n"
        f"Vault: {vault.name};location={vault.location}\r\n"
    )
    return _error(403, "Forbidden", message, "ForbiddenByRbac")


def _forbidden_by_policy(vault: Vault, caller: Caller, permission: str) -> ServiceError:
    message = (
        f"The user, group or application '{_speaker(caller)}' does not have secrets {permission} permission on key vault "
        f"'{vault.name};location={vault.location}'."
    )
    return _error(403, "Forbidden", message, "AccessDenied")


def _firewalled(vault: Vault, caller: Caller) -> ServiceError:
    """403 of the network rules. A captured refusal of a private vault says ForbiddenByConnection (multimodal-ai issue
    171), where Microsoft's private-link diagnostics say ForbiddenByFirewall."""
    where = f"Caller: {_speaker(caller)}\r\nVault: {vault.name};location={vault.location}"
    if vault.public_network:
        why = "Client address is not authorized and caller is not a trusted service."
        return _error(403, "Forbidden", f"{why}\r\nClient address: {CLIENT_ADDRESS}\r\n{where}", "ForbiddenByFirewall")
    why = (
        "Public network access is disabled and request is not from a trusted service nor via an approved private link."
    )
    return _error(403, "Forbidden", f"{why}\r\n{where}", "ForbiddenByConnection")
