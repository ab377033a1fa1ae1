"""Find and remove credentials in jobs and training data, whatever the data policy. Pure."""

import json
import re
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any, AnyStr

from function_app.data.fields import has_too_many_values

REDACTED = "(credential-removed)"
"""Replaces a credential."""

_SECRET_KEY = re.compile(
    r"authorization|pass(?:word|wd|phrase)|secret(?!ar)|credential|cookie|signature"
    r"|(?:^|[_-])(?:api|access|account|private|shared|subscription|client|encryption|signing|ssh|functions?|master|storage|deploy)"
    r"[_-]?keys?(?:$|[_-])"
    r"|(?:^|[_-])(?:auth|access|api|bearer|id|refresh|session|sas|x|hf|github|gitlab|slack|bot|oauth2?|csrf|xsrf|security|deploy)"
    r"[_-]?tokens?(?:$|[_-])"
    r"|^(?:token|sas|pwd|apikey|bearer|auth|key|sig)$|connection[_-]?string",
    re.IGNORECASE,
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # between the words of a name in camel case
_HEADERS = frozenset({"headers", "http_headers", "default_headers", "extra_headers"})
_USER_INFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{1,20}://)[^\s/?#\"'<>]{1,500}@(?=[^\s/@])", re.IGNORECASE)
_BEARER = re.compile(
    r"\b(?P<scheme>(?i:Bearer)|(?i:Basic)(?=\s+[A-Za-z0-9+/]{0,500}?(?:\d|=|[a-z][A-Z])))\s+[A-Za-z0-9._~+/-]{12,}=*"
)
"""The word after Basic has a digit, an equals sign or an inner capital, unlike in "a basic understanding"."""
_PARAMETER = re.compile(r"(?P<start>[?&#;](?P<name>[\w.-]{1,64})=)(?P<value>[^&\s\"'<>#]+)", re.ASCII)
_CURL_USER = re.compile(
    r"(?P<start>\s(?:-u|--user|-U|--proxy-user)[\s=]{0,3}[\\\"']{0,3}[^\s:\"'\\]{0,100}:)"
    r"(?![$<{*%\[])(?!(?:(?:your|my|the)[_-]?)?(?:api[_-]?)?(?:pass(?:word|wd|phrase)?|pwd|secret|token|key)(?![\w-]))[^\s\"'\\]+",
    re.IGNORECASE | re.ASCII,
)
"""The password of `curl -u me:hunter2`, but no variable, and no placeholder such as `password`."""
_CURL = re.compile(r"\bcurl\b", re.IGNORECASE | re.ASCII)
_LONGEST_COMMAND = 200  # the number of characters between `curl` or `wandb` and the credential
_FUNCTION_KEY = re.compile(r"code=[\w%=-]{40,}", re.ASCII)  # the key of an Azure function, in its address
_ASSIGNED = re.compile(
    r"(?P<start>(?P<name>(?:authorization|pass(?:word|wd|phrase)|pwd|secret|key|token|cookie)[\w-]{0,20})"
    r"[\\\"']{0,3}(?P<item>\]?)\s{0,3}[:=]\s{0,3}[\\\"']{0,3}(?:(?:token|apikey|key)\s+)?)"
    r"(?=[A-Za-z._~+/=%-]{0,64}\d)[\w.~+/=%-]{12,}+(?P<call>[(\[]?)",
    re.IGNORECASE | re.ASCII,
)
"""The end of a name and the word that a text assigns to it, as in `api_key=abc1` and `x-api-key: abc1`. The word has a
digit, and is not a call such as `key = hashlib.sha256(data)`.
"""
_HEX_KEY = re.compile(r"(?<!\w)[0-9a-f]{32,}+(?![\w-])", re.ASCII)
"""A key of Azure (32 digits) or W&B (40). Alone it looks like a hash, so it is one only after these words."""
_BEFORE_HEX_KEY = re.compile(
    r"(?:(?:(?:api|access|account|subscription|openai|wandb)[_\s-]?key|KeyCredential)[\w-]{0,20}[^\w\n]{1,8}"
    r"|\bpassword\s{1,4}|\bwandb\s{1,3}login\s{1,3}(?:--?[\w-]{1,20}[\s=]{1,3}(?:[^\s-]\S{0,100}\s{1,3})?){0,3})\Z",
    re.IGNORECASE | re.ASCII,
)
_ENCODED = re.compile(
    r"(?<![\w+/])(?:c2st|ZXlK|Z2hw|LS0tLS1CRUdJTi|RGVmYXVsdEVuZHBvaW50|d2FuZGJfd)[A-Za-z0-9+/]{20,}={0,2}", re.ASCII
)
"""Base64 of sk-, eyJ, ghp, -----BEGIN, DefaultEndpoint and wandb_v, and what follows."""
_ENCODED_WORDS = ("c2st", "ZXlK", "Z2hw", "LS0tLS1CRUdJTi", "RGVmYXVsdEVuZHBvaW50", "d2FuZGJfd")
_DECODED_AT_MOST = 1 << 14  # the number of characters, a multiple of four
_MEMBER = re.compile(
    r'(?P<start>"(?P<name>[^"\\]{0,40}?(?:auth|pass|pwd|secret|credential|cookie|sig|key|token|sas|bearer|connection)[^"\\]{0,24})"'
    r'\s{0,9}:\s{0,9}")(?!")[^"\\]*+(?:\\.[^"\\]*+)*+',
    re.IGNORECASE | re.ASCII,
)
"""A string under a name in JSON that is not parsed."""
_NAME = re.compile(r"\S+")
_BEGINNING = re.compile(r"[\w-]{0,40}\Z", re.ASCII)  # of a name
_KNOWN_FORMS = re.compile(
    r"(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]{8,}"  # JSON web tokens
    r"|\bsk-[\w-]{20,}"  # OpenAI, if there is a digit
    r"|\bgh[oprsu]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}|\bglpat-[\w-]{20,}"
    r"|\bhf_[A-Za-z0-9]{30,}"  # Hugging Face
    r"|\bAIza[\w-]{35}"  # Google
    r"|\b[rs]k_(?:live|test)_[A-Za-z0-9]{20,}"  # Stripe
    r"|(?<=hooks\.slack\.com/services/)[\w/]{20,}"
    r"|\bxox[abeprs]-[\w-]{10,}"  # Slack
    r"|\bA[KS]IA[0-9A-Z]{16}\b"  # AWS
    r"|(?<![A-Za-z0-9])[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{27}(?:[A-Za-z0-9]{2}==)?(?![A-Za-z0-9])"  # Azure's services, also OpenAI
    r"|(?<![\w.~-])[\w.~-]{3}\dQ~[\w.~-]{31,34}(?![\w~-])"  # client secrets of Entra
    r"|\bwandb_v\d_\w{40,}"  # W&B
    r"|(?<=[?&]sig=)[\w%+/]{40,}=*"  # shared access signatures
    r"|(?<=AccountKey=)[\w+/]{20,}=*|(?<=SharedAccessKey=)[\w+/]{20,}=*"  # connection strings of Azure
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){1,20000}+"
    r"(?:-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----)?",
    re.ASCII,
)
_KNOWN_WORDS = (
    *("eyJ", "sk-", "gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_pat_", "glpat-", "hf_", "AIza"),
    *("k_live_", "k_test_"),
    *("hooks.slack", "xox", "AKIA", "ASIA", "JQQJ9", "Q~", "wandb_v", "Key=", "sig=", "PRIVATE KEY"),
)
"""Every text with one of these forms contains one of these words."""

