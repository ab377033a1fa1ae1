"""What the executor does to the vault itself: make it be there, add to its access policies, switch it to Azure RBAC."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from provisioning.clock import attempts
from provisioning.durations import spell
from provisioning.errors import (
    AccessNotEffectiveError,
    BusyError,
    ConflictError,
    ProvisioningError,
    UnreachableError,
)
from provisioning.execution.context import SETTLING, Context
from provisioning.execution.roles import read_back, whose
from provisioning.models import Secret, SecretState, Vault, VaultState
from provisioning.planning.ownership import entries, switched, unswitched, with_entries
from provisioning.planning.steps import AllowByPolicy, CreateVault, RecoverVault

# --- being there -----------------------------------------------------------------------------------------------------


def create(ctx: Context, wanted: CreateVault) -> str:
    """Make the vault. Creating replaces what is there, so somebody may not have been faster since the plan was shown."""
    group, name = ctx.target.resource_group, ctx.target.vault
    if ctx.azure.vaults.find(group, name):
        raise ConflictError(
            f"Key Vault {name} has come into being since the plan was made.",
            hint="Run the same command again: it plans with the vault that is there.",
        )
    made = ctx.azure.vaults.create(
        group, name, wanted.location, rbac=wanted.rbac, purge_protection=wanted.purge_protection
    )
    return _there(ctx, made)


def recover(ctx: Context, wanted: RecoverVault) -> str:
    """Bring the deleted vault back."""
    return _there(ctx, ctx.azure.vaults.recover(ctx.target.resource_group, ctx.target.vault, wanted.location))


def await_vault(ctx: Context) -> str:
    """Wait until the vault's host name is registered."""
    for _ in attempts(ctx.clock, SETTLING, ctx.telling("the vault's host name to be registered")):
        found = ctx.azure.vaults.get(ctx.target.resource_group, ctx.target.vault)
        if found.state is VaultState.READY:
            return _there(ctx, found)
    raise BusyError(
        f"The host name of {ctx.target.vault} is still being registered after {spell(SETTLING)}.",
        hint="Run the same command again in some minutes.",
    )


def _there(ctx: Context, vault: Vault) -> str:
    """From now on this is the vault of the run."""
    ctx.observed = replace(ctx.observed, vault=vault)
    ctx.named_at = ctx.clock.now()
    return vault.uri


# --- access policies -------------------------------------------------------------------------------------------------


def allow(ctx: Context, wanted: AllowByPolicy) -> str:
    """Add permissions to an access policy. That an entry is setup's is noted first: an interruption forgets nothing."""
    group, vault, principal = ctx.target.resource_group, ctx.observed.vault, whose(ctx, wanted.principal)
    note = ""
    if wanted.new:
        now = ctx.azure.vaults.get(group, vault.name)
        try:
            tags = with_entries(now.tags, [principal.object_id])
            if entries(tags) != entries(now.tags):
                ctx.azure.vaults.tag(group, vault, tags)
        except ValueError:
            note = "the vault's tag is full: teardown will not know that this entry is setup's"
    ctx.azure.vaults.change_policy(group, vault, "add", principal.object_id, wanted.permissions)
    return note


# --- the switch ------------------------------------------------------------------------------------------------------


def switch(ctx: Context) -> str:
    """Switch the vault to Azure RBAC; back again where it does not let the operator in within the budget."""
    group, vault = ctx.target.resource_group, ctx.observed.vault
    read_back(ctx)
    now = ctx.azure.vaults.get(group, vault.name)  # its tags may have changed while roles took effect
    ctx.azure.vaults.use_rbac(group, vault, switched(now.tags, ctx.clock.now()), enabled=True)
    try:
        _, took = let_in(ctx)
    except AccessNotEffectiveError as error:
        raise _switched_back(ctx, unswitched(now.tags), error) from error
    return f"secrets answer you after {spell(took)}"


def _switched_back(ctx: Context, tags: Mapping[str, str], refusal: AccessNotEffectiveError) -> AccessNotEffectiveError:
    """Put the vault back on its access policies; the error that tells so."""
    group, vault = ctx.target.resource_group, ctx.observed.vault
    what = f"After the switch to Azure RBAC the vault did not let you in within {spell(ctx.access_timeout)}"
    try:
        ctx.azure.vaults.use_rbac(group, vault, tags, enabled=False)
    except ProvisioningError as error:
        return AccessNotEffectiveError(
            f"{what}, and switching back failed, so that it is still on Azure RBAC. {error.message}",
            hint="Run the same command again to wait for the roles, or go back to the access policies: "
            f"az keyvault update -g {group} -n {vault.name} --enable-rbac-authorization false",
        )
    return AccessNotEffectiveError(
        f"{what}, so it was switched back to access policies; everybody has the access they had. {refusal.message}",
        hint="The roles stay assigned and go on taking effect: run the same command again in some minutes, or give "
        "it longer with --access-timeout 30m.",
    )


def let_in(ctx: Context) -> tuple[Secret, timedelta]:
    """The secret, once the vault's data plane accepts the operator, and how long that took."""
    secrets = ctx.azure.secrets(ctx.observed.vault)
    for elapsed in attempts(ctx.clock, ctx.access_timeout, ctx.telling("the vault to let you in")):
        try:
            found = secrets.read(ctx.target.secret)
        except UnreachableError:  # name servers may not know a new vault's name yet
            if ctx.named_at is None or ctx.clock.now() - ctx.named_at >= SETTLING:
                raise
            continue
        if found.state is not SecretState.UNKNOWN:
            return found, elapsed
    raise AccessNotEffectiveError(
        f"The vault {ctx.observed.vault.name} still refuses you.",
        hint="A role can take longer than usual: run the same command again in some minutes.",
    )
