"""(Target, Observed) → Plan of what teardown takes away: what carries setup's marks, and nothing else. Pure.

The secret goes first, because deleting it takes the operator's role, which goes last; stopped anywhere in between, the
next run finds the marks that are left and goes on.
"""

from collections.abc import Collection, Iterable, Iterator

from provisioning import shell
from provisioning.models import (
    AccessPolicy,
    Assignment,
    Observed,
    Principal,
    SecretState,
    SecretVersion,
    Target,
)
from provisioning.planning.actions import ForgetSwitch, RemoveEntries, RemoveRole, RemoveSecret, RestoreAccessPolicies
from provisioning.planning.ownership import Purpose, account_of, entries, owner, purpose_of, was_switched, wrote
from provisioning.planning.permissions import CANDIDATES, KNOWN_ACTIONS, data_actions, grants, own_policies, summary
from provisioning.planning.principals import is_operator, principal
from provisioning.planning.steps import Loss, Plan, Step, Verb
from provisioning.resource_ids import same, within

_ORDER = (Purpose.CARRIED_OVER, Purpose.READER, Purpose.IDENTITY, Purpose.OPERATOR)
_ACCESS_MODEL = "vault access model"


def plan_teardown(target: Target, observed: Observed, versions: Collection[SecretVersion], *, restore: bool) -> Plan:
    """What teardown takes away, in order, and what stays. `observed` knows assignments below the vault, too.

    With `restore` the vault goes back to its access policies, on which carried-over roles count for nothing any more.
    """
    sharing = shared_with(target, observed)
    going = going_roles(target, observed, restore=restore)
    secret = _secret(target, observed, versions, sharing)
    steps = (
        secret,
        _access_model(observed, sharing, restore=restore),
        *_entries(observed, sharing),
        *(_role(observed, each) for each in going),
        *_staying(target, observed, going),
        _identity(target, observed),
    )
    of_secret = observed.vault.scope(target.secret) if _goes(observed, secret) else ""
    losses = tuple(_losses(observed, going, of_secret)) if restore and observed.vault.rbac else ()
    return Plan(f"{observed.account.name} → {observed.vault.name}", steps, losses)


def added(observed: Observed) -> tuple[Assignment, ...]:
    """The role assignments at the vault and below that setup made: they say so, and have the name it gives them."""
    return tuple(
        each
        for each in observed.assignments
        if each.derived and purpose_of(each.description) and within(each.scope, observed.vault.id)
    )


def shared_with(target: Target, observed: Observed) -> tuple[str, ...]:
    """Other accounts that setup gave access to this vault: they need the secret, the operators and the readers."""
    others = {
        account
        for each in added(observed)
        if (account := account_of(each.description)) and not same(account, target.account) and not _gone(observed, each)
    }
    return tuple(sorted(others))


def hidden(target: Target, observed: Observed) -> bool:
    """Whether a secret that setup may have stored is there and this identity cannot see it, and never will by itself."""
    if observed.secret.state is not SecretState.UNKNOWN or shared_with(target, observed) or _let_in_soon(observed):
        return False
    if not observed.vault.rbac:
        return was_switched(observed.vault.tags) or bool(_created(observed))
    return any(purpose_of(a.description) in (Purpose.OPERATOR, Purpose.IDENTITY) for a in _leaving(target, observed))


def going_roles(target: Target, observed: Observed, *, restore: bool) -> tuple[Assignment, ...]:
    """The assignments to take away, in order: the operator's own last of all."""
    by_policy = restore or not observed.vault.rbac
    marked = added(observed) if by_policy and not shared_with(target, observed) else _leaving(target, observed)
    if by_policy:
        carried = tuple(a for a in added(observed) if purpose_of(a.description) is Purpose.CARRIED_OVER)
        marked = tuple(dict.fromkeys((*carried, *marked)))
    return tuple(sorted(marked, key=lambda a: _rank(observed, a)))


def _leaving(target: Target, observed: Observed) -> tuple[Assignment, ...]:
    """What goes while the vault stays on Azure RBAC, where roles also carry what access policies gave before."""
    before, sharing = _before(observed), shared_with(target, observed)
    found = []
    for each in added(observed):
        purpose, account = purpose_of(each.description), account_of(each.description) or ""
        if purpose is Purpose.CARRIED_OVER or each.principal_id.lower() in before:
            continue
        if purpose is Purpose.IDENTITY:
            if same(account, target.account) or _gone(observed, each):
                found.append(each)
        elif not sharing:
            found.append(each)
    return tuple(found)


