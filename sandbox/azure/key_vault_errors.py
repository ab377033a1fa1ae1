"""Key Vault's refusals: shapes by its REST error codes, texts as public captures show them."""

from sandbox.azure.policy import PolicyAssignment
from sandbox.azure.tenant import Secret, Vault
from sandbox.runtime.http import Caller, ServiceError, refused

CLIENT_ADDRESS = "203.0.113.7"  # the address that the network rules see for every client


def error(
    status: int, code: str, message: str, inner: str | None = None, headers: dict[str, str] | None = None
) -> ServiceError:
    """Return a refusal in the shape of Key Vault."""
    more = {"innererror": {"code": inner}} if inner else {}
    return refused(status, code, message, headers, **more)


def missing(name: str) -> ServiceError:
    """404: there is no such secret."""
    return error(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")


def occupied(secret: Secret) -> ServiceError:
    """409: the name is not free, for one of three reasons (azure-sdk-for-net issues 31581 and 34322, Sample 4)."""
    why, inner = "is currently being recovered and cannot be re-created; retry later.", "ObjectIsBeingRecovered"
    if secret.deleted is not None and secret.hidden:
        why, inner = "is currently being deleted and cannot be re-created; retry later.", "ObjectIsBeingDeleted"
    elif secret.deleted is not None:
        why = "is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret can "
        why, inner = why + "only be recovered or purged.", "ObjectIsDeletedButRecoverable"
    return error(409, "Conflict", f"Secret {secret.name} {why}", inner)


def _speaker(caller: Caller) -> str:
    return f"appid={caller.app_id};oid={caller.object_id};iss=https://sts.windows.net/{caller.tenant_id}/"


def disallowed(policy: PolicyAssignment) -> ServiceError:
    """403 of Azure Policy on the content of a vault (external-secrets issue 6173); the message is UNVERIFIED."""
    days = policy.parameters.get("maximumValidityInDays")
    limit = f": the secret's validity period is longer than {days} days" if days else ""
    message = f"Operation is not allowed by policy assignment '{policy.name}' ({policy.definition.title}){limit}."
    return error(403, "Forbidden", message, "ForbiddenByGovernancePolicy")


def forbidden_by_rbac(vault: Vault, caller: Caller, action: str, scope: str, denial: str | None = None) -> ServiceError:
    """403: no role permits the action, or a deny assignment forbids it."""
    reason = "DeniedByDenyAssignment" if denial else "DeniedWithNoValidRBAC"  # the first one is UNVERIFIED
    message = (
        "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role "
        f"definitions were changed recently, please observe propagation time.\r\nCaller: {_speaker(caller)}\r\n"
        f"Action: '{action}'\r\nResource: '{scope.lower()}'\r\nAssignment: (not found)\r\n"
        f"DenyAssignmentId: {denial or 'null'}\r\nDecisionReason: '{reason}' \r\n"
        f"Vault: {vault.name};location={vault.location}\r\n"
    )
    return error(403, "Forbidden", message, "ForbiddenByRbac")


def forbidden_by_policy(vault: Vault, caller: Caller, permission: str) -> ServiceError:
    """403: no access policy permits it."""
    message = (
        f"The user, group or application '{_speaker(caller)}' does not have secrets {permission} permission on key vault "
        f"'{vault.name};location={vault.location}'."
    )
    return error(403, "Forbidden", message, "AccessDenied")


def firewalled(vault: Vault, caller: Caller) -> ServiceError:
    """403 of the network rules. A captured refusal of a private vault says ForbiddenByConnection (multimodal-ai issue
    171), where Microsoft's private-link diagnostics say ForbiddenByFirewall."""
    where = f"Caller: {_speaker(caller)}\r\nVault: {vault.name};location={vault.location}"
    if vault.public_network:
        why = "Client address is not authorized and caller is not a trusted service."
        return error(403, "Forbidden", f"{why}\r\nClient address: {CLIENT_ADDRESS}\r\n{where}", "ForbiddenByFirewall")
    why = (
        "Public network access is disabled and request is not from a trusted service nor via an approved private link."
    )
    return error(403, "Forbidden", f"{why}\r\n{where}", "ForbiddenByConnection")
