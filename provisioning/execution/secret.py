"""Write the secret: store the key, rotate it, and disable older versions."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr

from provisioning.azure.secrets import SecretDeletedError, VaultBusyError
from provisioning.durations import spell
from provisioning.errors import AccessNotEffectiveError, BusyError, ConflictError, KeyNotGivenError
from provisioning.execution.access import wait_for_access
from provisioning.execution.services import SETTLING, Services
from provisioning.models import Secret, SecretState, Vault
from provisioning.planning.actions import DisableVersion, StoreSecret
from provisioning.planning.ownership import secret_tags
from provisioning.planning.secret import expiry, until

_BUSY_FOR = timedelta(minutes=1)
"""How long a write is repeated while the vault is busy, with growing pauses (Microsoft, Key Vault throttling guidance)."""


@dataclass(frozen=True)
class CheckedKey:
    """A W&B key, and the entity that it was checked for."""

    value: SecretStr
    entity: str | None = None


@dataclass(frozen=True)
class _Place:
    """Where the key is written, and how."""

    services: Services
    vault: Vault
    action: StoreSecret
    key: CheckedKey


def store(
    services: Services, action: StoreSecret, vault: Vault, key: CheckedKey | None, registered: datetime | None = None
) -> str:
    """Write the key, unless the vault already holds it."""
    if key is None:
        raise KeyNotGivenError("There is no W&B key to store.", hint="Give one: WANDB_API_KEY or --wandb-key-file.")
    place = _Place(services, vault, action, key)
    found, _ = wait_for_access(services, vault, action.owner.secret, registered)
    if found.state is SecretState.DELETED:
        found = _recover(place)
    if not _holds(found, key):
        try:
            _write(place)
        except SecretDeletedError:  # without the right to read deleted secrets, only the write shows that it is deleted
            found = _recover(place)
            if not _holds(found, key):
                _write(place)
                return ""
        else:
            return ""
    return f"the vault already holds this key, which {until(found.expires)}"


def rotate(services: Services, action: StoreSecret, vault: Vault, key: CheckedKey | None) -> str:
    """Write the new key and wait until the vault returns it. Only then may older versions be disabled."""
    note = store(services, action, vault, key)
    for _ in services.attempts(SETTLING, "the new version to be returned"):
        found = services.azure.secrets(vault).read(action.owner.secret)
        if key is not None and _holds(found, key):
            return note or f"the vault returns version {found.version}"
    raise ConflictError(
        f"The new version of secret {action.owner.secret} was written, but the vault returns another one. Nothing was "
        "disabled.",
        hint="Somebody else may be writing to it: check its versions in the portal, then run the same command again.",
    )


def disable(services: Services, action: DisableVersion) -> None:
    """Disable an older version."""
    services.azure.secrets(action.vault).disable(action.owner.secret, action.version)


def _write(place: _Place) -> None:
    """Write one version. Before a retry the secret is read, because the write may have succeeded without an answer."""
    services, action, key = place.services, place.action, place.key
    secrets, name = services.azure.secrets(place.vault), action.owner.secret
    expires, tags = expiry(action.lifetime, services.clock.now()), secret_tags(action.owner, key.entity)
    asked = False

    def write() -> None:
        nonlocal asked
        if asked and _holds(secrets.read(name), key):
            return
        asked = True
        services.retry_on(
            AccessNotEffectiveError,
            lambda: secrets.write(name, key.value, expires, tags),
            services.access_timeout,
            "the vault to let you write",
        )

    services.retry_on(VaultBusyError, write, _BUSY_FOR, "the vault, which is busy")


def _recover(place: _Place) -> Secret:
    """Recover the deleted secret and wait until it can be read."""
    secrets, name = place.services.azure.secrets(place.vault), place.action.owner.secret
    secrets.recover(name)
    for _ in place.services.attempts(SETTLING, "the recovered secret to appear"):
        found = secrets.read(name)
        if found.state in (SecretState.PRESENT, SecretState.DISABLED):
            return found
    raise BusyError(
        f"Secret {name} was recovered, but still cannot be read after {spell(SETTLING)}.",
        hint="Run the same command again in a minute.",
    )


def _holds(secret: Secret, key: CheckedKey) -> bool:
    """Return whether the secret's current version is this key."""
    return secret.state is SecretState.PRESENT and secret.value == key.value
