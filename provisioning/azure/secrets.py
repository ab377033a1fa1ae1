"""The data plane of a Key Vault: secrets and their versions."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient
from pydantic import SecretStr

from provisioning import shell
from provisioning.azure.transport.errors import code, inner_code, is_lost, text, translated
from provisioning.azure.transport.pipeline import TIMEOUTS, BoundedRetryPolicy, Waiting, items, log_response, silent
from provisioning.errors import (
    AccessNotEffectiveError,
    ConflictError,
    MissingRightsError,
    PolicyError,
    ServiceError,
    VaultUnreachableError,
)
from provisioning.models import Secret, SecretState, SecretVersion

_ONCE: dict[str, Any] = {"retry_on_methods": frozenset()}
"""Options of azure-core's RetryPolicy for one call. Retry only after an answer with Retry-After, which means that the service did
nothing. Setting its counts of connect and read retries to 0 is not enough: a truncated answer counts as neither.
"""

_BUSY = frozenset({429, 500, 503})
"""Statuses of requests that had no effect. After a gateway's 502 or 504 the request may have had an effect."""
_IN_TRANSITION = frozenset({"ObjectIsBeingRecovered", "ObjectIsBeingDeleted"})
"""Inner codes of a conflict that ends by itself (Azure/azure-sdk-for-net issue 31581)."""


class SecretDeletedError(ConflictError):
    """The name belongs to a deleted secret that can be recovered."""


class VaultBusyError(ServiceError):
    """The vault is temporarily busy or unavailable, and probably wrote nothing."""


