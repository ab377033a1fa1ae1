"""Cache tokens for the whole process. Each SDK client caches separately, and a command has half a dozen clients."""

import time
from collections.abc import Callable
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential

_LEFT_AT_LEAST = 300.0
"""Seconds. A token with less time left is not returned again; azure-core's clients would not use it."""


class CachedCredential:
    """Caches another credential's tokens until they are about to expire. In memory, for one thread.

    azure-identity caches the tokens of its own sign-ins. For `az`, `azd` and PowerShell it starts a process for every token,
    which takes a second or more, and leaves caching to the application (Microsoft, AzureCliCredential.get_token).
    """

    def __init__(self, credential: TokenCredential, now: Callable[[], float] = time.time) -> None:
        self._credential = credential
        self._now = now
        self._cached: dict[tuple[Any, ...], AccessToken] = {}

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **more: Any,
    ) -> AccessToken:
        """A token for the scopes. `claims`, a service's answer to a token that it no longer accepts, require a new one.

        Raises:
            azure.core.exceptions.ClientAuthenticationError: no credential returned a token.
        """
        kind = (scopes, tenant_id, enable_cae)
        cached = self._cached.get(kind)
        if claims or cached is None or cached.expires_on - self._now() <= _LEFT_AT_LEAST:
            cached = self._cached[kind] = self._credential.get_token(
                *scopes, claims=claims, tenant_id=tenant_id, enable_cae=enable_cae, **more
            )
        return cached
