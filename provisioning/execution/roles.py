"""Assign roles, read them back, and wait until they take effect."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from provisioning.clock import pause_until
from provisioning.errors import ConflictError, PrincipalMissingError
from provisioning.execution.services import SETTLING, Services
from provisioning.models import Principal
from provisioning.planning.actions import AssignRole, AwaitRoles
from provisioning.planning.ownership import Purpose, description

REPLICATION = timedelta(minutes=2)
"""How long a new identity may be unknown to parts of the directory (Microsoft, RBAC troubleshooting)."""


@dataclass(frozen=True)
class NewAssignment:
    """A role assignment that this execution made. Ids are in lower case, and `created` is Azure's time."""

    scope: str
    principal_id: str
    role_id: str
    created: datetime | None = None


def assign(services: Services, action: AssignRole, principal: Principal) -> NewAssignment | None:
    """Assign a role; return None if it was skipped because the directory does not know the principal."""
    switching = not action.vault.rbac and action.at_vault
    likely = "User" if action.purpose is Purpose.CONTRIBUTOR else "ServicePrincipal"
    scope, text = action.scope, description(action.purpose, action.owner, switching=switching)
    try:
        made = services.retry_on(
            PrincipalMissingError,
            lambda: services.azure.roles.assign(scope, principal, action.role_id, text, likely),
            REPLICATION if action.new_principal else timedelta(0),
            f"the directory to know {principal.label}",
        )
    except PrincipalMissingError:
        if action.skip_if_unknown:
            return None
        raise
    assigned = NewAssignment(scope, principal.object_id.lower(), action.role_id, made.created)
    if not action.at_vault:
        require_listed(services, [assigned])
    return assigned


def wait_for_effect(services: Services, action: AwaitRoles, youngest: datetime | None) -> None:
    """Wait for the rest of the propagation time, counted from the newest role that another principal depends on.

    The age of a role from an interrupted run is read from Azure. A slow local clock only makes the wait longer.
    """
    if youngest is None:
        return
    end = min(youngest, services.clock.now()) + action.wait
    pause_until(
        services.clock,
        end,
        action.wait,
        lambda elapsed, budget: services.reporter.waiting("roles to take effect before the switch", elapsed, budget),
    )


def require_listed(services: Services, assigned: Collection[NewAssignment], meaning: str = "") -> None:
    """Wait until Azure lists these assignments.

    Raises:
        ConflictError: some of them are not listed in time. `meaning` says what was not done as a result.
    """
    if not assigned:
        return
    missing: list[NewAssignment] = []
    for _ in services.attempts(SETTLING, "the new roles to be listed"):
        listed = {
            (a.principal_id.lower(), a.role_id)
            for scope in {a.scope for a in assigned}
            for a in services.azure.roles.at(scope)
        }
        missing = [a for a in assigned if (a.principal_id, a.role_id) not in listed]
        if not missing:
            return
    raise ConflictError(
        f"{len(missing)} of the roles just assigned are not listed" + (f"; {meaning}." if meaning else "."),
        hint="Somebody may be removing them: run the same command again.",
    )
