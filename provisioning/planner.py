"""(Target, Observed) → Plan: what has to happen, in which order, and what cannot be carried over. Pure."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import SecretStr

from .access import CANDIDATES
from .carry_over import carry_over
from .model import (
    CHANGING,
    SECRETS_OFFICER,
    KeyState,
    Observed,
    Principal,
    RoleDefinition,
    Secret,
    SecretState,
    Target,
)
from .people import account_identity, held_by, is_operator, operator
from .steps import (
    AssignRole,
    AwaitAccount,
    AwaitRoles,
    EnableIdentity,
    Loss,
    Plan,
    Step,
    StoreSecret,
    SwitchToRbac,
    Verb,
)
from .timespan import spell


def key_state(secret: Secret, key: SecretStr | None) -> KeyState:
    """How the key at hand compares with what the vault showed."""
    if key is None:
        return KeyState.NONE
    if secret.state is SecretState.PRESENT and secret.value == key:
        return KeyState.SAME
    return KeyState.OTHER


def plan(target: Target, observed: Observed, key: KeyState) -> Plan:
    """Everything that is wanted, as steps in the order they have to happen; what is so already is a step too.

    Roles come before the switch of the vault, so that nobody is without access in between; the secret comes last,
    when the operator's role can be used.
    """
    steps = [*_identity(observed)]
    losses: list[Loss] = []
    newest: datetime | None = None
    if not observed.vault.rbac:
        for policy in observed.vault.policies:
            carried = carry_over(observed, policy, _given(observed, policy.object_id))
            steps += carried.steps
            losses += carried.losses
            newest = max((t for t in (newest, carried.newest) if t), default=None)
    steps += [_officer(observed, operator(observed)), _officer(observed, account_identity(observed))]
    if not observed.vault.rbac:
        steps += _switch(target, observed, steps, newest)
    else:
        steps.append(Step(Verb.ALREADY, "vault access model", "Azure RBAC"))
    steps.append(_secret(target, observed, key))
    return Plan(f"{observed.account.name} → {observed.vault.name}", tuple(steps), tuple(losses))


def rights(made: Plan, observed: Observed) -> tuple[tuple[str, str], ...]:
    """What the caller must be allowed to do for this plan: actions of the control plane, each with its scope."""
    account, vault = observed.account.id, observed.vault.id
    assign = ("Microsoft.Authorization/roleAssignments/write", vault)
    needed: dict[tuple[str, str], None] = {}
    for step in made.work:
        match step.action:
            case EnableIdentity():
                needed[("Microsoft.CognitiveServices/accounts/write", account)] = None
            case AssignRole():
                needed[assign] = None
            case SwitchToRbac():
                # Microsoft's pages disagree whether vaults/write is enough; the stricter one asks for both.
                needed |= {("Microsoft.KeyVault/vaults/write", vault): None, assign: None}
            case _:
                pass
    return tuple(needed)


def _identity(observed: Observed) -> Iterable[Step]:
    account = observed.account
    if account.state.lower() in CHANGING:
        yield Step(
            Verb.WAIT,
            "account",
            f"{account.name} is {account.state.lower()}",
            why="a change is under way, perhaps from an interrupted run",
            action=AwaitAccount(),
        )
    kept = f", {len(account.user_identities)} user-assigned kept" if account.user_identities else ""
    if account.principal_id:
        yield Step(Verb.ALREADY, "account identity", f"SystemAssigned{kept}, principal {account.principal_id}")
    else:
        yield Step(
            Verb.ADD,
            "account identity",
            f"SystemAssigned for {account.name}{kept}",
            why="so that it can read the W&B key from the vault",
            before="UserAssigned" if account.user_identities else "none",
            after="SystemAssigned, UserAssigned" if account.user_identities else "SystemAssigned",
            action=EnableIdentity(account),
        )


def _officer(observed: Observed, principal: Principal | None) -> Step:
    """Key Vault Secrets Officer, which Microsoft's page asks for; for an identity still to come, too."""
    name = CANDIDATES[SECRETS_OFFICER]
    label = principal.label if principal else observed.account.name
    if principal and SECRETS_OFFICER in held_by(observed, principal.object_id):
        return Step(Verb.ALREADY, "role", f"{name} → {label}")
    mine = principal is not None and is_operator(observed, principal.object_id)
    had_policy = principal is not None and any(
        p.object_id.lower() == principal.object_id.lower() for p in observed.vault.policies
    )
    return Step(
        Verb.ADD,
        "role",
        f"{name} → {label}",
        why="to store the secret" if mine else "to read the secret when a fine-tuning job reports to W&B",
        after=f"{name} on {observed.vault.name}",
        action=AssignRole(SECRETS_OFFICER, name, principal, fresh=not mine, guards=had_policy and not mine),
    )


def _given(observed: Observed, object_id: str) -> tuple[RoleDefinition, ...]:
    """The roles that this plan gives the principal whatever access policies say."""
    officers = (observed.caller.object_id.lower(), (observed.account.principal_id or "").lower())
    return (observed.roles[SECRETS_OFFICER],) if object_id.lower() in officers else ()


def _switch(target: Target, observed: Observed, so_far: Iterable[Step], newest: datetime | None) -> Iterable[Step]:
    guarding = [s for s in so_far if isinstance(s.action, AssignRole) and s.action.guards]
    young = newest is not None and newest + target.propagation_wait > observed.at
    if (guarding or young) and target.propagation_wait:
        yield Step(
            Verb.WAIT,
            "roles take effect",
            f"up to {spell(target.propagation_wait)} before the switch",
            why="others depend on this vault, and no service tells when a role has arrived",
            action=AwaitRoles(target.propagation_wait, newest),
        )
    count = len(observed.vault.policies)
    plural = "policy stops" if count == 1 else "policies stop"
    yield Step(
        Verb.CHANGE,
        "vault access model",
        "access policies → Azure RBAC",
        before="access policies",
        after="Azure RBAC",
        danger=f"its {count} access {plural} counting (they stay stored)" if count else "",
        action=SwitchToRbac(),
    )


def _secret(target: Target, observed: Observed, key: KeyState) -> Step:
    resource = f"secret {target.secret}"
    state = observed.secret.state
    if key is KeyState.SAME:
        return Step(Verb.ALREADY, resource, "holds this key")
    if key is KeyState.NONE and state is SecretState.PRESENT:
        return Step(Verb.ALREADY, resource, "present (no key given to compare with)")
    found = state in (SecretState.PRESENT, SecretState.DISABLED, SecretState.DELETED)
    return Step(
        Verb.CHANGE if found else Verb.ADD,
        resource,
        "a new version with the W&B key" if found else "the W&B key",
        why="" if key is KeyState.OTHER else "setup asks for the key",
        before=state.value,
        after="the W&B key",
        danger="the vault holds another value now; its version stays readable" if state is SecretState.PRESENT else "",
        action=StoreSecret(),
    )
