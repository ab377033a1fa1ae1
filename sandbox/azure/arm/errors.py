"""Common parts of ARM's answers: times, refusals, and the checks of a write before a resource provider sees it.

Texts: Microsoft, "Troubleshoot Azure RBAC", "Resource not found", "Lock your resources", and public reports.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sandbox.azure.governance import WRITABLE
from sandbox.azure.policy import PolicyAssignment, changes, denials, merged, put
from sandbox.azure.tenant import Tenant
from sandbox.runtime.http import Call, Caller, ServiceError


def arm_time(seconds: float) -> str:
    """A moment, given in seconds since the epoch, as ARM writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def arm_error(status: int, code: str, message: str, **more: Any) -> ServiceError:
    """An error in ARM's envelope."""
    return ServiceError(status, {"error": {"code": code, "message": message, **more}})


def authorization_failed(caller: Caller, action: str, scope: str, *, conditional: bool = False) -> ServiceError:
    """403 AuthorizationFailed: no role of the caller's has the action at this scope, or a condition is not fulfilled."""
    unmet = " or an ABAC condition is not fulfilled" if conditional else ""
    return arm_error(
        403,
        "AuthorizationFailed",
        f"The client '{caller.name}' with object id '{caller.object_id}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid{unmet}. "
        "If access was recently granted, please refresh your credentials.",
    )


def not_found(tenant: Tenant, params: Mapping[str, str], kind: str = "") -> ServiceError:
    """404 for the first thing on the path that is not there: subscription, group, resource."""
    if params["sub"].lower() not in tenant.subscriptions:
        return arm_error(404, "SubscriptionNotFound", f"The subscription '{params['sub']}' could not be found.")
    if not tenant.has_group(params["sub"], params["group"]):
        return arm_error(404, "ResourceGroupNotFound", f"Resource group '{params['group']}' could not be found.")
    return arm_error(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{params['name']}' under resource group '{params['group']}' was not found. For more "
        "details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def resource_scope(call: Call, kind: str, name: str | None = None) -> str:
    """The ARM id that a request addresses: a resource of this type in the group and subscription of its path."""
    params = call.params
    named = params["name"] if name is None else name
    return f"/subscriptions/{params['sub'].lower()}/resourceGroups/{params['group']}/providers/{kind}/{named}"


def require_tags(tags: Mapping[str, str]) -> None:
    """Refuse more than 50 tags, names over 512 and values over 256 characters (Microsoft, "Use tags"); codes UNVERIFIED."""
    if len(tags) > 50:
        raise arm_error(400, "TooManyTags", f"A resource can have at most 50 tags, and the request has {len(tags)}.")
    for name, value in tags.items():
        if len(name) > 512 or len(value) > 256:
            raise arm_error(
                400, "InvalidTagNameOrValue", f"Tag '{name[:40]}' exceeds 512 characters of name or 256 of value."
            )


def authorize(tenant: Tenant, call: Call, action: str, scope: str) -> None:
    """Raise a refusal unless the caller may do this here: by roles, deny assignments, locks, the subscription's state."""
    who = call.who
    if not tenant.rbac.permits(who.object_id, action, scope, data=False, now=tenant.clock.time()):
        raise authorization_failed(who, action, scope)
    if denial := tenant.rbac.denial(who.object_id, action, scope):
        raise arm_error(
            403,
            "DenyAssignmentAuthorizationFailed",
            f"The client '{who.name}' with object id '{who.object_id}' has permission to perform action '{action}' on scope "
            f"'{scope}'; however, the access is denied because of the deny assignment with name '{denial.name}' and Id "
            f"'{denial.id}' at scope '{denial.scope}'.",
        )
    if action.lower().endswith(("/write", "/delete", "/action")):
        _require_writable(tenant, action, scope)


def _require_writable(tenant: Tenant, action: str, scope: str) -> None:
    subscription = next((s for s in tenant.subscriptions.values() if scope.lower().startswith(s.scope.lower())), None)
    if subscription and subscription.state not in WRITABLE:
        raise arm_error(
            409,
            "ReadOnlyDisabledSubscription",
            f"The subscription '{subscription.id}' is disabled and therefore marked as read only. You cannot perform any "
            "write actions on this subscription until it is re-enabled.",
        )
    if locks := [lock.scope for lock in tenant.locks if lock.forbids(action, scope)]:
        doing = "delete" if action.lower().endswith("/delete") else "write"
        raise arm_error(
            409,
            "ScopeLocked",
            f"The scope '{scope}' cannot perform {doing} operation because following scope(s) are locked: "
            f"'{','.join(dict.fromkeys(locks))}'. Please remove the lock and try again.",
        )


def complying(tenant: Tenant, scope: str, resource: Mapping[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """The body of a request as Azure Policy lets it through. `resource` is what is there, with its type and name.

    A policy with the effect modify changes the body also where it does not mention the field: whether Azure then skips the
    change is UNVERIFIED.

    Raises:
        ServiceError: a policy refuses the resource as it would be.
    """
    reaches, body = tenant.rbac.within, dict(body)
    wanted = merged(resource, body)
    for _, name, value in list(changes(tenant.policies, wanted, scope, reaches)):
        put(body, name, value, wanted)
    if refusing := denials(tenant.policies, merged(resource, body), scope, reaches):
        raise _disallowed(str(resource["name"]), refusing)
    return body


def require_deletable(tenant: Tenant, scope: str, kind: str) -> None:
    """Raise a refusal if a policy with the effect denyAction forbids deleting a resource of this type."""
    resource = {"type": kind, "name": scope.rpartition("/")[2]}
    refusing = [
        p for p in tenant.policies if p.effect == "denyAction" and p.applies(resource, scope, tenant.rbac.within)
    ]
    if refusing:
        raise _disallowed(resource["name"], refusing)


def _disallowed(target: str, policies: Sequence[PolicyAssignment]) -> ServiceError:
    """403 RequestDisallowedByPolicy, with the policies in the message and in `additionalInfo`."""
    identifiers = [
        {
            "policyAssignment": {"name": p.name, "id": p.id},
            "policyDefinition": {"name": p.definition.title, "id": p.definition_id},
        }
        for p in policies
    ]
    information = [
        {
            "type": "PolicyViolation",
            "info": {
                "policyDefinitionDisplayName": p.definition.title,
                "policyDefinitionId": p.definition_id,
                "policyDefinitionName": p.definition.name,
                "policyDefinitionEffect": p.effect,
                "policyAssignmentId": p.id,
                "policyAssignmentName": p.name,
                "policyAssignmentScope": p.scope,
            },
        }
        for p in policies
    ]
    message = f"Resource '{target}' was disallowed by policy. Policy identifiers: '{json.dumps(identifiers)}'."
    return arm_error(403, "RequestDisallowedByPolicy", message, target=target, additionalInfo=information)
