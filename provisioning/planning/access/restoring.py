"""The access that would be lost if teardown switched the vault back: roles give it, and the access policies do not.
Pure.
"""

from collections.abc import Collection, Iterable, Iterator

from provisioning.models import OPENAI_CONTRIBUTOR, Assignment, Observed
from provisioning.planning.access import contributors
from provisioning.planning.access.permissions import (
    CANDIDATES,
    KNOWN_ACTIONS,
    data_actions,
    grants,
    own_policies,
    summary,
)
from provisioning.planning.access.principals import principal
from provisioning.planning.ownership import Purpose, role_record
from provisioning.planning.steps import Loss
from provisioning.resource_ids import same


def losses_of_restoring(observed: Observed, removed: Collection[Assignment], removed_scope: str) -> Iterator[Loss]:
    """List principals whose roles permit more than their access policies will, mostly roles that were assigned after
    the switch. Roles in `removed` go anyway, and `removed_scope` no longer exists afterwards, so neither is a loss.
    """
    staying: dict[str, list[Assignment]] = {}
    for each in observed.assignments:
        if each not in removed and not same(each.scope, removed_scope) and _granted(observed, [each]):
            staying.setdefault(each.principal_id.lower(), []).append(each)
    for object_id, held in staying.items():
        has = _permitted(observed, object_id)
        lost = _granted(observed, held) - has
        if not lost:
            continue
        names = ", ".join(dict.fromkeys(role_name(observed, a) for a in held))
        reason = f"its access policy does not give {summary(lost)}" if has else "it has no access policy"
        yield Loss(holder(observed, held[0]), object_id, f"{names} by role, and {reason}")


def _granted(observed: Observed, held: Iterable[Assignment]) -> frozenset[str]:
    roles = [observed.roles[a.role_id] for a in held if a.role_id in observed.roles]
    return frozenset(action for action in KNOWN_ACTIONS if any(grants(role, action) for role in roles))


def _permitted(observed: Observed, object_id: str) -> frozenset[str]:
    policies = own_policies(observed.vault.policies, object_id)
    return frozenset[str]().union(*(data_actions(p)[0] for p in policies))


def role_name(observed: Observed, assignment: Assignment) -> str:
    """Return the name of the assigned role."""
    defined = observed.roles.get(assignment.role_id)
    if assignment.role_id == OPENAI_CONTRIBUTOR:
        return contributors.ROLE
    return CANDIDATES.get(assignment.role_id) or (defined.name if defined else assignment.role_id)


def holder(observed: Observed, assignment: Assignment) -> str:
    """Return the name of the principal: for the identity of an account, the name of the account, even after the
    identity is gone.
    """
    record = role_record(assignment.description)
    known = record.account if record and record.purpose is Purpose.IDENTITY else ""
    return known or principal(observed, assignment.principal_id).label
