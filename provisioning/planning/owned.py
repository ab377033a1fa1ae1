"""Recognizes what setup added to a vault, and decides what teardown does with it. Pure.

Several secrets and accounts may share a vault, and one role or access-policy entry may then serve several of them. What
belongs to another secret is left alone. What another secret also needs is handed over to it, and not removed.

A role assignment is setup's if it has the record, the derived name, no condition, and exactly a role and a scope that setup
assigns for the recorded purpose. Who could forge all of that could also delete the assignment. An access-policy entry
has no name to derive, and its record is a tag of the vault, which more people may write. Therefore only entries of
principals that the command names or derives are reduced, and only by permissions that setup gives.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from provisioning.models import (
    OPENAI_CONTRIBUTOR,
    SECRETS_OFFICER,
    SECRETS_USER,
    AccessPolicy,
    Assignment,
    Observed,
    Principal,
    Target,
    Vault,
)
from provisioning.planning.access.grants import OFFICER_PERMISSIONS, READER_PERMISSIONS
from provisioning.planning.access.permissions import CANDIDATES, own_policies
from provisioning.planning.access.principals import is_operator
from provisioning.planning.ownership import (
    Owner,
    Purpose,
    RoleRecord,
    entries,
    entries_of_0_1,
    place_of,
    recorded_owner,
    role_record,
    was_switched,
)
from provisioning.resource_ids import name_of, same, within


class Fate(StrEnum):
    """The action of teardown for something that setup added."""

    REMOVE = "remove"
    HAND_OVER = "hand over"
    STAY = "stay"


# --- roles -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OwnedRole:
    """A role assignment that setup made."""

    assignment: Assignment
    record: RoleRecord

    @property
    def purpose(self) -> Purpose:
        """The purpose of the role."""
        return self.record.purpose

    @property
    def of_old_version(self) -> bool:
        """Whether version 0.1 wrote the record, which does not name the secret."""
        return not self.record.secret


def owned_roles(observed: Observed) -> tuple[OwnedRole, ...]:
    """Return the role assignments at the vault and below that setup made and nobody has put a condition on."""
    return tuple(OwnedRole(a, record) for a, record in _recorded(observed) if not a.conditional)


def narrowed_roles(observed: Observed) -> tuple[Assignment, ...]:
    """Return the role assignments that setup made and somebody else has put a condition on."""
    return tuple(a for a, _ in _recorded(observed) if a.conditional)


def _recorded(observed: Observed) -> Iterable[tuple[Assignment, RoleRecord]]:
    """Yield the role assignments that setup made, with their records."""
    for each in observed.all_assignments:
        record = role_record(each.description)
        if record and each.derived and any(_is_as_given(observed, each, record, v.id) for v in observed.vaults):
            yield each, record


def former_vault(vault: Vault, scope: str) -> str:
    """Return the id that the vault had before it was moved, from a scope there; empty for any other scope."""
    known = rf"(/.+/providers/Microsoft\.KeyVault/vaults/{re.escape(vault.name)})(/secrets/|$)"
    found = re.match(known, scope, re.IGNORECASE)
    return found[1] if found and not same(found[1], vault.id) else ""


def roles_left_behind(target: Target, observed: Observed) -> tuple[OwnedRole, ...]:
    """Return the roles of setup for the target that a moved vault left behind. They give no access to anything."""
    found = [OwnedRole(a, record) for a in observed.left_behind if (record := role_record(a.description))]
    return tuple(
        each
        for each in found
        if each.assignment.derived
        and not each.assignment.conditional
        and _is_as_given(observed, each.assignment, each.record, former_vault(observed.vault, each.assignment.scope))
        and belongs_to(target, observed, each)
    )


def _is_as_given(observed: Observed, assignment: Assignment, record: RoleRecord, vault_id: str) -> bool:
    """Whether setup assigns this role at this scope for the recorded purpose."""
    secret = secret_in(assignment.scope) if within(assignment.scope, vault_id) else ""
    at_vault = same(assignment.scope, vault_id)
    at_secret = bool(secret) and (not record.secret or same(secret, record.secret))
    match record.purpose:
        case Purpose.OPERATOR:
            return at_vault and assignment.role_id == SECRETS_OFFICER
        case Purpose.IDENTITY:
            return (at_vault or at_secret) and assignment.role_id in (SECRETS_OFFICER, SECRETS_USER)
        case Purpose.READER:
            return at_secret and assignment.role_id == SECRETS_USER
        case Purpose.CONTRIBUTOR:
            return same(assignment.scope, observed.account.id) and assignment.role_id == OPENAI_CONTRIBUTOR
        case Purpose.CARRIED_OVER:
            return at_vault and assignment.role_id in CANDIDATES


def secret_in(scope: str) -> str:
    """Return the secret that a scope names; empty for a whole vault."""
    return scope.rpartition("/secrets/")[2] if "/secrets/" in scope else ""


def fate_of_role(target: Target, observed: Observed, role: OwnedRole, *, restore: bool) -> Fate:
    """Decide what teardown does with a role. On Azure RBAC, roles also carry what access policies gave before."""
    by_policy = restore or not observed.vault.rbac
    if role.purpose is Purpose.IDENTITY and is_gone(observed, role.assignment):
        return Fate.REMOVE
    if role.purpose is Purpose.CARRIED_OVER:
        undone = restore and observed.vault.rbac
        return Fate.REMOVE if undone or (by_policy and belongs_to(target, observed, role)) else Fate.STAY
    if not belongs_to(target, observed, role):
        return Fate.STAY
    if role.purpose is Purpose.CONTRIBUTOR:
        return Fate.HAND_OVER if successor(target, observed, role.purpose) else Fate.REMOVE
    if not by_policy and role.assignment.principal_id.lower() in had_policies(observed):
        return Fate.STAY
    if role.purpose is not Purpose.IDENTITY and users(target, observed):
        return Fate.HAND_OVER if successor(target, observed, role.purpose) else Fate.STAY
    if not secret_in(role.assignment.scope) and successor(target, observed, role.purpose):
        return Fate.HAND_OVER
    return Fate.REMOVE


def belongs_to(target: Target, observed: Observed, role: OwnedRole) -> bool:
    """Return whether a role was given for the target's secret and account."""
    if of_another_account(target, observed, role):
        return False
    secret = role.record.secret or secret_in(role.assignment.scope)
    return same(secret, target.secret) if secret else is_alone(target, observed)


