"""The source of the W&B API key: Key Vault through an Azure identity, or the environment. It is never put in os.environ."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import RetryPolicy
from azure.identity import CredentialUnavailableError
from azure.keyvault.secrets import KeyVaultSecret, SecretClient
from pydantic import SecretStr

from function_app.azure.identity import LIMITS
from function_app.connections import TRUST, untrusted
from function_app.errors import VaultBusyError, VaultError, first_line
from function_app.traffic import VAULT, count_request

log = logging.getLogger(__name__)

_LONGEST_WAIT = 10.0
"""Seconds of Retry-After that are obeyed; a longer wait is left to the next tick."""

KEPT_FOR = 3600.0
"""Seconds that a key is used while the vault cannot be reached."""

FRESH_FOR = 300.0
"""Seconds that a key is used before the vault is read again. A key that W&B refuses is read again immediately."""

EXPIRING = 30
"""Days before a key's expiry from which every reading logs a warning."""

_OUTSIDE = (
    "the vault's network rules refuse this address",
    "Add the address or the app's subnet to the vault's network rules, or a private endpoint; trying again does not help.",
)

_NO_POLICY = (
    "the vault uses access policies, and none lets this identity read secrets",
    "Run `python -m provisioning setup`, which moves the vault to Azure RBAC.",
)
_WHAT_403_MEANS = {
    "ForbiddenByRbac": (
        "this identity has no role on the secret",
        "Assign it 'Key Vault Secrets User' on the secret (infra/ does); a new role takes up to ten minutes to work.",
    ),
    "ForbiddenByPolicy": _NO_POLICY,
    "AccessDenied": _NO_POLICY,
    "ForbiddenByFirewall": _OUTSIDE,
    "ForbiddenByConnection": _OUTSIDE,  # the code of a vault without public access (captured in public issues)
    "SecretDisabled": ("the secret is disabled", "Enable it, or run `python -m provisioning rotate-key`."),
}


class _Retry(RetryPolicy[Any, Any]):
    """azure-core's retry policy with a limit on the Retry-After that it obeys."""

    def is_retry(self, settings: dict[str, Any], response: Any) -> bool:
        """Return whether to send the request again."""
        wait = self.get_retry_after(response)
        return (wait is None or wait <= _LONGEST_WAIT) and bool(super().is_retry(settings, response))


class VaultKey:
    """A key in Key Vault. It is read again every few minutes, so that a rotation needs no restart."""

    def __init__(
        self,
        vault_url: str,
        name: str,
        credential: TokenCredential,
        *,
        clock: Callable[[], float] = time.monotonic,
        limits: Mapping[str, Any] = LIMITS,
    ) -> None:
        self._name = name
        self._url = vault_url
        self._client = SecretClient(
            vault_url,
            credential,
            raw_request_hook=lambda _: count_request(VAULT),
            retry_policy=_Retry(**limits),
            **limits,
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._key: SecretStr | None = None
        self._version = ""
        self._read_at = 0.0

    def get(self, *, refused: SecretStr | None = None) -> SecretStr:
        """Return the key. Read the vault if the last reading is older than FRESH_FOR or returned the `refused` key.

        Raises:
            VaultError: the vault does not return it.
        """
        with self._lock:
            key = self._key
            if key is None or key == refused or self._clock() - self._read_at > FRESH_FOR:
                key = self._key = self._refreshed(refused)
            if key == refused:  # the vault's current key, not the previous one
                fields = {"version": self._version}
                log.warning("key state=refused version=%(version)s", fields, extra=fields)
            return key

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _refreshed(self, refused: SecretStr | None) -> SecretStr:
        """Return the key as the vault has it now. While the vault cannot be reached, a good key is used for some time longer."""
        try:
            key = self._read()
        except VaultBusyError as error:
            age = self._clock() - self._read_at
            if self._key is None or self._key == refused or age > KEPT_FOR:
                raise
            log.warning("key state=kept age=%.0f reason=%s", age, error.message)
            return self._key
        self._read_at = self._clock()
        return key

    def _read(self) -> SecretStr:
        where = f"secret {self._name} in {self._url}"
        try:
            secret = self._client.get_secret(self._name)
        except ResourceNotFoundError:
            raise VaultError(
                f"There is no {where}.", "Run `python -m provisioning setup`, or correct WANDB_SECRET_NAME."
            ) from None
        except (ClientAuthenticationError, CredentialUnavailableError) as error:
            kind = VaultError if self._key is None else VaultBusyError  # it could before, so this is an outage
            raise kind(
                f"There is no Azure identity that can read {where}: {first_line(error)}",
                "On a laptop: `az login`. In Azure: give the app an identity, and AZURE_CLIENT_ID if it is user-assigned.",
            ) from error
        except HttpResponseError as error:
            raise _refused(error, where) from error
        except AzureError as error:
            raise VaultBusyError(
                f"Cannot reach {where}: {first_line(error)}",
                TRUST if untrusted(error) else "Check KEY_VAULT_URL and the network.",
            ) from error
        except ValueError as error:  # azure-keyvault-secrets checks the audience of the token before it sends it
            raise VaultError(
                f"{self._url} asked for a token of another service, and got none: {first_line(error)}",
                "Check KEY_VAULT_URL; a gateway in front of the vault must pass on the vault's challenge.",
            ) from error
        if not secret.value:
            raise VaultError(f"The {where} is empty.", "Run `python -m provisioning rotate-key`.")
        self._version = secret.properties.version or ""
        _log_reading(secret)
        return SecretStr(secret.value.strip())


def _log_reading(secret: KeyVaultSecret) -> None:
    """Log that the key was read, and whether it expires soon. The key itself is not logged."""
    expires = secret.properties.expires_on
    fields: dict[str, object] = {
        "version": secret.properties.version,
        "expires": expires.date().isoformat() if expires else "never",
    }
    log.info("key state=read version=%(version)s expires=%(expires)s", fields, extra=fields)
    if expires and (days := (expires - datetime.now(UTC)).days) < EXPIRING:
        fields["days"] = days
        line = "key state=expiring days=%(days)d version=%(version)s expires=%(expires)s"
        log.warning(line, fields, extra=fields)


def _refused(error: HttpResponseError, where: str) -> VaultError:
    inner = getattr(error.error, "innererror", None) or {}
    code = inner.get("code", "") if isinstance(inner, dict) else ""
    if code in _WHAT_403_MEANS:
        what, hint = _WHAT_403_MEANS[code]
        return VaultError(f"Cannot read {where}: {what}.", hint)
    status = error.status_code or 0
    kind = VaultBusyError if status in (408, 429) or status >= 500 else VaultError
    return kind(f"Cannot read {where}: {first_line(error)}")
