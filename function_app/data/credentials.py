"""Find and remove credentials in jobs and training data, whatever the data policy. Pure."""

import json
import re
from functools import lru_cache
from typing import Any

REDACTED = "(credential-removed)"
"""Replaces a credential."""

_SECRET_KEY = re.compile(
    r"authorization|pass(?:word|wd|phrase)|secret|credential|cookie|signature"
    r"|(?:^|[_-])(?:api|access|account|private|shared|subscription|client|encryption|signing|ssh|functions?|master|storage|deploy)"
    r"[_-]?key(?:$|[_-])"
    r"|(?:^|[_-])(?:auth|access|api|bearer|id|refresh|session|sas|x|hf|github|gitlab|slack|bot|oauth2?|csrf|xsrf|security|deploy)"
    r"[_-]?token(?:$|[_-])"
    r"|^(?:token|sas|pwd|apikey|bearer|auth|key|sig)$|connection[_-]?string",
    re.IGNORECASE,
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # between the words of a name in camel case
_HEADERS = frozenset({"headers", "http_headers", "default_headers", "extra_headers"})
_USER_INFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{1,20}://)[^\s/?#@\"'<>]{1,500}@(?=[^\s/@])", re.IGNORECASE)
_BEARER = re.compile(r"\b(?P<scheme>Bearer|Basic)\s+[A-Za-z0-9._~+/-]{12,}=*", re.IGNORECASE)
_SIGNED = re.compile(
    r"(?P<name>[?&](?:sig|signature|sas|api[-_]?key|access_token|token|x-amz-signature)=)[^&\s\"'<>#]+", re.IGNORECASE
)
_KNOWN_FORMS = re.compile(
    r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"  # JSON web tokens
    r"|\bsk-(?=[\w-]*\d)[\w-]{20,}"  # OpenAI
    r"|\bghp_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}"
    r"|\bxox[abeprs]-[\w-]{10,}"  # Slack
    r"|\bAKIA[0-9A-Z]{16}\b"  # AWS
    r"|(?<=AccountKey=)[\w+/]{20,}=*|(?<=SharedAccessKey=)[\w+/]{20,}=*"  # connection strings of Azure
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----[^-]{1,20000}(?:-----END (?:[A-Z]+ )*PRIVATE KEY-----)?",
    re.ASCII,
)
_KNOWN_WORDS = ("eyJ", "sk-", "ghp_", "github_pat_", "xox", "AKIA", "Key=", "PRIVATE KEY")
"""Every text with one of these forms contains one of these words."""

_SUSPICIOUS = (
    *(b"://", b"bearer", b"basic", b"auth", b"pass", b"pwd", b"secret", b"credential", b"cookie", b"headers"),
    *(b"key", b"token", b"sas", b"sig", b"connection"),
    *(b"eyj", b"sk-", b"ghp_", b"github_pat_", b"xox", b"akia"),
    *(rb"\u", rb"\/"),
)
"""Every line with a credential contains one of these, in any case. The last two are escapes of JSON, which may hide the others.
Searching for each of them is faster than one regular expression."""
_LONGEST_NAME = 64  # characters of a key whose judgement is kept

_SCHEMA_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_SCHEMA_VALUES = frozenset({"const", "default", "enum", "example", "examples"})


def without_credentials(value: Any) -> Any:
    """Return a JSON value with every credential replaced by `REDACTED`.

    A credential is a string under a key that names a secret, a value of headers, the user information or signature of an
    address, a token of an authorization scheme, or a key or token of a known form. JSON schemas that define a parameter of
    that name are kept.
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
    """Return a text without the credentials of addresses and authorization schemes, and those of a known form, in it."""
    if "://" in text:
        text = _USER_INFO.sub(rf"\g<scheme>{REDACTED}@", text)
        text = _SIGNED.sub(rf"\g<name>{REDACTED}", text)
    if any(word in text for word in _KNOWN_WORDS):
        text = _KNOWN_FORMS.sub(REDACTED, text)
    if text.isascii():  # most texts have neither word, which is found much faster than the pattern
        lower = text.lower()
        if "bearer" not in lower and "basic" not in lower:
            return text
    return _BEARER.sub(rf"\g<scheme> {REDACTED}", text)


def _value_of(name: object, value: Any) -> Any:
    return _redacted(value) if _is_secret(name) else without_credentials(value)


def _clean_name(name: Any) -> Any:
    return without_credentials_in_text(name) if isinstance(name, str) else name


def _is_secret(name: object) -> bool:
    if not isinstance(name, str):
        return False
    return _short_is_secret(name) if len(name) <= _LONGEST_NAME else _names_secret(name)


@lru_cache(maxsize=1024)
def _short_is_secret(name: str) -> bool:
    return _names_secret(name)


def _names_secret(name: str) -> bool:
    name = name.replace(REDACTED, "")
    return name.lower() in _HEADERS or _SECRET_KEY.search(_HUMP.sub("_", name)) is not None


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


def may_have_credentials(line: bytes) -> bool:
    """Return False if a line of a JSONL file certainly has no credential, without parsing it. Most lines have none."""
    lower = line.lower()
    for word in _SUSPICIOUS:  # noqa: SIM110 (any() takes twice the time)
        if word in lower:
            return True
    return False


def line_without_credentials(line: bytes, longest: int) -> bytes:
    """Return a line of a file without its credentials. Most lines have none and are returned unchanged.

    Args:
        line: with or without its newline.
        longest: the maximum number of bytes of a line that is parsed as JSON. In longer lines, and in those that are not JSON,
            only addresses, authorization schemes and known forms are recognized.
    """
    if not may_have_credentials(line):
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
