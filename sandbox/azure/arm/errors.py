"""What ARM's answers have in common: times, and refusals (Microsoft, "Troubleshoot Azure RBAC", "Resource not found")."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sandbox.azure.tenant import Tenant
from sandbox.runtime.http import Call, Caller, ServiceError


def arm_time(seconds: float) -> str:
    """A moment, given in seconds since the epoch, as ARM writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def arm_error(status: int, code: str, message: str) -> ServiceError:
    """An error in ARM's envelope."""
    return ServiceError(status, {"error": {"code": code, "message": message}})


def _authorization_failed(caller: Caller, action: str, scope: str) -> ServiceError:
    """403 AuthorizationFailed: no role of the caller's has the action at this scope."""
    return arm_error(
        403,
        "AuthorizationFailed",
        f"The client '{caller.name}' with object id '{caller.object_id}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your "
        "credentials.",
    )


def not_found(tenant: Tenant, params: Mapping[str, str], kind: str = "") -> ServiceError:
    """404 for the first thing on the path that is not there: subscription, group, resource."""
    if params["sub"].lower() != tenant.subscription_id:
        return arm_error(404, "SubscriptionNotFound", f"The subscription '{params['sub']}' could not be found.")
    if params["group"].lower() not in tenant.groups:
        return arm_error(404, "ResourceGroupNotFound", f"Resource group '{params['group']}' could not be found.")
    return arm_error(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{params['name']}' under resource group '{params['group']}' was not found. For more "
        "details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def authorize(tenant: Tenant, call: Call, action: str, scope: str) -> None:
    """Raise AuthorizationFailed unless the caller may do this here."""
    if not tenant.may(call.who.object_id, action, scope):
        raise _authorization_failed(call.who, action, scope)
