"""Write the secret: store the key, rotate it, and disable older versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr

from provisioning.azure.secrets import SecretDeletedError, VaultBusyError
from provisioning.durations import spell
from provisioning.errors import AccessNotEffectiveError, BusyError, ConflictError, KeyNotGivenError
from provisioning.execution.access import wait_for_access
from provisioning.execution.services import SETTLING, OutdatedPlanError, Services
from provisioning.models import Secret, SecretState, SecretVersion, Vault
from provisioning.planning.actions import ChangeExpiry, DisableVersion, StoreSecret
from provisioning.planning.ownership import CONTENT_TYPE, kept_tags, secret_tags
from provisioning.planning.secret import agree, expiry, until

_BUSY_FOR = timedelta(minutes=1)
"""How long a write is repeated while the vault is busy, with growing pauses (Microsoft, Key Vault throttling guidance)."""


@dataclass(frozen=True)
class CheckedKey:
    """A W&B key, and the entity that it was checked for."""

    value: SecretStr
    entity: str | None = None


@dataclass(frozen=True)
class _Place:
    """A key and the place where it is written."""

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
    recovered = found.state is SecretState.DELETED
    if recovered:
        found = _recover(place)
    if not _holds(found, key):
        # A value that setup itself has just recovered is replaced, as if the plan had seen the deleted secret.
        if action.new and found.state is SecretState.PRESENT and not recovered:
            raise OutdatedPlanError(
                f"Secret {action.owner.secret} appeared after the plan was made, and it holds another value. It stays.",
                hint="Ask who stored or recovered it, then run the same command again: it plans with that value.",
            )
        try:
            _write(place, found)
        except SecretDeletedError:  # without the right to read deleted secrets, only the write shows that it is deleted
            found = _recover(place)
            if not _holds(found, key):
                _write(place, found)
                return ""
        else:
            return ""
    if action.renew and not agree(found.expires, expiry(action.lifetime, services.clock.now())):
        return _expire(services, vault, action.owner.secret, found, action.lifetime)
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


def change_expiry(services: Services, action: ChangeExpiry, vault: Vault) -> str:
    """Change when the current version expires, unless there is a newer one since the plan was made."""
    name = action.owner.secret
    found = services.azure.secrets(vault).read(name)
    if found.version != action.version:
        raise OutdatedPlanError(
            f"Secret {name} has a newer version since the plan was made. Its expiry was not changed.",
            hint="Run the same command again: it plans with the current version.",
        )
    return _expire(services, vault, name, found, action.lifetime)


def _expire(services: Services, vault: Vault, name: str, found: Secret, lifetime: timedelta | None) -> str:
    """Let the current version expire after a lifetime from now. Removing the expiry requires a new version with the same key."""
    secrets, expires = services.azure.secrets(vault), expiry(lifetime, services.clock.now())
    if expires is not None:
        shown = secrets.expire(name, found.version, expires)
        if not agree(shown, expires):
            raise ConflictError(
                f"The vault accepted another expiry of secret {name}, which {until(shown)}.",
                hint="An Azure Policy may have changed it: ask the owner of the vault.",
            )
        return f"version {found.version} {until(expires)}"
    if found.value is None:
        raise ConflictError(f"Secret {name} can no longer be read.", hint="Run the same command again.")
    secrets.write(name, found.value, None, found.tags, found.content_type or CONTENT_TYPE)
    for _ in services.attempts(SETTLING, "the new version to be returned"):
        if secrets.read(name).version != found.version:
            return f"version {found.version} with the same key stays enabled, until rotate-key disables it"
    raise BusyError(
        f"A new version of secret {name} was written, but the vault still returns version {found.version}.",
        hint="Run the same command again in a minute.",
    )


def disable(services: Services, action: DisableVersion) -> None:
    """Disable an older version, unless the secret has changed so that this version is current, or no version is.

    Raises:
        OutdatedPlanError: the current version is this one, or cannot be read; nothing was written.
    """
    found = services.azure.secrets(action.vault).read(action.owner.secret)
    if found.state is not SecretState.PRESENT or found.version == action.version:
        raise OutdatedPlanError(
            f"Secret {action.owner.secret} was changed by others after the plan was made. Version {action.version} was not "
            "disabled.",
            hint="Run the same command again: it plans with the secret as it is now.",
        )
    services.azure.secrets(action.vault).disable(action.owner.secret, action.version)


def _write(place: _Place, found: Secret) -> None:
    """Write a version with the tags and the content type of the version that it replaces.

    Before a retry the secret is read, because the write may have succeeded without an answer.
    """
    services, action, key = place.services, place.action, place.key
    secrets, name = services.azure.secrets(place.vault), action.owner.secret
    tags, content_type = _labels(place, found)
    expires = expiry(action.lifetime, services.clock.now())
    attempted = False

    def write() -> None:
        nonlocal attempted
        if attempted and _holds(secrets.read(name), key):
            return
        attempted = True
        services.retry_on(
            AccessNotEffectiveError,
            lambda: secrets.write(name, key.value, expires, tags, content_type),
            services.access_timeout,
            "the vault to let you write",
        )

    services.retry_on(VaultBusyError, write, _BUSY_FOR, "the vault, which is busy")


def _labels(place: _Place, found: Secret) -> tuple[Mapping[str, str], str]:
    """Return the tags and the content type of a new version. Those of a disabled version are only in the list of versions."""
    existing: Secret | SecretVersion = found
    if found.state is SecretState.DISABLED:
        versions = place.services.azure.secrets(place.vault).versions(place.action.owner.secret)
        existing = versions[0] if versions else found
    ours = secret_tags(place.action.owner, place.key.entity)
    return kept_tags(existing.tags, ours), existing.content_type or CONTENT_TYPE


def _recover(place: _Place) -> Secret:
    """Recover the deleted secret and wait until it can be read."""
    secrets, name = place.services.azure.secrets(place.vault), place.action.owner.secret
    secrets.recover(name)
    for _ in place.services.attempts(SETTLING, "the recovered secret to appear"):
        found = secrets.read(name)
        if found.state in (SecretState.PRESENT, SecretState.DISABLED):
            return found
    raise BusyError(
        f"Secret {name} was to be recovered, but still cannot be read after {spell(SETTLING)}. Somebody may have purged it.",
        hint="Run the same command again in a minute.",
    )


def _holds(secret: Secret, key: CheckedKey) -> bool:
    """Return whether the secret's current version is this key."""
    return secret.state is SecretState.PRESENT and secret.value == key.value
