"""What the executor does about roles: assign them, see them listed, give them time."""

from datetime import timedelta

from .context import SETTLING, Context
from .errors import ConflictError, PrincipalMissingError
from .steps import AssignRole, AwaitRoles
from .waiting import attempts, pause_until

REPLICATION = timedelta(minutes=2)
"""How long a new identity may be unknown to parts of the directory (Microsoft, RBAC troubleshooting)."""


def assign(ctx: Context, wanted: AssignRole) -> str:
    """Assign a role; the directory gets some time to know an identity that is new."""
    principal = wanted.principal or ctx.identity
    if principal is None:
        raise ConflictError(
            "The account's identity is gone before it got its role.", hint="Run the same command again."
        )
    try:
        ctx.insist(
            lambda: ctx.azure.roles.assign(ctx.observed.vault.id, principal, wanted.role_id),
            PrincipalMissingError,
            REPLICATION if wanted.fresh else timedelta(0),
            ctx.telling(f"the directory to know {principal.label}"),
        )
    except PrincipalMissingError:
        if wanted.guards and ctx.target.accept_loss:
            return "skipped: the directory does not know it"
        raise
    ctx.granted.append((principal.object_id.lower(), wanted.role_id))
    if wanted.guards:
        ctx.guarded_at = ctx.clock.now()
    return ""


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
    """See every role in Azure's own listing before anything depends on it."""
    missing: list[tuple[str, str]] = []
    for _ in attempts(ctx.clock, SETTLING, ctx.telling("the new roles to be listed")):
        listed = {(a.principal_id.lower(), a.role_id) for a in ctx.azure.roles.at(ctx.observed.vault.id)}
        missing = [pair for pair in ctx.granted if pair not in listed]
        if not missing:
            return
    raise ConflictError(
        f"{len(missing)} of the roles just assigned are not listed; the vault was not switched.",
        hint="Somebody may be taking them away: run the same command again.",
    )
