"""What a plan says about the secret: whether it holds the key, and until when. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from provisioning.models import KeyState, Observed, Secret, SecretState, Target
from provisioning.planning.steps import Step, StoreSecret, Verb

SOON = timedelta(days=30)
"""How long before a secret expires this is a warning."""


def secret_step(target: Target, observed: Observed, key: KeyState) -> Step:
    """The line about the secret, which is written only where it does not hold the key."""
    resource, found = f"secret {target.secret}", observed.secret
    if key is KeyState.SAME:
        return _present(resource, "holds this key", found, observed.at)
    if key is KeyState.NONE and found.state is SecretState.PRESENT:
        return _present(resource, "present (no key given to compare with)", found, observed.at)
    detail, danger = _DIFFERS.get(found.state, ("the W&B key", ""))
    return Step(
        Verb.CHANGE if found.state in _DIFFERS else Verb.ADD,
        resource,
        f"{detail}; {until(expiry(target, observed.at))}",
        why="; ".join(_why(found.state, key)),
        before=found.state.value,
        after="the W&B key",
        danger=danger,
        action=StoreSecret(),
    )


def _why(found: SecretState, key: KeyState) -> Iterator[str]:
    if found is SecretState.UNKNOWN:
        yield "unless it is there already, which you cannot see yet"
    if key is KeyState.NONE:
        yield "setup asks for the key"


_DIFFERS = {
    SecretState.PRESENT: (
        "a new version with the W&B key",
        "the vault holds another value now; its version stays readable",
    ),
    SecretState.DISABLED: (
        "a new version with the W&B key",
        "somebody disabled the version that is there; the new one can be read",
    ),
    SecretState.DELETED: ("recovered, and a new version if it holds another key", ""),
}
"""What is written where something is there already, and what to know about it."""


def expiry(target: Target, now: datetime) -> datetime | None:
    """When a version that is written now expires; None for never."""
    return None if target.secret_lifetime is None else now + target.secret_lifetime


def warning(expires: datetime | None, now: datetime) -> str:
    """What to know about a secret that has expired or soon will; empty otherwise.

    Key Vault goes on giving out an expired secret: the date only informs (Microsoft, "About secrets").
    """
    if expires is None or expires - now > SOON:
        return ""
    if expires <= now:
        return f"it expired on {expires:%Y-%m-%d}; it can still be read. `rotate-key` stores a new key"
    days = max(1, round((expires - now) / timedelta(days=1)))
    left = f"{days} days" if days > 1 else "1 day"
    return f"it expires in {left}; it can be read after that, too. `rotate-key` stores a new key"


def _present(resource: str, detail: str, found: Secret, now: datetime) -> Step:
    return Step(Verb.ALREADY, resource, f"{detail}; {until(found.expires)}", danger=warning(found.expires, now))


def until(expires: datetime | None) -> str:
    """Its expiry in words."""
    return f"expires {expires:%Y-%m-%d}" if expires else "does not expire"
