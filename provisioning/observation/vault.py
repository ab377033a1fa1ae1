"""Finds the vault and its state: ready, missing, deleted or unreachable."""

import re
from contextlib import suppress
from dataclasses import replace

from provisioning import shell
from provisioning.azure.client import Azure
from provisioning.azure.vaults import deleted_vault, name_taken
from provisioning.errors import MissingRightsError, NotFoundError, VaultUnreachableError, WrongVaultError
from provisioning.models import Account, DeletedVault, Network, Target, Vault, VaultState
from provisioning.planning.vault import UNTRUSTED


def find_vault(azure: Azure, target: Target, account: Account) -> Vault:
    """Find the vault, or describe the one to create or recover if that was requested.

    Raises:
        NotFoundError: there is none and none should be created, or it cannot be recovered with this target.
        WrongVaultError: access policies were requested, and the vault is on Azure RBAC; or it is of another tenant.
        VaultDeletedError: the vault is in the deleted state, and recovery was not requested.
        VaultNameTakenError: the name of the vault to create is not available.
        ProvisioningError: from Azure.
    """
    found = azure.vaults.find(target.key_vault_group, target.vault)
    if found is None:
        return _absent(azure, target, account)
    if found.foreign_tenant:
        raise WrongVaultError(
            f"{found.name} belongs to tenant {found.foreign_tenant}, but its subscription does not. Only identities of "
            "that tenant can use its secrets, and the identity of the Azure OpenAI account is not one of them.",
            hint="Name another vault with --key-vault.",
        )
    if target.by_access_policy and found.rbac:
        raise WrongVaultError(
            f"{found.name} is on Azure RBAC, where access policies have no effect; --vault-access-policy would "
            "not give anybody access.",
            hint="Omit the option: Microsoft recommends roles. To put the vault on access policies, which removes the "
            "access that roles give: " + shell.rescue(found.id),
        )
    return found


def _absent(azure: Azure, target: Target, account: Account) -> Vault:
    """Describe a vault that does not exist: one to recover, or one to create.

    An operator with rights on the group only may not list deleted vaults or check names, but may recover and create
    vaults. In that case only the attempt shows what is possible.
    """
    subscription = azure.vaults.subscription_id
    group_id = f"/subscriptions/{subscription}/resourceGroups/{target.key_vault_group}"
    vault = Vault(
        id=f"{group_id}/providers/Microsoft.KeyVault/vaults/{target.vault}",
        name=target.vault,
        uri="",
        rbac=not target.by_access_policy,
        location=target.location or account.location,
        state=VaultState.DELETED if target.recover_vault else VaultState.MISSING,
    )
    may_be_deleted = True
    with suppress(MissingRightsError):
        deleted = azure.vaults.deleted(target.vault)
        may_be_deleted = False
        if deleted:
            return _deleted(target, vault, deleted)
        if target.recover_vault:
            raise NotFoundError(
                f"There is no Key Vault {target.vault} in the deleted state.",
                hint="Check --key-vault and --subscription, or create a new one with --create-key-vault.",
            )
    if target.create_vault:
        try:
            refusal = azure.vaults.refusal(target.vault)
        except MissingRightsError:
            return replace(vault, name_checked=False)
        if refusal:
            if azure.vaults.group_of(target.vault):
                raise azure.vaults.missing(target.key_vault_group, target.vault)
            raise name_taken(target.vault, refusal)
    elif not target.recover_vault:
        missing = azure.vaults.missing(target.key_vault_group, target.vault)
        create = "" if azure.vaults.group_of(target.vault) else " `setup --create-key-vault` creates it."
        recover = (
            " If it was deleted, which you may not read, --recover-key-vault recovers it." if may_be_deleted else ""
        )
        raise NotFoundError(missing.message, hint=f"{missing.hint}{create}{create and recover}")
    return vault


def _deleted(target: Target, vault: Vault, deleted: DeletedVault) -> Vault:
    """Return the vault to recover, in its location."""
    if deleted.id.lower() != vault.id.lower():
        raise NotFoundError(
            f"There is no Key Vault {vault.name} in this group; one of this name was deleted elsewhere: {deleted.id}.",
            hint="Name its resource group with -g to recover it, or another vault with --key-vault.",
        )
    if not target.recover_vault:
        raise deleted_vault(vault.name, deleted)
    return replace(vault, location=deleted.location)


def network_refusal(vault: Vault, refusal: VaultUnreachableError) -> VaultUnreachableError:
    """Return the data plane's refusal with its cause, as far as the vault's properties show it."""
    match vault.network:
        case Network.PRIVATE | Network.PERIMETER:
            message = f"{vault.name} accepts {vault.network} only, and this machine is outside."
            hint = (
                "Run this from a network that has a private endpoint to the vault (a machine in that virtual network, "
                "or a VPN into it)"
            )
        case _:
            message, address = f"The firewall of {vault.name} blocks this machine.", _address(refusal) or "ADDRESS"
            hint = "Run this from an allowed network, or allow this one: " + shell.command(
                "az", "keyvault", "network-rule", "add", "-n", vault.name, "--ip-address", address
            )
    return VaultUnreachableError(
        f"{message} Trying again does not help. {refusal.message}",
        hint=f"{hint} (the function app and Azure OpenAI need network access, too: {UNTRUSTED})",
    )


def _address(refusal: VaultUnreachableError) -> str | None:
    """Return the client address that the refusal names (wording of public reports, UNVERIFIED)."""
    found = re.search(r"Client address: ([0-9a-fA-F.:]*[0-9a-fA-F])", refusal.message)
    return found[1] if found else None
