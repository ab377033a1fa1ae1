"""Changes the vault: creates or recovers it, adds access-policy entries, and switches its access model."""

from collections.abc import Collection, Mapping
from datetime import datetime

from provisioning.durations import spell
from provisioning.errors import AccessNotEffectiveError, BusyError, ConflictError, ProvisioningError
from provisioning.execution.access import wait_for_access
from provisioning.execution.roles import Assigned, require_listed
from provisioning.execution.services import SETTLING, Services
from provisioning.models import Principal, Vault, VaultState
from provisioning.planning.actions import AllowByPolicy, AwaitVault, CreateVault, RecoverVault, SwitchToRbac
from provisioning.planning.ownership import entries, switched, unswitched, with_entries

# --- existence -------------------------------------------------------------------------------------------------------


def create(services: Services, action: CreateVault) -> Vault:
    """Create the vault, unless somebody has created it since the plan was made: creating replaces what exists."""
    wanted, vaults = action.vault, services.azure.vaults
    if vaults.find(wanted.group, wanted.name):
        raise ConflictError(
            f"Key Vault {wanted.name} was created by somebody else after the plan was made.",
            hint="Run the same command again: it plans with the existing vault.",
        )
    return vaults.create(
        wanted.group, wanted.name, wanted.location, rbac=wanted.rbac, purge_protection=action.purge_protection
    )


def recover(services: Services, action: RecoverVault) -> Vault:
    """Recover the deleted vault."""
    deleted = action.vault
    return services.azure.vaults.recover(deleted.group, deleted.name, deleted.location)


def wait_until_registered(services: Services, action: AwaitVault) -> Vault:
    """Wait until the vault's host name is registered."""
    for _ in services.attempts(SETTLING, "the vault's host name to be registered"):
        found = services.azure.vaults.get(action.vault.group, action.vault.name)
        if found.state is VaultState.READY:
            return found
    raise BusyError(
        f"The host name of {action.vault.name} is still being registered after {spell(SETTLING)}.",
        hint="Run the same command again in some minutes.",
    )


# --- access policies -------------------------------------------------------------------------------------------------


def allow(services: Services, action: AllowByPolicy, vault: Vault, principal: Principal) -> str:
    """Add permissions to an access policy. A new entry is recorded first, so that an interruption loses no record."""
    group, vaults, note = vault.group, services.azure.vaults, ""
    if action.new:
        now = vaults.get(group, vault.name)
        try:
            tags = with_entries(now.tags, [principal.object_id])
            if entries(tags) != entries(now.tags):
                vaults.tag(group, vault, tags)
        except ValueError:
            note = "the vault's tag is full: teardown will not know that setup added this entry"
    vaults.change_policy(group, vault, "add", principal.object_id, action.permissions)
    return note


# --- the switch ------------------------------------------------------------------------------------------------------


def switch(
    services: Services,
    action: SwitchToRbac,
    vault: Vault,
    assigned: Collection[Assigned],
    registered: datetime | None,
) -> str:
    """Switch the vault to Azure RBAC, and back if it does not accept the operator within the access timeout."""
    vaults = services.azure.vaults
    if assigned:
        require_listed(services, assigned, "the vault was not switched")
    now = vaults.get(vault.group, vault.name)  # its tags may have changed while roles took effect
    vaults.use_rbac(vault.group, vault, switched(now.tags, services.clock.now()), enabled=True)
    try:
        _, took = wait_for_access(services, vault, action.owner.secret, registered)
    except AccessNotEffectiveError as error:
        raise _switched_back(services, vault, unswitched(now.tags), error) from error
    return f"the vault accepts you after {spell(took)}"


def _switched_back(
    services: Services, vault: Vault, tags: Mapping[str, str], refusal: AccessNotEffectiveError
) -> AccessNotEffectiveError:
    """Put the vault back on its access policies and return the error that reports it."""
    what = f"After the switch to Azure RBAC the vault did not accept you within {spell(services.access_timeout)}"
    try:
        services.azure.vaults.use_rbac(vault.group, vault, tags, enabled=False)
    except ProvisioningError as error:
        return AccessNotEffectiveError(
            f"{what}, and switching back failed, so it is still on Azure RBAC. {error.message}",
            hint="Run the same command again to wait for the roles, or go back to the access policies: "
            f"az keyvault update -g {vault.group} -n {vault.name} --enable-rbac-authorization false",
        )
    return AccessNotEffectiveError(
        f"{what}, so it was switched back to access policies; everybody has the access they had. {refusal.message}",
        hint="The roles stay assigned and continue to take effect: run the same command again in some minutes, or give "
        "it longer with --access-timeout 30m.",
    )
