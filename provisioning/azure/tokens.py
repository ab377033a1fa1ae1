"""Tokens are asked for once in a process. Each SDK client keeps its own, and a command has half a dozen of them."""

import time
from collections.abc import Callable
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential

_LEFT_AT_LEAST = 300.0
"""Seconds. A token with less is not handed out again: azure-core's clients would not use it any longer, either."""


class KeptTokens:
    """A credential that gives out another one's tokens until they are about to expire. In memory only; one thread.

    azure-identity keeps tokens where it signs in itself. For `az`, `azd` and PowerShell, which it starts anew each time and
    which take a second or more, it leaves that to the application (Microsoft, AzureCliCredential.get_token).
    """

    def __init__(self, credential: TokenCredential, now: Callable[[], float] = time.time) -> None:
        self._credential = credential
        self._now = now
        self._kept: dict[tuple[Any, ...], AccessToken] = {}

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **more: Any,
    ) -> AccessToken:
        """A token for the scopes. With `claims`, which are a service's answer to a token it no longer takes, a new one.

        Raises:
            azure.core.exceptions.ClientAuthenticationError: no credential gave a token.
        """
        kind = (scopes, tenant_id, enable_cae)
        kept = self._kept.get(kind)
        if claims or kept is None or kept.expires_on - self._now() <= _LEFT_AT_LEAST:
            kept = self._kept[kind] = self._credential.get_token(
                *scopes, claims=claims, tenant_id=tenant_id, enable_cae=enable_cae, **more
            )
        return kept
