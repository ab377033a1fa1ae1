"""The access that setup grants: by role on the vault, by role on the one secret, or by access policy. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from provisioning import shell
from provisioning.models import (
    SECRETS_OFFICER,
    SECRETS_USER,
    AccessPolicy,
    Assignment,
    Observed,
    Principal,
    RoleDefinition,
    Scope,
    Target,
)
from provisioning.planning.access.permissions import (
    CANDIDATES,
    data_actions,
    grants,
    missing_permissions,
    own_policies,
    permissions_today,
)
from provisioning.planning.access.principals import (
    CANNOT_ADD,
    account_identity,
    ending,
    held_by,
    is_operator,
    lasts,
    narrowed,
    operator,
    principal,
    until,
)
from provisioning.planning.actions import NARROWED, AllowByPolicy, AssignRole
from provisioning.planning.ownership import Purpose, owner
from provisioning.planning.steps import Step, Verb
from provisioning.resource_ids import below, same

_ADMINISTRATOR = "00482a5a-887f-4fb3-b363-3b7fe8e74483"
_POWER = {SECRETS_USER: 1, SECRETS_OFFICER: 2, _ADMINISTRATOR: 3}
"""The roles that give access to the values of secrets, ranked by what they permit."""

OFFICER_PERMISSIONS = ("get", "list", "set", "delete", "recover", "backup", "restore", "purge")
READER_PERMISSIONS = ("get",)
_PERMISSIONS = {SECRETS_OFFICER: OFFICER_PERMISSIONS, SECRETS_USER: ("get", "list")}
"""The permissions on secrets that correspond to a role (Microsoft, "Migrate to Azure RBAC")."""
_SECRETS_ACTIONS = {
    role_id: data_actions(AccessPolicy("", {"secrets": verbs}))[0] for role_id, verbs in _PERMISSIONS.items()
}
_WRITING = data_actions(AccessPolicy("", {"secrets": ("get", "list", "set")}))[0]
"""The data actions that the operator needs to store, read back and list versions of the secret."""

UNKNOWN_PRINCIPAL = (
    "the directory does not show this id, and Azure assigns roles to any id: check that it is an object id; for an "
    "application, that of its enterprise application, not its client id"
)
_WHY = {
    Purpose.OPERATOR: "to store the secret",
    Purpose.IDENTITY: "to read the secret when a fine-tuning job reports to W&B",
    Purpose.READER: "to read the secret",
}


def given(target: Target, observed: Observed, object_id: str) -> tuple[RoleDefinition, ...]:
    """Return the roles on the whole vault that the plan gives a principal regardless of access policies."""
    if is_operator(observed, object_id):
        step = _role(target, observed, operator(observed), SECRETS_OFFICER, Purpose.OPERATOR)
        return () if step.verb is Verb.NOTE else (observed.roles[SECRETS_OFFICER],)
    identity = account_identity(observed)
    whole = target.with_identity and target.identity_scope is Scope.VAULT
    if whole and identity and same(object_id, identity.object_id):
        step = _role(target, observed, identity, target.identity_role, Purpose.IDENTITY)
        # If the identity already has a role from above the vault, or one that ends, no role is given here. Such a role does
        # not replace an access policy.
        return (observed.roles[target.identity_role],) if step.action else ()
    return ()


def on_vault(target: Target, observed: Observed) -> Iterator[Step]:
    """Plan the roles on the whole vault: the operator's, and the account identity's unless it is for the secret only."""
    yield _role(target, observed, operator(observed), SECRETS_OFFICER, Purpose.OPERATOR)
    if target.with_identity and target.identity_scope is Scope.VAULT:
        yield _role(target, observed, account_identity(observed), target.identity_role, Purpose.IDENTITY)


def on_secret(target: Target, observed: Observed) -> Iterator[Step]:
    """Plan the roles on the one secret, which can be assigned once the secret exists."""
    if target.with_identity and target.identity_scope is Scope.SECRET:
        yield _role(target, observed, account_identity(observed), target.identity_role, Purpose.IDENTITY, target.secret)
    for reader in _readers(target, observed):
        yield _role(target, observed, reader, SECRETS_USER, Purpose.READER, target.secret)


def by_policy(target: Target, observed: Observed) -> Iterator[Step]:
    """Plan access-policy entries instead of roles."""
    yield _entry(target, observed, operator(observed), OFFICER_PERMISSIONS, Purpose.OPERATOR)
    if target.with_identity:
        yield _entry(target, observed, account_identity(observed), _PERMISSIONS[target.identity_role], Purpose.IDENTITY)
    for reader in _readers(target, observed):
        yield _entry(target, observed, reader, READER_PERMISSIONS, Purpose.READER)


def broader_access(target: Target, observed: Observed) -> Iterator[Step]:
    """Note access of the account's identity and the readers beyond what was requested. None of it is removed."""
    identity = account_identity(observed) if target.with_identity else None
    asked = [(identity, target.identity_role, target.identity_scope)] if identity else []
    asked += [(reader, SECRETS_USER, Scope.SECRET) for reader in _readers(target, observed)]
    for who, role_id, scope in asked:
        for each in observed.assignments:
            if same(each.principal_id, who.object_id) and _beyond(observed, each, role_id, scope):
                where = each.scope.rpartition("/")[2]
                yield Step(
                    Verb.NOTE,
                    "broader access",
                    f"{CANDIDATES[each.role_id]} → {who.label} at {where}; requested: {CANDIDATES[role_id]} on the {scope}",
                    danger="setup does not remove it, because others may rely on it",
                    command=shell.command("az", "role", "assignment", "delete", "--ids", each.id),
                )


