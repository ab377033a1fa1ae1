"""What governs the resources of a plan: locks, deny assignments, policies, and the operator's right to switch a vault.
Pure.

It is read only when something will be written (observation/governance.py). It can only show obstacles: some of them may be
invisible, so finding none proves nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from provisioning import shell
from provisioning.durations import spell
from provisioning.errors import (
    DenyAssignmentError,
    LockedError,
    MissingRightsError,
    NoWayBackError,
    PolicyError,
    ProvisioningError,
)
from provisioning.models import AccessPolicy, Assignment, RoleDefinition
from provisioning.planning.access.permissions import data_actions, matches
from provisioning.planning.actions import StoreSecret, SwitchToRbac
from provisioning.planning.configuration import configuration_notes
from provisioning.planning.steps import Loss, Plan, Step, Verb
from provisioning.resource_ids import name_of, within

ASSIGN = "Microsoft.Authorization/roleAssignments/write"
DATA_ACCESS_ADMINISTRATOR = "8b54135c-b56d-4d72-a534-26097cfdc8d8"
"""Key Vault Data Access Administrator: the condition is in the role's definition, and not in the assignment."""
_WRITE_SECRET = "Microsoft.KeyVault/vaults/secrets/setSecret/action"  # noqa: S105 - an action, not a secret
_ROLE_ASSIGNMENTS = "microsoft.authorization/roleassignments"
_UNASSIGN = f"{_ROLE_ASSIGNMENTS}/delete"
EVERYBODY = "00000000-0000-0000-0000-000000000000"
"""The principal of a deny assignment that means all principals (Microsoft, "List Azure deny assignments")."""


@dataclass(frozen=True)
class Lock:
    """A management lock, at the scope where it was created."""

    name: str
    level: str  # ReadOnly or CanNotDelete
    scope: str

    def forbids(self, action: str, scope: str) -> bool:
        """Whether the lock forbids a control-plane action at a scope."""
        if not within(scope, self.scope):
            return False
        return action.lower().endswith("/delete") or self.level.lower() == "readonly"


@dataclass(frozen=True)
class DenyAssignment:
    """A deny assignment: what it denies, to whom, and who is excluded. Object ids are in lower case."""

    name: str
    scope: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...]
    data_actions: tuple[str, ...]
    not_data_actions: tuple[str, ...]
    principals: frozenset[str]
    excluded: frozenset[str]

    def denies(self, who: Collection[str], action: str, scope: str, *, data: bool = False) -> bool:
        """Whether it denies an action to a principal, given its own id and those of its groups."""
        yes, no = (self.data_actions, self.not_data_actions) if data else (self.actions, self.not_actions)
        meant = EVERYBODY in self.principals or not self.principals.isdisjoint(who)
        applies = meant and self.excluded.isdisjoint(who) and within(scope, self.scope)
        return applies and matches(yes, action) and not matches(no, action)


class Rule(StrEnum):
    """The requirement of a policy on secrets."""

    VALIDITY = "a limited lifetime"
    EXPIRY = "an expiration date"


@dataclass(frozen=True)
class SecretPolicy:
    """A policy that the vault enforces when a secret is written. `days` is the limit of a lifetime."""

    name: str
    rule: Rule
    days: int = 0

    def refuses(self, lifetime: timedelta | None) -> bool:
        """Whether a secret with this lifetime is refused; None means that it does not expire."""
        return lifetime is None or (self.rule is Rule.VALIDITY and lifetime > timedelta(days=self.days))


@dataclass(frozen=True)
class Refusal:
    """A change that policies will refuse or undo, and the names of these policies."""

    change: str
    policies: tuple[str, ...]


class PolicyPrincipal(NamedTuple):
    """A principal of an access policy, for deny assignments: its name, and its id and those of its groups in lower case."""

    label: str
    ids: frozenset[str]


