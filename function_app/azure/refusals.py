"""The meaning of refusals by Azure OpenAI, or by OpenAI's own platform."""

import logging
import re
from collections.abc import Mapping

import openai

from function_app.data.fields import text
from function_app.errors import AccessError, AccountBusyError, AccountError, NotThereError
from function_app.text import excerpt

log = logging.getLogger(__name__)

_NEW_ROLES = "New roles take up to ten minutes to work."
_KEYS_DISABLED = "AuthenticationTypeDisabled"
_MISSING_ROLE = "PermissionDenied"
_NETWORK = {
    "virtual network": "Add this client's network to the account's network rules, or connect it by a private endpoint.",
    "public access is disabled": "Connect to the account by a private endpoint, or enable its public network access.",
}
"""Recognized by a part of the service's sentence, because network refusals have no specific code (azure-sql-db-chatbot issue 3,
TabularEditor3 issue 1557). A 403 without such a sentence is a missing role on a Foundry resource."""


def refusal(error: openai.APIStatusError, account: str, doing: str) -> AccountError:
    """Return the error for a refusal, by HTTP status and the service's code. It contains the service's sentence and request id.

    Azure answers 401 to a missing role and to a bad token (Microsoft, Azure OpenAI RBAC), Foundry 403 to a missing role.
    """
    status, code = error.status_code, excerpt(str(error.code or ""))
    kind, what, hint = _kind(status, code, _words(error))
    request = error.response.headers.get("apim-request-id") or error.request_id or "unknown"
    log.debug("refused account=%s status=%s code=%s request=%s", account, status, code, request)
    shown = f"{status} {code}" if code not in ("", str(status)) else str(status)
    happened = f"{account} {what.format(doing=doing)} (HTTP {shown}, request {request})"
    return kind(f"{happened}: {words}" if (words := _words(error)) else f"{happened}.", hint)


def refuses_version(error: openai.APIStatusError) -> bool:
    """Return whether the service refused the API version and not the requested resource.

    This is the gateway's 404 "Resource not found" (public reports, e.g. Azure-Samples/openai#73) or a 400 that says so
    ("API version not supported", mindsdb/mindshub#11563); both UNVERIFIED for fine-tuning. The answer for a missing job
    has the code notFound (recorded).
    """
    if error.status_code == 404:
        return str(error.code or "404") == "404"
    return error.status_code == 400 and re.search(r"api[ -]version", error.message, re.IGNORECASE) is not None


def _kind(status: int, code: str, words: str) -> tuple[type[AccountError], str, str]:
    """Return the class of error, what happened, and what to do."""
    role = f"Assign it 'Cognitive Services OpenAI User' on the account. {_NEW_ROLES}"
    if status in (401, 403) and code == _MISSING_ROLE:
        return AccessError, "does not let this identity {doing}, because it lacks the role", role
    if code == _KEYS_DISABLED:
        hint = "Unset AZURE_OPENAI_API_KEY to sign in with Microsoft Entra ID, or enable local authentication of the account."
        return AccessError, "does not take API keys", hint
    if status == 403:
        network = next((hint for part, hint in _NETWORK.items() if part in words.lower()), "")
        what = "does not let this network {doing}" if network else "does not let this client {doing}"
        return AccessError, what, network or f"{role} Check the account's network rules, too."
    if status == 401:
        hint = "Check that the identity belongs to the account's tenant, or the API key to the account."
        return AccessError, "does not accept these credentials to {doing}", hint
    if status == 404:
        return NotThereError, "found nothing for the request to {doing}", "It may have been deleted."
    if status == 400 and "custom subdomain" in words:  # the code BadRequest has other causes, too
        hint = "Give the account a custom subdomain name and set its endpoint, or set AZURE_OPENAI_API_KEY."
        return AccessError, "has no custom subdomain, which Entra tokens require", hint
    if 300 <= status < 400:
        what = "redirects the request to {doing}, and its key or token goes to no other address"
        return (
            AccountError,
            what,
            "Check the address in AZURE_OPENAI_ENDPOINTS, and what a gateway or proxy in front of it does.",
        )
    if status in (408, 409, 429) or status >= 500:
        return AccountBusyError, "is busy or failing and could not {doing}", ""
    return AccountError, "refused to {doing}", ""


def _words(error: openai.APIStatusError) -> str:
    """Return the service's own sentence, as one printable line."""
    body = error.body if isinstance(error.body, Mapping) else {}
    message = text(body.get("message")) or ""
    return excerpt(message)
