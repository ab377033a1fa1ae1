"""Translates errors of the Azure SDKs into our own, each with the next step."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from provisioning.errors import (
    ConflictError,
    MissingRightsError,
    NotFoundError,
    NotSignedInError,
    ProvisioningError,
    ServiceError,
    UnreachableError,
)

_log = logging.getLogger(__name__)

_AGAIN = "Run the same command again: it continues where it stopped. -v shows the requests."


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate SDK errors. `doing` names the operation, as in "Reading vault kv-ml"."""
    try:
        yield
    except AzureError as error:
        _log.info("%s: %s", doing, _words(error))
        raise _ours(doing, error) from error


def code(error: HttpResponseError) -> str:
    """The service's error code, such as RoleAssignmentExists; empty if the body has none."""
    return (error.error.code if error.error else None) or ""


def inner_code(error: HttpResponseError) -> str:
    """Key Vault's inner error code, such as ForbiddenByRbac; empty if there is none."""
    inner = error.error.innererror if error.error else None
    return str(inner.get("code", "")) if inner else ""


def text(error: HttpResponseError) -> str:
    """The service's message on one line."""
    message = (error.error.message if error.error else None) or error.message
    return " ".join(message.split())


def _ours(doing: str, error: AzureError) -> ProvisioningError:
    if isinstance(error, ClientAuthenticationError) and error.response is None:
        return NotSignedInError(
            "Not signed in to Azure: no credential gave a token.",
            hint="Run `az login` and try again; -v shows what each kind of credential said.",
        )
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return UnreachableError(
            f"{doing} got no answer: {_reason(error)}.",
            hint="Check the network, HTTPS_PROXY and name resolution, then run the same command again; "
            "what is done already is recognised.",
        )
    if isinstance(error, DecodeError):
        return ServiceError(f"{doing}: the answer cannot be read. {_words(error)}", hint=_AGAIN)
    if isinstance(error, HttpResponseError) and error.response is not None:
        return _answered(doing, error, error.response.status_code or 0)
    return ServiceError(
        f"{doing} failed: {_words(error)}",
        hint=_AGAIN,
    )


def _answered(doing: str, error: HttpResponseError, status: int) -> ProvisioningError:
    said = f"{doing} was refused with {status} {code(error)}: {text(error)}"
    if status == 401:
        return NotSignedInError(said, hint="The sign-in may have expired or be for another tenant: run `az login`.")
    if status == 403:
        return MissingRightsError(
            said,
            hint="Ask for the missing action at that scope; if it was granted minutes ago, sign in again "
            "(`az login`) and run the same command.",
        )
    if status == 404:
        return NotFoundError(said, hint="Check the names and --subscription.")
    if status in (409, 412):
        return ConflictError(said, hint="Somebody else may be changing it: run the same command again in a minute.")
    if status == 429:
        return ServiceError(said, hint="Azure asks for a slower pace: run the same command again in some minutes.")
    return ServiceError(said, hint=_AGAIN)


def _reason(error: AzureError) -> str:
    """The error of the transport, with the host."""
    request = getattr(error, "request", None)
    host = urlsplit(getattr(request, "url", "") or "").hostname
    words = _words(error)
    return f"{host}: {words}" if host and host not in words else words


def _words(error: AzureError) -> str:
    """The error's message on one line. str(error) may quote the body, which may contain a secret."""
    return " ".join(str(error.message).split())
