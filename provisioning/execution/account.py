"""What the executor does to the Azure OpenAI account."""

from provisioning.clock import attempts
from provisioning.durations import spell
from provisioning.errors import BusyError, ConflictError
from provisioning.execution.context import SETTLING, Context
from provisioning.models import CHANGING, Principal


def enable_identity(ctx: Context) -> str:
    """Give the account its system-assigned identity."""
    account = ctx.azure.enable_identity(ctx.target.resource_group, ctx.observed.account)
    if not account.principal_id:
        raise ConflictError(
            f"{account.name} accepted an identity and shows none.",
            hint="Somebody may have taken it away at the same moment: run the same command again.",
        )
    ctx.identity = Principal(account.principal_id, account.name, "ServicePrincipal")
    return f"principal {account.principal_id}"


def await_account(ctx: Context) -> str:
    """Wait until a change of the account that is under way has come to its end."""
    budget = SETTLING
    for _ in attempts(ctx.clock, budget, ctx.telling("the account's change to finish")):
        account = ctx.azure.account(ctx.target.resource_group, ctx.target.account)
        if account.state.lower() not in CHANGING:
            return account.state
    raise BusyError(
        f"{account.name} is still {account.state.lower()} after {spell(budget)}.",
        hint="Run the same command again when `az cognitiveservices account show` says Succeeded.",
    )
