"""Reads account, vault, secret, roles and principals: no more than the plan needs, so that an idle run stays cheap."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from provisioning import shell
from provisioning.azure.client import Azure
from provisioning.azure.fine_tuning import subdomain_hint
from provisioning.clock import Clock
from provisioning.errors import (
    AccessNotEffectiveError,
    BusyError,
    MissingRightsError,
    NotFoundError,
    ServiceError,
    VaultUnreachableError,
    WrongAccountError,
)
from provisioning.models import (
    OPENAI_KINDS,
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
from provisioning.planning.access.principals import until, with_ends
from provisioning.resource_ids import same


class ContributorAccess(NamedTuple):
    """The fields of Observed about contributors: their assignments, and by object id the roles that count and those
    that end.
    """

    assignments: tuple[Assignment, ...]
    roles: Mapping[str, tuple[RoleDefinition, ...]]
    ending: Mapping[str, tuple[str, ...]]


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
    ahead = _ahead(azure, clock)
    there = vault.state in (VaultState.READY, VaultState.REGISTERING)
    assignments = () if target.by_access_policy or not there else _assignments(azure, target, vault, ahead)
    switching = there and not vault.rbac and not target.by_access_policy
    others = {r.lower() for r in (*target.readers, *target.contributors)} | {
        p.object_id for p in vault.policies if switching
    }
    contributing = _contributing(azure, target, account)
    return Observed(
        caller=azure.caller,
        subscription=azure.subscription,
        account=account,
        vault=vault,
        secret=_secret(azure, target, vault),
        at=clock.now(),
        assignments=assignments,
        roles=_roles(azure, target, vault, assignments) if switching else {},
        principals=principals(azure, others - {azure.caller.object_id, account.principal_id}, account),
        effective=effective(azure, target, vault, account, assignments) if there and vault.rbac else {},
        other_secrets=_other_secrets(azure, target, vault, account, assignments),
        on_account=contributing.assignments,
        contributing=contributing.roles,
        ending=contributing.ending,
    )


def _contributing(azure: Azure, target: Target, account: Account) -> ContributorAccess:
    """Read the assignments of the contributors at the account and above, when they end, and the roles of each contributor."""
    held = {each.lower(): azure.roles.of(account.id, each) for each in target.contributors}
    ends = ends_at(azure, account.id) if any(held.values()) else {}
    held = {who: with_ends(found, ends) for who, found in held.items()}
    ids = sorted({a.role_id for found in held.values() for a in found})
    roles = {i: role for i in ids if (role := azure.roles.definition(account.id, i))}

    def named(a: Assignment) -> str:
        return roles[a.role_id].name if a.role_id in roles else a.role_id

    def counts(a: Assignment) -> bool:
        return a.role_id in roles and not a.conditional and not a.ends

    return ContributorAccess(
        tuple(a for found in held.values() for a in found),
        {who: tuple(roles[a.role_id] for a in found if counts(a)) for who, found in held.items()},
        {who: tuple(until(named(a), a) for a in found if a.ends) for who, found in held.items()},
    )


def ends_at(azure: Azure, scope: str) -> Mapping[str, datetime]:
    """Read when roles at a scope and above it end. Where it cannot be read, the roles count as permanent."""
    try:
        return azure.governance.ends(scope)
    except (MissingRightsError, ServiceError):
        return {}


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
    """Read what the operator and the account's identity may do through anything other than an assignment of exactly
    their role.

    `lasts` says whether an assignment lasts long enough to count.
    """
    exact_roles = [(azure.caller.object_id, SECRETS_OFFICER)]
    if account.principal_id and target.with_identity and target.identity_scope is Scope.VAULT:
        exact_roles.append((account.principal_id, target.identity_role))
    found: dict[str, tuple[RoleDefinition, ...]] = {}
    for object_id, role_id in exact_roles:
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


def _ahead(azure: Azure, clock: Clock) -> timedelta:
    """How much the local clock is ahead of Azure's, according to the latest answer.

    Some seconds may be the time that the answer took. With a clock that is a day ahead, no token would be valid.
    """
    now = clock.now()
    ahead = now - (azure.answered_at or now)
    return ahead if timedelta(seconds=5) < ahead < timedelta(days=1) else timedelta(0)


def _assignments(azure: Azure, target: Target, vault: Vault, ahead: timedelta) -> tuple[Assignment, ...]:
    """Read all assignments at or above the vault, or at or above the secret if a role there was requested.

    When they end is read here only if there are any on the secret; otherwise it is read before something is written.
    By a local clock that is `ahead`, young roles would seem old, and nobody would wait for them. So their times are moved to
    that clock. A clock that is behind only makes the wait longer.
    """
    on_secret = target.readers or target.identity_scope is Scope.SECRET
    scope = vault.scope(target.secret if on_secret else "")
    listed = azure.roles.at(scope)
    if on_secret and any(same(each.scope, scope) for each in listed):
        listed = with_ends(listed, ends_at(azure, scope))
    return tuple(replace(each, created=each.created + ahead) if each.created else each for each in listed)


def require_usable(account: Account) -> None:
    """Refuse an account that cannot be used for this.

    Raises:
        WrongAccountError: the account is of another kind or has no custom subdomain.
        BusyError: the account is being deleted.
    """
    if account.kind.lower() not in OPENAI_KINDS:
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
    """Read the roles that may be assigned, and those that the principals of access policies already hold."""
    principals = {p.object_id.lower() for p in vault.policies}
    held = {a.role_id for a in assignments if a.principal_id.lower() in principals}
    found = {i: azure.roles.definition(vault.id, i) for i in sorted({*CANDIDATES, *held})}
    for role_id in (SECRETS_OFFICER, target.identity_role):
        if found[role_id] is None:
            name = CANDIDATES[role_id]
            raise NotFoundError(
                f"This cloud has no role with the id {role_id} ({name}).",
                hint=f"{shell.command('az', 'role', 'definition', 'list', '--name', name)} shows whether it has another id here.",
            )
    return {i: role for i, role in found.items() if role}


def principals(azure: Azure, object_ids: set[str], account: Account) -> Mapping[str, Principal]:
    """Read these principals from the directory."""
    return azure.principals(object_ids, account.principal_id or "") if object_ids else {}
