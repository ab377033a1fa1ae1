"""Cache tokens for the whole process. Each SDK client caches separately, and a command has half a dozen clients."""

import time
from collections.abc import Callable
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError

LEFT_AT_LEAST = 300.0
"""Seconds. A token with less time left is renewed; azure-core's clients would not use it, and `az` renews its own then."""


class CachedCredential:
    """Caches another credential's tokens until they are about to expire. In memory, for one thread.

    azure-identity caches the tokens of its own sign-ins. With `az`, `azd` and PowerShell it starts a process for every token,
    which takes a second or more, and leaves caching to the application (Microsoft, AzureCliCredential.get_token).
    """

    def __init__(self, credential: TokenCredential, now: Callable[[], float] = time.time) -> None:
        self._credential = credential
        self._now = now
        self._cached: dict[tuple[Any, ...], AccessToken] = {}
        self._renewed: dict[tuple[Any, ...], float] = {}

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **more: Any,
    ) -> AccessToken:
        """A token for the scopes. `claims`, a service's answer to a token that it no longer accepts, require a new one.

        A token that cannot be renewed is used until its last second, because a vault may have to be switched back.

        Raises:
            azure.core.exceptions.ClientAuthenticationError: no credential returned a token.
        """
        kind = (scopes, tenant_id, enable_cae)
        cached = self._cached.get(kind)
        if claims or cached is None or self._left(cached) <= LEFT_AT_LEAST:
            try:
                cached = self._cached[kind] = self._ask(kind, claims=claims, **more)
            except ClientAuthenticationError:
                if claims or cached is None or self._left(cached) <= 0:
                    raise
        return cached

    def renew(self, needed: float, *, besides: str = "") -> None:
        """Ask for new tokens in place of those with less time left than `needed` seconds, except for the scope `besides`.

        The credential may return a token that it has cached itself, which says nothing about its ability to renew it.

        Raises:
            azure.core.exceptions.ClientAuthenticationError: the credential refused to renew a token.
        """
        for kind, cached in list(self._cached.items()):
            proven = self._now() - self._renewed.get(kind, float("-inf")) <= LEFT_AT_LEAST
            if kind[0] == (besides,) or proven or self._left(cached) >= needed:
                continue
            new = self._ask(kind)
            if new.expires_on > cached.expires_on:
                self._renewed[kind] = self._now()
            self._cached[kind] = new

    def left(self, *, besides: str = "") -> float:
        """The seconds until the first of the tokens ends."""
        tokens = (token for kind, token in self._cached.items() if kind[0] != (besides,))
        return min(map(self._left, tokens), default=0.0)

    def _left(self, token: AccessToken) -> float:
        return token.expires_on - self._now()

    def _ask(self, kind: tuple[Any, ...], **more: Any) -> AccessToken:
        scopes, tenant_id, enable_cae = kind
        return self._credential.get_token(*scopes, tenant_id=tenant_id, enable_cae=enable_cae, **more)