@dataclass(frozen=True)
class Governance:
    """What governs the resources, as far as this identity may see it.

    Attributes:
        who: the ids of the operator and of its groups, in lower case.
        principals: those of the vault's access policies by id in lower case; read only if a deny assignment concerns data.
        way_back: policies that refuse access policies, or switch the vault back to Azure RBAC.
        sets: policies, each with what it sets with every write, in words.
        undeletable: policies that forbid deletes, each with the resource types in lower case.
        cannot_switch: why the operator's right to assign roles is not enough to change a vault's access model.
        deployments: templates that have the vault, by the names of their deployments.
        unread: what could not be read.
    """

    who: frozenset[str] = frozenset()
    locks: tuple[Lock, ...] = ()
    denials: tuple[DenyAssignment, ...] = ()
    principals: Mapping[str, PolicyPrincipal] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    way_back: tuple[str, ...] = ()
    sets: tuple[tuple[str, str], ...] = ()
    secret_policies: tuple[SecretPolicy, ...] = ()
    undeletable: tuple[tuple[str, frozenset[str]], ...] = ()
    cannot_switch: str = ""
    deployments: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def governed(plan: Plan, governance: Governance) -> Plan:
    """Return the plan with what governance adds: lines for people, losses, and whether there is a way back."""
    steps = [*plan.steps, *configuration_notes(plan, governance.deployments), *_notes(governance)]
    switches = any(isinstance(s.action, SwitchToRbac) for s in plan.work)
    no_way_back = governance.way_back if switches else ()
    if no_way_back:
        steps.append(
            Step(
                Verb.NOTE,
                "way back",
                f"none: policy {', '.join(no_way_back)} demands Azure RBAC",
                danger="if roles do not work after the switch, setup cannot put the vault back on its access policies",
            )
        )
    return replace(plan, steps=tuple(steps), losses=(*plan.losses, *_denied(plan, governance)), no_way_back=no_way_back)


def obstacle(plan: Plan, governance: Governance, *, accept_no_way_back: bool) -> ProvisioningError | None:
    """Return the error for the first thing that will refuse the plan; None if nothing is seen."""
    found = _locked(plan, governance) or _forbidden(plan, governance) or _refused(plan, governance)
    if found is None and plan.no_way_back and not accept_no_way_back:
        policies = ", ".join(plan.no_way_back)
        return NoWayBackError(
            f"Once the vault is on Azure RBAC, policy {policies} refuses to put it back on its access policies, even if roles "
            "turn out not to work.",
            hint="Ask the owner of the policy for an exemption until the switch is done, or pass --accept-no-way-back. A longer "
            "--propagation-wait makes it less likely that a way back is needed.",
        )
    return found


def switching_right(held: Iterable[tuple[Assignment, RoleDefinition]], until: datetime, now: datetime) -> str:
    """Return why the operator may not change the access model; empty if one of the operator's rights has no condition and no end.

    It is also empty if no listed assignment gives the right, because some assignments cannot be listed.
    """
    giving = [(a, r) for a, r in held if matches(r.actions, ASSIGN) and not matches(r.not_actions, ASSIGN)]
    conditioned = [r.name for a, r in giving if a.conditional or r.id == DATA_ACCESS_ADMINISTRATOR]
    free = [(a, r) for a, r in giving if not a.conditional and r.id != DATA_ACCESS_ADMINISTRATOR]
    if not giving or any(a.ends is None or a.ends > until for a, _ in free):
        return ""
    if free:
        name, last = max(((r.name, a.ends) for a, r in free if a.ends), key=lambda pair: pair[1])
        return (
            f"your role {name} ends in {spell(max(last - now, timedelta(0)))}, before the switch is done and verified"
        )
    return f"your right to assign roles has a condition ({', '.join(dict.fromkeys(conditioned))})"


# --- lines of the plan -----------------------------------------------------------------------------------------------


def _notes(governance: Governance) -> Iterator[Step]:
    for policy, sets in governance.sets:
        yield Step(
            Verb.NOTE,
            "policy",
            policy,
            danger=f"sets {sets} with every write, even if the write changes something else",
        )
    if governance.unread:
        yield Step(
            Verb.NOTE, "not read", ", ".join(governance.unread), why="they may refuse or undo some of the changes"
        )


