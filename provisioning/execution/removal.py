"""What the executor takes away again: the secret, roles, access-policy entries, and the vault's switch."""

from collections.abc import Callable, Iterable, Mapping

from provisioning.clock import attempts
from provisioning.durations import spell
from provisioning.errors import BusyError, ConflictError
from provisioning.execution.context import SETTLING, Context
from provisioning.execution.vault import let_in
from provisioning.models import Assignment, SecretState
from provisioning.planning.ownership import unswitched, without_entries, wrote


def remove_secret(ctx: Context) -> str:
    """Delete the secret, which stays recoverable; where somebody else wrote versions of it, disable only ours."""
    secrets, name = ctx.azure.secrets(ctx.observed.vault), ctx.target.secret
    found, _ = let_in(ctx)
    if found.state in (SecretState.MISSING, SecretState.DELETED):
        return "it was gone already"
    versions = secrets.versions(name)
    ours = [v for v in versions if wrote(v.tags)]
    if not ours:
        return "left alone: setup did not write it"
    if len(ours) < len(versions):
        enabled = [v.version for v in ours if v.enabled]
        for version in enabled:
            secrets.disable(name, version)
        return f"{len(enabled)} versions disabled; somebody else wrote the other {len(versions) - len(ours)}"
    secrets.delete(name)
    ctx.deleted = True
    for _ in attempts(ctx.clock, SETTLING, ctx.telling("the secret to be deleted")):
        found = secrets.read(name)
        if found.state is SecretState.DELETED:
            return f"which will be on {found.purge:%Y-%m-%d}" if found.purge else ""
    if found.state is SecretState.MISSING:  # this identity may not see deleted secrets
        return ""
    raise BusyError(
        f"Secret {name} was deleted and can still be read after {spell(SETTLING)}.",
        hint="Run the same command again in a minute.",
    )


def remove_role(ctx: Context, assignment: Assignment) -> str:
    """Take a role assignment away."""
    ctx.azure.roles.remove(assignment)
    return ""


def restore_access_policies(ctx: Context) -> str:
    """Put the vault back on its stored access policies; the mark of the switch goes in the same request."""
    group, vault = ctx.target.resource_group, ctx.observed.vault
    now = ctx.azure.vaults.get(group, vault.name)
    if ctx.azure.vaults.use_rbac(group, now, unswitched(now.tags), enabled=False).rbac:
        raise ConflictError(
            f"Vault {vault.name} was told to go back to its access policies and is on Azure RBAC.",
            hint="An Azure Policy may insist on it: `az policy state list` shows. Roles stay as they are.",
        )
    return ""


def forget_switch(ctx: Context) -> str:
    """Take away the mark of a switch that somebody has taken back."""
    _retag(ctx, unswitched)
    return ""


def remove_entries(ctx: Context, object_ids: Iterable[str]) -> str:
    """Take away the access-policy entries that setup created, then the mark."""
    group, vault = ctx.target.resource_group, ctx.observed.vault
    has = {p.object_id: p.permissions["secrets"] for p in vault.policies if not p.application_id}
    for object_id in object_ids:
        # Azure takes away the permissions that are named, in the letter case that it shows.
        ctx.azure.vaults.change_policy(group, vault, "remove", object_id, has[object_id])
    _retag(ctx, without_entries)
    return ""


def _retag(ctx: Context, change: Callable[[Mapping[str, str]], dict[str, str]]) -> None:
    """Change the vault's tags as they are now: Azure replaces the whole set, and an earlier step may have changed it."""
    group, vault = ctx.target.resource_group, ctx.observed.vault
    now = ctx.azure.vaults.get(group, vault.name)
    ctx.azure.vaults.tag(group, vault, change(now.tags))
