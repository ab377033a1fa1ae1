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


_EXPIRED = (
    "The access token expiry UTC time '3/2/2026 8:00:00 AM' is earlier than current UTC time '3/2/2026 8:05:00 AM'."
)
_AUTHORITY = "https://login.microsoftonline.com/72f988bf-0000-4000-8000-0000000000bb"
_REFUSALS: Mapping[str, tuple[tuple[int, str, str], ...]] = {
    "arm": (
        (401, "ExpiredAuthenticationToken", _EXPIRED),
        (403, "AuthorizationFailed", "The client does not have authorization to perform action over scope."),
        (403, "RequestDisallowedByPolicy", "Resource was disallowed by policy 'allowed-locations'."),
    ),
    "graph": (
        (401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired."),
        (403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."),
    ),
    "keyvault": (
        (401, "Unauthorized", "AKV10022: Invalid token: it has expired."),
        (403, "ForbiddenByRbac", "Caller is not authorized to perform action on resource."),
        (403, "AccessDenied", "The user, group or application does not have secrets permission on key vault."),
        (403, "ForbiddenByFirewall", "Client address is not authorized and caller is not a trusted service."),
        (403, "ForbiddenByConnection", "Public network access is disabled and request is not from a trusted service."),
    ),
    "openai": (
        (
            401,  # also where a role is missing
            "PermissionDenied",
            "The principal lacks the required data action `Microsoft.CognitiveServices/accounts/OpenAI/fine-tunes/read`.",
        ),
    ),
}
"""Status, code and message for an expired token and for a caller without access. Key Vault's 403 has the code inside."""
_CHALLENGES = {
    "arm": f'Bearer error="invalid_token", error_description="{_EXPIRED}"',
    "keyvault": f'Bearer authorization="{_AUTHORITY}", resource="https://vault.azure.net"',
}


def _refusals(service: str, operation: str) -> dict[str, dict[str, Any]]:
    """Return the 401 of an expired token and each kind of 403, by name."""
    if operation in ("UploadFile", "DownloadFile"):  # there is no token: the address is signed and expires
        return {"403 SignatureDoesNotMatch": {"status": 403, "body": {"error": {"code": "SignatureDoesNotMatch"}}}}
    if service == "wandb":
        codes = {"extensions": {"code": "PERMISSION_ERROR"}}
        return {
            f"{status} {message}": {"status": status, "body": {"errors": [{"message": message} | codes], "data": None}}
            for status, message in ((401, "user is not logged in"), (403, "permission denied"))
        }
    found: dict[str, dict[str, Any]] = {}
    if service == "openai":
        found["401 expired token"] = _answer(openai_errors.unauthorized())
        found["403 firewall"] = _answer(openai_errors.firewalled())
        found["403 public access disabled"] = _answer(openai_errors.private_only())
    for status, code, message in _REFUSALS[service]:
        inside = {"code": "Forbidden", "innererror": {"code": code}}
        error = {"code": code, "message": message} | (inside if (service, status) == ("keyvault", 403) else {})
        found[f"{status} {code}"] = {"status": status, "body": {"error": error}}
        if status == 401 and service in _CHALLENGES:
            found[f"{status} {code}"]["headers"] = {"www-authenticate": _CHALLENGES[service]}
    return found


def _answer(refusal: ServiceError) -> dict[str, Any]:
    return {"status": refusal.reply.status, "headers": dict(refusal.reply.headers), "body": refusal.reply.body}
