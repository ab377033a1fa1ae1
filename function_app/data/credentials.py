"""Find and remove credentials in jobs and training data, whatever the data policy. Pure."""

import json
import re
from typing import Any

REDACTED = "(credential-removed)"
"""Replaces a credential."""

_SECRET_KEY = re.compile(
    r"authorization|pass(?:word|wd|phrase)|secret|credential|cookie|signature"
    r"|(?:^|[_-])(?:api|access|account|private|shared|subscription|client|encryption|signing|ssh)[_-]?key(?:$|[_-])"
    r"|(?:^|[_-])(?:auth|access|api|bearer|id|refresh|session|sas)[_-]?token(?:$|[_-])"
    r"|^(?:token|sas|pwd|apikey|bearer|auth|key|sig)$|connection[_-]?string",
    re.IGNORECASE,
)
_HEADERS = frozenset({"headers", "http_headers", "default_headers", "extra_headers"})
_USER_INFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{1,20}://)[^\s/?#@\"'<>]{1,500}@(?=[^\s/@])", re.IGNORECASE)
_BEARER = re.compile(r"\b(?P<scheme>Bearer|Basic)\s+[A-Za-z0-9._~+/-]{12,}=*", re.IGNORECASE)
_SIGNED = re.compile(
    r"(?P<name>[?&](?:sig|signature|sas|api[-_]?key|access_token|token|x-amz-signature)=)[^&\s\"'<>#]+", re.IGNORECASE
)
_SUSPICIOUS = re.compile(
    rb"://|bearer|basic|auth|pass|pwd|secret|credential|cookie|signature|headers|key|token|sas|sig|connection",
    re.IGNORECASE,
)
"""Every line with a credential contains one of these."""

_SCHEMA_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_SCHEMA_VALUES = frozenset({"const", "default", "enum", "example", "examples"})


def without_credentials(value: Any) -> Any:
    """Return a JSON value with every credential replaced by `REDACTED`.

    A credential is a string under a key that names a secret, a value of headers, the user information or signature of an
    address, or a token of an authorization scheme. JSON schemas that define a parameter of that name are kept.
    """
    if isinstance(value, str):
        return without_credentials_in_text(value)
    if isinstance(value, dict):
        return {_clean_name(name): _value_of(name, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_credentials(inner) for inner in value]
    return value


def has_credentials(value: Any) -> bool:
    """Return whether a JSON value contains a credential, which `without_credentials` would replace."""
    if isinstance(value, str):
        return without_credentials_in_text(value) != value
    if isinstance(value, dict):
        return any(
            _clean_name(name) != name
            or (_value_of(name, inner) != inner if _is_secret(name) else has_credentials(inner))
            for name, inner in value.items()
        )
    return isinstance(value, list) and any(has_credentials(inner) for inner in value)


def without_credentials_in_text(text: str) -> str:
    """Return a text without the credentials of addresses and authorization schemes in it."""
    if "://" in text:
        text = _USER_INFO.sub(rf"\g<scheme>{REDACTED}@", text)
        text = _SIGNED.sub(rf"\g<name>{REDACTED}", text)
    return _BEARER.sub(rf"\g<scheme> {REDACTED}", text)


def _value_of(name: object, value: Any) -> Any:
    return _redacted(value) if _is_secret(name) else without_credentials(value)


def _clean_name(name: Any) -> Any:
    return without_credentials_in_text(name) if isinstance(name, str) else name


def _is_secret(name: object) -> bool:
    if not isinstance(name, str):
        return False
    name = name.replace(REDACTED, "")
    return name.lower() in _HEADERS or _SECRET_KEY.search(name) is not None


def _redacted(value: Any) -> Any:
    """Return a secret's value without its strings. In the definition of a parameter only the values are removed."""
    if isinstance(value, str):
        return REDACTED if value else value
    if isinstance(value, list):
        return [_redacted(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("type"), str) and value["type"] in _SCHEMA_TYPES:
        return {
            _clean_name(name): _redacted(inner) if name in _SCHEMA_VALUES else without_credentials(inner)
            for name, inner in value.items()
        }
    return {_clean_name(name): _redacted(inner) for name, inner in value.items()}


# --- lines of a file


def line_without_credentials(line: bytes, longest: int) -> bytes:
    """Return a line of a file without its credentials. Most lines have none and are returned unchanged.

    Args:
        line: with or without its newline.
        longest: the maximum number of bytes of a line that is parsed as JSON. In longer lines, and in those that are not JSON,
            only addresses and authorization schemes are recognized.
    """
    if not _SUSPICIOUS.search(line):
        return line
    if len(line) <= longest:
        try:
            value = json.loads(line)
            if not has_credentials(value):
                return line
            return json.dumps(without_credentials(value), ensure_ascii=False).encode("utf-8", "replace")
        except (ValueError, RecursionError):
            pass
    text = line.decode("utf-8", "surrogateescape")
    return without_credentials_in_text(text).encode("utf-8", "surrogateescape")
