"""What the executor does to the secret."""

from datetime import timedelta

from pydantic import SecretStr

from provisioning.azure.secrets import SecretDeletedError, VaultBusyError
from provisioning.clock import attempts
from provisioning.durations import spell
from provisioning.errors import AccessNotEffectiveError, BusyError, ConflictError, KeyNotGivenError
from provisioning.execution.context import SETTLING, Context
from provisioning.execution.vault import let_in
from provisioning.models import Secret, SecretState
from provisioning.planning.ownership import secret_tags
from provisioning.planning.secret import expiry, until

_BUSY_FOR = timedelta(minutes=1)
"""How long a vault that is busy is asked to write, with growing pauses (Microsoft, Key Vault throttling guidance)."""


def store(ctx: Context) -> str:
    """Write the key, unless the vault turns out to hold it."""
    if ctx.key is None:
        raise KeyNotGivenError("There is no W&B key to store.", hint="Give one: WANDB_API_KEY or --wandb-key-file.")
    key = ctx.key
    found, _ = let_in(ctx)
    if found.state is SecretState.DELETED:
        found = _recover(ctx)
    if holds(found, key):
        return _held(found)
    try:
        _write(ctx, key)
    except SecretDeletedError:  # deleted, and reading deleted ones is not allowed: only writing could tell
        found = _recover(ctx)
        if holds(found, key):
            return _held(found)
        _write(ctx, key)
    return ""


def _held(found: Secret) -> str:
    return f"the vault held this key already, which {until(found.expires)}"


def rotate(ctx: Context) -> str:
    """Write the new key and wait until the vault gives it out: only then may older versions be disabled."""
    note = store(ctx)
    secrets, key = ctx.azure.secrets(ctx.observed.vault), ctx.key
    for _ in attempts(ctx.clock, SETTLING, ctx.telling("the new version to read back")):
        found = secrets.read(ctx.target.secret)
        if key is not None and holds(found, key):
            return note or f"version {found.version} reads back"
    raise ConflictError(
        f"The new version of secret {ctx.target.secret} was written, and the vault gives out another. Nothing was disabled.",
        hint="Somebody else may be writing to it: look at its versions in the portal, then run the same command again.",
    )


def disable(ctx: Context, version: str) -> str:
    """Let nobody read an older version."""
    ctx.azure.secrets(ctx.observed.vault).disable(ctx.target.secret, version)
    return ""


def _write(ctx: Context, key: SecretStr) -> None:
    """Write once. A busy vault is asked again only after a look: each answer that was lost on its way is a version."""
    secrets, name = ctx.azure.secrets(ctx.observed.vault), ctx.target.secret
    expires, tags = expiry(ctx.target, ctx.clock.now()), secret_tags(ctx.target.account, ctx.entity)
    letting = ctx.telling("the vault to let you write")
    asked = False

    def write() -> None:
        nonlocal asked
        if asked and holds(secrets.read(name), key):
            return
        asked = True
        ctx.insist(
            lambda: secrets.write(name, key, expires, tags), AccessNotEffectiveError, ctx.access_timeout, letting
        )

    ctx.insist(write, VaultBusyError, _BUSY_FOR, ctx.telling("the vault, which is busy"))


def _recover(ctx: Context) -> Secret:
    """Recover the deleted secret and wait until it can be read, which takes some moments."""
    secrets, name = ctx.azure.secrets(ctx.observed.vault), ctx.target.secret
    secrets.recover(name)
    for _ in attempts(ctx.clock, SETTLING, ctx.telling("the recovered secret to appear")):
        found = secrets.read(name)
        if found.state in (SecretState.PRESENT, SecretState.DISABLED):
            return found
    raise BusyError(
        f"Secret {name} was recovered and cannot be read after {spell(SETTLING)}.",
        hint="Run the same command again in a minute.",
    )


def holds(secret: Secret, key: SecretStr) -> bool:
    """Whether the secret's current version is this key."""
    return secret.state is SecretState.PRESENT and secret.value == key
