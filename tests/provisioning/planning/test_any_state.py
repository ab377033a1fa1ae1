"""Plans of setup from any state: in order, and leaving nothing to do once applied."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from provisioning.models import (
    SECRETS_OFFICER,
    SECRETS_USER,
    AccessPolicy,
    Assignment,
    KeyState,
    Observed,
    Scope,
    Secret,
    SecretState,
    Target,
    Vault,
    VaultState,
)
from provisioning.planning.actions import (
    AllowByPolicy,
    AssignRole,
    AwaitVault,
    CreateVault,
    EnableIdentity,
    StoreSecret,
    SwitchToRbac,
)
from provisioning.planning.setup import plan_setup
from provisioning.planning.steps import Plan, Step

from .states import BILLING, DANA, DEFINED, IDENTITY, NOW, OPERATOR, TARGET, actions, assigned, found, planned, policy

PRINCIPALS = st.sampled_from([OPERATOR, IDENTITY, BILLING, DANA])
POLICIES = st.lists(
    st.builds(
        lambda who, secrets, keys: policy(who, secrets=" ".join(secrets), keys=" ".join(keys)),
        PRINCIPALS,
        st.lists(st.sampled_from(["get", "list", "set", "purge"]), unique=True),
        st.lists(st.sampled_from(["get", "sign", "wrapKey", "create"]), unique=True),
    ),
    max_size=4,
    unique_by=lambda p: p.object_id,
)
HELD = st.lists(st.builds(assigned, PRINCIPALS, st.sampled_from(sorted(DEFINED))), max_size=5).map(tuple)
STATES = st.builds(
    lambda policies, held, identity, rbac: found(*policies, assignments=held, identity=identity, rbac=rbac),
    POLICIES,
    HELD,
    st.sampled_from([None, IDENTITY]),
    st.booleans(),
).filter(lambda observed: observed.account.principal_id is not None or not _named_before_it_exists(observed))


def _named_before_it_exists(observed: Observed) -> bool:
    """No rights can exist for an identity that the account does not have yet."""
    named = {p.object_id for p in observed.vault.policies} | {a.principal_id for a in observed.assignments}
    return IDENTITY in named


def after(observed: Observed, step: Step) -> Observed:
    """The state after a step that works."""
    match step.action:
        case EnableIdentity():
            return replace(observed, account=replace(observed.account, principal_id=IDENTITY))
        case AssignRole() as a:
            who = a.principal.object_id if a.principal else IDENTITY
            return replace(
                observed, assignments=(*observed.assignments, Assignment("id", a.scope, a.role_id, who, NOW))
            )
        case AllowByPolicy() as a:
            who = a.principal.object_id if a.principal else IDENTITY
            return replace(observed, vault=allowed(observed.vault, who, a.permissions))
        case CreateVault() as a:
            return replace(observed, vault=replace(observed.vault, rbac=a.vault.rbac, state=VaultState.READY))
        case AwaitVault():
            return replace(observed, vault=replace(observed.vault, state=VaultState.READY))
        case SwitchToRbac():
            return replace(observed, vault=replace(observed.vault, rbac=True))
        case StoreSecret():
            return replace(observed, secret=Secret(SecretState.PRESENT))
        case _:
            return observed


def allowed(vault: Vault, who: str, permissions: tuple[str, ...]) -> Vault:
    """The access policy that results when permissions are added."""
    had = next((p for p in vault.policies if p.object_id == who), policy(who))
    more = {**had.permissions, "secrets": (*had.permissions.get("secrets", ()), *permissions)}
    return replace(vault, policies=(*(p for p in vault.policies if p is not had), AccessPolicy(who, more)))


WANTED = st.builds(
    lambda role, scope, readers: replace(TARGET, identity_role=role, identity_scope=scope, readers=tuple(readers)),
    st.sampled_from([SECRETS_OFFICER, SECRETS_USER]),
    st.sampled_from(Scope),
    st.lists(st.sampled_from([BILLING, DANA, IDENTITY, OPERATOR]), max_size=2),
)
CHOICES = WANTED | st.just(replace(TARGET, by_access_policy=True, readers=(DANA,)))
EXISTING = st.sampled_from([VaultState.READY, VaultState.REGISTERING, VaultState.MISSING])


def start(target: Target, observed: Observed, state: VaultState) -> Observed:
    """A state that setup may start from: if access policies are requested, it refuses Azure RBAC before any plan."""
    vault = replace(observed.vault, state=state, rbac=observed.vault.rbac and not target.by_access_policy)
    if state is VaultState.MISSING:
        vault = replace(vault, rbac=not target.by_access_policy, policies=())
    return replace(observed, vault=vault)


@given(CHOICES, STATES, EXISTING, st.integers(min_value=0, max_value=12))
def test_an_applied_plan_leaves_nothing_and_an_interrupted_one_is_continued(
    target: Target, observed: Observed, state: VaultState, at: int
) -> None:
    def rest(observed: Observed) -> Plan:
        present = observed.secret.state is SecretState.PRESENT
        return plan_setup(target, observed, KeyState.SAME if present else KeyState.OTHER)

    def applied(observed: Observed, steps: tuple[Step, ...]) -> Observed:
        for step in steps:
            observed = after(observed, step)
        return observed

    def end(state: Observed) -> tuple[object, ...]:
        held = {(a.principal_id, a.role_id, a.scope) for a in state.assignments}
        return state.account, state.vault, state.secret, held

    first = start(target, observed, state)
    whole = applied(first, rest(first).work)
    assert rest(whole).work == ()
    stopped = applied(first, rest(first).work[:at])
    assert end(applied(stopped, rest(stopped).work)) == end(whole)


@given(STATES)
def test_the_switch_comes_after_every_role_and_before_the_secret(observed: Observed) -> None:
    kinds = actions(planned(observed))
    if SwitchToRbac in kinds:
        at = kinds.index(SwitchToRbac)
        assert AssignRole not in kinds[at:]
        assert StoreSecret not in kinds[:at]
