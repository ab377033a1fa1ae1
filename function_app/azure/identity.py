"""The Azure identity behind all clients: the app's in Functions, on a laptop what azure-identity finds, mostly `az login`."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache
from typing import Any, Protocol

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError, ServiceResponseError

from function_app.settings import Settings

LIMITS: dict[str, Any] = {
    "connection_timeout": 5,
    "read_timeout": 10,
    "retry_total": 3,
    "retry_backoff_max": 10,
    "timeout": 60,
}
"""Limits in seconds, and attempts, of a request for a token or to the vault. By default azure-core waits five minutes for
each byte.
The limits of the client that uses a token do not apply to the request for it."""

FAILURES = 3
"""Failures in a row after which the credential is created again."""

_LEFT_AT_LEAST = 300.0
"""Seconds that a kept token must still be valid; azure-core's clients would not use it later."""


class Credential(Protocol):
    """A credential of azure-identity."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token for the scopes."""

    def close(self) -> None:
        """Close its connections."""


class Identity:
    """The tokens of one identity, for all clients and threads of a process. A `TokenCredential` of azure-core.

    * Tokens are kept while they are valid: azure-identity starts a process for each token of `az`.
    * One thread at a time asks for a token of a service. Those that wait share its failure. Of many `az` processes at once,
      some time out (azure-sdk-for-python#37739).
    * After FAILURES in a row the credential is created again: that of a managed identity has failed for days while its
      endpoint answered (azure-sdk-for-js#39566), and MSAL answers from its cache of errors for up to an hour.
    """

    def __init__(
        self,
        create: Callable[[], Credential],
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._create = create
        self._now = now
        self._clock = clock  # a clock that never goes back
        self._credential = create()
        self._failed = 0
        self._lock = threading.Lock()
        self._turns: defaultdict[tuple[Any, ...], threading.Lock] = defaultdict(threading.Lock)
        self._kept: dict[tuple[Any, ...], AccessToken] = {}
        self._errors: dict[tuple[Any, ...], tuple[float, AzureError]] = {}

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **more: Any,
    ) -> AccessToken:
        """Return a token for the scopes. `claims`, a service's answer to a token that it rejects, require a new one.

        Raises:
            azure.core.exceptions.AzureError: there is no token.
        """
        kind = (scopes, tenant_id, enable_cae)
        asked_at = self._clock()
        with self._lock:
            turn = self._turns[kind]
        with turn:
            kept = self._kept.get(kind)
            if kept and not claims and kept.expires_on - self._now() > _LEFT_AT_LEAST:
                return kept
            failed = self._errors.get(kind)
            if failed and failed[0] >= asked_at:  # while this thread waited
                raise failed[1]
            try:
                token = self._ask(scopes, claims=claims, tenant_id=tenant_id, enable_cae=enable_cae, **more)
            except AzureError as error:
                self._errors[kind] = self._clock(), error
                self._renew()
                raise
            self._kept[kind] = token
            self._failed = 0
            return token

    def close(self) -> None:
        """Close its connections."""
        self._credential.close()

    def _ask(self, scopes: tuple[str, ...], **options: Any) -> AccessToken:
        try:
            return self._credential.get_token(*scopes, **options)
        except ValueError as error:  # the answer is a page instead of JSON (azure-sdk-for-python#35938)
            raise ServiceResponseError(f"The answer to the request for a token is not one: {error}") from error

    def _renew(self) -> None:
        with self._lock:
            self._failed += 1
            if self._failed < FAILURES:
                return
            self._failed = 0
            self._credential.close()
            self._credential = self._create()


def identity(*, managed: bool, client_id: str | None = None, limits: Mapping[str, Any] = LIMITS) -> Identity:
    """Return the app's managed identity, or what azure-identity finds.

    The endpoint of a managed identity is on the same machine or link. A proxy would break the request, or answer for
    another machine, and would see its header and the token.
    """
    # Imported here, because it takes 0.15 s, which a sync with keys does not need.
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

    def own(client_id: str | None) -> ManagedIdentityCredential:
        return ManagedIdentityCredential(client_id=client_id, use_env_settings=False, **limits)

    def found() -> DefaultAzureCredential:
        chain = DefaultAzureCredential(process_timeout=30, **limits)
        chain.credentials = tuple(
            own(os.environ.get("AZURE_CLIENT_ID")) if isinstance(each, ManagedIdentityCredential) else each
            for each in chain.credentials
        )
        return chain

    return Identity((lambda: own(client_id)) if managed else found)


def identity_of(
    settings: Settings, resources: ExitStack, *, managed_identity: bool = False
) -> Callable[[], TokenCredential]:
    """Return a function for the identity: the app's in Functions, or on a laptop what azure-identity finds, mostly `az login`.

    The identity is created once, on first use, because a key may not need it. It is closed with the `resources`.
    """

    @cache
    def created() -> TokenCredential:
        found = identity(managed=managed_identity, client_id=settings.azure_client_id)
        resources.callback(found.close)
        return found

    return created
