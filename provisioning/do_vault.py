"""What the executor does to the vault itself: the switch to Azure RBAC, and the way back when it shuts the operator out."""

from datetime import timedelta

from .context import Context
from .do_roles import read_back
from .errors import AccessNotEffectiveError, ProvisioningError
from .model import Secret, SecretState
from .timespan import spell
from .waiting import attempts


def switch(ctx: Context) -> str:
    """Switch the vault to Azure RBAC; back again where it does not let the operator in within the budget."""
    group, vault = ctx.target.resource_group, ctx.observed.vault
    if ctx.granted:
        read_back(ctx)
    ctx.azure.use_rbac(group, vault, enabled=True)
    try:
        _, took = let_in(ctx)
    except AccessNotEffectiveError as error:
        raise _switched_back(ctx, error) from error
    return f"secrets answer you after {spell(took)}"


def _switched_back(ctx: Context, refusal: AccessNotEffectiveError) -> AccessNotEffectiveError:
    """Put the vault back on its access policies; the error that tells so."""
    group, vault = ctx.target.resource_group, ctx.observed.vault
    what = f"After the switch to Azure RBAC the vault did not let you in within {spell(ctx.access_timeout)}"
    try:
        ctx.azure.use_rbac(group, vault, enabled=False)
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
        found = secrets.read(ctx.target.secret)
        if found.state is not SecretState.UNKNOWN:
            return found, elapsed
    raise AccessNotEffectiveError(
        f"The vault {ctx.observed.vault.name} still refuses you.",
        hint="A role can take longer than usual: run the same command again in some minutes.",
    )