def of_another_account(target: Target, observed: Observed, role: OwnedRole) -> bool:
    """Return whether a role is for another account than the target's.

    Accounts in different groups may have the same name. Without the account's place in the record, the identity of the
    target's account decides, if it has one.
    """
    record, mine = role.record, observed.account.principal_id
    if not record.account or record.place or not same(record.account, target.account):
        return bool(record.account) and is_other(target, observed, record.owner)
    elsewhere = role.purpose is Purpose.IDENTITY and mine and not same(role.assignment.principal_id, mine)
    return bool(elsewhere) and not is_gone(observed, role.assignment)


def is_other(target: Target, observed: Observed, owner: Owner) -> bool:
    """Return whether a record names an account other than the target's.

    A record without a place applies to every account of that name.
    """
    return not same(owner.account, target.account) or bool(owner.place and owner.place not in _places(observed))


def _places(observed: Observed) -> frozenset[str]:
    """Return the places of the account: where it is, and where it was when its identity got a role, before it was moved."""
    mine, name = observed.account.principal_id or "", observed.account.name
    records = (each.record for each in owned_roles(observed) if same(each.assignment.principal_id, mine))
    before = {m.place for m in records if m.purpose is Purpose.IDENTITY and m.place and same(m.account, name)}
    return frozenset({place_of(observed.account.id), *before})


