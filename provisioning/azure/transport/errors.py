"""Translate errors of the Azure SDKs into our own, each with the next step, by the service's code first, then by status."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from function_app.shared_rules import TRUST, cause_of, untrusted
from provisioning import shell
from provisioning.azure.identity.sign_in_errors import claims_command, sign_in_error, wrong_tenant
from provisioning.errors import (
    BusyError,
    ConflictError,
    DenyAssignmentError,
    HostUnavailableError,
    LimitReachedError,
    LockedError,
    MissingRightsError,
    NotFoundError,
    NotSignedInError,
    OperationFailedError,
    PolicyError,
    ProviderNotRegisteredError,
    ProvisioningError,
    ServiceError,
    SubscriptionDisabledError,
    ThrottledError,
    UnreachableError,
)

_log = logging.getLogger(__name__)

_AGAIN = "Run the same command again: it continues where it stopped. -v shows the requests."


class BadRequestError(ServiceError):
    """The service does not accept the request as it is (400). Repeating it does not help."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate SDK errors. `doing` names the operation, as in "Reading vault kv-ml"."""
    try:
        yield
    except AzureError as error:
        _log.info("%s: %s%s", doing, _words(error), _request_id(error))
        raise _translation(doing, error) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # the answer has an undocumented form
        _log.info("%s: %r", doing, error, exc_info=True)
        raise ServiceError(
            f"{doing}: Azure's answer does not have the documented form.",
            hint="Run the same command again. With -v it shows where reading the answer failed.",
        ) from error


def code(error: HttpResponseError) -> str:
    """The service's error code, such as RoleAssignmentExists; empty if the body has none."""
    return (error.error.code if error.error else None) or ""


def inner_code(error: HttpResponseError) -> str:
    """Key Vault's inner error code, such as ForbiddenByRbac; empty if there is none."""
    inner = error.error.innererror if error.error else None
    return str(inner.get("code", "")) if isinstance(inner, Mapping) else ""


def text(error: HttpResponseError) -> str:
    """The service's message on one line."""
    message = (error.error.message if error.error else None) or error.message
    return " ".join(message.split())


def codes(error: HttpResponseError) -> list[str]:
    """All codes of an answer, the innermost first: failed operations nest their cause."""
    found: list[str] = []

    def walk(node: Any) -> None:
        for detail in getattr(node, "details", None) or ():
            walk(detail)
        if name := getattr(node, "code", None):
            found.append(str(name))

    walk(error.error)
    return [*filter(None, (inner_code(error),)), *found]


def policy_names(error: HttpResponseError) -> list[str]:
    """The names of the policies that refused a request, from the `additionalInfo` of the answer and its details."""
    names: list[str] = []

    def walk(node: Any) -> None:
        for info in getattr(node, "additional_info", None) or ():
            shown = info.info if info.type == "PolicyViolation" and isinstance(info.info, Mapping) else {}
            for key in ("policyAssignmentDisplayName", "policyAssignmentName", "policyDefinitionDisplayName"):
                if shown.get(key):
                    names.append(str(shown[key]))
                    break
        for detail in getattr(node, "details", None) or ():
            walk(detail)

    walk(error.error)
    # Older answers have the names only in the message, as JSON after "Policy identifiers:".
    names += re.findall(r'"policyAssignment":\s*\{"name":\s*"([^"]+)"', text(error))
    return list(dict.fromkeys(names))


def is_lost(error: AzureError) -> bool:
    """Return whether the request may have been carried out, although there is no answer that can be read.

    azure-core raises ServiceRequestError for a broken connection whether or not the request arrived, and HttpResponseError
    without a response if the connection is reset while the body is read.
    """
    if isinstance(error, ClientAuthenticationError):
        return False
    if isinstance(error, HttpResponseError):
        return isinstance(error, DecodeError) or error.response is None
    return isinstance(error, ServiceRequestError | ServiceResponseError)