_SUSPICIOUS = (
    *(b"://", b"bearer", b"basic", b"auth", b"pass", b"pwd", b"secret", b"credential", b"cookie", b"headers"),
    *(b"key", b"token", b"sas", b"sig", b"connection", b"curl", b"wandb"),
    *(word.lower().encode() for word in _KNOWN_WORDS if not re.search("key|sig|wandb", word.lower())),
    *(word.lower().encode() for word in _ENCODED_WORDS),
    *(rb"\u", rb"\/"),
)
"""Every line with a credential contains one of these, in any case. The last two are escapes of JSON, which may hide the others.
Searching for each of them is faster than one regular expression."""
_RARE = (b"_", b"-", b"\\", b"j", b"x", b"z", b"~", b"")
_BY_RARE = [(rare, [word for word in _SUSPICIOUS if next(filter(word.__contains__, _RARE)) == rare]) for rare in _RARE]
"""The same words by the first of these characters that they contain. One character is found faster than a word."""
_LONGEST_NAME = 64  # the result is cached for keys up to this number of characters
_LONGEST_JSON = 1 << 18
"""Characters of a string that is parsed as JSON; parsed, it takes up to thirty times as much memory."""
_ASSIGNABLE = ("auth", "pass", "pwd", "secret", "key", "token", "cookie")
_MEMBERS = (*_ASSIGNABLE, "credential", "sig", "sas", "bearer", "connection")
_BARE = frozenset({"key", "token", "auth", "sig", "sas", "bearer"})
_LIKELY = re.compile(r"(?=\S*[\d_+/=-])\S{8,}")
"""In a text, only such a value counts as a credential under one of these names, because `"key": "C major"` and
`"token": "dog"` are usual there.
"""
_NAMING = ("name", "key", "header")
"""Keys of objects that name a value, as in {"name": "Authorization", "value": "abc"}."""

