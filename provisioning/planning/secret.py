"""The step for the secret: whether it holds the key, and when it expires. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import SecretStr

from provisioning.models import KeyState, Observed, Secret, SecretState, Target
from provisioning.planning.actions import ChangeExpiry, StoreSecret
from provisioning.planning.ownership import owner
from provisioning.planning.steps import Step, Verb

SOON = timedelta(days=30)
"""How long before a secret expires the plan warns."""


def key_state(secret: Secret, key: SecretStr | None) -> KeyState:
    """Compare the key at hand with the secret as it was read."""
    if key is None:
        return KeyState.NONE
    if secret.state is SecretState.PRESENT and secret.value == key:
        return KeyState.SAME
    return KeyState.OTHER


def secret_step(target: Target, observed: Observed, key: KeyState) -> Step:
    """Plan the secret, which is written only if it does not hold the key."""
    resource, found = f"secret {target.secret}", observed.secret
    if target.renew_expiry and found.state is SecretState.PRESENT and key is not KeyState.OTHER:
        expires = expiry(target.secret_lifetime, observed.at)
        if not agree(found.expires, expires):
            return _renewal(target, observed, expires)
    if key is KeyState.SAME:
        return _present(resource, "holds this key", found, observed.at)
    if key is KeyState.NONE and found.state is SecretState.PRESENT:
        return _present(resource, "present (no key given to compare with)", found, observed.at)
    detail, danger = _DIFFERS.get(found.state, ("the W&B key", ""))
    return Step(
        Verb.CHANGE if found.state in _DIFFERS else Verb.ADD,
        resource,
        f"{detail}; {until(expiry(target.secret_lifetime, observed.at))}",
        why="; ".join(_why(found.state, key)),
        before=found.state.value,
        after="the W&B key",
        danger=danger,
        action=StoreSecret(
            observed.vault,
            owner(target, observed.account.id),
            lifetime=target.secret_lifetime,
            renew=target.renew_expiry,
            new=found.state is SecretState.MISSING,
        ),
    )


_CLOSE = timedelta(days=1)
"""Two expiry dates agree if they differ by less: a lifetime counts from the moment of the command."""


def agree(one: datetime | None, other: datetime | None) -> bool:
    """Return whether two expiry dates differ by no more than the time that a command takes."""
    return one == other if one is None or other is None else abs(one - other) < _CLOSE


def _renewal(target: Target, observed: Observed, expires: datetime | None) -> Step:
    """Plan another expiry for the version that holds the key."""
    found = observed.secret
    how = "" if expires else "; in a new version with the same key, because an expiry cannot be removed"
    return Step(
        Verb.CHANGE,
        f"secret {target.secret}",
        f"{until(expires)}{how}",
        why="--secret-lifetime",
        before=until(found.expires),
        after=until(expires),
        action=ChangeExpiry(observed.vault, owner(target, observed.account.id), found.version, target.secret_lifetime),
    )


def _why(found: SecretState, key: KeyState) -> Iterator[str]:
    if found is SecretState.UNKNOWN:
        yield "unless the vault already holds it, which you cannot see yet"
    if key is KeyState.NONE:
        yield "setup asks for the key"


_DIFFERS = {
    SecretState.PRESENT: (
        "a new version with the W&B key",
        "the vault holds another value; its version stays readable",
    ),
    SecretState.DISABLED: (
        "a new version with the W&B key",
        "the current version is disabled; the new one can be read",
    ),
    SecretState.DELETED: ("recover it, and write a new version if it holds another key", ""),
}
"""The text of the step if there already is a secret, and its danger."""


def expiry(lifetime: timedelta | None, now: datetime) -> datetime | None:
    """Return when a version that is written now expires; None for never."""
    return None if lifetime is None else now + lifetime


def expiry_warning(expires: datetime | None, now: datetime) -> str:
    """Return the warning about a secret that has expired or expires soon; empty for any other.

    Key Vault still returns an expired secret: the date only informs (Microsoft, "About secrets").
    """
    if expires is None or expires - now > SOON:
        return ""
    if expires <= now:
        return f"it expired on {expires:%Y-%m-%d}; it can still be read. {_REMEDY}"
    days = max(1, round((expires - now) / timedelta(days=1)))
    left = f"{days} days" if days > 1 else "1 day"
    return f"it expires in {left}; it can be read after that, too. {_REMEDY}"


_REMEDY = "`rotate-key` stores a new key; `setup --secret-lifetime TIME` gives this one longer"


def _present(resource: str, detail: str, found: Secret, now: datetime) -> Step:
    return Step(Verb.ALREADY, resource, f"{detail}; {until(found.expires)}", danger=expiry_warning(found.expires, now))


def until(expires: datetime | None) -> str:
    """Return the expiry in words."""
    return f"expires {expires:%Y-%m-%d}" if expires else "does not expire"
