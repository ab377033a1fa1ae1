"""Plans of setup: which steps, in which order, in which words."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from provisioning.models import (
    SECRETS_OFFICER,
    SECRETS_USER,
    AccessPolicy,
    Assignment,
    KeyState,
    Network,
    Principal,
    Scope,
    Secret,
    SecretState,
    VaultState,
)
from provisioning.planning.access.grants import LESS
from provisioning.planning.actions import (
    AssignRole,
    AwaitAccount,
    AwaitRoles,
    AwaitVault,
    CreateVault,
    EnableIdentity,
    StoreSecret,
    SwitchToRbac,
)
from provisioning.planning.steps import Loss

from .states import (
    BILLING,
    DANA,
    GROUP_ID,
    IDENTITY,
    NOW,
    OPERATOR,
    VAULT_ID,
    WAIT,
    actions,
    assigned,
    found,
    granted,
    in_place,
    in_state,
    lines,
    planned,
    policy,
)

CRYPTO_USER, CERTIFICATE_USER = "12338af0-0e69-4776-bea7-57ae8d297424", "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba"
ADMINISTRATOR = "00482a5a-887f-4fb3-b363-3b7fe8e74483"
OFFICER, USER = "Key Vault Secrets Officer", "Key Vault Secrets User"
FOR_JOBS = "to read the secret when a fine-tuning job reports to W&B"
EVERY_SECRET = "! an access policy applies to every secret of the vault"
UNSEEN = "unless the vault already holds it, which you cannot see yet"
APP_ONLY = "access only through application app-1: Azure RBAC has no compound identities"
ALL = "get, list, set, delete, recover, backup, restore, purge"


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
            "wait roles take effect: up to 10 min before the switch (others depend on this vault, and Azure does not report "
            "when a role takes effect)"
        ),
        (
            "note later moves: roles do not move with a vault to another group or subscription, as access policies do "
            "(after such a move, run `setup` again, and assign the roles of others again)"
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
def test_a_held_role_counts_if_it_gives_the_same_access(entry: AccessPolicy, held: Assignment, covered: bool) -> None:
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
        Loss(BILLING, BILLING, "it is not in the directory now; a deleted principal can be restored for 30 days"),
    )


def test_without_the_directory_object_ids_serve_as_names() -> None:
    plan = planned(replace(found(policy(BILLING, secrets="get")), principals={}))
    assert any(BILLING in s.detail for s in plan.work)
    assert plan.losses == ()


def test_access_policies_of_a_vault_on_rbac_have_no_effect() -> None:
    plan = planned(found(policy(BILLING, "app-1", secrets="get"), rbac=True))
    assert plan.losses == ()
    assert not {SwitchToRbac, AwaitRoles} & set(actions(plan))
