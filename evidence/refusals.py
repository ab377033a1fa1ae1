"""Everything that may go wrong with a request, with the texts of its service. Data for sandbox/runtime/faults.py.

Codes and messages: Microsoft's documentation of ARM's and Key Vault's errors, recorded answers of Azure OpenAI, and W&B's
messages as its SDK's issues quote them (wandb#8800, wandb#9620).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.azure.openai import errors as openai_errors
from sandbox.runtime.http import ServiceError

STALL = 30.0
"""Seconds of real time that a stalled request takes."""

HANG = 86_400.0
"""Seconds that an unanswered request takes: longer than any of our limits."""

_STALLED = """
Accounts_Get Accounts_Update Vaults_Update GetSecret SetSecret DirectoryObjects_GetByIds GetViewer FineTuning_List
Files_GetContent Runs UpsertBucket FileStream UploadFile CommitArtifact
"""
STALLED = frozenset(_STALLED.split())
"""The operations for stalls and hangs, which are slow to test: a read and a write of every service."""

NOT_JSON = frozenset({"Files_GetContent", "UploadFile"})
"""Operations whose answer is a file or empty: there is no JSON that could be malformed."""


@dataclass(frozen=True)
class Trouble:
    """One failure; `column` is its column in the table."""

    column: str
    name: str
    do: Mapping[str, Any]


def troubles(service: str, operation: str) -> Iterator[Trouble]:
    """Yield everything that may go wrong with a request for this operation of a service."""
    busy = _body(service, "TooManyRequests", "Too many requests. Try again later.")
    broken = _body(service, "InternalServerError", "An unexpected error occurred on our side.")
    away = _body(service, "ServiceUnavailable", "The service is temporarily unavailable.")
    yield Trouble("429 s", "429, Retry-After: 1", {"status": 429, "headers": {"retry-after": "1"}, "body": busy})
    yield Trouble(
        "429 ms", "429, retry-after-ms: 20", {"status": 429, "headers": {"retry-after-ms": "20"}, "body": busy}
    )
    yield Trouble("500", "500", {"status": 500, "body": broken})
    yield Trouble("503", "503", {"status": 503, "body": away})
    yield Trouble("reset", "reset before the service acted", {"reset": True})
    yield Trouble("lost", "answer lost after the service acted", {"lost_response": True})
    yield Trouble("cut", "body cut off", {"cut_body": 12})
    if operation not in NOT_JSON:
        yield Trouble("not JSON", "malformed JSON", {"malformed_json": True})
    for name, answer in _refusals(service, operation).items():
        yield Trouble(name[:3], name, answer)
    if operation in STALLED:
        yield Trouble("stall", f"stall of {STALL:.0f} s", {"delay": STALL})
        yield Trouble("hang", "no answer at all", {"delay": HANG})


def _body(service: str, code: str, message: str) -> dict[str, Any]:
    if service == "wandb":
        return {"errors": [{"message": message}]}
    return {"error": {"code": code, "message": message}}


def _refusals(service: str, operation: str) -> dict[str, dict[str, Any]]:
    """Return the 401 of an expired token and each kind of 403, by name."""
    if service == "wandb":
        return _of_the_object_store() if operation in ("UploadFile", "DownloadFile") else _of_wandb()
    return {"arm": _of_arm, "graph": _of_graph, "keyvault": _of_key_vault, "openai": _of_azure_openai}[service]()


def _of_arm() -> dict[str, dict[str, Any]]:
    expired = (
        "The access token expiry UTC time '3/2/2026 8:00:00 AM' is earlier than current UTC time '3/2/2026 8:05:00 AM'."
    )
    challenge = {"www-authenticate": f'Bearer error="invalid_token", error_description="{expired}"'}
    return {
        "401 ExpiredAuthenticationToken": _refused(401, "ExpiredAuthenticationToken", expired) | {"headers": challenge},
        "403 AuthorizationFailed": _refused(
            403, "AuthorizationFailed", "The client does not have authorization to perform action over scope."
        ),
        "403 RequestDisallowedByPolicy": _refused(
            403, "RequestDisallowedByPolicy", "Resource was disallowed by policy 'allowed-locations'."
        ),
    }


def _of_graph() -> dict[str, dict[str, Any]]:
    expired = "Lifetime validation failed, the token is expired."
    return {
        "401 InvalidAuthenticationToken": _refused(401, "InvalidAuthenticationToken", expired),
        "403 Authorization_RequestDenied": _refused(
            403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
        ),
    }


def _of_key_vault() -> dict[str, dict[str, Any]]:
    authority = "https://login.microsoftonline.com/72f988bf-0000-4000-8000-0000000000bb"
    challenge = {"www-authenticate": f'Bearer authorization="{authority}", resource="https://vault.azure.net"'}
    kinds = {
        "ForbiddenByRbac": "Caller is not authorized to perform action on resource.",
        "AccessDenied": "The user, group or application does not have secrets permission on key vault.",
        "ForbiddenByFirewall": "Client address is not authorized and caller is not a trusted service.",
        "ForbiddenByConnection": "Public network access is disabled and request is not from a trusted service.",
    }
    refused = {f"403 {kind}": _refused(403, "Forbidden", message, kind) for kind, message in kinds.items()}
    expired = _refused(401, "Unauthorized", "AKV10022: Invalid token: it has expired.")
    return {"401 Unauthorized": expired | {"headers": challenge}} | refused


def _of_azure_openai() -> dict[str, dict[str, Any]]:
    """Azure OpenAI answers 401 also where a role is missing."""
    denied = (
        "The principal lacks the required data action `Microsoft.CognitiveServices/accounts/OpenAI/fine-tunes/read`."
    )
    return {
        "401 expired token": _answer(openai_errors.unauthorized()),
        "401 PermissionDenied": _refused(401, "PermissionDenied", denied),
        "403 firewall": _answer(openai_errors.firewalled()),
        "403 public access disabled": _answer(openai_errors.private_only()),
    }


def _of_wandb() -> dict[str, dict[str, Any]]:
    codes = {"extensions": {"code": "PERMISSION_ERROR"}}
    return {
        f"{status} {message}": {"status": status, "body": {"errors": [{"message": message} | codes], "data": None}}
        for status, message in ((401, "user is not logged in"), (403, "permission denied"))
    }


def _of_the_object_store() -> dict[str, dict[str, Any]]:
    """There is no token: the address is signed and expires."""
    return {"403 SignatureDoesNotMatch": {"status": 403, "body": {"error": {"code": "SignatureDoesNotMatch"}}}}


def _refused(status: int, code: str, message: str, inner: str = "") -> dict[str, Any]:
    error = {"code": code, "message": message} | ({"innererror": {"code": inner}} if inner else {})
    return {"status": status, "body": {"error": error}}


def _answer(refusal: ServiceError) -> dict[str, Any]:
    return {"status": refusal.reply.status, "headers": dict(refusal.reply.headers), "body": refusal.reply.body}
