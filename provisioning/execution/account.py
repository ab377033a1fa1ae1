"""Change the Azure OpenAI account."""

from provisioning import shell
from provisioning.durations import spell
from provisioning.errors import BusyError, ConflictError
from provisioning.execution import side_effects
from provisioning.execution.services import APART, READS, SETTLING, Services
from provisioning.models import CHANGING, Account, Principal
from provisioning.planning.actions import AwaitAccount, EnableIdentity


def enable_identity(services: Services, action: EnableIdentity) -> Principal:
    """Enable the account's system-assigned identity and return it.

    The account is read again first, because the write lists the user-assigned identities to keep. If somebody else
    has enabled the identity in the meantime, nothing is written.

    Raises:
        ConflictError: the account shows no identity, or lost a user-assigned one; or others are changing these.
    """
    before = _read(services, action)
    account = before if before.principal_id else services.azure.enable_identity(before.group, before)
    if not (account.principal_id and _users(before) <= _users(account)):
        services.clock.sleep(APART)
        account = services.azure.account(before.group, before.name)
    side_effects.of_account(services, before, account)
    if lost := sorted(_users(before) - _users(account)):
        raise ConflictError(
            f"{account.name} lost user-assigned identities while its identity was enabled: {', '.join(lost)}.",
            hint=f"Assign them again: {shell.az_account(account, 'identity', 'assign', '--user-assigned', *lost)}",
        )
    if not account.principal_id:
        raise ConflictError(
            f"{account.name} accepted the request to enable its identity, but has none.",
            hint="Somebody may have removed it at the same time: run the same command again.",
        )
    return Principal(account.principal_id, account.name, "ServicePrincipal")


def _read(services: Services, action: EnableIdentity) -> Account:
    """Read the account until it shows the same user-assigned identities as the read before, the plan's at first."""
    seen = action.account
    for _ in range(READS):
        now = wait_until_settled(services, AwaitAccount(action.account))
        if _users(now) == _users(seen):
            return now
        seen = now
        services.clock.sleep(APART)
    raise ConflictError(
        f"Every read of {seen.name} shows different user-assigned identities: others are changing them.",
        hint="Agree with those who change the account, then run the same command again.",
    )


def _users(account: Account) -> frozenset[str]:
    return frozenset(each.lower() for each in account.user_identities)


def wait_until_settled(services: Services, action: AwaitAccount) -> Account:
    """Wait until a change of the account that is in progress has finished."""
    account = action.account
    for _ in services.attempts(SETTLING, "the account's change to finish"):
        account = services.azure.account(action.account.group, action.account.name)
        if account.state.lower() not in CHANGING:
            return account
    raise BusyError(
        f"{account.name} is still {account.state.lower()} after {spell(SETTLING)}.",
        hint="Run the same command again when `az cognitiveservices account show` shows the state Succeeded.",
    )
