"""Azure → Observed. Reads only, and no more than the plan needs: an idle run stays cheap."""

from collections.abc import Mapping

from provisioning.azure.client import Azure
from provisioning.azure.fine_tuning import subdomain_hint
from provisioning.clock import Clock
from provisioning.errors import BusyError, NotFoundError, VaultUnreachableError, WrongAccountError
from provisioning.models import (
    SECRETS_OFFICER,
    Account,
    Assignment,
    Observed,
    Principal,
    RoleDefinition,
    Scope,
    Secret,
    SecretState,
    Target,
    Vault,
    VaultState,
)
from provisioning.observation.vault import look_for, shut_out
from provisioning.planning.permissions import CANDIDATES

_KINDS = ("openai", "aiservices")


def observe(azure: Azure, target: Target, clock: Clock) -> Observed:
    """Everything the planner looks at.

    Raises:
        NotFoundError: account, vault or group is not there or not visible.
        WrongAccountError: the account is of another kind or has no custom subdomain.
        WrongVaultError: access policies were asked for, and the vault is on Azure RBAC.
        VaultDeletedError: the vault is in the deleted state, and is not to be recovered.
        VaultNameTakenError: no vault can be made under this name.
        BusyError: the account is being deleted.
        VaultUnreachableError: network rules keep this machine away from the vault's secrets.
        ProvisioningError: as the door to Azure raises.
    """
    account = azure.account(target.resource_group, target.account)
    check_account(account)
    vault = look_for(azure, target, account)
    there = vault.state in (VaultState.READY, VaultState.REGISTERING)
    assignments = () if target.by_access_policy or not there else _assignments(azure, target, vault)
    switching = there and not vault.rbac and not target.by_access_policy
    others = {r.lower() for r in target.readers} | {p.object_id for p in vault.policies if switching}
    return Observed(
        caller=azure.caller,
        subscription=azure.subscription,
        account=account,
        vault=vault,
        secret=_secret(azure, target, vault),
        at=clock.now(),
        assignments=assignments,
        roles=_roles(azure, target, vault, assignments) if switching else {},
        principals=_principals(azure, others - {azure.caller.object_id, account.principal_id}),
    )


def _secret(azure: Azure, target: Target, vault: Vault) -> Secret:
    """The secret, where there is a data plane to ask."""
    match vault.state:
        case VaultState.READY:
            try:
                return azure.secrets(vault).read(target.secret)
            except VaultUnreachableError as error:
                raise shut_out(vault, error) from error
        case VaultState.MISSING:
            return Secret(SecretState.MISSING)
        case _:
            return Secret(SecretState.UNKNOWN)


def _assignments(azure: Azure, target: Target, vault: Vault) -> tuple[Assignment, ...]:
    """Everybody's at or above the vault; at or above the one secret where a role there was asked for."""
    on_secret = target.readers or target.identity_scope is Scope.SECRET
    return azure.roles.at(vault.scope(target.secret if on_secret else ""))


def check_account(account: Account) -> None:
    """Refuse an account that cannot be used for this.

    Raises:
        WrongAccountError: it is of another kind or has no custom subdomain.
        BusyError: it is being deleted.
    """
    if account.kind.lower() not in _KINDS:
        raise WrongAccountError(
            f"{account.name} is a Cognitive Services account of kind {account.kind}, which does not fine-tune.",
            hint="Name an account of kind OpenAI or AIServices with --openai-account.",
        )
    if account.state.lower() == "deleting":
        raise BusyError(f"{account.name} is being deleted.", hint="Name another account with --openai-account.")
    if not account.custom_subdomain:
        raise WrongAccountError(
            f"{account.name} has no custom subdomain, without which nobody can sign in to it through Entra ID.",
            hint=subdomain_hint(account),
        )


def _roles(
    azure: Azure, target: Target, vault: Vault, assignments: tuple[Assignment, ...]
) -> Mapping[str, RoleDefinition]:
    """What the roles give that may be assigned, and those that the access policies' principals hold already."""
    principals = {p.object_id.lower() for p in vault.policies}
    held = {a.role_id for a in assignments if a.principal_id.lower() in principals}
    found = {i: azure.roles.definition(vault.id, i) for i in sorted({*CANDIDATES, *held})}
    for wanted in (SECRETS_OFFICER, target.identity_role):
        if found[wanted] is None:
            name = CANDIDATES[wanted]
            raise NotFoundError(
                f"This cloud has no role with the id {wanted} ({name}).",
                hint=f"az role definition list --name '{name}' shows whether it has another id here.",
            )
    return {i: role for i, role in found.items() if role}


def _principals(azure: Azure, object_ids: set[str]) -> Mapping[str, Principal]:
    return azure.principals(object_ids) if object_ids else {}
