"""Records every exchange as a JSON line, with secrets masked.

The polls of a long-running operation are recorded below the exchange that began it (`polls`): their addresses are opaque to
clients and in no API description.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qsl, urlencode, urlsplit

from sandbox.runtime.http import Call

MASK = "***"
_SECRET_HEADERS = {"authorization", "api-key", "x-identity-header", "x-session", "cookie", "set-cookie"}
_KEYS = """
access_token accesstoken refresh_token id_token device_code client_info client_secret client_assertion password apikey
"""
_SECRET_KEYS = frozenset(_KEYS.split())
_SIGNED = re.compile(r"([?&](?:Signature|X-Goog-Signature|sig)=)[^&]*", re.IGNORECASE)  # an upload address is a key
_LARGEST_BODY = 64 * 1024


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, masked."""

    service: str
    operation: str
    write: bool
    caller: str
    at: str  # virtual time, ISO
    seconds: float  # real
    request: Mapping[str, Any]
    response: Mapping[str, Any]
    fault: bool = False  # this answer is a scenario's fault
    polls: list[Mapping[str, Any]] = field(default_factory=list)
    ended: float = field(
        default_factory=time.monotonic
    )  # real time of the answer; the request arrived `seconds` earlier

    @property
    def status(self) -> int:
        """The answer's status; 0 when the connection broke before one."""
        return int(self.response["statusCode"])

    def as_json(self) -> dict[str, Any]:
        """One line of the trace."""
        line: dict[str, Any] = {"request": self.request, "response": self.response}
        line |= {"service": self.service, "operation": self.operation, "write": self.write, "caller": self.caller}
        line |= {"at": self.at, "seconds": round(self.seconds, 4)}
        return line | ({"fault": True} if self.fault else {}) | ({"polls": self.polls} if self.polls else {})


class Trace:
    """Collects exchanges, and writes them to a file if it has a path."""

    def __init__(self, path: Path | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self.polled: Counter[str] = Counter()
        self._path = path
        self._file: TextIO | None = None
        self._open: dict[str, Exchange] = {}  # poll address -> the exchange that returned it

    def add(self, exchange: Exchange) -> None:
        """Add an exchange. A poll is added to the exchange that it continues."""
        began = self._open.get(_path(str(exchange.request["url"])))
        if began is not None and exchange.request["method"] == "GET":
            self.polled[exchange.operation] += 1
            began.polls.append(exchange.as_json())
            body = exchange.response["body"] or {}
            if body.get("status") in ("Succeeded", "Failed", "Canceled"):
                self._close(began)
            return
        self.exchanges.append(exchange)
        headers = exchange.response["headers"]
        address = headers.get("azure-asyncoperation") or (headers.get("location") if exchange.status == 202 else None)
        if address:
            self._open[_path(address)] = exchange
        else:
            self._write(exchange)

    def _close(self, began: Exchange) -> None:
        self._open = {k: v for k, v in self._open.items() if v is not began}
        self._write(began)

    def _write(self, exchange: Exchange) -> None:
        if self._path:  # a world without requests leaves no file
            self._file = self._file or self._path.open("w", encoding="utf-8", errors="backslashreplace")
            self._file.write(json.dumps(exchange.as_json(), ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Write the exchanges that are not written yet, and close the file."""
        for began in list(self._open.values()):
            self._close(began)
        if self._file:
            self._file.close()
        self._path = self._file = None

    @property
    def counts(self) -> Counter[str]:
        """The number of requests of each operation, polls included."""
        return Counter(e.operation for e in self.exchanges) + self.polled

    @property
    def requests(self) -> int:
        """All requests, polls included."""
        return len(self.exchanges) + self.polled.total()

    def writes(self, *services: str) -> list[Exchange]:
        """The writes that these services accepted, or all services by default."""
        return [
            e for e in self.exchanges if e.write and 200 <= e.status < 300 and (not services or e.service in services)
        ]


def masked_request(call: Call, *, keep: bool) -> dict[str, Any]:
    """The request as the trace shows it. `keep`: bodies of any size (services that have an official description)."""
    body = _masked_body(call.body, call.host, keep=keep)
    if call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form = parse_qsl(call.body.decode(errors="replace"))
        body = urlencode([(k, MASK if k in _SECRET_KEYS else v) for k, v in form])
    url, headers = _SIGNED.sub(rf"\1{MASK}", call.url), _masked_headers(call.headers)
    return {"method": call.method, "url": url, "headers": headers, "body": body}


def masked_response(
    status: int, headers: Mapping[str, str], body: bytes | None, host: str, *, keep: bool
) -> dict[str, Any]:
    """Return the answer as the trace shows it; `body` is None if it was streamed."""
    shown = _masked_body(body, host, keep=keep) if body else None
    return {"statusCode": status, "headers": _masked_headers(headers), "body": shown}


def _masked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {k: MASK if k.lower() in _SECRET_HEADERS else v for k, v in headers.items()}


def _masked_body(body: bytes, host: str, *, keep: bool) -> Any:
    if not body or (len(body) > _LARGEST_BODY and not keep):
        return None
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return _masked(data, vault=".vault." in host)


def _masked(data: Any, *, vault: bool) -> Any:
    if isinstance(data, dict):
        return {k: MASK if _secret(k, v, vault=vault) else _masked(v, vault=vault) for k, v in data.items()}
    if isinstance(data, list):
        return [_masked(v, vault=vault) for v in data]
    return data


def _secret(key: str, value: object, *, vault: bool) -> bool:
    if not isinstance(value, str):
        return False
    return re.sub(r"[^a-z_]", "", key.lower()) in _SECRET_KEYS or (vault and key == "value")


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}".lower()
