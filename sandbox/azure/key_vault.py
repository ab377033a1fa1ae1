"""Key Vault's data plane: secrets, the challenge, and both permission models (api-versions 7.x to 2026-04-01)."""

import re
import uuid
from collections.abc import Sequence
from typing import Any

from sandbox.azure import key_vault_errors as errors
from sandbox.azure.bodies import SecretBody
from sandbox.azure.identity import Tokens
from sandbox.azure.policy import SECRET, denials
from sandbox.azure.tenant import Secret, SecretVersion, Tenant, Vault
from sandbox.runtime.http import Call, Caller, Operation, Reply, Service, ServiceError

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


class KeyVault(Service):
    """Every vault of the tenant, found by its host name."""

    name = "keyvault"
    unreadable = ("BadParameter", "The request body is not JSON: ")

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

    def authenticate(self, call: Call) -> Caller | None:
        """Require a token for Key Vault. Otherwise answer with the challenge that tells the client where to get one."""
        try:
            caller = self._tokens.verify(call, (f"https://{self._tenant.names.vault_suffix}",))
            if caller.tenant_id != self._home(call):
                raise ServiceError(401, {"error": f"the issuer is tenant {caller.tenant_id}"})
            return caller
        except ServiceError as refused:
            message = "AKV10000: Request is missing a Bearer or PoP token."
            if "authorization" in call.headers:
                message = f"AKV10022: Invalid audience or token: {refused}"
            authority = f"https://{self._tenant.names.login}/{self._home(call)}"
            challenge = f'Bearer authorization="{authority}", resource="https://{self._tenant.names.vault_suffix}"'
            raise errors.error(401, "Unauthorized", message, headers={"www-authenticate": challenge}) from None

    # --- access ---------------------------------------------------------------------------------------------------

    def _vault(self, call: Call) -> Vault:
        return self._tenant.vaults[call.host.partition(".")[0].lower()]

    def _home(self, call: Call) -> str:
        """The tenant whose tokens the vault accepts."""
        vault = self._tenant.vaults.get(call.host.partition(".")[0].lower())
        return (vault and vault.tenant_id) or self._tenant.tenant_id

    def _authorize(self, call: Call, permission: str, secret: str | None = None) -> Vault:
        vault = self._vault(call)
        if not vault.admits(errors.CLIENT_ADDRESS):
            raise errors.firewalled(vault, call.who)
        if vault.rbac:
            action = f"Microsoft.KeyVault/vaults/secrets/{_ACTIONS[permission]}"
            scope = vault.id + (f"/secrets/{secret}" if secret else "")
            if not self._tenant.may(call.who.object_id, action, scope, data=True):
                denial = self._tenant.rbac.denial(call.who.object_id, action, scope, data=True)
                raise errors.forbidden_by_rbac(vault, call.who, action, scope, denial.id if denial else None)
        elif not self._by_policy(vault, call.who, "set" if permission == "update" else permission):
            raise errors.forbidden_by_policy(vault, call.who, permission)
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

    def _found(self, call: Call, permission: str) -> tuple[Vault, Secret]:
        """Return the secret of a request. One that was just recovered is found a little later."""
        name = call.params["name"]
        vault = self._authorize(call, permission, name)
        secret = vault.secrets.get(name.lower())
        if secret is None or secret.deleted is not None or self._awaited(secret):
            raise errors.missing(name)
        return vault, secret

    def _awaited(self, secret: Secret) -> bool:
        """Return whether the last delete or recover is still in progress. The call counts as one read."""
        if not secret.hidden:
            return False
        secret.hidden -= 1
        return True

    def _get(self, call: Call) -> Reply:
        vault, secret = self._found(call, "get")
        version = _version(secret, call.params.get("version"))
        if not version.enabled:  # exp and nbf only inform: an expired version is readable (Microsoft, about secrets)
            raise errors.error(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")
        return Reply(200, _bundle(vault, secret, version))

    def _set(self, call: Call) -> Reply:
        name = call.params["name"]
        if not re.fullmatch(r"[0-9a-zA-Z-]{1,127}", name):
            raise errors.error(400, "BadParameter", f"The request URI contains an invalid name: {name}")
        vault = self._authorize(call, "set", name)
        body = call.read(SecretBody)
        if not isinstance(body.get("value"), str) or len(body["value"].encode()) > 25 * 1024:
            raise errors.error(400, "BadParameter", "Property value is missing, or larger than 25 KB.")
        secret = vault.secrets.setdefault(name.lower(), Secret(name))
        if self._awaited(secret) or secret.deleted is not None:
            raise errors.occupied(secret)
        version = SecretVersion(uuid.uuid4().hex, body["value"], self._now(), self._now())
        self._change(vault, secret, version, body)
        secret.versions.append(version)
        return Reply(200, _bundle(vault, secret, version))

    def _update(self, call: Call) -> Reply:
        vault, secret = self._found(call, "update")
        version = _version(secret, call.params.get("version"))
        self._change(vault, secret, version, call.read(SecretBody))
        version.updated = self._now()
        bundle = _bundle(vault, secret, version)
        del bundle["value"]
        return Reply(200, bundle)

    def _change(self, vault: Vault, secret: Secret, version: SecretVersion, body: dict[str, Any]) -> None:
        """Change a version. Policies evaluate it as it would be; whether they do so when only `enabled` changes is
        UNVERIFIED.
        """
        attributes = body.get("attributes") or {}
        if len(body.get("tags") or ()) > _TAGS:
            raise errors.error(400, "BadParameter", f"Property tags has more than {_TAGS} elements.")
        wanted = {
            "type": SECRET,
            "name": secret.name,
            "created": version.created,
            "expires": attributes.get("exp", version.expires),
            "contentType": body.get("contentType", version.content_type),
        }
        if refusing := denials(self._tenant.policies, wanted, vault.id, self._tenant.rbac.within):
            raise errors.disallowed(refusing[0])
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
        vault, secret = self._found(call, "delete")
        if not vault.soft_delete:
            del vault.secrets[secret.name.lower()]
            return Reply(200, _bundle(vault, secret, secret.versions[-1]))
        secret.deleted = self._now()
        secret.hidden = self._tenant.transitions.recover_reads
        return Reply(200, _deleted(vault, secret))

    def _gone(self, vault: Vault, name: str) -> Secret:
        if not vault.soft_delete:  # status and code are UNVERIFIED
            raise errors.error(400, "NotSupported", "Soft delete is not enabled for this vault.")
        secret = vault.secrets.get(name.lower())
        if secret is None or secret.deleted is None or self._awaited(secret):
            raise errors.missing(name)
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
            raise errors.missing(call.params["name"])
        secret.deleted = None
        secret.hidden = self._tenant.transitions.recover_reads
        bundle = _bundle(vault, secret, secret.versions[-1])
        del bundle["value"]
        return Reply(200, bundle)

    def _purge(self, call: Call) -> Reply:
        vault = self._authorize(call, "purge", call.params["name"])
        if vault.purge_protection:
            raise errors.error(
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
    raise errors.missing(f"{secret.name}/{wanted}")


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
        raise errors.error(
            400, "BadParameter", f"Parameter maxresults must be between 1 and {_PAGE}."
        )  # UNVERIFIED wording
    rest = len(items) > start + size
    query = f"api-version={call.query.get('api-version', '')}&$skiptoken={start + size}&maxresults={size}"
    link = f"https://{call.host}{call.path}?{query}" if rest else None
    return Reply(200, {"value": items[start : start + size], "nextLink": link})