def is_alone(target: Target, observed: Observed) -> bool:
    """Return whether the vault holds no other secret of setup. Only then does a record without a secret count."""
    found = observed.own_secrets
    return found is not None and all(same(name, target.secret) for name in found)


def successor(target: Target, observed: Observed, purpose: Purpose) -> Owner | None:
    """Return who else needs the same role or entry: another account for this secret, or another secret; None if nobody does."""
    of_account = purpose in (Purpose.IDENTITY, Purpose.CONTRIBUTOR)
    if not of_account:
        for user in users(target, observed):
            if is_other(target, observed, user):
                return user
    for name, record in sorted((observed.own_secrets or {}).items()):
        other = recorded_owner(record or target.account, name)
        if not same(name, target.secret) and (not of_account or not is_other(target, observed, other)):
            return other
    return None


def users(target: Target, observed: Observed) -> tuple[Owner, ...]:
    """Return the other accounts that use the secret: they need it, and perhaps the operators and the readers."""
    by_role = (
        each.record.owner
        for each in owned_roles(observed)
        if each.purpose not in (Purpose.CARRIED_OVER, Purpose.CONTRIBUTOR)
        and same(each.record.secret or secret_in(each.assignment.scope) or target.secret, target.secret)
        and of_another_account(target, observed, each)
        and not is_gone(observed, each.assignment)
    )
    by_entry = (
        entry.owner
        for object_id, entry in entries(observed.vault.tags).items()
        if same(entry.owner.secret, target.secret)
        and is_other(target, observed, entry.owner)
        and own_policies(observed.vault.policies, object_id)
    )
    unrecorded = _users_without_record(target, observed)
    found = {Owner(each.account, target.secret, each.place) for each in (*by_role, *by_entry, *unrecorded)}
    return tuple(sorted(found, key=lambda each: each.record))


def _users_without_record(target: Target, observed: Observed) -> Iterable[Owner]:
    """The other accounts that may use the secret, except those for which a record names another secret in this vault."""
    records = (each.record.owner for each in owned_roles(observed))
    stored = (recorded_owner(record, name) for name, record in (observed.own_secrets or {}).items())
    known = (*records, *stored, *(entry.owner for entry in entries(observed.vault.tags).values()))
    elsewhere = [each for each in known if each.secret and not same(each.secret, target.secret)]
    for account_id in observed.sharing:
        found = Owner(name_of(account_id), target.secret, place_of(account_id))
        if not any(same(each.account, found.account) and each.place in ("", found.place) for each in elsewhere):
            yield found


def evidence(observed: Observed, user: Owner) -> str:
    """Return why an account may use the secret, apart from records."""
    return next((why for account_id, why in observed.sharing.items() if place_of(account_id) == user.place), "")


def shared_with(target: Target, observed: Observed) -> tuple[str, ...]:
    """Return the names of the other accounts that use the secret."""
    return tuple(dict.fromkeys(named(target, each) for each in users(target, observed)))


def named(target: Target, owner: Owner) -> str:
    """Return the name of another account, which may be the target's name."""
    return f"another account named {owner.account}" if same(owner.account, target.account) else owner.account


def is_gone(observed: Observed, assignment: Assignment) -> bool:
    """Return whether the directory no longer knows the principal, such as the identity of a deleted account."""
    return observed.principals.get(assignment.principal_id.lower(), Principal("")).missing


def proves_switch(observed: Observed) -> bool:
    """Return whether setup switched the vault: its tag says so, and so does a role that only a switch gives.

    The tag alone proves nothing: it takes no right on roles to write it.
    """
    return was_switched(observed.vault.tags) and any(
        each.purpose is Purpose.CARRIED_OVER or each.record.switching or each.of_old_version
        for each in owned_roles(observed)
    )


