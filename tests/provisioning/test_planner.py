"""(Target, Observed) → Plan, without any service."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from provisioning.models import (
    SECRETS_OFFICER,
    SECRETS_USER,
    AccessPolicy,
    Assignment,
    KeyState,
    Observed,
    Principal,
    Scope,
    Secret,
    SecretState,
    Target,
    Vault,
    VaultState,
)
from provisioning.planning.setup import key_state, plan, rights
from provisioning.planning.steps import (
    AllowByPolicy,
    AssignRole,
    AwaitAccount,
    AwaitRoles,
    AwaitVault,
    CreateVault,
    EnableIdentity,
    Loss,
    Plan,
    Step,
    StoreSecret,
    SwitchToRbac,
    Verb,
)

from .planner_states import (
    BILLING,
    DANA,
    DEFINED,
    IDENTITY,
    NOW,
    OPERATOR,
    TARGET,
    VAULT_ID,
    WAIT,
    assigned,
    found,
    policy,
)


def planned(observed: Observed, key: KeyState = KeyState.OTHER) -> Plan:
    return plan(TARGET, observed, key)


def actions(made: Plan) -> list[type]:
    return [type(step.action) for step in made.work]


def granted(made: Plan) -> set[tuple[str, str]]:
    return {
        (a.principal.object_id if a.principal else "", a.role_name)
        for a in (s.action for s in made.work)
        if isinstance(a, AssignRole)
    }


def in_place() -> Observed:
    both = (assigned(OPERATOR, SECRETS_OFFICER), assigned(IDENTITY, SECRETS_OFFICER))
    return found(assignments=both, identity=IDENTITY, rbac=True, secret=SecretState.PRESENT)


def test_a_vault_that_others_use_is_switched_after_their_roles_and_a_wait_and_the_secret_comes_last() -> None:
    made = planned(found(policy(BILLING, secrets="get list")))
    assert actions(made) == [
        EnableIdentity, AssignRole, AssignRole, AssignRole, AwaitRoles, SwitchToRbac, StoreSecret,
    ]  # fmt: skip
    assert granted(made) == {
        (BILLING, "Key Vault Secrets User"),
        (OPERATOR, "Key Vault Secrets Officer"),
        ("", "Key Vault Secrets Officer"),  # the identity that is still to come
    }


def test_what_is_in_place_needs_nothing() -> None:
    made = plan(TARGET, in_place(), KeyState.SAME)
    assert made.work == ()
    assert {s.verb for s in made.steps} == {Verb.ALREADY}


@pytest.mark.parametrize("policies", [(), (policy(OPERATOR, secrets="all"),)], ids=["nobody", "only the operator"])
def test_with_nobody_to_protect_there_is_no_wait(policies: tuple[AccessPolicy, ...]) -> None:
    made = planned(found(*policies))
    assert AwaitRoles not in actions(made)
    assert SwitchToRbac in actions(made)


def test_the_accounts_own_identity_is_somebody_to_protect_when_it_reads_by_access_policy() -> None:
    made = planned(found(policy(IDENTITY, secrets="get"), identity=IDENTITY))
    assert AwaitRoles in actions(made)
    assert granted(made) == {(OPERATOR, "Key Vault Secrets Officer"), (IDENTITY, "Key Vault Secrets Officer")}


def test_the_operators_other_permissions_are_carried_over_beside_the_officer_role() -> None:
    made = planned(found(policy(OPERATOR, secrets="get set", keys="sign")))
    assert granted(made) == {
        (OPERATOR, "Key Vault Crypto User"),
        (OPERATOR, "Key Vault Secrets Officer"),
        ("", "Key Vault Secrets Officer"),
    }


@pytest.mark.parametrize(
    ("age", "waits"),
    [(timedelta(minutes=4), True), (timedelta(minutes=10), False), (timedelta(hours=3), False)],
)
def test_roles_from_an_interrupted_run_are_waited_for_only_while_they_are_young(age: timedelta, *, waits: bool) -> None:
    made = planned(found(policy(BILLING, secrets="get"), assignments=(assigned(BILLING, SECRETS_USER, age=age),)))
    waiting = [s.action for s in made.work if isinstance(s.action, AwaitRoles)]
    assert waiting == ([AwaitRoles(WAIT, NOW - age)] if waits else [])
    assert (BILLING, "Key Vault Secrets User") not in granted(made)


def test_the_longest_held_of_two_equal_roles_counts() -> None:
    held = (assigned(BILLING, SECRETS_USER), assigned(BILLING, SECRETS_USER, age=timedelta(seconds=5)))
    assert AwaitRoles not in actions(planned(found(policy(BILLING, secrets="get"), assignments=held)))


def test_no_wait_is_planned_when_none_is_wanted() -> None:
    target = replace(TARGET, propagation_wait=timedelta(0))
    assert AwaitRoles not in actions(plan(target, found(policy(BILLING, secrets="get")), KeyState.OTHER))


def test_a_conditional_assignment_is_not_counted_on() -> None:
    held = (assigned(BILLING, SECRETS_USER, conditional=True),)
    made = planned(found(policy(BILLING, secrets="get"), assignments=held))
    assert (BILLING, "Key Vault Secrets User") in granted(made)


def test_letter_case_of_object_ids_does_not_count() -> None:
    held = (assigned(BILLING.upper(), SECRETS_USER),)
    made = planned(found(policy(BILLING.upper(), secrets="get"), assignments=held))
    assert not [who for who, _ in granted(made) if who.lower() == BILLING]


def test_a_role_on_the_one_secret_is_none_on_the_vault() -> None:
    on_secret = replace(assigned(OPERATOR, SECRETS_OFFICER), scope=f"{VAULT_ID}/secrets/wandb-api-key")
    made = planned(replace(in_place(), assignments=(on_secret, assigned(IDENTITY, SECRETS_OFFICER))))
    assert granted(made) == {(OPERATOR, "Key Vault Secrets Officer")}


def test_a_role_that_covers_more_is_enough() -> None:
    held = (assigned(DANA, "00482a5a-887f-4fb3-b363-3b7fe8e74483"),)
    made = planned(found(policy(DANA, secrets="get", keys="all"), assignments=held))
    assert DANA not in {who for who, _ in granted(made)}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (policy(BILLING, "app-1", secrets="get"), "compound identities"),
        (policy(BILLING, storage="get"), "storage get"),
        (policy(BILLING, secrets="get teleport"), "secrets teleport"),
    ],
)
def test_what_cannot_be_carried_over_is_listed(entry: AccessPolicy, reason: str) -> None:
    losses = planned(found(entry)).losses
    assert [(x.principal, x.object_id) for x in losses] == [("billing-api", BILLING)]
    assert reason in losses[0].reason


def test_a_principal_that_the_directory_does_not_know_gets_nothing_and_is_listed() -> None:
    observed = replace(found(policy(BILLING, secrets="get")), principals={BILLING: Principal(BILLING, missing=True)})
    made = planned(observed)
    assert BILLING not in {who for who, _ in granted(made)}
    assert made.losses == (Loss(BILLING, BILLING, "the directory does not know this principal (any more)"),)


def test_permissions_that_no_role_is_known_for_are_named() -> None:
    made = planned(found(policy(BILLING, secrets="teleport get", wishes="grant")))
    assert made.losses == (Loss("billing-api", BILLING, "no role is known for secrets teleport, wishes grant"),)


def test_the_roles_that_carry_an_access_policy_already_are_all_named_and_no_others() -> None:
    roles = (SECRETS_USER, "12338af0-0e69-4776-bea7-57ae8d297424", "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba")
    held = tuple(assigned(BILLING, role) for role in roles)
    made = planned(found(policy(BILLING, secrets="get", keys="sign"), assignments=held))
    names = "Key Vault Secrets User, Key Vault Crypto User, Key Vault Certificate User → billing-api"
    assert names in {step.detail for step in made.steps if step.verb is Verb.ALREADY}
    made = planned(found(policy(BILLING, keys="sign"), assignments=held))
    assert "Key Vault Crypto User → billing-api" in {step.detail for step in made.steps if step.verb is Verb.ALREADY}


def test_a_young_role_of_the_operator_alone_is_not_waited_for() -> None:
    held = (assigned(OPERATOR, SECRETS_USER, age=timedelta(minutes=1)),)
    assert AwaitRoles not in actions(planned(found(policy(OPERATOR, secrets="get"), assignments=held)))


def test_without_names_from_the_directory_object_ids_have_to_do() -> None:
    made = planned(replace(found(policy(BILLING, secrets="get")), principals={}))
    assert any(BILLING in s.detail for s in made.work)
    assert made.losses == ()


def test_access_policies_of_a_vault_on_rbac_count_for_nothing() -> None:
    made = planned(found(policy(BILLING, "app-1", secrets="get"), rbac=True))
    assert made.losses == ()
    assert not {SwitchToRbac, AwaitRoles} & set(actions(made))


def test_the_plan_shows_what_roles_give_beyond_the_need() -> None:
    made = planned(found(policy(DANA, secrets="get set")))
    officer = next(s for s in made.work if s.detail.endswith("→ dana"))
    assert "purge" in officer.danger
    assert "get, set" in officer.why


def test_user_assigned_identities_are_kept_and_said_so() -> None:
    observed = found()
    observed = replace(observed, account=replace(observed.account, user_identities=("/a", "/b")))
    step = planned(observed).work[0]
    assert step.action == EnableIdentity(observed.account)
    assert "2 user-assigned kept" in step.detail
    assert step.after == "SystemAssigned, UserAssigned"


def test_a_change_under_way_is_waited_for_first() -> None:
    assert actions(planned(found(state="Accepted")))[:2] == [AwaitAccount, EnableIdentity]


@pytest.mark.parametrize(
    ("state", "key", "expected"),
    [
        (SecretState.PRESENT, KeyState.SAME, Verb.ALREADY),
        (SecretState.PRESENT, KeyState.NONE, Verb.ALREADY),
        (SecretState.PRESENT, KeyState.OTHER, Verb.CHANGE),
        (SecretState.DISABLED, KeyState.OTHER, Verb.CHANGE),
        (SecretState.DELETED, KeyState.OTHER, Verb.CHANGE),
        (SecretState.MISSING, KeyState.OTHER, Verb.ADD),
        (SecretState.MISSING, KeyState.NONE, Verb.ADD),
        (SecretState.UNKNOWN, KeyState.OTHER, Verb.ADD),
    ],
)
def test_the_secret_is_written_only_when_it_differs(state: SecretState, key: KeyState, expected: Verb) -> None:
    assert planned(found(secret=state), key).steps[-1].verb is expected


def test_a_key_is_compared_with_what_could_be_read() -> None:
    key = SecretStr("k")
    assert key_state(Secret(SecretState.PRESENT, SecretStr("k")), key) is KeyState.SAME
    assert key_state(Secret(SecretState.PRESENT, SecretStr("x")), key) is KeyState.OTHER
    assert key_state(Secret(SecretState.UNKNOWN), key) is KeyState.OTHER
    assert key_state(Secret(SecretState.PRESENT, key), None) is KeyState.NONE


def test_rights_are_asked_for_exactly_what_the_plan_does() -> None:
    observed = found(policy(BILLING, secrets="get"))
    assert rights(planned(observed), observed) == (
        ("Microsoft.CognitiveServices/accounts/write", "account-id"),
        ("Microsoft.Authorization/roleAssignments/write", VAULT_ID),
        ("Microsoft.KeyVault/vaults/write", VAULT_ID),
    )
    assert rights(plan(TARGET, in_place(), KeyState.OTHER), in_place()) == ()


def test_what_access_policies_give_already_is_told_verb_by_verb() -> None:
    target = replace(TARGET, by_access_policy=True, identity_role=SECRETS_USER)
    made = plan(target, found(policy(IDENTITY, secrets="GET list recover"), identity=IDENTITY), KeyState.OTHER)
    assert Step(Verb.ALREADY, "access policy", "secrets get, list → aoai-ml") in made.steps


def test_no_plan_holds_the_key() -> None:
    observed = replace(in_place(), secret=Secret(SecretState.PRESENT, SecretStr("very-secret")))
    assert "very-secret" not in repr(plan(TARGET, observed, KeyState.OTHER)) + repr(observed)


PEOPLE = st.sampled_from([OPERATOR, IDENTITY, BILLING, DANA])
POLICIES = st.lists(
    st.builds(
        lambda who, secrets, keys: policy(who, secrets=" ".join(secrets), keys=" ".join(keys)),
        PEOPLE,
        st.lists(st.sampled_from(["get", "list", "set", "purge"]), unique=True),
        st.lists(st.sampled_from(["get", "sign", "wrapKey", "create"]), unique=True),
    ),
    max_size=4,
    unique_by=lambda p: p.object_id,
)
HELD = st.lists(st.builds(assigned, PEOPLE, st.sampled_from(sorted(DEFINED))), max_size=5).map(tuple)
STATES = st.builds(
    lambda policies, held, identity, rbac: found(*policies, assignments=held, identity=identity, rbac=rbac),
    POLICIES,
    HELD,
    st.sampled_from([None, IDENTITY]),
    st.booleans(),
).filter(lambda observed: observed.account.principal_id is not None or not _named_before_it_exists(observed))


def _named_before_it_exists(observed: Observed) -> bool:
    """Nobody can have given rights to an identity that the account does not have yet."""
    named = {p.object_id for p in observed.vault.policies} | {a.principal_id for a in observed.assignments}
    return IDENTITY in named


def after(observed: Observed, step: Step) -> Observed:
    """The state that a step leaves behind, when it works."""
    match step.action:
        case EnableIdentity():
            return replace(observed, account=replace(observed.account, principal_id=IDENTITY))
        case AssignRole(role_id, _, principal, secret):
            who = principal.object_id if principal else IDENTITY
            made = Assignment("id", observed.vault.scope(secret), role_id, who, NOW)
            return replace(observed, assignments=(*observed.assignments, made))
        case AllowByPolicy(principal, permissions):
            return replace(
                observed, vault=allowed(observed.vault, principal.object_id if principal else IDENTITY, permissions)
            )
        case CreateVault(_, _, rbac):
            return replace(observed, vault=replace(observed.vault, rbac=rbac, state=VaultState.READY))
        case AwaitVault():
            return replace(observed, vault=replace(observed.vault, state=VaultState.READY))
        case SwitchToRbac():
            return replace(observed, vault=replace(observed.vault, rbac=True))
        case StoreSecret():
            return replace(observed, secret=Secret(SecretState.PRESENT))
        case _:
            return observed


def allowed(vault: Vault, who: str, permissions: tuple[str, ...]) -> Vault:
    """What Azure makes of permissions that are added to an access policy."""
    had = next((p for p in vault.policies if p.object_id == who), policy(who))
    more = {**had.permissions, "secrets": (*had.permissions.get("secrets", ()), *permissions)}
    return replace(vault, policies=(*(p for p in vault.policies if p is not had), AccessPolicy(who, more)))


def key_after(observed: Observed) -> KeyState:
    return KeyState.SAME if observed.secret.state is SecretState.PRESENT else KeyState.OTHER


WANTED = st.builds(
    lambda role, scope, readers: replace(TARGET, identity_role=role, identity_scope=scope, readers=tuple(readers)),
    st.sampled_from([SECRETS_OFFICER, SECRETS_USER]),
    st.sampled_from(Scope),
    st.lists(st.sampled_from([BILLING, DANA, IDENTITY, OPERATOR]), max_size=2),
)
CHOICES = WANTED | st.just(replace(TARGET, by_access_policy=True, readers=(DANA,)))


def start(target: Target, observed: Observed, state: VaultState) -> Observed:
    """A state that setup may start from: with access policies asked for, it refuses Azure RBAC before any plan."""
    vault = replace(observed.vault, state=state, rbac=observed.vault.rbac and not target.by_access_policy)
    if state is VaultState.MISSING:
        vault = replace(vault, rbac=not target.by_access_policy, policies=())
    return replace(observed, vault=vault)


THERE = st.sampled_from([VaultState.READY, VaultState.REGISTERING, VaultState.MISSING])


@given(CHOICES, STATES, THERE)
def test_a_plan_carried_out_leaves_nothing_to_do(target: Target, observed: Observed, state: VaultState) -> None:
    observed = start(target, observed, state)
    for step in plan(target, observed, KeyState.OTHER).work:
        observed = after(observed, step)
    assert plan(target, observed, key_after(observed)).work == ()


@given(CHOICES, STATES, THERE, st.integers(min_value=0, max_value=12))
def test_a_plan_interrupted_anywhere_goes_on_to_the_same_end(
    target: Target, observed: Observed, state: VaultState, at: int
) -> None:
    through = observed = start(target, observed, state)
    for step in plan(target, observed, KeyState.OTHER).work:
        through = after(through, step)
    for step in plan(target, observed, KeyState.OTHER).work[:at]:
        observed = after(observed, step)
    for step in plan(target, observed, key_after(observed)).work:
        observed = after(observed, step)

    def end(state: Observed) -> tuple[object, ...]:
        held = {(a.principal_id, a.role_id, a.scope) for a in state.assignments}
        return state.account, state.vault, state.secret, held

    assert end(observed) == end(through)


@given(STATES)
def test_the_switch_comes_after_every_role_and_before_the_secret(observed: Observed) -> None:
    kinds = actions(planned(observed))
    if SwitchToRbac in kinds:
        at = kinds.index(SwitchToRbac)
        assert AssignRole not in kinds[at:]
        assert StoreSecret not in kinds[:at]
