"""Which vault is meant, and what state it is in: there, missing, deleted, out of reach. Reads only."""

import re
from contextlib import suppress
from dataclasses import replace

from provisioning.azure.client import Azure
from provisioning.azure.vaults import deleted_vault, name_taken
from provisioning.errors import MissingRightsError, NotFoundError, VaultUnreachableError, WrongVaultError
from provisioning.models import Account, DeletedVault, Network, Target, Vault, VaultState
from provisioning.planning.vault import UNTRUSTED


def look_for(azure: Azure, target: Target, account: Account) -> Vault:
    """The vault, or what is to be made or recovered in its place where that was asked for.

    Raises:
        NotFoundError: there is none, and none is to be made; or it cannot be recovered from here.
        WrongVaultError: access policies were asked for, and it is on Azure RBAC.
        VaultDeletedError: it is in the deleted state, and is not to be recovered.
        VaultNameTakenError: it is to be made, and its name is not free.
        ProvisioningError: as the door to Azure raises.
    """
    found = azure.vaults.find(target.resource_group, target.vault)
    if found is None:
        return _absent(azure, target, account)
    if target.by_access_policy and found.rbac:
        raise WrongVaultError(
            f"{found.name} is on Azure RBAC, where access policies count for nothing; --vault-access-policy would "
            "not let anybody in.",
            hint="Leave the option away: roles are what Microsoft recommends. To put the vault on access policies, "
            "which takes away what roles give on it: az keyvault update "
            f"-g {target.resource_group} -n {found.name} --enable-rbac-authorization false",
        )
    return found


def _absent(azure: Azure, target: Target, account: Account) -> Vault:
    """What stands for a vault that is not there: one to recover, or one to make.

    Who has rights on the group only may not look for deleted vaults or ask for names, but may recover and create:
    then that tells.
    """
    group_id = account.id.partition("/providers/")[0]
    vault = Vault(
        id=f"{group_id}/providers/Microsoft.KeyVault/vaults/{target.vault}",
        name=target.vault,
        uri="",
        rbac=not target.by_access_policy,
        location=target.location or account.location,
        state=VaultState.DELETED if target.recover_vault else VaultState.MISSING,
    )
    with suppress(MissingRightsError):
        gone = azure.vaults.deleted(target.vault)
        if gone:
            return _deleted(target, vault, gone)
        if target.recover_vault:
            raise NotFoundError(
                f"There is no Key Vault {target.vault} in the deleted state.",
                hint="Check --key-vault and --subscription, or make a new one with --create-key-vault.",
            )
    if target.create_vault:
        with suppress(MissingRightsError):
            if refusal := azure.vaults.refusal(target.vault):
                raise name_taken(target.vault, refusal)
    elif not target.recover_vault:
        missing = azure.vaults.missing(target.resource_group, target.vault)
        raise NotFoundError(missing.message, hint=f"{missing.hint} `setup --create-key-vault` makes it.")
    return vault


def _deleted(target: Target, vault: Vault, gone: DeletedVault) -> Vault:
    """The vault to recover, where Azure says it is."""
    if gone.id.lower() != vault.id.lower():
        raise NotFoundError(
            f"There is no Key Vault {vault.name} here; one of this name was deleted elsewhere: {gone.id}.",
            hint="Name its resource group with -g to recover it, or another vault with --key-vault.",
        )
    if not target.recover_vault:
        raise deleted_vault(vault.name, gone)
    return replace(vault, location=gone.location)


def shut_out(vault: Vault, refusal: VaultUnreachableError) -> VaultUnreachableError:
    """The refusal of the data plane, with what the vault's own properties say about its cause."""
    match vault.network:
        case Network.PRIVATE | Network.PERIMETER:
            message = f"{vault.name} answers {vault.network} only, and this machine is outside."
            hint = (
                "Run this from a network that has a private endpoint to the vault (a machine in that virtual network, "
                "or a VPN into it)"
            )
        case _:
            message = f"The firewall of {vault.name} keeps this machine out."
            hint = (
                f"Run this from an allowed network, or allow this one: az keyvault network-rule add -n {vault.name} "
                f"--ip-address {_address(refusal) or 'ADDRESS'}"
            )
    return VaultUnreachableError(
        f"{message} Trying again does not help. {refusal.message}",
        hint=f"{hint} (the function app and Azure OpenAI need a way in, too: {UNTRUSTED})",
    )


def _address(refusal: VaultUnreachableError) -> str | None:
    """Whom the vault saw, where it says so (wording of public reports, UNVERIFIED)."""
    found = re.search(r"Client address: ([0-9a-fA-F.:]*[0-9a-fA-F])", refusal.message)
    return found[1] if found else None
