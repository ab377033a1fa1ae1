"""The requests of a world, counted and told, as plain data. Secrets are masked already where the trace was written."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sandbox.pages.format import shortened
from sandbox.runtime.trace import Exchange
from sandbox.world import World

LATEST = 100
NAMES = {
    "entra": "Microsoft Entra",
    "graph": "Microsoft Graph",
    "arm": "Azure Resource Manager",
    "keyvault": "Key Vault",
    "openai": "Azure OpenAI",
    "wandb": "Weights & Biases",
}
_LONGEST_BODY = 6000  # characters of one JSON text


@dataclass(frozen=True)
class Tally:
    """Requests of one operation, or of a service when `operation` is empty. `mean_ms` is real time in the sandbox."""

    service: str
    operation: str
    requests: int
    writes: int
    errors: int
    mean_ms: float


@dataclass(frozen=True)
class ExchangeView:
    """One request and its answer; `number` counts from 1 in the order they came."""

    number: int
    at: str
    caller: str
    service: str
    operation: str
    method: str
    host: str
    path: str
    status: str
    mark: str
    write: bool
    polls: int
    request: str
    response: str


def by_operation(exchanges: Iterable[Exchange]) -> list[Tally]:
    """One tally for each operation, the services in order of their names, the busiest operation first."""
    groups: dict[tuple[str, str], list[Exchange]] = {}
    for exchange in exchanges:
        groups.setdefault((exchange.service, exchange.operation), []).append(exchange)
    tallies = [_tally(service, operation, found) for (service, operation), found in groups.items()]
    return sorted(tallies, key=lambda t: (title(t.service), -t.requests, t.operation))


def by_service(exchanges: Iterable[Exchange]) -> list[Tally]:
    """One tally for each service."""
    groups: dict[str, list[Exchange]] = {}
    for exchange in exchanges:
        groups.setdefault(exchange.service, []).append(exchange)
    return sorted((_tally(service, "", found) for service, found in groups.items()), key=lambda t: title(t.service))


def title(service: str) -> str:
    """What people call the service."""
    return NAMES.get(service, service)


def latest(world: World, most: int = LATEST) -> list[ExchangeView]:
    """The newest exchanges, newest first."""
    exchanges = world.trace.exchanges
    first = max(0, len(exchanges) - most)
    return [_view(first + i + 1, exchange, world) for i, exchange in enumerate(exchanges[first:])][::-1]


def _tally(service: str, operation: str, found: Sequence[Exchange]) -> Tally:
    """Polls of a long-running operation count as requests of the one that began it."""
    polls = [poll for exchange in found for poll in exchange.polls]
    seconds = sum(e.seconds for e in found) + sum(poll["seconds"] for poll in polls)
    requests = len(found) + len(polls)
    accepted = sum(e.write and 200 <= e.status < 300 for e in found)
    errors = sum(_mark(e) == "bad" for e in found)
    return Tally(service, operation, requests, accepted, errors, 1000 * seconds / requests)


def _mark(exchange: Exchange) -> str:
    """ok, bad, or off for a challenge: Key Vault's client asks without a token first, to be told where to get one."""
    if 0 < exchange.status < 400:
        return "ok"
    asked_blank = "authorization" not in exchange.request["headers"]
    return "off" if exchange.status == 401 and asked_blank and not exchange.fault else "bad"


def _view(number: int, exchange: Exchange, world: World) -> ExchangeView:
    url = urlsplit(str(exchange.request["url"]))
    mark = _mark(exchange)
    status = f"{exchange.status} challenge" if mark == "off" else str(exchange.status or "broken off")
    principal = world.tenant.principals.get(exchange.caller.lower())  # an identity's token has no name, only its id
    return ExchangeView(
        number,
        exchange.at.replace("T", " ").removesuffix("+00:00"),
        principal.name if principal else exchange.caller,
        exchange.service,
        exchange.operation,
        str(exchange.request["method"]),
        url.netloc,
        url.path + (f"?{url.query}" if url.query else ""),
        status,
        mark,
        exchange.write,
        len(exchange.polls),
        _json(exchange.request),
        _json(exchange.response),
    )


def _json(part: Mapping[str, Any]) -> str:
    return shortened(json.dumps(part, indent=2, ensure_ascii=False), _LONGEST_BODY)
