"""Azure OpenAI's fine-tuning data plane, on the classic (`/openai`) and the v1 surface, and OpenAI's own platform.

What is known comes from the official descriptions (Azure OpenAI authoring 2024-10-21 and 2025-04-01-preview) and from
recorded traffic (Azure/azure-sdk-assets, FineTuningTests); what nobody could verify is marked UNVERIFIED.
"""

import hmac
import itertools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from sandbox.azure.openai import errors
from sandbox.azure.openai.operations import OPERATIONS, Handler, Request, Surface
from sandbox.azure.openai.store import OpenAIAccount, Store
from sandbox.runtime.clock import Clock
from sandbox.runtime.http import Call, Caller, Operation, Reply, Service, ServiceError, refused

__all__ = ["AUDIENCES", "VERSIONS", "OpenAI", "OpenAIAccount"]

AUDIENCES = ("https://cognitiveservices.azure.com", "https://ai.azure.com")
DATA_ACTIONS = "Microsoft.CognitiveServices/accounts/OpenAI/"
PREFIXES: dict[Surface, str] = {
    "classic": "/openai",
    "v1": "/openai/v1",
    "project": "/api/projects/{project}/openai/v1",
    "platform": "/v1",
}
# The api-supported-versions header of recorded replies, from the first version with /fine_tuning on.
_VERSIONS = """
2023-10-01-preview 2023-12-01-preview 2024-02-01 2024-02-15-preview 2024-03-01-preview 2024-04-01-preview
2024-04-15-preview 2024-05-01-preview 2024-06-01 2024-07-01-preview 2024-08-01-preview 2024-09-01-preview
2024-10-01-preview 2024-10-21 2024-11-01-preview 2024-12-01-preview 2025-01-01-preview 2025-02-01-preview
2025-03-01-preview 2025-04-01-preview 2025-04-28
"""
VERSIONS = _VERSIONS.split()
REGIONS = {"swedencentral": "Sweden Central", "eastus2": "East US 2", "northcentralus": "North Central US"}


