"""Azure → Observed. Reads only, and no more than the plan needs: an idle run stays cheap."""

from collections.abc import Mapping

from .access import CANDIDATES
from .azure import Azure
from .errors import BusyError, NotFoundError, WrongAccountError
from .model import SECRETS_OFFICER, Account, Assignment, Observed, Principal, RoleDefinition, Target, Vault
from .waiting import Clock

_KINDS = ("openai", "aiservices")


def observe(azure: Azure, target: Target, clock: Clock) -> Observed:
    """Everything the planner looks at.

    Raises:
        NotFoundError: account, vault or group is not there or not visible.
        WrongAccountError: the account is of another kind or has no custom subdomain.
        BusyError: the account is being deleted.
        VaultUnreachableError: network rules keep this machine away from the vault's secrets.
        ProvisioningError: as the door to Azure raises.
    """
    account = azure.account(target.resource_group, target.account)
    _check(account, target.resource_group)
    vault = azure.vault(target.resource_group, target.vault)
    assignments = azure.roles.at(vault.id)
    others = {p.object_id for p in vault.policies} - {azure.caller.object_id, account.principal_id}
    return Observed(
        caller=azure.caller,
        subscription=azure.subscription,
        account=account,
        vault=vault,
        secret=azure.secrets(vault).read(target.secret),
        at=clock.now(),
        assignments=assignments,
        roles={} if vault.rbac else _roles(azure, vault, assignments),
        principals={} if vault.rbac else _principals(azure, others),
    )


def _check(account: Account, group: str) -> None:
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
            hint=f"az cognitiveservices account update -g {group} -n {account.name} --custom-domain {account.name}",
        )


def _roles(azure: Azure, vault: Vault, assignments: tuple[Assignment, ...]) -> Mapping[str, RoleDefinition]:
    """What the roles give that may be assigned, and those that the access policies' principals hold already."""
    principals = {p.object_id.lower() for p in vault.policies}
    held = {a.role_id for a in assignments if a.principal_id.lower() in principals}
    found = {i: azure.roles.definition(vault.id, i) for i in sorted({*CANDIDATES, *held})}
    if found[SECRETS_OFFICER] is None:
        raise NotFoundError(
            f"This cloud has no role with the id {SECRETS_OFFICER} (Key Vault Secrets Officer).",
            hint="az role definition list --name 'Key Vault Secrets Officer' shows whether it has another id here.",
        )
    return {i: role for i, role in found.items() if role}


def _principals(azure: Azure, object_ids: set[str]) -> Mapping[str, Principal]:
    return azure.principals(object_ids) if object_ids else {}
