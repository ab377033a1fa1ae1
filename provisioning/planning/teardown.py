"""Plans teardown: remove what setup added for one secret and account, and nothing else. Pure.

The secret is deleted first, because that requires the operator's role, which is removed last. After an interruption the
next run finds the remaining records and continues.
"""

from collections.abc import Collection, Iterable, Iterator

from provisioning import shell
from provisioning.models import Observed, SecretState, SecretVersion, Target
from provisioning.planning.access.permissions import own_policies
from provisioning.planning.access.principals import is_operator, principal
from provisioning.planning.access.restoring import holder, losses_of_restoring, role_name
from provisioning.planning.actions import (
    ForgetSwitch,
    HandOverRole,
    RemoveEntries,
    RemoveRole,
    RemoveSecret,
    RestoreAccessPolicies,
)
from provisioning.planning.owned import (
    Fate,
    OwnedEntry,
    OwnedRole,
    evidence,
    fate_of_entry,
    fate_of_role,
    had_policies,
    is_alone,
    is_of_others,
    is_of_writer,
    is_other,
    named,
    narrowed_roles,
    owned_entries,
    owned_roles,
    proves_switch,
    roles_left_behind,
    shared_with,
    successor,
    users,
)
from provisioning.planning.ownership import Owner, Purpose, description, owner, was_switched, wrote
from provisioning.planning.steps import Plan, Step, Verb
from provisioning.planning.vault import ACCESS_MODEL, switch_back
from provisioning.resource_ids import same, within

_ORDER = (Purpose.CONTRIBUTOR, Purpose.CARRIED_OVER, Purpose.READER, Purpose.IDENTITY, Purpose.OPERATOR)


def plan_teardown(target: Target, observed: Observed, versions: Collection[SecretVersion], *, restore: bool) -> Plan:
    """Plan what teardown removes, in order, and name what stays. `observed` includes the assignments below the vault.

    With `restore` the vault is switched back to its access policies, and carried-over roles no longer have any effect.
    """
    sharing = shared_with(target, observed)
    roles = owned_roles(observed)
    fates = {each.assignment.id: fate_of_role(target, observed, each, restore=restore) for each in roles}
    removed = sorted((r for r in roles if fates[r.assignment.id] is Fate.REMOVE), key=lambda r: _rank(observed, r))
    secret = _secret(target, observed, versions, sharing)
    steps = (
        secret,
        _access_model(observed, sharing, restore=restore),
        *_entries(target, observed),
        *(_role(observed, each) for each in roles_left_behind(target, observed)),
        *(_role(observed, each, by_policy=restore or not observed.vault.rbac) for each in removed),
        *(_handed_over(target, observed, r) for r in roles if fates[r.assignment.id] is Fate.HAND_OVER),
        *_staying(target, observed, [r for r in roles if fates[r.assignment.id] is Fate.STAY]),
        *_narrowed(observed),
        _identity(target, observed),
    )
    of_secret = observed.vault.scope(target.secret) if _is_removed(observed, secret) else ""
    removed_assignments = [each.assignment for each in removed]
    losses = (
        tuple(losses_of_restoring(observed, removed_assignments, of_secret)) if restore and observed.vault.rbac else ()
    )
    return Plan(f"{observed.account.name} → {observed.vault.name}", steps, losses)


def hidden(target: Target, observed: Observed) -> bool:
    """Return whether setup may have stored a secret that this identity cannot see, now or after a wait."""
    if (
        observed.secret.state is not SecretState.UNKNOWN
        or shared_with(target, observed)
        or _operator_keeps_access(target, observed)
    ):
        return False
    if not observed.vault.rbac:
        ours = (e for e in _present(target, observed) if not is_of_others(target, observed, e))
        return was_switched(observed.vault.tags) or any(is_of_writer(observed, e) for e in ours)
    return any(
        each.purpose in (Purpose.OPERATOR, Purpose.IDENTITY)
        and (each.of_old_version or fate_of_role(target, observed, each, restore=False) is not Fate.STAY)
        for each in owned_roles(observed)
    )


def _operator_keeps_access(target: Target, observed: Observed) -> bool:
    """Return whether the operator still has the access that setup gave, with which the vault will show the secret."""
    if observed.vault.rbac:
        return any(
            is_operator(observed, each.assignment.principal_id) and each.purpose is Purpose.OPERATOR
            for each in owned_roles(observed)
        )
    return any(is_operator(observed, each.object_id) and each.verbs for each in owned_entries(target, observed))


def _present(target: Target, observed: Observed) -> Iterator[OwnedEntry]:
    """Yield the recorded entries that exist."""
    return (e for e in owned_entries(target, observed) if own_policies(observed.vault.policies, e.object_id))


def _rank(observed: Observed, role: OwnedRole) -> tuple[bool, int, str]:
    """Order roles: the operator's own is last, because it shows the secret."""
    operators = is_operator(observed, role.assignment.principal_id)
    return operators, _ORDER.index(role.purpose), role.assignment.id.lower()


# --- the lines -------------------------------------------------------------------------------------------------------