class VaultSecrets:
    """The secrets of the vault at `uri`. Methods raise the errors of `provisioning.azure.transport.errors`."""

    def __init__(
        self, uri: str, credential: TokenCredential, waiting: Waiting = silent, *, soft_delete: bool = True
    ) -> None:
        self._uri = uri
        self._soft_delete = soft_delete
        self._client = SecretClient(
            uri, credential, raw_response_hook=log_response, retry_policy=BoundedRetryPolicy(waiting), **TIMEOUTS
        )

    def read(self, name: str) -> Secret:
        """The secret's current version; SecretState.UNKNOWN if this identity may not read it.

        Raises:
            VaultUnreachableError: the vault's network rules refuse this machine.
            ProvisioningError: from Azure.
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
            self._raise_refusal(error)
            raise
        known = found.properties
        return Secret(
            SecretState.PRESENT,
            SecretStr(found.value or ""),
            known.version or "",
            known.expires_on,
            dict(known.tags or {}),
            content_type=known.content_type or "",
        )

    def _deleted(self, name: str) -> Secret:
        try:
            found = self._client.get_deleted_secret(name)
        except ResourceNotFoundError:
            return Secret(SecretState.MISSING)
        except HttpResponseError as error:
            # 403: this identity may read secrets but not deleted ones, so only a write shows whether it is deleted.
            # 400: a vault without soft delete has no deleted secrets (UNVERIFIED status).
            if error.status_code == 403 or (error.status_code == 400 and not self._soft_delete):
                return Secret(SecretState.MISSING)
            raise
        return Secret(SecretState.DELETED, tags=dict(found.properties.tags or {}), purge=found.scheduled_purge_date)

    def versions(self, name: str) -> tuple[SecretVersion, ...]:
        """All versions of the secret, the newest first. Empty if it does not exist or is deleted.

        Raises:
            AccessNotEffectiveError: this identity has no access, or not yet.
            MissingRightsError: this identity may read the secret, but not list its versions.
            ProvisioningError: from Azure.
        """
        try:
            return self._versions(name)
        except AccessNotEffectiveError as error:
            if self.read(name).state is SecretState.UNKNOWN:
                raise
            raise MissingRightsError(
                f"You may read secret {name}, but not list its versions: {error.message}",
                hint='A condition on your role may exclude it (`az role assignment list --assignee … --query "[].condition"`). '
                "On a vault with access policies, your entry lacks `list`. Ask for a role on this secret without a "
                "condition, such as Key Vault Secrets Officer.",
            ) from error

    def _versions(self, name: str) -> tuple[SecretVersion, ...]:
        with self._translated(f"Listing the versions of secret {name}"):
            found = [
                SecretVersion(
                    p.version or "",
                    bool(p.enabled),
                    p.created_on,
                    p.expires_on,
                    dict(p.tags or {}),
                    p.content_type or "",
                    "recoverable" in (p.recovery_level or "").lower(),
                )
                for p in items(self._client.list_properties_of_secret_versions(name))
            ]
        return tuple(sorted(found, key=lambda v: v.created.timestamp() if v.created else 0.0, reverse=True))

    def tags(self) -> Mapping[str, Mapping[str, str]]:
        """The tags of the current version of every secret of the vault, by the secret's name. Deleted secrets are left out.

        Raises:
            AccessNotEffectiveError: this identity has no access, or not yet.
            ProvisioningError: from Azure.
        """
        with self._translated("Listing secrets"):
            return {str(p.name): dict(p.tags or {}) for p in items(self._client.list_properties_of_secrets())}

    def has_others(self, name: str) -> bool:
        """Whether the vault holds a secret with another name. Deleted secrets do not count.

        Raises:
            AccessNotEffectiveError: this identity has no access, or not yet.
            ProvisioningError: from Azure.
        """
        with self._translated("Listing secrets"):
            return any(str(p.name).lower() != name.lower() for p in items(self._client.list_properties_of_secrets()))

    def write(
        self, name: str, value: SecretStr, expires: datetime | None, tags: Mapping[str, str], content_type: str
    ) -> None:
        """Write a new version of the secret, which becomes the current one.

        Raises:
            AccessNotEffectiveError: this identity has no access, or not yet.
            SecretDeletedError: the name belongs to a deleted secret; recover it first.
            VaultBusyError: a retry may help; read the secret first, after a pause.
            VaultUnreachableError: the vault's network rules refuse this machine.
            ProvisioningError: from Azure.
        """
        with translated(f"Writing secret {name}"):
            try:
                self._write(name, value, expires, tags, content_type)
            except AzureError as error:
                if is_lost(error):  # the version may exist, and a retry would write another one
                    if self._read(name).value != value:
                        raise
                    return
                if not isinstance(error, HttpResponseError):
                    raise
                self._raise_refusal(error)
                if error.status_code == 409 and inner_code(error) in _IN_TRANSITION:
                    raise VaultBusyError(
                        f"Secret {name} is being recovered or deleted ({inner_code(error)}).",
                        hint="Run the same command again in a minute: it continues where it stopped.",
                    ) from error
                if error.status_code == 409 and inner_code(error) == "ObjectIsDeletedButRecoverable":
                    raise SecretDeletedError(
                        f"Secret {name} is deleted and can be recovered ({inner_code(error)}).",
                        hint=shell.command(
                            "az", "keyvault", "secret", "recover", "--id", f"{self._uri}deletedsecrets/{name}"
                        ),
                    ) from error
                if error.status_code in _BUSY:
                    raise VaultBusyError(
                        f"{self._uri} is temporarily unavailable ({error.status_code} {code(error)}): {text(error)}",
                        hint="Run the same command again in a few minutes: it continues where it stopped.",
                    ) from error
                raise

    def _write(
        self, name: str, value: SecretStr, expires: datetime | None, tags: Mapping[str, str], content_type: str
    ) -> None:
        self._client.set_secret(
            name,
            value.get_secret_value(),
            content_type=content_type,
            expires_on=expires,
            tags=dict(tags),
            **_ONCE,
        )

    def disable(self, name: str, version: str) -> None:
        """Disable this version: nobody can read it until it is enabled again.

        Raises:
            AccessNotEffectiveError: this identity has no access, or not yet.
            ProvisioningError: from Azure.
        """
        with self._translated(f"Disabling version {version} of secret {name}"):
            self._client.update_secret_properties(name, version, enabled=False)

    def expire(self, name: str, version: str, expires: datetime) -> datetime | None:
        """Change when this version expires, and return what the vault answers. Everything else of it stays.

        An expiry cannot be removed: the SDK sends none, and the service keeps what is not sent.

        Raises:
            AccessNotEffectiveError: this identity has no access, or not yet.
            ProvisioningError: from Azure.
        """
        with self._translated(f"Changing the expiry of secret {name}"):
            return self._client.update_secret_properties(name, version, expires_on=expires).expires_on

    def delete(self, name: str) -> None:
        """Delete the secret with all its versions. A missing secret is not an error.

        Raises:
            AccessNotEffectiveError: this identity has no access, or not yet.
            ProvisioningError: from Azure.
        """
        with self._translated(f"Deleting secret {name}"):
            try:
                self._client.begin_delete_secret(name)
            except ResourceNotFoundError:
                return

    def recover(self, name: str) -> None:
        """Recover a deleted secret. It becomes readable after some seconds.

        Raises:
            ProvisioningError: from Azure. A secret that was already recovered is not an error.
        """
        with self._translated(f"Recovering secret {name}"):
            try:
                self._client.begin_recover_deleted_secret(name)
            except ResourceNotFoundError:
                return

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """Translate SDK errors, and distinguish the refusals of the data plane."""
        with translated(doing):
            try:
                yield
            except HttpResponseError as error:
                self._raise_refusal(error)
                raise

    def _raise_refusal(self, error: HttpResponseError) -> None:
        """Raise our error for a refusal of the data plane. Status and code are always the same; the inner code differs."""
        if error.status_code != 403:
            return
        if inner_code(error) in ("ForbiddenByFirewall", "ForbiddenByConnection"):
            raise VaultUnreachableError(
                f"{self._uri} refuses this machine ({inner_code(error)}): {text(error)}",
                hint="Run this from a network that the vault's rules allow; `az keyvault network-rule list` shows the rules.",
            ) from error
        if inner_code(error) == "ForbiddenByGovernancePolicy":
            raise _policy_refusal(self._uri, error) from error
        raise AccessNotEffectiveError(
            f"{self._uri} refused you access ({inner_code(error) or code(error)}): {text(error)}",
            hint="A new role may take ten minutes or more to work. Run the same command again.",
        ) from error


def _policy_refusal(uri: str, error: HttpResponseError) -> PolicyError:
    """Return the error for a policy on secrets. The hint passes the longest lifetime that the policy names as our option."""
    days = re.search(r"(\d+) days", text(error))
    lifetime = f"--secret-lifetime {days[1]}d" if days else "--secret-lifetime with a shorter time"
    return PolicyError(
        f"An Azure Policy for {uri} refused the secret: {text(error)}",
        hint=f"If the policy limits the lifetime, run the same command with {lifetime}. Otherwise ask the owner of the policy "
        "for the values that it requires, or for an exemption. A deleted policy may stay in force for another day.",
    )
