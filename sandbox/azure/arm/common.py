"""Common parts of ARM's answers: ids, times, pages, refusals, and the checks before a resource provider sees a request.

Texts: Microsoft, "Troubleshoot Azure RBAC", "Resource not found", "Lock your resources", and public reports.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sandbox.azure.bodies import is_region
from sandbox.azure.governance import WRITABLE
from sandbox.azure.policy import PolicyAssignment, changes, denials, merged, put
from sandbox.azure.tenant import Tenant
from sandbox.runtime.http import Call, Caller, Reply, ServiceError, refused

_Resource = TypeVar("_Resource")


def arm_time(seconds: float) -> str:
    """A moment, given in seconds since the epoch, as ARM writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def authorization_failed(caller: Caller, action: str, scope: str, *, conditional: bool = False) -> ServiceError:
    """403 AuthorizationFailed: no role of the caller's has the action at this scope, or a condition is not fulfilled."""
    unmet = " or an ABAC condition is not fulfilled" if conditional else ""
    return refused(
        403,
        "AuthorizationFailed",
        f"The client '{caller.name}' with object id '{caller.object_id}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid{unmet}. "
        "If access was recently granted, please refresh your credentials.",
    )


def not_found(tenant: Tenant, params: Mapping[str, str], kind: str = "") -> ServiceError:
    """404 for the first thing on the path that is not there: subscription, group, resource."""
    if params["sub"].lower() not in tenant.subscriptions:
        return refused(404, "SubscriptionNotFound", f"The subscription '{params['sub']}' could not be found.")
    if not tenant.has_group(params["sub"], params["group"]):
        return refused(404, "ResourceGroupNotFound", f"Resource group '{params['group']}' could not be found.")
    return refused(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{params['name']}' under resource group '{params['group']}' was not found. For more "
        "details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def resource_scope(call: Call, kind: str) -> str:
    """The ARM id that a request addresses: a resource of this type in the group and subscription of its path."""
    params = call.params
    return f"/subscriptions/{params['sub'].lower()}/resourceGroups/{params['group']}/providers/{kind}/{params['name']}"


def group_scope(call: Call) -> str:
    """The ARM id of the resource group that a request addresses."""
    return f"/subscriptions/{call.params['sub']}/resourceGroups/{call.params['group']}"


def readable_group(tenant: Tenant, call: Call, action: str) -> str:
    """Return how the ids of the resources in a group begin, in lower case, if the caller may do this there and it exists."""
    authorize(tenant, call, action, group_scope(call))
    if not tenant.has_group(call.params["sub"], call.params["group"]):
        raise not_found(tenant, call.params)
    return f"{group_scope(call)}/".lower()


def page(call: Call, found: Sequence[Any], size: int, body_of: Callable[[Any], Any]) -> Reply:
    """One page of a listing, with the address of the next one if there is one."""
    start = call.number("$skiptoken", 0)
    body: dict[str, Any] = {"value": [body_of(each) for each in found[start : start + size]]}
    if len(found) > start + size:
        query = f"api-version={call.query['api-version']}&%24skiptoken={start + size}"
        body["nextLink"] = f"https://{call.host}{call.path}?{query}"
    return Reply(200, body)


def shown(resource_id: str, kind: str, properties: Mapping[str, Any], /, **more: Any) -> dict[str, Any]:
    """A resource as ARM shows it, named by the last part of its id unless `more` has its name."""
    return {"id": resource_id, "name": resource_id.rpartition("/")[2], "type": kind, **more, "properties": properties}


def addressed(tenant: Tenant, call: Call, kind: str, action: str, known: Mapping[str, _Resource]) -> _Resource:
    """The resource that a request addresses, if it is among these (by ARM id, lower case) and the caller may do this."""
    scope = resource_scope(call, kind)
    authorize(tenant, call, f"{kind}/{action}", scope)
    if scope.lower() not in known:
        raise not_found(tenant, call.params, kind)
    return known[scope.lower()]


@dataclass
class LongRunning(Generic[_Resource]):
    """A long-running operation: done after some polls, or half a virtual minute without any."""

    resource: _Resource
    polls_left: int
    started: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def done(self, now: float) -> bool:
        """Whether it is done by now."""
        return self.polls_left <= 0 or now - self.started >= 30


def identity_body(tenant: Tenant, system: str | None, assigned: Mapping[str, Any]) -> dict[str, Any]:
    """The identities of a resource as ARM shows them. A resource without any has no such key at all."""
    kinds = [*(["SystemAssigned"] if system else []), *(["UserAssigned"] if assigned else [])]
    identity: dict[str, Any] = {"type": ", ".join(kinds)}
    identity |= {"principalId": system, "tenantId": tenant.tenant_id} if system else {}
    identity |= {"userAssignedIdentities": assigned} if assigned else {}
    return {"identity": identity} if kinds else {}


def require_region(location: str, kind: str, what: str = "ResourceType") -> None:
    """Refuse a region that does not exist."""
    if not is_region(location):
        message = f"The provided location '{location}' is not available for '{kind}'."
        raise refused(400, f"LocationNotAvailableFor{what}", message)


def require_tags(tags: Mapping[str, str]) -> None:
    """Refuse more than 50 tags, names over 512 and values over 256 characters (Microsoft, "Use tags"); codes UNVERIFIED."""
    if len(tags) > 50:
        raise refused(400, "TooManyTags", f"A resource can have at most 50 tags, and the request has {len(tags)}.")
    for name, value in tags.items():
        if len(name) > 512 or len(value) > 256:
            why = f"Tag '{name[:40]}' exceeds 512 characters of name or 256 of value."
            raise refused(400, "InvalidTagNameOrValue", why)


def authorize(tenant: Tenant, call: Call, action: str, scope: str) -> None:
    """Raise a refusal unless the caller may do this here: by roles, deny assignments, locks, the subscription's state."""
    who = call.who
    if not tenant.rbac.permits(who.object_id, action, scope, data=False, now=tenant.clock.time()):
        raise authorization_failed(who, action, scope)
    if denial := tenant.rbac.denial(who.object_id, action, scope):
        raise refused(
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
        raise refused(
            409,
            "ReadOnlyDisabledSubscription",
            f"The subscription '{subscription.id}' is disabled and therefore marked as read only. You cannot perform any "
            "write actions on this subscription until it is re-enabled.",
        )
    if locks := [lock.scope for lock in tenant.locks if lock.forbids(action, scope)]:
        doing = "delete" if action.lower().endswith("/delete") else "write"
        raise refused(
            409,
            "ScopeLocked",
            f"The scope '{scope}' cannot perform {doing} operation because following scope(s) are locked: "
            f"'{','.join(dict.fromkeys(locks))}'. Please remove the lock and try again.",
        )


def complying(tenant: Tenant, scope: str, resource: Mapping[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """The body of a request as Azure Policy lets it through. `resource` is what is there, with its type and name.

    A policy with the effect modify changes a field even if the body does not mention it. It is UNVERIFIED whether Azure skips
    the change in that case.

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
    return refused(403, "RequestDisallowedByPolicy", message, target=target, additionalInfo=information)
