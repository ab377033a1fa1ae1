"""The principals of a plan and the roles that they hold. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from provisioning.models import Assignment, Observed, Principal
from provisioning.resource_ids import below, same

LASTING = timedelta(minutes=30)
"""How long a role of the operator must last to count: longer than a run takes."""
UNREADABLE_END = datetime.max.replace(tzinfo=UTC)
"""The end of a role that ends at a time in an unknown form: it is not permanent, but may last as long as a run."""


def operator(observed: Observed) -> Principal:
    """Return the signed-in principal."""
    return Principal(observed.caller.object_id, "you", observed.caller.kind)


NO_MFA = "without multi-factor authentication: where it is mandatory, Azure will refuse the first write"
"""The plan's warning about a user whose token does not show multi-factor authentication."""


def account_identity(observed: Observed) -> Principal | None:
    """Return the account's system-assigned identity, or None if it has none."""
    account = observed.account
    return Principal(account.principal_id, account.name, "ServicePrincipal") if account.principal_id else None


def principal(observed: Observed, object_id: str) -> Principal:
    """Return the principal with this object id, with the best name that is known."""
    if is_operator(observed, object_id):
        return operator(observed)
    account = account_identity(observed)
    if account and same(account.object_id, object_id):
        return account
    return observed.principals.get(object_id.lower(), Principal(object_id))


def is_operator(observed: Observed, object_id: str) -> bool:
    """Return whether this is the object id of the signed-in principal."""
    return same(object_id, observed.caller.object_id)


def held_at_vault(observed: Observed, object_id: str) -> dict[str, datetime | None]:
    """Return the roles as held_by does, but only those that are assigned at the vault itself.

    Only these replace an access policy. A role from a management group takes hours to reach a data plane, and one from
    above may be an activation that ends (facts of Azure RBAC and Privileged Identity Management).
    """
    at_vault = tuple(a for a in observed.assignments if same(a.scope, observed.vault.id))
    return held_by(replace(observed, assignments=at_vault), object_id)


def narrowed(observed: Observed, object_id: str, role_id: str, scope: str) -> str:
    """Return the id of the principal's assignment of this role at exactly this scope if it has a condition, else nothing.

    Azure refuses the same assignment without a condition beside it, and writing it would remove the condition.
    """
    for each in observed.assignments:
        if (
            each.conditional
            and each.role_id == role_id
            and same(each.principal_id, object_id)
            and same(each.scope, scope)
        ):
            return each.id
    return ""


def held_by(observed: Observed, object_id: str) -> dict[str, datetime | None]:
    """Return the roles that a principal holds on the whole vault without conditions, and since when (the earliest).

    A role that ends (an activation, or another time-bound assignment) counts for nobody but the operator, whose work ends
    before it.
    """
    found: dict[str, datetime | None] = {}
    for each in observed.assignments:
        mine = same(each.principal_id, object_id) and not each.conditional and lasts(observed, each)
        if mine and not below(each.scope, observed.vault.id):
            known = [t for t in (found.get(each.role_id), each.created) if t]
            found[each.role_id] = min(known, default=None)
    return found


def with_ends(assignments: Iterable[Assignment], ends: Mapping[str, datetime]) -> tuple[Assignment, ...]:
    """Return the assignments with the time when they end, as far as `ends` has them."""
    return tuple(replace(a, ends=ends.get(a.id.lower(), a.ends)) for a in assignments)


def until(role: str, assignment: Assignment) -> str:
    """Return when an assignment of this role ends, in words; empty if it does not end."""
    if assignment.ends is None:
        return ""
    when = (
        "a date that cannot be read" if assignment.ends == UNREADABLE_END else f"{assignment.ends:%Y-%m-%d %H:%M} UTC"
    )
    return f"its role {role} ends on {when}"


CANNOT_ADD = "and a permanent one cannot be added before that"
"""The plan's note on a role that ends: ARM has one assignment for a role, scope and principal."""


def ending(assignments: Iterable[Assignment], object_id: str, role_id: str, scope: str) -> Assignment | None:
    """Return the principal's assignment of this role at exactly this scope if it ends. None can be added beside it."""
    for each in assignments:
        if each.ends and each.role_id == role_id and same(each.principal_id, object_id) and same(each.scope, scope):
            return each
    return None


def lasts(observed: Observed, assignment: Assignment) -> bool:
    """Return whether an assignment is permanent, or for the operator lasts as long as a run takes."""
    mine = is_operator(observed, assignment.principal_id) and (assignment.ends or observed.at) > observed.at + LASTING
    return assignment.ends is None or mine