def _secret(target: Target, observed: Observed, versions: Collection[SecretVersion], sharing: Collection[str]) -> Step:
    resource, state = f"secret {target.secret}", observed.secret.state
    if state is SecretState.MISSING:
        return Step(Verb.ALREADY, resource, "not there")
    if state is SecretState.DELETED:
        until = f" until {observed.secret.purge:%Y-%m-%d}" if observed.secret.purge else ""
        return Step(Verb.ALREADY, resource, f"deleted already; recoverable{until}")
    if sharing:
        why = [w for user in users(target, observed) if (w := evidence(observed, user))]
        anyway = shell.command(
            "az", "keyvault", "secret", "delete", "--vault-name", observed.vault.name, "-n", target.secret
        )
        return Step(
            Verb.NOTE,
            resource,
            f"stays: {', '.join(sharing)} may use it, too"
            + (f" ({'; '.join(why)}). To delete it anyway" if why else ""),
            command=anyway if why else "",
        )
    if state is SecretState.UNKNOWN and not _operator_keeps_access(target, observed):
        return Step(
            Verb.ALREADY, resource, "not visible to you; no record of setup is left, and teardown deletes it first"
        )
    ours = [v for v in versions if wrote(v.tags)]
    if versions and not ours:
        return Step(Verb.NOTE, resource, "stays: setup did not write it")
    if len(ours) == len(versions):
        permanent = not (all(v.recoverable for v in ours) if ours else observed.vault.soft_delete)
        gone = "deleted permanently" if permanent else "deleted"
        after = "the vault has no soft delete" if permanent else "recoverable until Azure purges it"
        return Step(
            Verb.REMOVE,
            resource,
            f"{gone}{'' if versions else ', if setup wrote it'}; {after}",
            before=state.value,
            danger="the function app, and jobs that report to W&B by themselves, no longer get a key",
            action=RemoveSecret(observed.vault, owner(target, observed.account.id), permanent),
        )
    if not any(v.enabled for v in ours):
        return Step(Verb.NOTE, resource, "stays: others wrote versions of it; those of setup are disabled already")
    return Step(
        Verb.CHANGE,
        resource,
        f"the versions that setup wrote are disabled; {len(versions) - len(ours)} by others stay",
        before="enabled",
        after="disabled",
        danger="the function app, and jobs that report to W&B by themselves, no longer get a key",
        action=RemoveSecret(observed.vault, owner(target, observed.account.id)),
    )


def _is_removed(observed: Observed, secret: Step) -> bool:
    """Whether no secret remains. A secret that is not visible yet may turn out to belong to others, and then it stays."""
    state = observed.secret.state
    seen = state is not SecretState.UNKNOWN
    return state in (SecretState.MISSING, SecretState.DELETED) or (seen and secret.verb is Verb.REMOVE)


def _access_model(observed: Observed, sharing: Collection[str], *, restore: bool) -> Step:
    vault = observed.vault
    if not vault.rbac:
        if sharing or not was_switched(vault.tags):
            return Step(Verb.ALREADY, ACCESS_MODEL, "access policies")
        # As long as the tag is there, a secret that cannot be seen may be setup's (`hidden`).
        return Step(
            Verb.REMOVE,
            ACCESS_MODEL,
            "access policies again; the vault's tag that says setup switched it",
            action=ForgetSwitch(vault),
        )
    if restore:
        return switch_back(vault, RestoreAccessPolicies(vault))
    if proves_switch(observed):
        return Step(
            Verb.NOTE,
            ACCESS_MODEL,
            "stays Azure RBAC, to which setup switched it; --restore-access-policies switches back",
        )
    return Step(Verb.NOTE, ACCESS_MODEL, "stays Azure RBAC: setup did not switch it")


def _entries(target: Target, observed: Observed) -> Iterator[Step]:
    """Remove from recorded access-policy entries what setup added to them."""
    going: list[OwnedEntry] = []
    handed: list[tuple[str, Owner]] = []
    for each in owned_entries(target, observed):
        match fate_of_entry(target, observed, each):
            case Fate.REMOVE:
                going.append(each)
            case Fate.HAND_OVER:
                handed.append((each.object_id, _successor(target, observed, each)))
            case Fate.STAY:
                yield _entry_stays(target, observed, each)
    if not going and not handed:
        return
    reduced = [f"{_verbs(each)} of {principal(observed, each.object_id).label}" for each in going if each.verbs]
    kept = [
        f"that of {principal(observed, who).label} is for {_owner_in_words(target, observed, to)} now"
        for who, to in handed
    ]
    yield Step(
        Verb.REMOVE,
        "access policies",
        "; ".join([*reduced, *kept]) or "the vault's tags that record entries of setup",
        before="secrets",
        action=RemoveEntries(
            observed.vault,
            tuple((each.object_id, each.verbs) for each in going if each.verbs),
            tuple(each.object_id for each in going),
            tuple(handed),
        ),
    )


def _verbs(entry: OwnedEntry) -> str:
    return "the entry" if entry.whole else f"secrets {', '.join(entry.verbs)}"


