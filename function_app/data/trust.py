"""Finds out whether a connection failed because a certificate is not trusted, as behind a company's TLS-inspecting proxy."""

import ssl
from collections.abc import Iterator

TRUST = (
    "The certificate is from an authority that this program does not trust, such as that of a company's proxy. Set both "
    "REQUESTS_CA_BUNDLE and SSL_CERT_FILE to the authority's file (docs/deploy.md, Behind a proxy)."
)
"""The next step. The two variables are for the two HTTP libraries of the SDKs."""


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
