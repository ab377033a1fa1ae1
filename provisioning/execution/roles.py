"""What the executor does about roles: assign them, see them listed, give them time."""

from collections.abc import Sequence
from datetime import timedelta

from provisioning.clock import attempts, pause_until
from provisioning.errors import ConflictError, PrincipalMissingError
from provisioning.execution.context import SETTLING, Context
from provisioning.models import Principal
from provisioning.planning.ownership import description
from provisioning.planning.steps import AssignRole, AwaitRoles

REPLICATION = timedelta(minutes=2)
"""How long a new identity may be unknown to parts of the directory (Microsoft, RBAC troubleshooting)."""


def assign(ctx: Context, wanted: AssignRole) -> str:
    """Assign a role; the directory gets some time to know an identity that is new."""
    principal, scope = whose(ctx, wanted.principal), ctx.observed.vault.scope(wanted.secret)
    try:
        ctx.insist(
            lambda: ctx.azure.roles.assign(
                scope, principal, wanted.role_id, description(wanted.purpose, ctx.target.account)
            ),
            PrincipalMissingError,
            REPLICATION if wanted.fresh else timedelta(0),
            ctx.telling(f"the directory to know {principal.label}"),
        )
    except PrincipalMissingError:
        if wanted.guards and ctx.target.accept_loss:
            return "skipped: the directory does not know it"
        raise
    grant = (principal.object_id.lower(), wanted.role_id)
    if wanted.secret:
        _see_listed(ctx, scope, [grant])
        return ""
    ctx.granted.append(grant)
    if wanted.guards:
        ctx.guarded_at = ctx.clock.now()
    return ""


def whose(ctx: Context, principal: Principal | None) -> Principal:
    """Who a grant is for: who was named, or the account's identity, which an earlier step has made."""
    who = principal or ctx.identity
    if who is None:
        raise ConflictError(
            "The account's identity is gone before it got its access.", hint="Run the same command again."
        )
    return who


def await_roles(ctx: Context, wait: AwaitRoles) -> str:
    """Wait out what is left of the propagation time, counted from the youngest role that somebody depends on.

    A role from an interrupted run is as old as Azure says; a clock of ours that is behind only waits longer.
    """
    youngest = max((t for t in (wait.newest, ctx.guarded_at) if t), default=None)
    if youngest is None:
        return ""
    end = min(youngest, ctx.clock.now()) + wait.wait
    pause_until(ctx.clock, end, wait.wait, ctx.telling("roles to take effect before the switch"))
    return ""


def read_back(ctx: Context) -> None:
    """See every role at the vault in Azure's own listing before anything depends on it."""
    if ctx.granted:
        _see_listed(ctx, ctx.observed.vault.id, ctx.granted, "the vault was not switched")


def _see_listed(ctx: Context, scope: str, granted: Sequence[tuple[str, str]], meaning: str = "") -> None:
    missing: list[tuple[str, str]] = []
    for _ in attempts(ctx.clock, SETTLING, ctx.telling("the new roles to be listed")):
        listed = {(a.principal_id.lower(), a.role_id) for a in ctx.azure.roles.at(scope)}
        missing = [pair for pair in granted if pair not in listed]
        if not missing:
            return
    raise ConflictError(
        f"{len(missing)} of the roles just assigned are not listed" + (f"; {meaning}." if meaning else "."),
        hint="Somebody may be taking them away: run the same command again.",
    )
