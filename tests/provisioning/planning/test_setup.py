"""Plans of setup: which steps, in which order, in which words."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

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
    Network,
    Observed,
    Principal,
    Scope,
    Secret,
    SecretState,
    Target,
    Vault,
    VaultState,
)
from provisioning.planning.actions import (
    Action,
    AllowByPolicy,
    AssignRole,
    AwaitAccount,
    AwaitRoles,
    AwaitVault,
    CreateVault,
    EnableIdentity,
    ForgetSwitch,
    RecoverVault,
    RemoveEntries,
    RemoveRole,
    RestoreAccessPolicies,
    StoreSecret,
    SwitchToRbac,
)
from provisioning.planning.grants import LESS
from provisioning.planning.ownership import Owner, Purpose
from provisioning.planning.secret import SOON, expiry_warning, key_state
from provisioning.planning.setup import plan_setup
from provisioning.planning.steps import Loss, Plan, Step, Verb

from .states import (
    ACCOUNT_ID,
    BILLING,
    DANA,
    DEFINED,
    GROUP_ID,
    IDENTITY,
    NOW,
    OPERATOR,
    TARGET,
    VAULT_ID,
    WAIT,
    assigned,
    found,
    lines,
    policy,
)

CRYPTO_USER, CERTIFICATE_USER = "12338af0-0e69-4776-bea7-57ae8d297424", "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba"
ADMINISTRATOR = "00482a5a-887f-4fb3-b363-3b7fe8e74483"
OFFICER, USER = "Key Vault Secrets Officer", "Key Vault Secrets User"
FOR_JOBS = "to read the secret when a fine-tuning job reports to W&B"
EVERY_SECRET = "! an access policy applies to every secret of the vault"
UNSEEN = "unless the vault holds it already, which you cannot see yet"
APP_ONLY = "access only through application app-1: Azure RBAC has no compound identities"
LIVES = "expires 2026-08-29"
NEW = f"a new version with the W&B key; {LIVES}"
ALL = "get, list, set, delete, recover, backup, restore, purge"
OWNED = Owner("aoai-ml", "wandb-api-key")


def planned(observed: Observed, key: KeyState = KeyState.OTHER, **options: Any) -> Plan:
    return plan_setup(replace(TARGET, **options), observed, key)


def actions(plan: Plan) -> list[type]:
    return [type(step.action) for step in plan.work]


def granted(plan: Plan) -> set[tuple[str, str]]:
    return {
        (a.principal.object_id if a.principal else "", a.role_name)
        for a in (s.action for s in plan.work)
        if isinstance(a, AssignRole)
    }


def in_place(*, secret: Secret = Secret(SecretState.PRESENT)) -> Observed:  # noqa: B008 - frozen
    both = (assigned(OPERATOR, SECRETS_OFFICER), assigned(IDENTITY, SECRETS_OFFICER))
    return replace(found(assignments=both, identity=IDENTITY, rbac=True), secret=secret)


def in_state(state: VaultState, *, rbac: bool = False) -> Observed:
    observed = found(rbac=rbac)
    return replace(observed, vault=replace(observed.vault, state=state, location="westeurope"))


# --- whole plans -----------------------------------------------------------------------------------------------------


def test_the_plan_for_a_vault_that_others_use_by_access_policy() -> None:
    plan = planned(
        found(
            policy(BILLING, secrets="get list"),
            policy(DANA, keys="sign", storage="get"),
            policy(OPERATOR, secrets="get set", keys="list"),
        ),
        KeyState.NONE,
    )
    yours = "secrets get, set; keys list"
    keys = "keys get, list, update, backup, decrypt, encrypt, verify, unwrapkey, wrapkey"
    assert lines(plan) == [
        "add account identity: SystemAssigned for aoai-ml (so that it can read the W&B key from the vault)",
        f"add role: {USER} → billing-api (had secrets get, list by access policy)",
        f"add role: Key Vault Crypto User → dana (had keys sign; storage get by access policy) ! also gives {keys}",
        f"add role: Key Vault Certificate User → you (had {yours} by access policy) ! also gives certificates get, list",
        f"add role: {OFFICER} → you (to store the secret; had {yours} by access policy)",
        f"add role: {OFFICER} → aoai-ml ({FOR_JOBS}) ! it also reaches any other secrets of this vault; less: {LESS}",
        (
            "wait roles take effect: up to 10 m before the switch (others depend on this vault, and Azure does not report "
            "when a role takes effect)"
        ),
        (
            "change vault access model: access policies → Azure RBAC ! its 3 access policies stop being effective but remain "
            "stored"
        ),
        f"add secret wandb-api-key: the W&B key; expires 2026-08-29 ({UNSEEN}; setup asks for the key)",
    ]
    assert plan.losses == (Loss("dana", DANA, "no role fits storage get, list"),)
    required = {s.detail for s in plan.work if isinstance(s.action, AssignRole) and s.action.required_for_switch}
    assert required == {f"{USER} → billing-api", "Key Vault Crypto User → dana"}


def test_an_interrupted_run_continues_with_what_is_missing() -> None:
    held = (assigned(BILLING, SECRETS_USER, age=timedelta(minutes=4)),)
    plan = planned(
        found(policy(BILLING, secrets="get"), policy(IDENTITY, secrets="get"), assignments=held, identity=IDENTITY)
    )
    assert f"ok role: {USER} → billing-api (has secrets get by access policy)" in lines(plan)
    assert granted(plan) == {(OPERATOR, OFFICER), (IDENTITY, OFFICER)}
    assert [s.action for s in plan.work if isinstance(s.action, AwaitRoles)] == [
        AwaitRoles(WAIT, NOW - timedelta(minutes=4))
    ]


def test_a_complete_chain_needs_no_steps() -> None:
    plan = planned(in_place(secret=Secret(SecretState.PRESENT, expires=NOW + timedelta(days=100))), KeyState.SAME)
    assert plan.work == ()
    assert lines(plan) == [
        f"ok account identity: SystemAssigned, principal {IDENTITY}",
        f"ok role: {OFFICER} → you",
        f"ok role: {OFFICER} → aoai-ml",
        "ok vault access model: Azure RBAC",
        "ok secret wandb-api-key: holds this key; expires 2026-06-10",
    ]


def test_access_policies_get_only_the_permissions_that_are_missing() -> None:
    observed = found(
        policy(OPERATOR, secrets="get list"),
        policy(DANA, secrets="GET"),
        policy(IDENTITY, secrets=""),
        identity=IDENTITY,
    )
    plan = planned(observed, by_access_policy=True, identity_role=SECRETS_USER, readers=(DANA, BILLING))
    assert lines(plan)[1:-1] == [
        (
            "change access policy: secrets set, delete, recover, backup, restore, purge → you (to store the secret; has "
            "secrets get, list)"
        ),
        f"change access policy: secrets get, list → aoai-ml ({FOR_JOBS}) {EVERY_SECRET}",
        "ok access policy: secrets get → dana",
        f"add access policy: secrets get → billing-api (to read the secret) {EVERY_SECRET}",
        "ok vault access model: access policies (--vault-access-policy)",
    ]


def test_a_missing_vault_is_created_first() -> None:
    protected = "! purge protection is irreversible: after a deletion the name and the content stay for 90 days"
    plan = planned(in_state(VaultState.MISSING, rbac=True), create_vault=True)
    assert lines(plan)[0] == (
        "add vault: kv-ml in westeurope: standard, Azure RBAC, soft delete for 90 days, purge protection "
        f"(it does not exist; --create-key-vault) {protected}"
    )
    assert actions(plan) == [CreateVault, EnableIdentity, AssignRole, AssignRole, StoreSecret]
    options: dict[str, Any] = {"create_vault": True, "by_access_policy": True, "purge_protection": False}
    plan = planned(in_state(VaultState.MISSING), **options)
    assert lines(plan)[0] == (
        "add vault: kv-ml in westeurope: standard, access policies, soft delete for 90 days (it does not exist; "
        "--create-key-vault) ! without purge protection a deleted vault can be purged permanently, with all its keys "
        "and secrets"
    )
    assert lines(plan)[2] == f"add access policy: secrets {ALL} → you (to store the secret)"


def test_a_deleted_vault_is_recovered_before_more_can_be_planned() -> None:
    plan = planned(in_state(VaultState.DELETED))
    assert plan.partial
    assert lines(plan) == [
        (
            "change vault: recover kv-ml from the deleted state (--recover-key-vault) ! its role assignments are not "
            "recovered: every principal that used it by role needs a new assignment"
        ),
        "note then: setup reads the vault again and plans the rest, as its access model is known only then",
    ]


def test_the_plan_waits_for_changes_in_progress_and_notes_network_rules() -> None:
    observed = in_state(VaultState.REGISTERING, rbac=True)
    plan = planned(
        replace(
            observed,
            vault=replace(observed.vault, network=Network.PRIVATE),
            account=replace(observed.account, state="Updating", user_identities=("/a", "/b")),
        )
    )
    assert actions(plan)[:3] == [AwaitVault, AwaitAccount, EnableIdentity]
    assert "2 user-assigned kept" in plan.work[2].detail
    assert plan.work[2].after == "SystemAssigned, UserAssigned"
    assert plan.steps[-1].detail == "kv-ml answers private endpoints only"
    assert plan.steps[-1].danger.startswith("aoai-ml and the function app may be blocked")


def test_the_plan_for_roles_on_the_secret_notes_broader_access() -> None:
    stranger = "0000000a-0000-4000-8000-000000000000"
    observed = found(
        assignments=(
            assigned(OPERATOR, SECRETS_OFFICER),
            assigned(IDENTITY, SECRETS_OFFICER),
            assigned(BILLING, SECRETS_USER),
            assigned(BILLING, CRYPTO_USER),  # does not give access to secrets
            replace(assigned(DANA, SECRETS_USER), scope=f"{VAULT_ID}/secrets/wandb-api-key"),
            replace(assigned(DANA, SECRETS_OFFICER), id="other", scope=GROUP_ID),
        ),
        identity=IDENTITY,
        rbac=True,
        secret=SecretState.DELETED,
    )
    readers = (BILLING.upper(), DANA, stranger.upper(), BILLING)
    plan = planned(observed, identity_role=SECRETS_USER, identity_scope=Scope.SECRET, readers=readers)
    on_secret, left = "on secret wandb-api-key", "! setup does not remove it, because others may rely on it"
    requested = f"requested: {USER} on the secret {left}"
    assert lines(plan)[3:] == [
        "change secret wandb-api-key: recover it, and write a new version if it holds another key; expires 2026-08-29",
        f"add role: {USER} → aoai-ml {on_secret} ({FOR_JOBS})",
        f"add role: {USER} → billing-api {on_secret} (to read the secret)",
        f"ok role: {USER} → dana {on_secret}",
        f"add role: {USER} → {stranger} {on_secret} (to read the secret)",
        f"note broader access: {OFFICER} → aoai-ml at kv-ml; {requested}",
        f"note broader access: {USER} → billing-api at kv-ml; {requested}",
        f"note broader access: {OFFICER} → dana at rg-ml; {requested}",
    ]
    assert plan.steps[-1].command == "az role assignment delete --ids other"
    kinds = [s.action.principal.kind for s in plan.work if isinstance(s.action, AssignRole) and s.action.principal]
    assert kinds == ["ServicePrincipal"] * 3


# --- roles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policies", [(), (policy(OPERATOR, secrets="all"),)], ids=["nobody", "only the operator"])
def test_without_other_principals_there_is_no_wait(policies: tuple[AccessPolicy, ...]) -> None:
    kinds = actions(planned(found(*policies)))
    assert AwaitRoles not in kinds
    assert SwitchToRbac in kinds


def test_the_plan_waits_for_the_accounts_identity_if_it_reads_by_access_policy() -> None:
    plan = planned(found(policy(IDENTITY, secrets="get"), identity=IDENTITY))
    assert AwaitRoles in actions(plan)
    assert granted(plan) == {(OPERATOR, OFFICER), (IDENTITY, OFFICER)}


@pytest.mark.parametrize(
    ("who", "ages", "waits"),
    [
        (BILLING, (4,), True),
        (BILLING, (10,), False),
        (BILLING, (180,), False),
        (BILLING, (180, 0), False),  # the longest held of two equal roles counts
        (OPERATOR, (1,), False),
    ],
)
def test_the_plan_only_waits_for_young_roles_of_others(who: str, ages: tuple[int, ...], *, waits: bool) -> None:
    held = tuple(assigned(who, SECRETS_USER, age=timedelta(minutes=age)) for age in ages)
    plan = planned(found(policy(who, secrets="get"), assignments=held))
    assert (AwaitRoles in actions(plan)) is waits
    assert (who, USER) not in granted(plan)


def test_no_wait_is_planned_if_none_is_wanted() -> None:
    assert AwaitRoles not in actions(planned(found(policy(BILLING, secrets="get")), propagation_wait=timedelta(0)))


@pytest.mark.parametrize(
    ("entry", "held", "covered"),
    [
        (policy(BILLING, secrets="get"), assigned(BILLING, SECRETS_USER, conditional=True), False),
        (policy(BILLING.upper(), secrets="get"), assigned(BILLING.upper(), SECRETS_USER), True),
        (policy(BILLING, secrets="get", keys="all"), assigned(BILLING, ADMINISTRATOR), True),
        (
            policy(BILLING, secrets="get"),
            replace(assigned(BILLING, SECRETS_USER), scope=f"{VAULT_ID}/secrets/x"),
            False,
        ),
    ],
    ids=["conditional", "letter case", "a stronger role", "on one secret"],
)
def test_a_held_role_counts_if_it_gives_the_same_access(
    entry: AccessPolicy, held: Assignment, *, covered: bool
) -> None:
    plan = planned(found(entry, assignments=(held,)))
    assert (BILLING not in {who.lower() for who, _ in granted(plan)}) is covered


def test_the_existing_roles_that_replace_an_access_policy_are_named() -> None:
    held = tuple(assigned(BILLING, role) for role in (SECRETS_USER, CRYPTO_USER, CERTIFICATE_USER))
    plan = planned(found(policy(BILLING, keys="sign"), assignments=held))
    assert "ok role: Key Vault Crypto User → billing-api (has keys sign by access policy)" in lines(plan)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (policy(BILLING, "app-1", secrets="get"), APP_ONLY),
        (policy(BILLING, storage="get"), "no role fits storage get, list"),
        (policy(BILLING, secrets="teleport get", wishes="x"), "no role is known for secrets teleport, wishes x"),
    ],
)  # fmt: skip
def test_access_that_no_role_gives_is_listed(entry: AccessPolicy, reason: str) -> None:
    assert planned(found(entry)).losses == (Loss("billing-api", BILLING, reason),)


def test_a_principal_that_the_directory_does_not_know_gets_nothing_and_is_listed() -> None:
    observed = replace(found(policy(BILLING, secrets="get")), principals={BILLING: Principal(BILLING, missing=True)})
    plan = planned(observed)
    assert BILLING not in {who for who, _ in granted(plan)}
    assert plan.losses == (
        Loss(BILLING, BILLING, "the directory does not know this principal; it may have been deleted"),
    )


def test_without_the_directory_object_ids_serve_as_names() -> None:
    plan = planned(replace(found(policy(BILLING, secrets="get")), principals={}))
    assert any(BILLING in s.detail for s in plan.work)
    assert plan.losses == ()


def test_access_policies_of_a_vault_on_rbac_have_no_effect() -> None:
    plan = planned(found(policy(BILLING, "app-1", secrets="get"), rbac=True))
    assert plan.losses == ()
    assert not {SwitchToRbac, AwaitRoles} & set(actions(plan))


# --- the secret ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "key", "line"),
    [
        (SecretState.PRESENT, KeyState.SAME, "ok: holds this key; does not expire"),
        (SecretState.PRESENT, KeyState.NONE, "ok: present (no key given to compare with); does not expire"),
        (
            SecretState.PRESENT,
            KeyState.OTHER,
            f"change: {NEW} ! the vault holds another value; its version stays readable",
        ),
        (
            SecretState.DISABLED,
            KeyState.OTHER,
            f"change: {NEW} ! the current version is disabled; the new one can be read",
        ),
        (
            SecretState.DELETED,
            KeyState.OTHER,
            f"change: recover it, and write a new version if it holds another key; {LIVES}",
        ),
        (SecretState.MISSING, KeyState.OTHER, f"add: the W&B key; {LIVES}"),
        (SecretState.MISSING, KeyState.NONE, f"add: the W&B key; {LIVES} (setup asks for the key)"),
        (SecretState.UNKNOWN, KeyState.OTHER, f"add: the W&B key; {LIVES} ({UNSEEN})"),
    ],
)
def test_the_secret_is_written_only_if_it_differs(state: SecretState, key: KeyState, line: str) -> None:
    assert lines(planned(found(secret=state), key))[-1].replace(" secret wandb-api-key", "") == line


def test_a_lifetime_of_none_means_no_expiry() -> None:
    assert planned(found(), secret_lifetime=None).steps[-1].detail == "the W&B key; does not expire"


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (None, ""),
        (SOON + timedelta(seconds=1), ""),
        (SOON, "it expires in 30 days; it can be read after that, too. "),
        (timedelta(days=1.6), "it expires in 2 days; it can be read after that, too. "),
        (timedelta(hours=1), "it expires in 1 day; it can be read after that, too. "),
        (timedelta(0), "it expired on 2026-03-02; it can still be read. "),
        (timedelta(days=-3), "it expired on 2026-02-27; it can still be read. "),
    ],
)
def test_an_expiry_within_thirty_days_is_a_warning(left: timedelta | None, expected: str) -> None:
    assert expiry_warning(None if left is None else NOW + left, NOW) == expected + (
        "`rotate-key` stores a new key; `setup --secret-lifetime TIME` gives this one longer" * bool(expected)
    )


def test_a_key_is_compared_with_what_could_be_read() -> None:
    key = SecretStr("k")
    assert key_state(Secret(SecretState.PRESENT, SecretStr("k")), key) is KeyState.SAME
    assert key_state(Secret(SecretState.PRESENT, SecretStr("x")), key) is KeyState.OTHER
    assert key_state(Secret(SecretState.UNKNOWN), key) is KeyState.OTHER
    assert key_state(Secret(SecretState.PRESENT, key), None) is KeyState.NONE


def test_no_plan_holds_the_key() -> None:
    observed = in_place(secret=Secret(SecretState.PRESENT, SecretStr("very-secret")))
    assert "very-secret" not in repr(planned(observed)) + repr(observed)


# --- rights ----------------------------------------------------------------------------------------------------------

VAULT = found().vault
MISSING = replace(VAULT, state=VaultState.MISSING)
DELETED = replace(VAULT, state=VaultState.DELETED)


@pytest.mark.parametrize(
    ("action", "needed"),
    [
        (EnableIdentity(found().account), [("Microsoft.CognitiveServices/accounts/write", ACCOUNT_ID)]),
        (AssignRole(VAULT, SECRETS_USER, USER, None, OWNED, Purpose.READER), ["roleAssignments/write"]),
        (
            AllowByPolicy(VAULT, None, ("get",), OWNED, Purpose.READER),
            ["accessPolicies/write", "vaults/write"],
        ),
        (RemoveEntries(VAULT, (("x", ("get",)),)), ["accessPolicies/write", "vaults/write"]),
        (SwitchToRbac(VAULT, OWNED), ["vaults/write", "roleAssignments/write"]),
        (RestoreAccessPolicies(VAULT), ["vaults/write", "roleAssignments/write"]),
        (ForgetSwitch(VAULT), ["vaults/write"]),
        (RemoveRole(VAULT, assigned(DANA, SECRETS_USER)), ["roleAssignments/delete"]),
        (CreateVault(MISSING, purge_protection=True), [("Microsoft.KeyVault/vaults/write", GROUP_ID)]),
        (RecoverVault(DELETED), [("Microsoft.KeyVault/vaults/write", GROUP_ID)]),
        (StoreSecret(VAULT, OWNED, lifetime=None), []),
        (AwaitRoles(WAIT, None), []),
    ],
)
def test_each_action_names_the_rights_that_it_takes(action: Action, needed: list[str | tuple[str, str]]) -> None:
    plan = Plan("?", (Step(Verb.ADD, "?", "?", action=action), Step(Verb.NOTE, "?", "?")))
    names = [(r.action.rsplit("/", 2), r.scope) for r in plan.rights]
    expected = [(n[0].rsplit("/", 2), n[1]) if isinstance(n, tuple) else (n.split("/"), VAULT_ID) for n in needed]
    assert [(name[-2:], scope) for name, scope in names] == [(name[-2:], scope) for name, scope in expected]


def test_a_plan_takes_each_right_once() -> None:
    rights = planned(found(policy(BILLING, secrets="get"))).rights
    assert len(rights) == len(set(rights)) == 3
    assert planned(in_place()).rights == ()


# --- any state -------------------------------------------------------------------------------------------------------

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
    """Nobody can have granted rights to an identity that the account does not have yet."""
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
    """What Azure makes of permissions that are added to an access policy."""
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