_SCHEMA_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_SCHEMA_VALUES = frozenset({"const", "default", "enum", "example", "examples"})


def without_credentials(value: Any, *, in_text: bool = False) -> Any:
    """Return a JSON value with every credential replaced by `REDACTED`.

    A credential is a string under a key that names a secret, a value of headers, the user information or a secret parameter of
    an address, a token of an authorization scheme, a word that a text assigns to the name of a secret, or a key or token of a
    known form. JSON in strings is cleaned, too. JSON schemas that define a parameter of that name are kept.

    Args:
        value: the value.
        in_text: it was read from a string, which may be about anything, so the name alone is not sufficient, see `_LIKELY`.
    """
    if isinstance(value, str):
        return _without_credentials_in_string(value)
    if isinstance(value, dict):
        secret = _names_a_secret_value(value)
        return {
            _clean_name(name): _redacted(inner)
            if secret and name == "value"
            else _value_of(name, inner, in_text=in_text)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        options = [False, *map(_is_secret_option, value)]
        return [
            _redacted(inner) if secret else without_credentials(inner, in_text=in_text)
            for secret, inner in zip(options, value, strict=False)
        ]
    return value


def has_credentials(value: Any) -> bool:
    """Return whether a JSON value contains a credential, which `without_credentials` would replace."""
    return bool(without_credentials(value) != value)


def without_credentials_in_text(text: str) -> str:
    """Return a text without credentials of addresses and authorization schemes, and without those of a known form."""
    if "://" in text:
        text = _USER_INFO.sub(rf"\g<scheme>{REDACTED}@", text)
        text = _PARAMETER.sub(_without_parameter, text)
    if _contains(text, _KNOWN_WORDS):
        text = _KNOWN_FORMS.sub(_without_known, text)
    if _contains(text, _ENCODED_WORDS):
        text = _ENCODED.sub(_without_encoded, text)
    lower = text.lower()  # most texts have none of these words, which is found much faster than the patterns
    if not text.isascii() or "bearer" in lower or "basic" in lower:
        text = _BEARER.sub(rf"\g<scheme> {REDACTED}", text)
    if "curl" in lower and ":" in text:
        text = _CURL_USER.sub(_without_password, text)
    if '"' in text and ":" in text and _contains(lower, _MEMBERS):
        text = _MEMBER.sub(_without_likely_member, text)
    if (":" in text or "=" in text) and _contains(lower, _ASSIGNABLE):
        text = _ASSIGNED.sub(_without_assigned, text)
    if "key" in lower or "password" in lower or "wandb" in lower:
        text = _HEX_KEY.sub(_without_hex_key, text)
    return text


def _contains(text: AnyStr, words: Iterable[AnyStr]) -> bool:
    """Return whether a text contains one of the words. `any()` with a generator takes twice the time."""
    for word in words:  # noqa: SIM110
        if word in text:
            return True
    return False


def _without_known(found: re.Match[str]) -> str:
    words = found[0].startswith("sk-") and not any(map(str.isdigit, found[0]))
    return found[0] if words else REDACTED


def _without_encoded(found: re.Match[str]) -> str:
    word = found[0][:_DECODED_AT_MOST]
    try:
        text = b64decode(word[: len(word) // 4 * 4]).decode("ascii")
    except ValueError:
        return found[0]
    return found[0] if without_credentials_in_text(text) == text else REDACTED


def _without_hex_key(found: re.Match[str]) -> str:
    before = found.string[max(found.start() - _LONGEST_COMMAND, 0) : found.start()]
    return REDACTED if len(found[0]) in (32, 40) and _BEFORE_HEX_KEY.search(before) else found[0]


def _without_password(found: re.Match[str]) -> str:
    before = found.string[max(found.start() - _LONGEST_COMMAND, 0) : found.start()]
    command = before[max(before.rfind(end) for end in "\n;|") + 1 :]
    return found["start"] + REDACTED if _CURL.search(command) else found[0]


def _without_member(found: re.Match[str]) -> str:
    return found["start"] + REDACTED if _is_secret(found["name"]) else found[0]


def _without_likely_member(found: re.Match[str]) -> str:
    return _without_member(found) if _is_likely(found["name"], found[0][len(found["start"]) :]) else found[0]


def _is_likely(name: str, value: Any) -> bool:
    """Return whether a value in a text, under the name of a secret, is probably a secret."""
    if name.lower() in _HEADERS:  # columns of a table, or headers of a request
        return not (isinstance(value, list) and all(isinstance(each, str) and ":" not in each for each in value))
    return name.lower() not in _BARE or not isinstance(value, str) or _LIKELY.fullmatch(value) is not None


def _without_assigned(found: re.Match[str]) -> str:
    before = found.string[max(found.start() - 40, 0) : found.start()]
    beginning = _BEGINNING.search(before)
    name = (beginning[0] if beginning else "") + found["name"]
    secret = _is_secret(name) and not found["call"] and not (found["item"] and name.lower() in _BARE)
    return found["start"] + REDACTED if secret else found[0]


def _without_parameter(found: re.Match[str]) -> str:
    secret = _is_secret(found["name"]) or _FUNCTION_KEY.fullmatch(found[0][1:])
    return found["start"] + REDACTED if secret else found[0]


def _without_credentials_in_string(text: str) -> str:
    """Return a string without credentials. It may be JSON, such as the arguments of a tool call."""
    clean = without_credentials_in_text(text)
    if (
        len(text) <= _LONGEST_JSON
        and text.lstrip()[:1] in ("{", "[")
        and may_have_credentials(text.encode("utf-8", "replace"))
    ):
        with suppress(ValueError, RecursionError):
            members = Members()
            value = json.loads(clean, object_pairs_hook=members)
            cleaner = without_credentials(value, in_text=True)
            return clean if cleaner == value and not members.repeated else json.dumps(cleaner, ensure_ascii=False)
    return clean


def _names_a_secret_value(value: dict[str, Any]) -> bool:
    """Return whether an object is a named value whose name is that of a secret."""
    names = (name for naming in _NAMING if isinstance(name := value.get(naming), str) and _NAME.fullmatch(name))
    return "value" in value and any(map(_is_secret, names))


def _is_secret_option(value: Any) -> bool:
    """Return whether a list's item is an option such as `--api-key`, whose value follows."""
    return isinstance(value, str) and value.startswith("--") and "=" not in value and _is_secret(value.lstrip("-"))


def _value_of(name: Any, value: Any, *, in_text: bool) -> Any:
    if not _is_secret(name) or (in_text and not _is_likely(name, value)):
        return without_credentials(value, in_text=in_text)
    return _redacted(value)


def _clean_name(name: Any) -> Any:
    if not isinstance(name, str):
        return name
    return _clean_short_name(name) if len(name) <= _LONGEST_NAME else without_credentials_in_text(name)


@lru_cache(maxsize=1024)
def _clean_short_name(name: str) -> str:
    return without_credentials_in_text(name)


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
    types = value.get("type")
    named = types if isinstance(types, list) else [types]
    if "$ref" in value or (named and all(isinstance(each, str) and each in _SCHEMA_TYPES for each in named)):
        return {
            _clean_name(name): _redacted(inner) if name in _SCHEMA_VALUES else without_credentials(inner)
            for name, inner in value.items()
        }
    return {_clean_name(name): _redacted(inner) for name, inner in value.items()}


# --- lines of a file


class Members:
    """An `object_pairs_hook` that notices repeated keys. The parser keeps only the last value of each, so the others of a line
    cannot be searched, and the line is written again without them.
    """

    repeated = False

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return the members of an object."""
        members = dict(pairs)
        self.repeated |= len(members) != len(pairs)
        return members


def may_have_credentials(line: bytes) -> bool:
    """Return False if a line of a JSONL file certainly has no credential, without parsing it. Most lines have none."""
    lower = line.lower()
    return any(rare in lower and _contains(lower, words) for rare, words in _BY_RARE)


def line_without_credentials(line: bytes, longest: int) -> bytes:
    """Return a line of a file without its credentials. Most lines have none and are returned unchanged.

    Args:
        line: with or without its newline.
        longest: the maximum number of bytes of a line that is parsed as JSON. In longer lines, in those with too many values, and
            in those that are not JSON, a credential is recognized as in a text, or as a string under the name of a secret.
    """
    if not may_have_credentials(line):
        return line
    if len(line) <= longest and not has_too_many_values(line):
        try:
            members = Members()
            value = json.loads(line, object_pairs_hook=members)
            clean = without_credentials(value)
            if clean == value and not members.repeated:
                return line
            return json.dumps(clean, ensure_ascii=False).encode("utf-8", "replace")
        except (ValueError, RecursionError):
            pass
    text = _MEMBER.sub(_without_member, line.decode("utf-8", "surrogateescape"))
    return without_credentials_in_text(text).encode("utf-8", "surrogateescape")