def _rank(observed: Observed, each: Assignment) -> tuple[bool, int, str]:
    purpose = purpose_of(each.description)
    return is_operator(observed, each.principal_id), _ORDER.index(purpose) if purpose else 0, each.id.lower()


def _gone(observed: Observed, each: Assignment) -> bool:
    """Whether the directory does not know the principal any more, such as the identity of a deleted account."""
    return observed.principals.get(each.principal_id.lower(), Principal("")).missing


def _let_in_soon(observed: Observed) -> bool:
    """Whether what setup gave the operator is still there, so that the vault will show the secret."""
    if observed.vault.rbac:
        return any(
            is_operator(observed, a.principal_id) and purpose_of(a.description) is Purpose.OPERATOR
            for a in added(observed)
        )
    return any(is_operator(observed, policy.object_id) for policy in _created(observed))


def _created(observed: Observed) -> tuple[AccessPolicy, ...]:
    """The access policies that setup created."""
    noted = entries(observed.vault.tags)
    return tuple(p for p in observed.vault.policies if p.object_id.lower() in noted and not p.application_id)


def _before(observed: Observed) -> frozenset[str]:
    """Who has an access policy that was there before setup."""
    created = _created(observed)
    return frozenset(p.object_id.lower() for p in observed.vault.policies if p not in created)


# --- the lines -------------------------------------------------------------------------------------------------------


def _secret(target: Target, observed: Observed, versions: Collection[SecretVersion], sharing: Collection[str]) -> Step:
    resource, state = f"secret {target.secret}", observed.secret.state
    if state is SecretState.MISSING:
        return Step(Verb.ALREADY, resource, "not there")
    if state is SecretState.DELETED:
        until = f" until {observed.secret.purge:%Y-%m-%d}" if observed.secret.purge else ""
        return Step(Verb.ALREADY, resource, f"deleted already; recoverable{until}")
    if sharing:
        return Step(Verb.NOTE, resource, f"stays: {', '.join(sharing)} may use it, too")
    if state is SecretState.UNKNOWN and not _let_in_soon(observed):
        return Step(
            Verb.ALREADY, resource, "not visible to you; no mark of setup is left, and teardown deletes it first"
        )
    ours = [v for v in versions if wrote(v.tags)]
    if versions and not ours:
        return Step(Verb.NOTE, resource, "stays: setup did not write it")
    if len(ours) == len(versions):
        return Step(
            Verb.REMOVE,
            resource,
            f"deleted{'' if versions else ', if setup wrote it'}; recoverable until Azure purges it",
            before=state.value,
            danger="the function app, and jobs that report to W&B by themselves, get no key any more",
            action=RemoveSecret(observed.vault, owner(target)),
        )
    if not any(v.enabled for v in ours):
        return Step(Verb.NOTE, resource, "stays: others wrote versions of it; those from here are disabled")
    return Step(
        Verb.CHANGE,
        resource,
        f"its versions from here are disabled; {len(versions) - len(ours)} by others stay",
        before="enabled",
        after="disabled",
        danger="the function app, and jobs that report to W&B by themselves, get no key any more",
        action=RemoveSecret(observed.vault, owner(target)),
    )


def _goes(observed: Observed, secret: Step) -> bool:
    """Whether no secret is left there. One that cannot be seen yet may turn out to be others', and stay."""
    state = observed.secret.state
    seen = state is not SecretState.UNKNOWN
    return state in (SecretState.MISSING, SecretState.DELETED) or (seen and secret.verb is Verb.REMOVE)


def _access_model(observed: Observed, sharing: Collection[str], *, restore: bool) -> Step:
    vault = observed.vault
    if not vault.rbac:
        if sharing or not was_switched(vault.tags):
            return Step(Verb.ALREADY, _ACCESS_MODEL, "access policies")
        # As long as the tag is there, a secret that cannot be seen may be setup's (`hidden`).
        return Step(
            Verb.REMOVE,
            _ACCESS_MODEL,
            "access policies again; the vault's tag that says setup switched it",
            action=ForgetSwitch(vault),
        )
    if restore:
        count = len(vault.policies)
        plural = "policy counts" if count == 1 else "policies count"
        return Step(
            Verb.CHANGE,
            _ACCESS_MODEL,
            "Azure RBAC → access policies",
            before="Azure RBAC",
            after="access policies",
            danger=f"its {count} access {plural} again; roles on it, inherited ones too, give no access to what it holds",
            action=RestoreAccessPolicies(vault),
        )
    if was_switched(vault.tags):
        return Step(
            Verb.NOTE,
            _ACCESS_MODEL,
            "stays Azure RBAC, to which setup switched it; --restore-access-policies goes back",
        )
    return Step(Verb.NOTE, _ACCESS_MODEL, "stays Azure RBAC: setup did not switch it")