def _beyond(observed: Observed, held: Assignment, role_id: str, scope: Scope) -> bool:
    power, wanted = _POWER.get(held.role_id, 0), _POWER[role_id]
    wider = scope is Scope.SECRET and not below(held.scope, observed.vault.id)
    return power > wanted or (wider and power == wanted)


def _readers(target: Target, observed: Observed) -> Iterable[Principal]:
    """Return the named readers, each once. Without a kind from the directory, a service principal is assumed."""
    for object_id in dict.fromkeys(r.lower() for r in target.readers):
        known = principal(observed, object_id)
        yield replace(known, kind=known.kind or "ServicePrincipal")


def _role(
    target: Target, observed: Observed, who: Principal | None, role_id: str, purpose: Purpose, secret: str = ""
) -> Step:
    """Plan one role. An inherited role on the vault counts, too; a role requested on the secret is assigned there."""
    name, label = CANDIDATES[role_id], who.label if who else observed.account.name
    shown = f"{name} → {label}" + (f" on secret {secret}" if secret else "")
    if who and role_id in _held(observed, who, secret):
        return Step(Verb.ALREADY, "role", shown)
    if who and not secret and (others := _equivalent(observed, who, role_id, purpose)):
        return Step(Verb.ALREADY, "role", f"{' and '.join(others)} → {label}", why=f"permits what {name} is needed for")
    if who and (blocked := ending(observed.assignments, who.object_id, role_id, observed.vault.scope(secret))):
        return Step(Verb.NOTE, "role", shown, danger=f"{until(name, blocked)}, {CANNOT_ADD}")
    policy = _policy_of(observed, who)
    permissions = permissions_today(policy) if policy and not observed.vault.rbac and not secret else ""
    required = policy is not None and purpose is Purpose.IDENTITY and not secret
    condition = narrowed(observed, who.object_id, role_id, observed.vault.scope(secret)) if who else ""
    return Step(
        Verb.ADD,
        "role",
        shown,
        why=_WHY[purpose] + (f"; had {permissions} by access policy" if permissions else ""),
        before=permissions,
        after=f"{name} on " + (f"secret {secret}" if secret else observed.vault.name),
        danger=NARROWED
        if condition
        else UNKNOWN_PRINCIPAL
        if who and who.missing
        else _beyond_the_secret(observed, purpose, secret),
        action=AssignRole(
            observed.vault,
            role_id,
            name,
            who,
            owner(target, observed.account.id),
            purpose,
            secret=secret,
            new_principal=purpose is not Purpose.OPERATOR,
            required_for_switch=required,
            skip_if_unknown=required and target.accept_loss,
            narrowed=condition,
        ),
    )


def _beyond_the_secret(observed: Observed, purpose: Purpose, secret: str) -> str:
    """Describe what a role on the whole vault reaches besides the secret, and the options that give less."""
    if purpose is not Purpose.IDENTITY or secret or observed.other_secrets is False:
        return ""
    others = "the other secrets of this vault" if observed.other_secrets else "any other secrets of this vault"
    return f"it also reaches {others}; less: {LESS}"


LESS = "--identity-role secrets-user --identity-scope secret, or --no-account-identity without the portal's own integration"
"""The options that give the account's identity less than a role on the whole vault."""


def _equivalent(observed: Observed, who: Principal, role_id: str, purpose: Purpose) -> list[str]:
    """Return the names of other roles that together permit what is needed; empty if they do not.

    The operator must read and write the secret. Other principals need what the role permits on secrets.
    """
    needed = _WRITING if purpose is Purpose.OPERATOR else _SECRETS_ACTIONS[role_id]
    roles = observed.effective.get(who.object_id.lower(), ())
    useful = [r for r in roles if any(grants(r, action) for action in needed)]
    return [r.name for r in useful] if all(any(grants(r, a) for r in useful) for a in needed) else []


def _held(observed: Observed, who: Principal, secret: str) -> Iterable[str]:
    if not secret:
        return held_by(observed, who.object_id)
    scope = observed.vault.scope(secret)
    return [
        a.role_id
        for a in observed.assignments
        if same(a.principal_id, who.object_id) and same(a.scope, scope) and not a.conditional and lasts(observed, a)
    ]


def _policy_of(observed: Observed, who: Principal | None) -> AccessPolicy | None:
    return next(iter(own_policies(observed.vault.policies, who.object_id)), None) if who else None


def _entry(
    target: Target, observed: Observed, who: Principal | None, needed: tuple[str, ...], purpose: Purpose
) -> Step:
    """Plan one access-policy entry. It names only missing permissions: Azure adds them to those of the entry."""
    label = who.label if who else observed.account.name
    policy = _policy_of(observed, who)
    missing = missing_permissions(observed.vault.policies, who.object_id, needed) if who else needed
    if not missing:
        return Step(Verb.ALREADY, "access policy", f"secrets {', '.join(needed)} → {label}")
    permissions = permissions_today(policy) if policy else ""
    return Step(
        Verb.CHANGE if policy else Verb.ADD,
        "access policy",
        f"secrets {', '.join(missing)} → {label}",
        why=_WHY[purpose] + (f"; has {permissions}" if permissions else ""),
        before=permissions,
        after=f"secrets {', '.join(needed)}",
        danger="" if purpose is Purpose.OPERATOR else "an access policy applies to every secret of the vault",
        action=AllowByPolicy(observed.vault, who, missing, owner(target, observed.account.id), purpose),
    )
