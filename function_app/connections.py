"""What the errors of a connection mean: the cause, which SDKs wrap several times, and whether a certificate is not trusted."""

import re
import ssl
from collections.abc import Iterator

TRUST = (
    "The certificate is from an authority that this program does not trust, such as that of a company's proxy. Set both "
    "REQUESTS_CA_BUNDLE and SSL_CERT_FILE to the authority's file (docs/deploy.md, Behind a proxy)."
)
"""The next step. The two variables are for the two HTTP libraries of the SDKs."""
_PYTHON_OBJECT = re.compile(r"(?:<[^>]*>|HTTPS?Connection(?:Pool)?\([^)]*\)): ")


def cause_of(error: BaseException) -> str:
    """Return the text of the innermost error, without the objects that urllib3 quotes.

    azure-core's own text is that of requests and urllib3, such as ('Connection aborted.', RemoteDisconnected('…')). The text of
    its errors about an answer quotes the answer, which may contain a secret; their `message` does not.
    """
    while inner := next(_wrapped(error), None):
        error = inner
    if isinstance(message := getattr(error, "message", None), str):
        return _PYTHON_OBJECT.sub("", message)
    quoted = len(error.args) > 1 and not isinstance(error, OSError)  # str() would show the arguments as a tuple
    return _PYTHON_OBJECT.sub("", str(error.args[-1] if quoted else error))


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    candidates = (getattr(error, "inner_exception", None), getattr(error, "reason", None), *error.args[-1:])
    return (each for each in candidates if isinstance(each, BaseException))


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
        inner = [getattr(each, name, None) for name in ("inner_exception", "reason")]
        waiting += [each.__cause__, each.__context__, *inner, *each.args]
