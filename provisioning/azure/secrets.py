"""The data plane of one Key Vault: one secret and its versions."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    DecodeError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.keyvault.secrets import SecretClient
from pydantic import SecretStr

from provisioning.azure.errors import code, inner_code, text, translated
from provisioning.azure.http_log import log_response
from provisioning.errors import AccessNotEffectiveError, ConflictError, ServiceError, VaultUnreachableError
from provisioning.models import Secret, SecretState, SecretVersion

_CONTENT_TYPE = "Weights & Biases API key"
_ONCE: dict[str, Any] = {"retry_on_methods": frozenset()}
"""An option of azure-core's RetryPolicy for one call: it asks again only where the service says when (Retry-After), and so has
done nothing. Its counts for connecting and reading are not enough: an answer that is cut off counts as neither.
"""


_BUSY = frozenset({429, 500, 503})
"""Answers that say that the request did nothing, as far as the service knows. A gateway's 502 and 504 say less."""


class SecretDeletedError(ConflictError):
    """The name belongs to a deleted secret that can be recovered."""


class VaultBusyError(ServiceError):
    """The vault is busy or broken for the moment, and most likely wrote nothing."""


class VaultSecrets:
    """Secrets of the vault at `uri`."""

    def __init__(self, uri: str, credential: TokenCredential) -> None:
        self._uri = uri
        self._client = SecretClient(uri, credential, raw_response_hook=log_response)

    def read(self, name: str) -> Secret:
        """The secret's current version. Not being allowed to see it is an answer: SecretState.UNKNOWN.

        Raises:
            VaultUnreachableError: a firewall or private endpoint keeps this machine out.
            ProvisioningError: as sdk_errors translates.
        """
        try:
            with translated(f"Reading secret {name}"):
                return self._read(name)
        except AccessNotEffectiveError:
            return Secret(SecretState.UNKNOWN)

    def _read(self, name: str) -> Secret:
        try:
            found = self._client.get_secret(name)
        except ResourceNotFoundError:
            return self._deleted(name)
        except HttpResponseError as error:
            # The inner code of a disabled secret is not documented; the message says so (UNVERIFIED wording).
            if error.status_code == 403 and (inner_code(error) == "SecretDisabled" or "disabled secret" in text(error)):
                return Secret(SecretState.DISABLED)
            self._explain(error)
            raise
        known = found.properties
        return Secret(
            SecretState.PRESENT,
            SecretStr(found.value or ""),
            known.version or "",
            known.expires_on,
            dict(known.tags or {}),
        )

    def _deleted(self, name: str) -> Secret:
        try:
            found = self._client.get_deleted_secret(name)
        except ResourceNotFoundError:
            return Secret(SecretState.MISSING)
        except HttpResponseError as error:
            if error.status_code != 403:
                raise
            return Secret(SecretState.MISSING)  # may read, may not list: writing will tell
        return Secret(SecretState.DELETED, tags=dict(found.properties.tags or {}), purge=found.scheduled_purge_date)

    def versions(self, name: str) -> tuple[SecretVersion, ...]:
        """All versions of the secret, the newest first. None where it does not exist or is deleted.

        Raises:
            AccessNotEffectiveError: the vault does not (yet) let this identity.
            ProvisioningError: as sdk_errors translates.
        """
        with self._spoken(f"Listing the versions of secret {name}"):
            found = [
                SecretVersion(p.version or "", bool(p.enabled), p.created_on, p.expires_on, dict(p.tags or {}))
                for p in self._client.list_properties_of_secret_versions(name)
            ]
        return tuple(sorted(found, key=lambda v: v.created.timestamp() if v.created else 0.0, reverse=True))

    def write(self, name: str, value: SecretStr, expires: datetime | None, tags: Mapping[str, str]) -> None:
        """A new version of the secret, which from then on is the current one.

        Raises:
            AccessNotEffectiveError: the vault does not (yet) let this identity.
            SecretDeletedError: the name belongs to a deleted secret; recover it first.
            VaultBusyError: after a pause and a look at what is there, asking again may help.
            VaultUnreachableError: a firewall or private endpoint keeps this machine out.
            ProvisioningError: as sdk_errors translates.
        """
        with translated(f"Writing secret {name}"):
            try:
                self._write(name, value, expires, tags)
            except (ServiceRequestError, ServiceResponseError, DecodeError):
                # No answer that can be read, so the version may be there or not, and asking again would write another one;
                # a connection that broke is a ServiceRequestError to it, whether or not the request got through.
                if self._read(name).value != value:
                    raise
            except HttpResponseError as error:
                self._explain(error)
                if error.status_code == 409 and inner_code(error).startswith("Object"):
                    raise SecretDeletedError(
                        f"Secret {name} is deleted and can be recovered ({inner_code(error)}).",
                        hint=f"az keyvault secret recover --id {self._uri}deletedsecrets/{name}",
                    ) from error
                if error.status_code in _BUSY:
                    raise VaultBusyError(
                        f"{self._uri} is busy or broken ({error.status_code} {code(error)}): {text(error)}",
                        hint="Run the same command again in some minutes; what is done already is recognised.",
                    ) from error
                raise

    def _write(self, name: str, value: SecretStr, expires: datetime | None, tags: Mapping[str, str]) -> None:
        self._client.set_secret(
            name,
            value.get_secret_value(),
            content_type=_CONTENT_TYPE,
            expires_on=expires,
            tags=dict(tags),
            **_ONCE,
        )

    def disable(self, name: str, version: str) -> None:
        """Let nobody read this version any more; it stays, and can be enabled again.

        Raises:
            AccessNotEffectiveError: the vault does not (yet) let this identity.
            ProvisioningError: as sdk_errors translates.
        """
        with self._spoken(f"Disabling version {version} of secret {name}"):
            self._client.update_secret_properties(name, version, enabled=False)

    def delete(self, name: str) -> None:
        """Delete the secret with all its versions. It stays recoverable; where it is gone already, nothing happens.

        Raises:
            AccessNotEffectiveError: the vault does not (yet) let this identity.
            ProvisioningError: as sdk_errors translates.
        """
        with self._spoken(f"Deleting secret {name}"):
            try:
                self._client.begin_delete_secret(name)
            except ResourceNotFoundError:
                return

    def recover(self, name: str) -> None:
        """Bring a deleted secret back. It is readable some moments later.

        Raises:
            ProvisioningError: as sdk_errors translates; nothing where it was recovered already.
        """
        with self._spoken(f"Recovering secret {name}"):
            try:
                self._client.begin_recover_deleted_secret(name)
            except ResourceNotFoundError:
                return

    @contextmanager
    def _spoken(self, doing: str) -> Iterator[None]:
        """Let no SDK error out, and tell the data plane's refusals apart."""
        with translated(doing):
            try:
                yield
            except HttpResponseError as error:
                self._explain(error)
                raise

    def _explain(self, error: HttpResponseError) -> None:
        """Raise ours for refusals of the data plane. They share status and code; only the inner code differs."""
        if error.status_code != 403:
            return
        if inner_code(error) in ("ForbiddenByFirewall", "ForbiddenByConnection"):
            raise VaultUnreachableError(
                f"{self._uri} refuses this machine ({inner_code(error)}): {text(error)}",
                hint="Run this from a network that the vault's rules allow: az keyvault network-rule list shows them.",
            ) from error
        raise AccessNotEffectiveError(
            f"{self._uri} does not let you in ({inner_code(error) or code(error)}): {text(error)}",
            hint="A new role takes up to ten minutes: run the same command again.",
        ) from error
