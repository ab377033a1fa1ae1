"""The parts of a stand-in service: operations with the official operationId, called with a Call, returning a Reply.

A service knows nothing of sockets, faults or traces; the server (server.py) puts those around it.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

_HALF_A_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")  # a surrogate, possibly without its partner


@dataclass(frozen=True)
class Caller:
    """The identity that a token was issued to."""

    object_id: str
    tenant_id: str
    kind: str  # "User" or "ServicePrincipal", as in a role assignment's principalType
    name: str
    app_id: str


@dataclass(frozen=True)
class Call:
    """One request as a handler sees it. Header and query names are lower case, `path` is as sent (percent-encoded).

    `params` come from the path template, decoded.
    """

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    params: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None
    url: str = ""  # as it was requested, with its query

    @property
    def who(self) -> Caller:
        """The caller, in operations that require authentication."""
        if self.caller is None:
            raise ServiceError(401)
        return self.caller

    def matches(self, path: str | None, caller: str | None) -> bool:
        """Whether its path contains this text, and its caller has this name or object id; None is any."""
        who = (self.caller.name, self.caller.object_id) if self.caller else ()
        return (path is None or path.lower() in self.path.lower()) and (caller is None or caller in who)

    @cached_property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            MalformedBodyError: the body is not JSON, is nested too deeply, or contains half of a surrogate pair. Each
                service answers in its own format.
        """
        try:
            data = json.loads(self.body)
            if _HALF_A_CHARACTER.search(self.body):
                json.dumps(data, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise MalformedBodyError(str(error)) from error
        return data

    def read(self, shape: type[BaseModel]) -> dict[str, Any]:
        """The body as JSON of this shape, as it was sent.

        Raises:
            MalformedBodyError: it is not JSON, or has another shape. Each service answers in its own format.
        """
        try:
            shape.model_validate(self.json)
        except ValidationError as error:
            first = error.errors()[0]
            raise MalformedBodyError(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from error
        body: dict[str, Any] = self.json
        return body

    def number(self, name: str, default: int, least: int = 0) -> int:
        """A number of the query.

        Raises:
            MalformedBodyError: it is not a number, or is below `least`.
        """
        text = self.query.get(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
            raise MalformedBodyError(f"{name}: {text!r} is not a number of {least} or more")
        return int(text)


@dataclass(frozen=True)
class Reply:
    """The answer: `body` is JSON-ready data, bytes, an iterator of bytes (streamed), or None."""

    status: int = 200
    body: dict[str, Any] | list[Any] | bytes | Iterator[bytes] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class MalformedBodyError(Exception):
    """The request's body, or a number in its query, is not valid for the operation."""


class ServiceError(Exception):
    """A refusal: raised anywhere in a handler, it becomes the reply."""

    def __init__(
        self, status: int, body: dict[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {body}")
        self.reply = Reply(status, body, headers or {})


def refused(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **more: Any
) -> ServiceError:
    """A refusal in the envelope that most of Azure's services have."""
    return ServiceError(status, {"error": {"code": code, "message": message, **more}}, headers)


@dataclass(frozen=True)
class Operation:
    """One operation: `id` is the official operationId (faults and counts are addressed by it).

    `path` is a template as in the official descriptions: `{name}` is one segment, `{+name}` any number of them.
    Matching ignores letter case and a trailing slash, as ARM does.
    """

    id: str
    method: str
    path: str
    handle: Callable[[Call], Reply]
    writes: bool = False  # counted as a write in "second run: 0 writes"

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The path template as a regular expression with one named group per parameter."""
        out = ""
        for token in re.split(r"(\{\+?\w+\})", self.path):
            if token.startswith("{+"):
                out += f"(?P<{token[2:-1]}>.+)"
            elif token.startswith("{"):
                out += f"(?P<{token[1:-1]}>[^/]+)"
            else:
                out += re.escape(token)
        return re.compile(out + "/?", re.IGNORECASE)


class Service:
    """A stand-in for one real service, found by host name.

    `unreadable` are the code of the refusal of a body that is not JSON, and the words before the reason.
    """

    name: str
    hosts: Collection[str] = ()
    operations: Sequence[Operation]
    unreadable = ("BadRequest", "")

    def serves(self, host: str) -> bool:
        """Whether requests for this host are for this service."""
        return host in self.hosts

    def identify(self, operation: Operation, call: Call) -> tuple[str, bool]:
        """The operation's name for faults, counts and traces, and whether it writes."""
        del call
        return operation.id, operation.writes

    def authenticate(self, call: Call) -> Caller | None:
        """Return the caller. Raise ServiceError in the service's format if the credentials are missing or wrong."""
        raise NotImplementedError

    def unknown(self, call: Call) -> Reply:
        """Return the answer to a path without an operation. It names the path, so that a test that needs it fails clearly."""
        return refused(501, "NotImplementedHere", f"{call.method} {call.host}{call.path} is not modelled").reply

    def malformed(self, call: Call, why: str) -> Reply:
        """The answer to a body that is not JSON."""
        del call
        code, words = self.unreadable
        return refused(400, code, words + why).reply