def _successor(target: Target, observed: Observed, entry: OwnedEntry) -> Owner:
    identity = same(entry.object_id, observed.account.principal_id or "")
    return successor(target, observed, Purpose.IDENTITY if identity else Purpose.READER) or owner(
        target, observed.account.id
    )


def _owner_in_words(target: Target, observed: Observed, owner: Owner) -> str:
    """Return a name for an owner, which may be another account with the same name as the target's."""
    return str(Owner(named(target, owner), owner.secret) if is_other(target, observed, owner) else owner)


def _entry_stays(target: Target, observed: Observed, entry: OwnedEntry) -> Step:
    """Say why a recorded entry stays."""
    who = principal(observed, entry.object_id)
    if entry.owner and is_of_others(target, observed, entry):
        return Step(
            Verb.NOTE,
            "access policy",
            f"of {who.label} stays: it is for {_owner_in_words(target, observed, entry.owner)}",
        )
    if not entry.named:
        return Step(
            Verb.NOTE,
            "access policy",
            f"of {who.label} stays: only a tag of the vault says that setup made it, and others can write tags. If you gave "
            "it with --reader, pass that option again",
        )
    if sharing := shared_with(target, observed):
        return Step(Verb.NOTE, "access policy", f"of {who.label} stays: {', '.join(sharing)} may use it, too")
    return Step(Verb.NOTE, "access policy", f"of {who.label} stays: {_OLD}")


_OLD = (
    "its record is of version 0.1 and names no secret, so it counts only if you can list the vault's secrets and setup "
    "wrote no other one"
)


def _role(observed: Observed, role: OwnedRole, *, by_policy: bool = False) -> Step:
    assignment = role.assignment
    return Step(
        Verb.REMOVE,
        "role",
        f"{role_name(observed, assignment)} → {holder(observed, assignment)}",
        why=f"setup gave it: {role.purpose}",
        before=assignment.scope,
        action=RemoveRole(observed.vault, assignment, by_policy and within(assignment.scope, observed.vault.id)),
    )


def _handed_over(target: Target, observed: Observed, role: OwnedRole) -> Step:
    to = successor(target, observed, role.purpose) or owner(target, observed.account.id)
    shown = _owner_in_words(target, observed, to)
    return Step(
        Verb.CHANGE,
        "role",
        f"{role_name(observed, role.assignment)} → {holder(observed, role.assignment)} stays for {shown}",
        why="its description names that account and secret instead",
        before=str(owner(target, observed.account.id)),
        after=shown,
        action=HandOverRole(
            observed.vault, role.assignment, description(role.purpose, to, switching=role.record.switching)
        ),
    )


def _staying(target: Target, observed: Observed, staying: Collection[OwnedRole]) -> Iterator[Step]:
    had = had_policies(observed)
    carried = [r for r in staying if r.assignment.principal_id.lower() in had]
    if carried:
        yield Step(
            Verb.NOTE,
            "role",
            f"{_count(carried)}: the vault's access policies gave that before ({_names(observed, carried)})",
        )
    rest = [r for r in staying if r not in carried]
    old = [r for r in rest if r.of_old_version and not is_alone(target, observed) and not _of_other(target, r)]
    if old:
        yield Step(Verb.NOTE, "role", f"{_count(old)} ({_names(observed, old)}): {_OLD}")
    others = [r for r in rest if r not in old]
    if others:
        whose = {str(Owner(r.record.account, r.record.secret)) for r in others if not _is_of(target, r)}
        shown = ", ".join(sorted(whose | set(shared_with(target, observed)))) or "others"
        yield Step(Verb.NOTE, "role", f"{_count(others)} for {shown} ({_names(observed, others)})")


def _is_of(target: Target, role: OwnedRole) -> bool:
    return role.of_old_version or same(role.record.secret, target.secret)


def _of_other(target: Target, role: OwnedRole) -> bool:
    return bool(role.record.account) and not same(role.record.account, target.account)


def _count(roles: Collection[OwnedRole]) -> str:
    return "1 role stays" if len(roles) == 1 else f"{len(roles)} roles stay"


def _names(observed: Observed, roles: Iterable[OwnedRole]) -> str:
    return ", ".join(sorted({holder(observed, each.assignment) for each in roles}))


def _narrowed(observed: Observed) -> Iterator[Step]:
    """Name the roles of setup to which somebody has added a condition, which setup must not remove."""
    for each in narrowed_roles(observed):
        yield Step(
            Verb.NOTE,
            "role",
            f"{role_name(observed, each)} → {principal(observed, each.principal_id).label} stays: somebody put a condition on "
            "it. To remove it with its condition",
            command=shell.command("az", "role", "assignment", "delete", "--ids", each.id),
        )


def _identity(target: Target, observed: Observed) -> Step:
    account = observed.account
    if not account.principal_id:
        return Step(Verb.ALREADY, "account identity", "no system-assigned one")
    command = shell.az_account(account, "identity", "remove")
    return Step(Verb.NOTE, "account identity", "stays, because others may use it; to take it away", command=command)