class OpenAI(Service):
    """The stand-in for `NAME.openai.azure.com`, and for `api.openai.com` where an account is of that platform.

    `verify` reads and checks a bearer token; `allowed` answers by RBAC for (caller, data action, resource id).
    Offsets in scripts count from the clock's time at construction.
    """

    name = "openai"
    unreadable = ("invalidPayload", "The request body is invalid: ")

    def __init__(
        self,
        accounts: Sequence[OpenAIAccount],
        clock: Clock,
        verify: Callable[[Call, Sequence[str]], Caller],
        allowed: Callable[[Caller, str, str], bool],
        audiences: Sequence[str] = AUDIENCES,
    ) -> None:
        self._clock = clock
        self._verify = verify
        self._allowed = allowed
        self._audiences = audiences
        self._numbers = itertools.count(1)
        self._stores: dict[str, list[Store]] = {}
        for account in accounts:
            self.add(account)
        self.operations: Sequence[Operation] = [
            Operation(name, method, prefix + path, partial(self._answer, surface, handler, right), method != "GET")
            for surface, prefix in PREFIXES.items()
            for name, method, path, handler, right in OPERATIONS
        ]

    def add(self, account: OpenAIAccount) -> None:
        """Serve an account from now on."""
        store = Store(account, self._clock.time())
        for host in account.hosts:
            self._stores.setdefault(host, []).append(store)

    def remove(self, resource_id: str) -> None:
        """Serve an account no longer."""
        kept = {h: [s for s in shared if s.account.resource_id != resource_id] for h, shared in self._stores.items()}
        self._stores = {host: shared for host, shared in kept.items() if shared}

    @property
    def stores(self) -> list[Store]:
        """Every account with its jobs and files, for inspection."""
        return list(dict.fromkeys(store for sharing in self._stores.values() for store in sharing))

    def serves(self, host: str) -> bool:
        """Whether an account has this host."""
        return host.lower() in self._stores

    def authenticate(self, call: Call) -> Caller | None:
        """The bearer of a token, or None for the account's key, which may do everything.

        Raises:
            ServiceError: 400, 401 or 403 in the service's shapes.
        """
        account = self._store(call).account
        bearer = _bearer(call)
        if account.platform:
            if _is_key(account, bearer):
                return None
            raise errors.platform_key()
        _admit(account)
        if call.path.startswith("/api/projects/"):
            return self._at_project(call, account, bearer)
        # The plain OpenAI client, which people use with the v1 surface, sends the key as a bearer token.
        if key := call.headers.get("api-key") or (bearer if _is_key(account, bearer) else ""):
            if not account.local_auth:
                raise errors.keys_disabled()
            if _is_key(account, key):
                return None
            raise errors.wrong_key()
        if bearer and not account.custom_subdomain:
            raise errors.no_subdomain()
        try:
            return self._verify(call, self._audiences)
        except ServiceError as refusal:
            raise errors.unauthorized() from refusal

    def _at_project(self, call: Call, account: OpenAIAccount, bearer: str) -> Caller:
        """The bearer of a token for Foundry: the project addresses are described without keys (Microsoft, v1 description)."""
        if call.headers.get("api-key") or _is_key(account, bearer):
            raise errors.keys_disabled()
        try:
            return self._verify(call, [account.project_audience])
        except ServiceError as refusal:
            raise errors.unauthorized(account.project_audience) from refusal

    def unknown(self, call: Call) -> Reply:
        """The gateway's 404, which names the request."""
        return errors.no_route(call).reply

    def _store(self, call: Call) -> Store:
        stores = self._stores[call.host.lower()]
        # Accounts without a custom subdomain share their region's host. The key determines the account.
        return next((s for s in stores if _is_key(s.account, call.headers.get("api-key", ""))), stores[0])

    def _answer(self, surface: Surface, handler: Handler, right: str, call: Call) -> Reply:
        store = self._store(call)
        if store.account.platform != (surface == "platform"):
            return self.unknown(call)
        version = call.query.get("api-version", "")
        if surface == "project":
            _require_project(call, store.account)
        if surface == "classic":
            _require_version(call, version)
        action = DATA_ACTIONS + right
        if call.caller is not None and not self._allowed(call.caller, action, store.account.resource_id):
            raise errors.denied(call.caller, action, call)
        reply = handler(Request(call, store, surface, version, self._clock.time()))
        return replace(reply, headers={**self._headers(store.account, surface), **reply.headers})

    def _headers(self, account: OpenAIAccount, surface: Surface) -> dict[str, str]:
        number = uuid.uuid5(uuid.NAMESPACE_DNS, f"{account.host}/{next(self._numbers)}")
        if surface == "platform":
            return {"x-request-id": f"req_{number.hex}"}
        versions = {"api-supported-versions": ",".join(VERSIONS)} if surface == "classic" else {}
        return versions | {
            "apim-request-id": str(number),
            "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
            "x-content-type-options": "nosniff",
            "x-ms-region": REGIONS.get(account.location, account.location),
        }


def _admit(account: OpenAIAccount) -> None:
    """Refuse clients that the network rules do not allow."""
    if not account.public_network:
        raise errors.private_only()
    if account.firewall:
        raise errors.firewalled()


def _bearer(call: Call) -> str:
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _is_key(account: OpenAIAccount, key: str) -> bool:
    """Whether this is the account's key, compared in constant time."""
    right = account.api_key.get_secret_value() if account.api_key else ""
    return bool(right) and hmac.compare_digest(right.encode(), key.encode())


def _require_project(call: Call, account: OpenAIAccount) -> None:
    """Project addresses take no api-version (azure-skills, platform-gotchas); wordings UNVERIFIED."""
    if "api-version" in call.query:
        raise refused(400, "BadRequest", "api-version query parameter is not allowed when using /v1 path")
    if call.params["project"] not in account.projects or ".openai." in call.host:
        raise refused(404, "NotFound", "Project not found")


def _require_version(call: Call, version: str) -> None:
    """The classic surface without api-version does not exist, and an unknown one is refused (public issue threads)."""
    if not version:
        raise errors.no_route(call)
    if version not in VERSIONS:
        raise refused(400, "BadRequest", "API version not supported")