def _entries(observed: Observed, sharing: Collection[str]) -> Iterator[Step]:
    """Access-policy entries that setup created. One that somebody has since added to is theirs, too."""
    noted = entries(observed.vault.tags)
    if not noted:
        return
    if sharing:
        yield Step(Verb.NOTE, "access policies", f"stay: {', '.join(sharing)} may use them, too")
        return
    mine = _created(observed)
    extended = [p for p in mine if any(verbs for kind, verbs in p.permissions.items() if kind != "secrets")]
    for policy in extended:
        who = principal(observed, policy.object_id)
        yield Step(Verb.NOTE, "access policy", f"of {who.label} stays: somebody gave it more than secrets")
    going = [p.object_id for p in mine if p not in extended]
    going.sort(key=lambda i: (is_operator(observed, i), i))  # the operator's own last: it shows the secret
    names = ", ".join(principal(observed, i).label for i in going)
    yield Step(
        Verb.REMOVE,
        "access policies",
        f"of {names}" if going else "the vault's tag that names those from setup",
        before="secrets",
        action=RemoveEntries(observed.vault, tuple(going)),
    )


def _role(observed: Observed, each: Assignment) -> Step:
    return Step(
        Verb.REMOVE,
        "role",
        f"{_named(observed, each)} → {_whose(observed, each)}",
        why=f"setup gave it: {purpose_of(each.description)}",
        before=each.scope,
        action=RemoveRole(observed.vault, each),
    )


def _staying(target: Target, observed: Observed, going: Collection[Assignment]) -> Iterator[Step]:
    staying = [a for a in added(observed) if a not in going]
    carried = [a for a in staying if a.principal_id.lower() in _before(observed)]
    if carried:
        who = ", ".join(sorted({_whose(observed, a) for a in carried}))
        count = f"{len(carried)} role stays" if len(carried) == 1 else f"{len(carried)} roles stay"
        yield Step(Verb.NOTE, "role", f"{count}: the vault's access policies gave that before ({who})")
    others = [a for a in staying if a not in carried]
    if others:
        who = ", ".join(sorted({_whose(observed, a) for a in others}))
        sharing = ", ".join(shared_with(target, observed)) or "others"
        yield Step(Verb.NOTE, "role", f"{len(others)} stay for {sharing} ({who})")


def _identity(target: Target, observed: Observed) -> Step:
    account = observed.account
    if not account.principal_id:
        return Step(Verb.ALREADY, "account identity", "no system-assigned one")
    command = shell.az_account(account, "identity", "remove")
    return Step(Verb.NOTE, "account identity", "stays, because others may use it; to take it away", command=command)


def _named(observed: Observed, each: Assignment) -> str:
    defined = observed.roles.get(each.role_id)
    return CANDIDATES.get(each.role_id) or (defined.name if defined else each.role_id)


def _whose(observed: Observed, each: Assignment) -> str:
    return account_of(each.description) or principal(observed, each.principal_id).label


# --- who would lose access -------------------------------------------------------------------------------------------


def _losses(observed: Observed, going: Collection[Assignment], gone: str) -> Iterator[Loss]:
    """Principals whose roles give more than their access policies will: roles that came after the switch, mostly.

    A role on what is `gone` then is no loss.
    """
    staying: dict[str, list[Assignment]] = {}
    for each in observed.assignments:
        if each not in going and not same(each.scope, gone) and _granted(observed, [each]):
            staying.setdefault(each.principal_id.lower(), []).append(each)
    for object_id, held in staying.items():
        has = _permitted(observed, object_id)
        lost = _granted(observed, held) - has
        if not lost:
            continue
        names = ", ".join(dict.fromkeys(_named(observed, a) for a in held))
        reason = f"its access policy does not give {summary(lost)}" if has else "it has no access policy"
        yield Loss(_whose(observed, held[0]), object_id, f"{names} by role, and {reason}")


def _granted(observed: Observed, held: Iterable[Assignment]) -> frozenset[str]:
    roles = [observed.roles[a.role_id] for a in held if a.role_id in observed.roles]
    return frozenset(action for action in KNOWN_ACTIONS if any(grants(role, action) for role in roles))


def _permitted(observed: Observed, object_id: str) -> frozenset[str]:
    policies = own_policies(observed.vault.policies, object_id)
    return frozenset[str]().union(*(data_actions(p)[0] for p in policies))