def _translation(doing: str, error: AzureError) -> ProvisioningError:
    if isinstance(error, ClientAuthenticationError) and error.response is None:
        return sign_in_error(_words(error))
    if isinstance(error, DecodeError):
        return ServiceError(f"{doing} failed: Azure's answer is not readable. {_words(error)}", hint=_AGAIN)
    if is_lost(error):
        return UnreachableError(
            f"{doing} got no answer: {_reason(error)}.",
            hint=TRUST
            if untrusted(error)
            else "Check the network, HTTPS_PROXY and name resolution, then run the same command again; it continues where it "
            "stopped.",
        )
    if isinstance(error, HttpResponseError):
        return answered(doing, error)
    return ServiceError(f"{doing} failed: {_words(error)}", hint=_AGAIN)


def answered(doing: str, error: HttpResponseError) -> ProvisioningError:
    """Return the error for a service's answer, by its innermost known code, or by its status if no code is known."""
    status = error.status_code or 0
    if 200 <= status < 300:
        why = f"{code(error)}: {text(error)}" if code(error) else "Azure gives no reason"
        for each in codes(error):
            if each in _BY_CODE:
                return _BY_CODE[each](f"{doing} failed. {why}", error)
        return OperationFailedError(
            f"{doing} failed in Azure after it was accepted. {why}",
            hint="Run the same command again. If it fails again, the activity log of the resource group has the details.",
        )
    message = f"{doing} was refused with {status} {code(error)}: {text(error)}"
    if status == 401:
        return _unauthorized(doing, message, error)
    for each in codes(error):
        if each in _BY_CODE:
            return _BY_CODE[each](message, error)
    return _BY_STATUS.get(status, _unexpected)(message, error)


def _unauthorized(doing: str, message: str, error: HttpResponseError) -> ProvisioningError:
    challenge = _challenge(error)
    if claims := challenge.get("claims"):
        return NotSignedInError(
            f"{doing} needs a stronger sign-in, such as multi-factor authentication: {text(error)}",
            hint=claims_command(claims),
        )
    if code(error) == "InvalidAuthenticationTokenTenant":
        return wrong_tenant(message, challenge.get("authorization_uri", ""))
    return NotSignedInError(message, hint="The sign-in may have expired or be for another tenant: run `az login`.")


def _challenge(error: HttpResponseError) -> dict[str, str]:
    """The parameters of the WWW-Authenticate header."""
    response: Any = error.response
    header = response.headers.get("WWW-Authenticate", "") if response is not None else ""
    return dict(re.findall(r'(\w+)="([^"]*)"', header))


# --- by code -----------------------------------------------------------------------------------------------------


def _locked(message: str, error: HttpResponseError) -> ProvisioningError:
    scopes = re.findall(r"'(/subscriptions/[^']+)'", text(error).partition("locked:")[2])
    where = [shell.az_locks(scope) for scope in scopes] or [shell.command("az", "lock", "list", "-o", "table")]
    return LockedError(
        message,
        hint=f"A lock forbids this for every role. To see it: {'; '.join(where)}. Ask its owner to remove it, run the "
        "same command again, and ask for the lock to be restored.",
    )


def _disabled(message: str, _: HttpResponseError) -> ProvisioningError:
    return SubscriptionDisabledError(
        message,
        hint="The billing owner must enable the subscription again (Azure portal, Cost Management); until then "
        "nothing in it can be changed.",
    )


def _policy(message: str, error: HttpResponseError) -> ProvisioningError:
    names = policy_names(error)
    named = f" Policy: {', '.join(names)}." if names else ""
    return PolicyError(
        f"{message}{named}",
        hint="Azure Policy refused this, so trying again does not help. Ask the owner of the policy for an exemption, or for "
        "the values that it requires.",
    )


def _denied(message: str, _: HttpResponseError) -> ProvisioningError:
    return DenyAssignmentError(
        message,
        hint="A deny assignment forbids this for every role. Managed applications, deployment stacks and blueprints "
        "create them: ask the owner of the named one.",
    )


def _limit(message: str, _: HttpResponseError) -> ProvisioningError:
    return LimitReachedError(
        message,
        hint="Remove unused role assignments (az role assignment list --all), for example those whose principal "
        "no longer exists, or assign to groups instead; then run the same command again.",
    )