# --- access-policy entries -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OwnedEntry:
    """A principal's access-policy entry that a tag of the vault records.

    Attributes:
        verbs: the permissions on secrets to take away, spelled as Azure shows them.
        owner: whom it is recorded for; None in a record of version 0.1.
        named: the command names or derives the principal, which makes the record believable.
        whole: nothing else is left of the entry without these permissions.
    """

    object_id: str
    verbs: tuple[str, ...]
    owner: Owner | None
    named: bool
    whole: bool


def owned_entries(target: Target, observed: Observed) -> tuple[OwnedEntry, ...]:
    """Return the recorded entries, including those of principals who no longer have one; the operator's own is last."""
    tags = observed.vault.tags
    ids = sorted({*entries(tags), *entries_of_0_1(tags)}, key=lambda i: (is_operator(observed, i), i))
    return tuple(_owned(target, observed, object_id) for object_id in ids)


def _owned(target: Target, observed: Observed, object_id: str) -> OwnedEntry:
    derived = is_operator(observed, object_id) or same(object_id, observed.account.principal_id or "")
    given = OFFICER_PERMISSIONS if derived else READER_PERMISSIONS
    record = entries(observed.vault.tags).get(object_id)
    recorded = set(record.verbs) & set(OFFICER_PERMISSIONS) if record else set()
    if object_id in entries_of_0_1(observed.vault.tags):
        recorded |= set(given)
    policies = own_policies(observed.vault.policies, object_id)
    shown = (verbs for policy in policies for kind, verbs in policy.permissions.items() if kind.lower() == "secrets")
    verbs = tuple(verb for verb in chain.from_iterable(shown) if verb.lower() in recorded)
    rest = sum(len(tuple(granted)) for policy in policies for granted in policy.permissions.values()) - len(verbs)
    named = derived or object_id in {reader.lower() for reader in target.readers}
    return OwnedEntry(
        policies[0].object_id if policies else object_id, verbs, record.owner if record else None, named, rest == 0
    )


def is_of_writer(observed: Observed, entry: OwnedEntry) -> bool:
    """Return whether an entry was recorded for more than reading. A reader's stays after teardown unless the command names it."""
    record = entries(observed.vault.tags).get(entry.object_id.lower())
    return record is None or not set(record.verbs) <= set(READER_PERMISSIONS)


def is_of_others(target: Target, observed: Observed, entry: OwnedEntry) -> bool:
    """Return whether an entry is recorded for another secret or another account."""
    known = entry.owner
    return known is not None and (not same(known.secret, target.secret) or is_other(target, observed, known))


def fate_of_entry(target: Target, observed: Observed, entry: OwnedEntry) -> Fate:
    """Decide what teardown does with a recorded entry."""
    if is_of_others(target, observed, entry):
        return Fate.STAY
    if not own_policies(observed.vault.policies, entry.object_id):
        return Fate.REMOVE  # only the record is left
    if not entry.named or (entry.owner is None and not is_alone(target, observed)):
        return Fate.STAY
    purpose = Purpose.IDENTITY if same(entry.object_id, observed.account.principal_id or "") else Purpose.READER
    if purpose is not Purpose.IDENTITY and users(target, observed) and not entry.owner:
        return Fate.STAY
    return Fate.HAND_OVER if entry.owner and successor(target, observed, purpose) else Fate.REMOVE


def had_policies(observed: Observed) -> frozenset[str]:
    """Return the principals, in lower case, whose access policies were there before setup."""
    recorded, old = entries(observed.vault.tags), entries_of_0_1(observed.vault.tags)

    def before(policy: AccessPolicy) -> bool:
        object_id = policy.object_id.lower()
        ours = recorded[object_id].verbs if object_id in recorded else ()
        only_ours = all(kind == "secrets" and v.lower() in ours for kind, vs in policy.permissions.items() for v in vs)
        return bool(policy.application_id) or not (object_id in old or (object_id in recorded and only_ours))

    return frozenset(p.object_id.lower() for p in observed.vault.policies if before(p))
