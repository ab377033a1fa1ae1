"""What teardown removes and what stays, line by line, without any service."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from provisioning.models import SECRETS_OFFICER, SECRETS_USER, Assignment, Principal, SecretState, SecretVersion
from provisioning.planning.actions import RemoveEntries, RemoveRole
from provisioning.planning.ownership import Purpose
from provisioning.planning.steps import Loss, Plan, Step, Verb
from provisioning.planning.teardown import plan_teardown

from .marked_states import (
    ABOUT,
    ALL,
    BILLINGS_POLICY,
    CARRIED,
    CRYPTO_USER,
    DELETED,
    FROM_ACCOUNT,
    FROM_BILLING,
    FROM_READER,
    FROM_YOU,
    GAVE_BEFORE,
    IDENTITY_STAYS,
    NAME,
    OF_ACCOUNT,
    OF_OTHER,
    OF_THIRD,
    OFFICER,
    ON_POLICIES,
    OTHER_IDENTITY,
    READER,
    SECRET_ID,
    STAYS_FOR_OTHER,
    STAYS_ON_RBAC,
    USER,
    YOURS,
    actions,
    handed_over,
    marked,
    on_policies,
    on_rbac,
    plan,
    removed,
    restored,
    version,
)
from .states import BILLING, DANA, GROUP_ID, IDENTITY, OPERATOR, TARGET, assigned, policy

# --- roles ------------------------------------------------------------------------------------------------------------


def test_roles_of_setup_are_removed_with_the_operators_last_and_former_policy_access_stays() -> None:
    observed = on_rbac(*ALL, assigned(BILLING, CRYPTO_USER), policies=(BILLINGS_POLICY,))
    kept = Step(Verb.NOTE, "role", f"1 role stays: {GAVE_BEFORE} (billing-api)")
    assert plan(observed, version(), version()) == Plan(
        ABOUT, (DELETED, STAYS_ON_RBAC, FROM_READER, FROM_ACCOUNT, FROM_YOU, kept, IDENTITY_STAYS)
    )


def test_restoring_access_policies_also_removes_migrated_roles_and_lists_losses() -> None:
    observed = on_rbac(*ALL, assigned(BILLING, CRYPTO_USER), policies=(BILLINGS_POLICY,))
    keys = "keys get, list, update, backup, decrypt, encrypt, verify, sign, unwrapkey, wrapkey"
    steps = (restored("1 access policy counts"), FROM_BILLING, FROM_READER, FROM_ACCOUNT, FROM_YOU)
    loss = Loss("billing-api", BILLING, f"Key Vault Crypto User by role, and its access policy does not give {keys}")
    made = plan(observed, version(), restore=True)
    assert made == Plan(ABOUT, (DELETED, *steps, IDENTITY_STAYS), (loss,))


def test_what_an_account_of_the_same_name_in_another_group_uses_stays() -> None:
    namesake = marked(OTHER_IDENTITY, SECRETS_OFFICER, Purpose.IDENTITY)
    made = plan_teardown(TARGET, on_rbac(YOURS, OF_ACCOUNT, namesake), (version(),), restore=False)
    removed = [s.action.assignment for s in made.work if isinstance(s.action, RemoveRole)]
    assert removed == [OF_ACCOUNT]
    assert made.steps[0].detail == "stays: another account named aoai-ml may use it, too"


def test_access_that_another_account_uses_stays() -> None:
    observed = on_rbac(*ALL, OF_OTHER, policies=(BILLINGS_POLICY,))
    carried = Step(Verb.NOTE, "role", f"1 role stays: {GAVE_BEFORE} (billing-api)")
    others = Step(Verb.NOTE, "role", "1 role stays for aoai-two (aoai-two)")
    handed = (handed_over(f"{OFFICER} → you"), handed_over(f"{USER} → dana"))
    assert plan(observed, version()) == Plan(
        ABOUT, (STAYS_FOR_OTHER, STAYS_ON_RBAC, FROM_ACCOUNT, *handed, carried, others, IDENTITY_STAYS)
    )
    none = "it has no access policy"
    made = plan(observed, version(), restore=True)
    steps = (restored("1 access policy counts"), FROM_BILLING, FROM_ACCOUNT, *handed, others)
    assert made.steps == (STAYS_FOR_OTHER, *steps, IDENTITY_STAYS)
    assert made.losses == (
        Loss("you", OPERATOR, f"{OFFICER} by role, and {none}"),
        Loss("dana", DANA, f"{USER} by role, and {none}"),
        Loss("aoai-two", OTHER_IDENTITY, f"{OFFICER} by role, and {none}"),
    )


def test_several_roles_that_policies_gave_before_are_counted_and_each_is_named_once() -> None:
    more = (marked(BILLING, CRYPTO_USER, Purpose.CARRIED_OVER), marked(DANA, SECRETS_USER, Purpose.CARRIED_OVER))
    observed = on_rbac(CARRIED, *more, policies=(BILLINGS_POLICY, policy(DANA.upper(), secrets="get")))
    kept = Step(Verb.NOTE, "role", f"3 roles stay: {GAVE_BEFORE} (billing-api, dana)")
    assert kept in plan(observed).steps


def test_a_role_that_was_carried_over_from_a_missing_entry_stays_for_others() -> None:
    kept = Step(Verb.NOTE, "role", "1 role stays for others (billing-api)")
    assert kept in plan(on_rbac(CARRIED)).steps


def test_a_role_of_a_principal_with_a_former_policy_stays_for_any_purpose_until_policies_are_restored() -> None:
    theirs = marked(BILLING.upper(), SECRETS_USER, Purpose.READER, scope=SECRET_ID)
    observed = on_rbac(theirs, policies=(BILLINGS_POLICY,))
    made = plan(observed)
    assert Step(Verb.NOTE, "role", f"1 role stays: {GAVE_BEFORE} (billing-api)") in made.steps
    assert not [step for step in made.steps if step.verb is Verb.REMOVE and step.resource == "role"]
    assert removed(f"{USER} → billing-api", theirs, "reader") in plan(observed, restore=True).steps


def test_the_role_of_a_deleted_identity_is_removed_and_its_account_keeps_nothing() -> None:
    observed = on_rbac(YOURS, OF_OTHER)
    gone = {OTHER_IDENTITY: Principal(OTHER_IDENTITY, missing=True)}
    made = plan(replace(observed, principals=gone), version())
    expected = (removed(f"{OFFICER} → aoai-two", OF_OTHER, "account identity"), FROM_YOU)
    assert made == Plan(ABOUT, (DELETED, STAYS_ON_RBAC, *expected, IDENTITY_STAYS))


def test_letter_case_of_accounts_does_not_count() -> None:
    spelled = marked(IDENTITY, SECRETS_OFFICER, Purpose.IDENTITY, account="AOAI-ML")
    made = plan(on_rbac(spelled), version())
    assert made.steps[2] == removed(f"{OFFICER} → AOAI-ML", spelled, "account identity")


@pytest.mark.parametrize(
    "other",
    [
        replace(YOURS, derived=False),
        replace(YOURS, description="made by hand"),
        replace(YOURS, description=None),
        replace(YOURS, scope=GROUP_ID),
    ],
    ids=["another name", "another description", "none", "above the vault"],
)
def test_roles_without_the_record_or_outside_the_vault_are_not_removed(other: Assignment) -> None:
    made = plan(on_rbac(other))
    assert [step.resource for step in made.steps] == [NAME, "vault access model", "account identity"]


def test_roles_of_one_purpose_are_ordered_by_id_regardless_of_letter_case() -> None:
    first, second = (replace(READER, id=name) for name in ("a", "B"))
    for found_in in ((second, first), (first, second)):
        observed = on_rbac(*found_in)
        assert actions(observed)[1:] == [RemoveRole(observed.vault, first), RemoveRole(observed.vault, second)]


def test_restoring_access_policies_loses_only_access_that_no_policy_gives() -> None:
    """Roles above the vault count, roles on the secret that goes do not, nor roles that give nothing in a vault."""
    observed = on_rbac(
        replace(assigned(OPERATOR, SECRETS_OFFICER), scope=GROUP_ID),
        assigned(DANA, SECRETS_USER),
        assigned(DANA.upper(), CRYPTO_USER),
        assigned(DANA, SECRETS_USER),
        assigned(BILLING, SECRETS_OFFICER),
        replace(assigned(OTHER_IDENTITY, SECRETS_USER), scope=SECRET_ID.upper()),
        assigned(IDENTITY, "a role that is not defined"),
        policies=(BILLINGS_POLICY, policy(OPERATOR, secrets="all"), policy(DANA, "an application", secrets="all")),
    )
    made = plan(observed, restore=True)
    assert made.steps[1] == restored("3 access policies count")
    lacks = "secrets list, set, delete, recover, backup, restore, purge"
    assert made.losses == (
        Loss("dana", DANA, f"{USER}, Key Vault Crypto User by role, and it has no access policy"),
        Loss("billing-api", BILLING, f"{OFFICER} by role, and its access policy does not give {lacks}"),
    )
    assert plan(observed).losses == ()


@pytest.mark.parametrize(
    ("state", "versions", "lost"),
    [
        (SecretState.PRESENT, (version(),), False),
        (SecretState.DISABLED, (version(),), False),
        (SecretState.DELETED, (), False),
        (SecretState.MISSING, (), False),
        (SecretState.PRESENT, (version(), version(ours=False)), True),
        (SecretState.PRESENT, (version(ours=False),), True),
        (SecretState.UNKNOWN, (), True),
    ],
    ids=["ours", "disabled", "deleted", "missing", "partly others'", "others'", "not seen yet"],
)
def test_a_role_on_the_secret_is_a_loss_if_the_secret_may_stay(
    state: SecretState, versions: Collection[SecretVersion], lost: bool
) -> None:
    on_secret = replace(assigned(BILLING, SECRETS_USER), scope=SECRET_ID)
    made = plan(on_rbac(YOURS, OF_ACCOUNT, on_secret, secret=state), *versions, restore=True)
    loss = Loss("billing-api", BILLING, f"{USER} by role, and it has no access policy")
    assert made.losses == ((loss,) if lost else ())


def test_a_role_on_the_secret_is_lost_where_the_secret_stays_for_another_account() -> None:
    on_secret = replace(assigned(BILLING, SECRETS_USER), scope=SECRET_ID)
    observed = on_rbac(YOURS, OF_ACCOUNT, OF_OTHER, on_secret)
    losses = plan(observed, version(), restore=True).losses
    assert BILLING in [loss.object_id for loss in losses]


# --- access policies --------------------------------------------------------------------------------------------------


def test_named_principals_lose_exactly_what_is_recorded_and_others_are_only_listed() -> None:
    observed = on_policies(
        policy(OPERATOR, secrets="all get"),
        policy(BILLING, secrets="get", keys="get"),
        policy(IDENTITY.upper(), secrets="Get", keys=""),
        policy(IDENTITY, "an application", secrets="get"),
        policy(DANA, secrets="get"),
        policy(OTHER_IDENTITY, secrets="get"),
        noted=(OPERATOR, BILLING, IDENTITY, DANA),
    )
    target = replace(TARGET, readers=(BILLING.upper(),))
    made = plan_teardown(target, observed, (version(),), restore=False)
    removal = RemoveEntries(
        observed.vault,
        ((IDENTITY.upper(), ("Get",)), (BILLING, ("get",)), (OPERATOR, ("get",))),
        (IDENTITY.upper(), BILLING, OPERATOR),
    )
    assert removal in [step.action for step in made.steps]
    forgeable = "only a tag of the vault says that setup made it, and others can write tags"
    assert [replace(step, action=None) for step in made.steps[2:4]] == [
        Step(
            Verb.NOTE,
            "access policy",
            f"of dana stays: {forgeable}. If you gave it with --reader, pass that option again",
        ),
        Step(
            Verb.REMOVE,
            "access policies",
            "the entry of aoai-ml; secrets get of billing-api; secrets get of you",
            before="secrets",
        ),
    ]


def test_records_of_entries_that_no_longer_exist_are_removed() -> None:
    step = Step(Verb.REMOVE, "access policies", "the vault's tags that record entries of setup", before="secrets")
    assert step in plan(on_policies(noted=(DANA,))).steps


def test_entries_are_handed_over_while_other_accounts_use_the_secret_and_these_accounts_are_named() -> None:
    observed = replace(
        on_policies(policy(OPERATOR, secrets="get"), noted=(OPERATOR,)), assignments=(OF_OTHER, OF_THIRD)
    )
    made = plan(observed, version())
    secret = Step(Verb.NOTE, NAME, "stays: aoai-three, aoai-two may use it, too")
    stays = Step(Verb.REMOVE, "access policies", "that of you is for aoai-three/wandb-api-key now", before="secrets")
    kept = Step(Verb.NOTE, "role", "2 roles stay for aoai-three, aoai-two (aoai-three, aoai-two)")
    assert made == Plan(ABOUT, (secret, ON_POLICIES, stays, kept, IDENTITY_STAYS))


# --- the secret and the vault -----------------------------------------------------------------------------------------


def test_on_a_vault_with_access_policies_all_roles_of_setup_are_removed() -> None:
    observed = replace(on_policies(BILLINGS_POLICY), assignments=(YOURS, CARRIED))
    made = plan(observed, version(), restore=True)
    assert made == Plan(ABOUT, (DELETED, ON_POLICIES, FROM_BILLING, FROM_YOU, IDENTITY_STAYS))


def test_the_tag_of_a_switch_that_somebody_undid_is_removed_once_no_other_account_uses_the_vault() -> None:
    observed = replace(on_rbac(YOURS), vault=replace(on_rbac().vault, rbac=False))
    text = "access policies again; the vault's tag that says setup switched it"
    gone = Step(Verb.REMOVE, "vault access model", text)
    assert plan(observed, version()) == Plan(ABOUT, (DELETED, gone, FROM_YOU, IDENTITY_STAYS))
    shared = plan(replace(observed, assignments=(OF_OTHER,)), version())
    assert shared.steps[:2] == (STAYS_FOR_OTHER, ON_POLICIES)