def _denied(plan: Plan, governance: Governance) -> Iterator[Loss]:
    """Principals whose access policies give what a deny assignment will deny them on Azure RBAC."""
    policies = [p for s in plan.work if isinstance(s.action, SwitchToRbac) for p in s.action.vault.policies]
    scopes = [s.action.vault.id for s in plan.work if isinstance(s.action, SwitchToRbac)]
    for policy in policies:
        who = governance.principals.get(policy.object_id.lower()) or PolicyPrincipal(
            policy.object_id, frozenset({policy.object_id.lower()})
        )
        if name := next((d.name for d in governance.denials if _denies_access(d, policy, who, scopes[0])), ""):
            yield Loss(
                who.label,
                policy.object_id,
                f"deny assignment {name} forbids on Azure RBAC what its access policy permits",
            )


def _denies_access(denial: DenyAssignment, policy: AccessPolicy, who: PolicyPrincipal, scope: str) -> bool:
    return any(denial.denies(who.ids, action, scope, data=True) for action in data_actions(policy)[0])


# --- obstacles -------------------------------------------------------------------------------------------------------


def _locked(plan: Plan, governance: Governance) -> ProvisioningError | None:
    found = {lock: right for right in reversed(plan.rights) for lock in governance.locks if lock.forbids(*right)}
    if not found:
        return None
    what = "; ".join(
        f"{lock.name} ({lock.level}) on {name_of(lock.scope)} forbids {right.action} at {name_of(right.scope)}"
        for lock, right in found.items()
    )
    where = "; ".join(dict.fromkeys(shell.az_locks(lock.scope) for lock in found))
    return LockedError(
        f"A lock is in the way: {what}.",
        hint=f"A lock applies to every role. See it with: {where}. Ask its owner to remove it, run the same command again, "
        "and have the lock restored.",
    )


def _forbidden(plan: Plan, governance: Governance) -> ProvisioningError | None:
    """Return the error for deny assignments, and for a right that is not enough for the switch."""
    names = [d.name for right in plan.rights for d in governance.denials if d.denies(governance.who, *right)]
    storing = [s.action for s in plan.work if isinstance(s.action, StoreSecret)]
    names += [
        d.name
        for action in storing
        for d in governance.denials
        if d.denies(governance.who, _WRITE_SECRET, action.vault.id, data=True)
    ]
    if names:
        return DenyAssignmentError(
            f"Deny assignment {', '.join(dict.fromkeys(names))} forbids some of the changes, even for Owners.",
            hint="Managed applications, deployment stacks and blueprints create deny assignments: ask the owner of this one.",
        )
    if governance.cannot_switch:
        return MissingRightsError(
            f"You may not change the access model of a vault, in either direction: {governance.cannot_switch}.",
            hint=f"This requires {ASSIGN} without a condition, for as long as the change may have to be undone: an Owner or User "
            "Access Administrator whose role has no condition can run this command. An activation (PIM) can be extended.",
        )
    return None


def _refused(plan: Plan, governance: Governance) -> ProvisioningError | None:
    """Return the error for policies that will refuse a change, or the secret."""
    if governance.refusals:
        what = "; ".join(f"{each.change} by policy {', '.join(each.policies)}" for each in governance.refusals)
        return PolicyError(
            f"Azure Policy will refuse: {what}.",
            hint="Ask the owner of the policy for an exemption, or for the values that it requires.",
        )
    deletes = any(right.action.lower() == _UNASSIGN for right in plan.rights)
    if deletes and (names := [name for name, types in governance.undeletable if _ROLE_ASSIGNMENTS in types]):
        return PolicyError(
            f"Azure Policy will refuse to remove roles: policy {', '.join(names)} forbids deletes of this type.",
            hint="Ask the owner of the policy for an exemption until the command is done.",
        )
    lifetimes = [s.action.lifetime for s in plan.work if isinstance(s.action, StoreSecret)]
    refusing = [p for p in governance.secret_policies if any(p.refuses(lifetime) for lifetime in lifetimes)]
    if refusing:
        days = min((p.days for p in refusing if p.rule is Rule.VALIDITY), default=180)
        return PolicyError(
            f"Policy {', '.join(p.name for p in refusing)} demands {refusing[0].rule} of a secret"
            + (f": at most {days} days." if refusing[0].rule is Rule.VALIDITY else "."),
            hint=f"Run the same command with --secret-lifetime {days}d.",
        )
    return None