def _unregistered(message: str, error: HttpResponseError) -> ProvisioningError:
    found = re.search(r"namespace '([\w.]+)'", text(error))
    namespace = found[1] if found else "NAMESPACE"
    return ProviderNotRegisteredError(
        message, hint=shell.command("az", "provider", "register", "-n", namespace, "--wait")
    )


def _model_change(message: str, _: HttpResponseError) -> ProvisioningError:
    return MissingRightsError(
        message,
        hint="Changing the permission model of a vault needs Microsoft.Authorization/roleAssignments/write without a "
        "condition: an Owner or User Access Administrator whose role has no condition can run this command.",
    )


def _account_busy(message: str, _: HttpResponseError) -> ProvisioningError:
    return BusyError(
        message, hint="Another change of the account is in progress. Run the same command again in a minute."
    )


def _no_rights(message: str, _: HttpResponseError) -> ProvisioningError:
    return MissingRightsError(
        message,
        hint="Ask for the missing action at that scope. If you have it, a condition on your role may forbid this request: "
        '`az role assignment list --assignee … --query "[].condition"` shows it. If it was granted minutes ago, sign in again '
        "(`az login`) and run the same command.",
    )


def _host(message: str, _: HttpResponseError) -> ProvisioningError:
    return HostUnavailableError(
        message,
        hint="The app's host does not start. Its log gives the reason: an import error, or missing access to its storage.",
    )


_BY_CODE: Mapping[str, Callable[[str, HttpResponseError], ProvisioningError]] = {
    "ScopeLocked": _locked,
    "ReadOnlyDisabledSubscription": _disabled,
    "SubscriptionNotRegistered": _unregistered,
    "MissingSubscriptionRegistration": _unregistered,
    "RequestDisallowedByPolicy": _policy,
    "RequestDisallowedByAzure": _policy,
    "ForbiddenByGovernancePolicy": _policy,
    "PolicyViolation": _policy,
    "DenyAssignmentAuthorizationFailed": _denied,
    "RoleAssignmentLimitExceeded": _limit,
    "InsufficientPermissions": _model_change,
    "AuthorizationFailed": _no_rights,
    "LinkedAuthorizationFailed": _no_rights,
    "AccountProvisioningStateInvalid": _account_busy,
    "RequestConflict": _account_busy,
}


# --- by status, if the code is unknown ----------------------------------------------------------------------------


def _not_found(message: str, _: HttpResponseError) -> ProvisioningError:
    return NotFoundError(message, hint="Check the names and --subscription.")


def _conflict(message: str, _: HttpResponseError) -> ProvisioningError:
    return ConflictError(message, hint="Another change may be in progress. Run the same command again in a minute.")


def _throttled(message: str, _: HttpResponseError) -> ProvisioningError:
    return ThrottledError(message, hint="Azure is throttling. Run the same command again in a few minutes.")


def _unexpected(message: str, error: HttpResponseError) -> ProvisioningError:
    if is_host_error(error):
        return _host(message, error)
    return (BadRequestError if error.status_code == 400 else ServiceError)(message, hint=_AGAIN)


_BY_STATUS: Mapping[int, Callable[[str, HttpResponseError], ProvisioningError]] = {
    403: _no_rights,
    404: _not_found,
    409: _conflict,
    412: _conflict,
    429: _throttled,
}


def is_host_error(error: HttpResponseError) -> bool:
    """Whether ARM could not reach the host of a function app. It answers BadRequest, so only the message differs.

    Wording from public reports, UNVERIFIED.
    """
    return code(error) in ("BadRequest", "ServiceUnavailable", "InternalServerError") and "host runtime" in text(error)


def _request_id(error: AzureError) -> str:
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or {}
    ids = [headers.get(name) for name in ("x-ms-request-id", "x-ms-correlation-request-id") if headers.get(name)]
    return f" (request id {', '.join(map(str, ids))})" if ids else ""


def _reason(error: AzureError) -> str:
    """The error of the transport, with the host."""
    request = getattr(error, "request", None)
    host = urlsplit(getattr(request, "url", "") or "").hostname
    words = _words(error)
    return f"{host}: {words}" if host and host not in words else words


def _words(error: AzureError) -> str:
    """The error's cause on one line."""
    return " ".join(cause_of(error).split())
