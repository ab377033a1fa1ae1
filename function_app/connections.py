"""What the errors of a connection mean: the cause, which SDKs wrap several times, and whether a certificate is not trusted."""

import re
import ssl
from collections.abc import Iterator

TRUST = (
    "The certificate is from an authority that this program does not trust, such as that of a company's proxy. Set both "
    "REQUESTS_CA_BUNDLE and SSL_CERT_FILE to the authority's file (docs/deploy.md, Behind a proxy)."
)
"""The next step. There are two variables because the SDKs use two HTTP libraries."""
_QUOTING = frozenset({"InvalidURL", "LocationValueError"})
"""Errors of requests, urllib3 and httpx whose text quotes an address, such as a proxy's with its password."""
_PYTHON_OBJECT = re.compile(r"(?:<[^>]*>|HTTPS?Connection(?:Pool)?\([^)]*\)): ")


def cause_of(error: BaseException) -> str:
    """Return the text of the innermost error, without the objects that urllib3 quotes, or the name of its class.

    azure-core passes on the text of requests and urllib3, such as ('Connection aborted.', RemoteDisconnected('…')). Its errors
    about an answer quote the answer in their text, which may contain a secret, but not in their `message`.
    """
    seen = {id(error)}
    while (inner := next(_wrapped(error), None)) and id(inner) not in seen:
        error = inner
        seen.add(id(error))
    return _PYTHON_OBJECT.sub("", _text(error)).strip() or type(error).__name__


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    candidates = (getattr(error, "inner_exception", None), getattr(error, "reason", None), *error.args[-1:])
    return (each for each in candidates if isinstance(each, BaseException))


def _text(error: BaseException) -> str:
    if any(each.__name__ in _QUOTING for each in type(error).__mro__):
        return "an address, such as that of a proxy, is not valid"
    if isinstance(message := getattr(error, "message", None), str):
        return message
    if len(error.args) > 1 and isinstance(error.args[-1], str) and not isinstance(error, OSError):
        return error.args[-1]  # str() would show the arguments as a tuple
    return str(error)


def untrusted(error: BaseException | None) -> bool:
    """Whether a certificate that failed verification is among the causes of an error.

    SDKs wrap the error of the `ssl` module: httpx2 as a cause, azure-core in an attribute, requests and urllib3 in arguments.
    """
    return any(isinstance(each, ssl.SSLCertVerificationError) for each in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__, *_wrapped(each), *each.args]
