"""Reads account, vault, secret, roles and principals: no more than the plan needs, so that an idle run stays cheap."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from provisioning import shell
from provisioning.azure.client import Azure
from provisioning.azure.fine_tuning import subdomain_hint
from provisioning.clock import Clock
from provisioning.errors import (
    AccessNotEffectiveError,
    BusyError,
    MissingRightsError,
    NotFoundError,
    VaultUnreachableError,
    WrongAccountError,
)
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
from provisioning.observation.vault import find_vault, network_refusal
from provisioning.planning.access.permissions import CANDIDATES
from provisioning.planning.owned import former_vault, owned_roles
from provisioning.planning.ownership import ACCOUNT_TAG, wrote
from provisioning.resource_ids import same, subscription_id_of

_KINDS = ("openai", "aiservices")


def observe(azure: Azure, target: Target, clock: Clock) -> Observed:
    """Read everything that plans of setup and rotate-key depend on.

    Raises:
        NotFoundError: account, vault or group does not exist or is not visible.
        WrongAccountError: the account is of another kind or has no custom subdomain.
        WrongVaultError: access policies were asked for, and the vault is on Azure RBAC.
        VaultDeletedError: the vault is in the deleted state, and recovery was not requested.
        VaultNameTakenError: no vault can be created under this name.
        BusyError: the account is being deleted.
        VaultUnreachableError: network rules keep this machine away from the vault's secrets.
        ProvisioningError: from Azure.
    """
    account = azure.account(target.resource_group, target.account)
    require_usable(account)
    vault = find_vault(azure, target, account)
    there = vault.state in (VaultState.READY, VaultState.REGISTERING)
    assignments = () if target.by_access_policy or not there else _assignments(azure, target, vault)
    switching = there and not vault.rbac and not target.by_access_policy
    others = {r.lower() for r in (*target.readers, *target.contributors)} | {
        p.object_id for p in vault.policies if switching
    }
    on_account, contributing = _contributing(azure, target, account)
    return Observed(
        caller=azure.caller,
        subscription=azure.subscription,
        account=account,
        vault=vault,
        secret=_secret(azure, target, vault),
        at=clock.now(),
        assignments=assignments,
        roles=_roles(azure, target, vault, assignments) if switching else {},
        principals=_principals(azure, others - {azure.caller.object_id, account.principal_id}, account),
        effective=effective(azure, target, vault, account, assignments) if there and vault.rbac else {},
        other_secrets=_other_secrets(azure, target, vault, account, assignments),
        on_account=on_account,
        contributing=contributing,
    )


def _contributing(
    azure: Azure, target: Target, account: Account
) -> tuple[tuple[Assignment, ...], Mapping[str, tuple[RoleDefinition, ...]]]:
    """Read the assignments of the contributors at the account and above, and the roles that count for each of them."""
    held = {each.lower(): azure.roles.of(account.id, each) for each in target.contributors}
    ids = sorted({a.role_id for found in held.values() for a in found})
    roles = {i: role for i in ids if (role := azure.roles.definition(account.id, i))}
    return (
        tuple(a for found in held.values() for a in found),
        {
            who: tuple(roles[a.role_id] for a in found if not a.conditional and a.role_id in roles)
            for who, found in held.items()
        },
    )


def _other_secrets(
    azure: Azure, target: Target, vault: Vault, account: Account, assignments: tuple[Assignment, ...]
) -> bool | None:
    """Look for other secrets if the account's identity needs a role on the whole vault and does not have one."""
    whole = target.with_identity and target.identity_scope is Scope.VAULT and not target.by_access_policy
    mine = account.principal_id or ""
    if not whole or any(same(a.principal_id, mine) and a.role_id == target.identity_role for a in assignments):
        return None
    if vault.state is VaultState.MISSING:
        return False
    if vault.state is not VaultState.READY:
        return None
    try:
        return azure.secrets(vault).has_others(target.secret)
    except (AccessNotEffectiveError, VaultUnreachableError):
        return None


def effective(
    azure: Azure,
    target: Target,
    vault: Vault,
    account: Account,
    assignments: tuple[Assignment, ...],
    lasts: Callable[[Assignment], bool] = lambda each: True,
) -> Mapping[str, tuple[RoleDefinition, ...]]:
    """Read what the operator and the account's identity may do through anything but an assignment of exactly their role.

    `lasts` says whether an assignment lasts long enough to count.
    """
    wanted = [(azure.caller.object_id, SECRETS_OFFICER)]
    if account.principal_id and target.with_identity and target.identity_scope is Scope.VAULT:
        wanted.append((account.principal_id, target.identity_role))
    found: dict[str, tuple[RoleDefinition, ...]] = {}
    for object_id, role_id in wanted:
        if any(
            same(a.principal_id, object_id) and a.role_id == role_id and not a.conditional and lasts(a)
            for a in assignments
        ):
            continue
        held = {a.role_id for a in azure.roles.of(vault.id, object_id) if not a.conditional and lasts(a)}
        roles = (azure.roles.definition(vault.id, each) for each in sorted(held))
        found[object_id.lower()] = tuple(role for role in roles if role)
    return found


