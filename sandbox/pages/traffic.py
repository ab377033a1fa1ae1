"""The requests of a world, counted by service."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sandbox.runtime.trace import Exchange

NAMES = {
    "entra": "Microsoft Entra",
    "graph": "Microsoft Graph",
    "arm": "Azure Resource Manager",
    "keyvault": "Key Vault",
    "openai": "Azure OpenAI",
    "wandb": "Weights & Biases",
}


@dataclass(frozen=True)
class Tally:
    """Requests of one service; `mean_ms` is the sandbox's real time."""

    service: str
    requests: int
    writes: int
    errors: int
    mean_ms: float


def by_service(exchanges: Iterable[Exchange]) -> list[Tally]:
    """Count each service."""
    groups: dict[str, list[Exchange]] = {}
    for exchange in exchanges:
        groups.setdefault(exchange.service, []).append(exchange)
    return sorted((_tally(service, found) for service, found in groups.items()), key=lambda t: title(t.service))


def title(service: str) -> str:
    """The name of a service for people."""
    return NAMES.get(service, service)


def _tally(service: str, found: Sequence[Exchange]) -> Tally:
    """Count the polls of a long-running operation as requests of the one that began it."""
    polls = [poll for exchange in found for poll in exchange.polls]
    seconds = sum(e.seconds for e in found) + sum(poll["seconds"] for poll in polls)
    requests = len(found) + len(polls)
    accepted = sum(e.write and 200 <= e.status < 300 for e in found)
    return Tally(service, requests, accepted, sum(map(_failed, found)), 1000 * seconds / requests)


def _failed(exchange: Exchange) -> bool:
    """Whether a request failed. Key Vault's client first asks without a token to learn where to get one: no failure."""
    if 0 < exchange.status < 400:
        return False
    challenged = exchange.status == 401 and "authorization" not in exchange.request["headers"]
    return exchange.fault or not challenged
