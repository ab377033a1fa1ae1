"""Azure RBAC as data and one question: whether a principal may perform an action at a scope at a given time.

Inheritance, groups, conditions, ends and deny assignments: Microsoft, "What is Azure RBAC", "Understand Azure deny
assignments", "Delegate Azure role assignment management to others with conditions".
"""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sandbox.azure.roles import ROLES, Delegation, Role

EVERYBODY = "00000000-0000-0000-0000-000000000000"
"""The principal "All Principals" of a deny assignment."""
_ROOT = re.compile(r"/subscriptions/[^/]+|/providers/microsoft\.management/managementgroups/[^/]+")


@dataclass
class Assignment:
    """A role assignment.

    It works from `effective` (virtual epoch seconds) on, though ARM shows it at once, and for data actions `data_delay`
    seconds later. An activation (PIM) or another time-bound assignment is gone at `expires`.
    """

    name: str
    scope: str
    role_id: str
    principal_id: str
    principal_type: str
    created: float
    effective: float
    created_by: str = ""
    condition: str | None = None
    condition_version: str | None = None
    condition_met: bool = True  # whether the condition, if there is one, is fulfilled for the calls
    condition_refuses: Sequence[str] = ()  # actions that it refuses all the same
    description: str | None = None
    delegation: Delegation | None = None
    expires: float | None = None
    data_delay: float = 0.0

    @property
    def id(self) -> str:
        """The ARM id."""
        return f"{self.scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments/{self.name}"


@dataclass(frozen=True)
class DenyAssignment:
    """A deny assignment: it takes precedence over roles. `principals` are object ids, or EVERYBODY."""

    id: str
    name: str
    scope: str
    denied: Role  # its patterns are the denied actions
    principals: frozenset[str]
    excluded: frozenset[str] = frozenset()

    def denies(self, who: set[str], action: str, *, data: bool) -> bool:
        """Whether one with these ids (its own and its groups') is denied the action."""
        named = EVERYBODY in self.principals or who & self.principals
        return bool(named) and not who & self.excluded and self.denied.permits(action, data=data)


@dataclass
class Rbac:
    """Every assignment of the tenant, who belongs to which group, and which management groups are above what."""

    assignments: dict[str, Assignment] = field(default_factory=dict)  # by name: unique in a tenant
    groups: Mapping[str, frozenset[str]] = field(
        default_factory=dict
    )  # member id -> ids of the groups it is directly in
    roles: dict[str, Role] = field(default_factory=lambda: dict(ROLES))  # by GUID, custom ones among them
    denies: list[DenyAssignment] = field(default_factory=list)
    above: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Scope of a subscription or management group, lower case -> scopes of the management groups above it."""

    def allows(self, principal_id: str, action: str, scope: str, *, data: bool, now: float) -> bool:
        """Whether roles permit it and no deny assignment forbids it."""
        permitted = self.permits(principal_id, action, scope, data=data, now=now)
        return permitted and not self.denial(principal_id, action, scope, data=data)

    def permits(self, principal_id: str, action: str, scope: str, *, data: bool, now: float) -> bool:
        """The union over assignments at or above `scope`, for the principal and its groups, that work by `now`."""
        held = self.held(principal_id, scope, now=now, data=data)
        return any(self.roles[a.role_id].permits(action, data=data) for a in held if action not in a.condition_refuses)

    def denial(self, principal_id: str, action: str, scope: str, *, data: bool = False) -> DenyAssignment | None:
        """The deny assignment that forbids this, if one does."""
        who = self.ids_of(principal_id)
        found = (d for d in self.denies if self.within(scope, d.scope) and d.denies(who, action, data=data))
        return next(found, None)

    def may_assign(
        self, principal_id: str, scope: str, role_id: str, kind: str | None, *, action: str, now: float
    ) -> bool:
        """Whether the principal may assign (or remove) this role, by conditions of assignments and of role definitions."""
        return any(
            self.roles[a.role_id].permits(action, data=False)
            and all(d is None or d.permits(role_id, kind) for d in (a.delegation, self.roles[a.role_id].delegation))
            for a in self.held(principal_id, scope, now=now)
        )

    def unrestricted(self, principal_id: str, action: str, scope: str, *, now: float) -> bool:
        """Whether the principal has the action without any condition."""
        held = self.held(principal_id, scope, now=now)
        free = [self.roles[a.role_id] for a in held if a.condition is None]
        return any(role.permits(action, data=False) for role in free if role.delegation is None) and not self.denial(
            principal_id, action, scope
        )

    def held(self, principal_id: str, scope: str, *, now: float, data: bool = False) -> Iterator[Assignment]:
        """The assignments that work for the principal at `scope` by `now`, inherited ones and its groups' among them."""
        who = self.ids_of(principal_id)
        for each in self.active(now):
            works = each.effective + (each.data_delay if data else 0.0) <= now and each.condition_met
            if works and each.principal_id.lower() in who and self.within(scope, each.scope):
                yield each

    def active(self, now: float) -> list[Assignment]:
        """The assignments that have not ended."""
        return [a for a in self.assignments.values() if a.expires is None or now < a.expires]

    def ids_of(self, principal_id: str) -> set[str]:
        """The ids of a principal and of its groups, nested ones included."""
        found, new = set[str](), {principal_id.lower()}
        while new:
            found |= new
            new = {group for member in new for group in self.groups.get(member, ())} - found
        return found

    def within(self, scope: str, parent: str) -> bool:
        """Whether `scope` is `parent` or below it, by management groups, too."""
        root = _ROOT.match(scope.lower())
        return within(scope, parent) or (bool(root) and parent.lower().rstrip("/") in self.above.get(root[0], ()))  # type: ignore[index] # root is true here

    def add(self, assignment: Assignment) -> None:
        """Add an assignment."""
        self.assignments[assignment.name.lower()] = assignment

    def forget(self, scope: str) -> None:
        """Remove the assignments at and below a scope whose resource was deleted."""
        self.assignments = {k: a for k, a in self.assignments.items() if not within(a.scope, scope)}


def within(scope: str, parent: str) -> bool:
    """Whether `scope` is `parent` or below it, by their paths. ARM ids are compared without letter case."""
    low, above = scope.lower().rstrip("/"), parent.lower().rstrip("/")
    return low == above or low.startswith(above + "/")


def assignment_name(scope: str, principal_id: str, role: str) -> str:
    """Return a name for an assignment that a scenario starts with: a GUID that is the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope}|{principal_id}|{role}".lower()))