def _secret(azure: Azure, target: Target, vault: Vault) -> Secret:
    """Read the secret, if the vault has a data plane."""
    match vault.state:
        case VaultState.READY:
            try:
                return azure.secrets(vault).read(target.secret)
            except VaultUnreachableError as error:
                raise network_refusal(vault, error) from error
        case VaultState.MISSING:
            return Secret(SecretState.MISSING)
        case _:
            return Secret(SecretState.UNKNOWN)


def _assignments(azure: Azure, target: Target, vault: Vault) -> tuple[Assignment, ...]:
    """Read all assignments at or above the vault, or at or above the secret if a role there was requested."""
    on_secret = target.readers or target.identity_scope is Scope.SECRET
    return azure.roles.at(vault.scope(target.secret if on_secret else ""))


def require_usable(account: Account) -> None:
    """Refuse an account that cannot be used for this.

    Raises:
        WrongAccountError: the account is of another kind or has no custom subdomain.
        BusyError: the account is being deleted.
    """
    if account.kind.lower() not in _KINDS:
        raise WrongAccountError(
            f"{account.name} is a Cognitive Services account of kind {account.kind}, which does not support fine-tuning.",
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
    """Read the roles that may be assigned, and those that the principals of access policies hold already."""
    principals = {p.object_id.lower() for p in vault.policies}
    held = {a.role_id for a in assignments if a.principal_id.lower() in principals}
    found = {i: azure.roles.definition(vault.id, i) for i in sorted({*CANDIDATES, *held})}
    for wanted in (SECRETS_OFFICER, target.identity_role):
        if found[wanted] is None:
            name = CANDIDATES[wanted]
            raise NotFoundError(
                f"This cloud has no role with the id {wanted} ({name}).",
                hint=f"{shell.command('az', 'role', 'definition', 'list', '--name', name)} shows whether it has another id here.",
            )
    return {i: role for i, role in found.items() if role}


def observe_for_removal(azure: Azure, target: Target, clock: Clock, *, restore: bool) -> Observed:
    """Read everything that a plan of teardown depends on: assignments below the vault and their principals, too.

    Raises:
        ProvisioningError: as observe raises.
    """
    observed = observe(azure, target, clock)
    vault = observed.vault
    assignments = azure.roles.at_and_below(vault.id)
    on_account, left_behind = azure.roles.at(observed.account.id), _left_behind(azure, vault)
    observed = replace(observed, assignments=assignments, on_account=on_account, left_behind=left_behind)
    going_back = restore and vault.rbac
    owned = (*(each.assignment for each in owned_roles(observed)), *left_behind)
    relevant = (*assignments, *owned) if going_back else owned
    principals = {a.principal_id for a in relevant} | {p.object_id for p in vault.policies}
    ids = sorted({a.role_id for a in assignments}) if going_back else ()
    roles = {i: role for i in ids if (role := azure.roles.definition(vault.id, i))}
    return replace(
        observed,
        principals=_principals(azure, principals, observed.account),
        roles=roles,
        own_secrets=_own_secrets(azure, vault),
    )


def _left_behind(azure: Azure, vault: Vault) -> tuple[Assignment, ...]:
    """Read the role assignments that the vault left behind when it was moved from another group of its subscription.

    Names of vaults are unique in Azure, so a scope with its name is the vault's former id. Nothing is found without the right
    to list the assignments of the subscription.
    """
    try:
        listed = azure.roles.at_and_below(subscription_id_of(vault.id))
    except MissingRightsError:
        return ()
    return tuple(each for each in listed if former_vault(vault, each.scope))


def _own_secrets(azure: Azure, vault: Vault) -> Mapping[str, str] | None:
    """Read which secrets of the vault setup wrote, and for which accounts; None if this identity may not list them."""
    try:
        listed = azure.secrets(vault).tags()
    except (AccessNotEffectiveError, VaultUnreachableError):
        return None
    return {name: tags.get(ACCOUNT_TAG, "") for name, tags in listed.items() if wrote(tags)}


def _principals(azure: Azure, object_ids: set[str], account: Account) -> Mapping[str, Principal]:
    return azure.principals(object_ids, account.principal_id or "") if object_ids else {}
