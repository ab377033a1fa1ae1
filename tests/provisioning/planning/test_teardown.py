"""What teardown removes and what stays, line by line, without any service."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

import pytest

from provisioning.models import (
    SECRETS_OFFICER,
    SECRETS_USER,
    AccessPolicy,
    Assignment,
    Observed,
    Principal,
    Secret,
    SecretState,
    SecretVersion,
    Target,
)
from provisioning.planning.actions import HandOverRole, RemoveEntries, RemoveRole, RemoveSecret
from provisioning.planning.owned import proves_switch
from provisioning.planning.ownership import Owner, Purpose, description, switched, with_entry
from provisioning.planning.steps import Loss, Plan, Step, Verb
from provisioning.planning.teardown import hidden, plan_teardown

from .states import BILLING, DANA, GROUP_ID, IDENTITY, NOW, OPERATOR, TARGET, VAULT_ID, assigned, found, policy

NAME, ABOUT = "secret wandb-api-key", "aoai-ml → kv-ml"
SECRET_ID = f"{VAULT_ID}/secrets/wandb-api-key"
OTHER_IDENTITY = "a0000005-0000-4000-8000-000000000000"
CRYPTO_USER = "12338af0-0e69-4776-bea7-57ae8d297424"
VERBS = ("get", "list", "set", "delete", "recover", "backup", "restore", "purge")
NO_KEY = "the function app, and jobs that report to W&B by themselves, no longer get a key"
OFFICER, USER = "Key Vault Secrets Officer", "Key Vault Secrets User"


def marked(
    who: str, role: str, purpose: Purpose, *, account: str = "aoai-ml", scope: str = VAULT_ID, mark: str = ""
) -> Assignment:
    said = mark or description(purpose, Owner(account, "wandb-api-key"), switching=scope == VAULT_ID)
    name = f"{scope}/roles/{who}-{purpose.name}"
    return Assignment(name, scope, role, who, NOW - timedelta(days=9), description=said, derived=True)


YOURS = marked(OPERATOR, SECRETS_OFFICER, Purpose.OPERATOR)
OF_ACCOUNT = marked(IDENTITY, SECRETS_OFFICER, Purpose.IDENTITY)
OF_OTHER = marked(OTHER_IDENTITY, SECRETS_OFFICER, Purpose.IDENTITY, account="aoai-two")
OF_THIRD = marked(DANA, SECRETS_OFFICER, Purpose.IDENTITY, account="aoai-three")
READER = marked(DANA, SECRETS_USER, Purpose.READER, scope=SECRET_ID)
CARRIED = marked(BILLING, SECRETS_USER, Purpose.CARRIED_OVER)
ALL = (CARRIED, YOURS, OF_ACCOUNT, READER)
BILLINGS_POLICY = policy(BILLING, secrets="get")


def plan(target: Target, observed: Observed, versions: Collection[SecretVersion], *, restore: bool) -> Plan:
    """The plan without its actions."""
    whole = plan_teardown(target, observed, versions, restore=restore)
    return replace(whole, steps=tuple(replace(step, action=None) for step in whole.steps))


def actions(observed: Observed, *, restore: bool = False) -> list[object]:
    return [step.action for step in plan_teardown(TARGET, observed, (), restore=restore).work]


def version(*, ours: bool = True, enabled: bool = True) -> SecretVersion:
    return SecretVersion("v", enabled, NOW, None, {"created-by": "azure-openai-wandb"} if ours else {})


def on_rbac(
    *assignments: Assignment, policies: tuple[AccessPolicy, ...] = (), secret: SecretState = SecretState.PRESENT
) -> Observed:
    """A vault that setup has put on Azure RBAC."""
    observed = found(*policies, assignments=assignments, identity=IDENTITY, rbac=True, secret=secret)
    vault = replace(observed.vault, tags=switched({}, NOW))
    return replace(observed, vault=vault, own_secrets={"wandb-api-key": "aoai-ml"})


def on_policies(
    *policies: AccessPolicy, noted: Collection[str] = (), secret: SecretState = SecretState.PRESENT
) -> Observed:
    """A vault on access policies, with the principals noted whose entries setup created."""
    observed = found(*policies, identity=IDENTITY, secret=secret)
    tags: dict[str, str] = {}
    for object_id in noted:
        tags = with_entry(tags, object_id, VERBS, Owner("aoai-ml", "wandb-api-key"))
    return replace(observed, vault=replace(observed.vault, tags=tags), own_secrets={"wandb-api-key": "aoai-ml"})


DELETED = Step(
    Verb.REMOVE,
    NAME,
    "deleted; recoverable until Azure purges it",
    before="present",
    danger=NO_KEY,
)
STAYS_FOR_OTHER = Step(Verb.NOTE, NAME, "stays: aoai-two may use it, too")
STAYS_ON_RBAC = Step(
    Verb.NOTE,
    "vault access model",
    "stays Azure RBAC, to which setup switched it; --restore-access-policies goes back",
)
ON_POLICIES = Step(Verb.ALREADY, "vault access model", "access policies")
IDENTITY_STAYS = Step(
    Verb.NOTE,
    "account identity",
    "stays, because others may use it; to take it away",
    command="az cognitiveservices account identity remove -g rg-ml -n aoai-ml",
)


def removed(shown: str, assignment: Assignment, purpose: str) -> Step:
    why = f"setup gave it: {purpose}"
    return Step(Verb.REMOVE, "role", shown, why=why, before=assignment.scope)


def restored(policies: str) -> Step:
    return Step(
        Verb.CHANGE,
        "vault access model",
        "Azure RBAC → access policies",
        before="Azure RBAC",
        after="access policies",
        danger=f"its {policies} again; roles on it, inherited ones too, give no access to what it holds",
    )


FROM_READER = removed(f"{USER} → dana", READER, "reader")
FROM_ACCOUNT = removed(f"{OFFICER} → aoai-ml", OF_ACCOUNT, "account identity")
FROM_YOU = removed(f"{OFFICER} → you", YOURS, "operator")
FROM_BILLING = removed(f"{USER} → billing-api", CARRIED, "carried over from access policy")
GAVE_BEFORE = "the vault's access policies gave that before"


# --- roles -----------------------------------------------------------------------------------------------------------


def test_roles_of_setup_are_removed_the_operators_last_and_former_policy_access_stays() -> None:
    observed = on_rbac(*ALL, assigned(BILLING, CRYPTO_USER), policies=(BILLINGS_POLICY,))
    kept = Step(Verb.NOTE, "role", f"1 role stays: {GAVE_BEFORE} (billing-api)")
    assert plan(TARGET, observed, (version(), version()), restore=False) == Plan(
        ABOUT, (DELETED, STAYS_ON_RBAC, FROM_READER, FROM_ACCOUNT, FROM_YOU, kept, IDENTITY_STAYS)
    )


def test_restoring_access_policies_also_removes_migrated_roles_and_lists_losses() -> None:
    observed = on_rbac(*ALL, assigned(BILLING, CRYPTO_USER), policies=(BILLINGS_POLICY,))
    keys = "keys get, list, update, backup, decrypt, encrypt, verify, sign, unwrapkey, wrapkey"
    assert plan(TARGET, observed, (version(),), restore=True) == Plan(
        ABOUT,
        (
            DELETED,
            restored("1 access policy counts"),
            FROM_BILLING,
            FROM_READER,
            FROM_ACCOUNT,
            FROM_YOU,
            IDENTITY_STAYS,
        ),
        (Loss("billing-api", BILLING, f"Key Vault Crypto User by role, and its access policy does not give {keys}"),),
    )


def test_what_an_account_of_the_same_name_in_another_group_uses_stays() -> None:
    namesake = marked(OTHER_IDENTITY, SECRETS_OFFICER, Purpose.IDENTITY)
    made = plan_teardown(TARGET, on_rbac(YOURS, OF_ACCOUNT, namesake), (version(),), restore=False)
    removed = [s.action.assignment for s in made.work if isinstance(s.action, RemoveRole)]
    assert removed == [OF_ACCOUNT]
    assert made.steps[0].detail == "stays: another account named aoai-ml may use it, too"


def test_access_that_another_account_uses_stays() -> None:
    observed = on_rbac(*ALL, OF_OTHER, policies=(BILLINGS_POLICY,))
    carried = Step(Verb.NOTE, "role", f"1 role stays: {GAVE_BEFORE} (billing-api)")
    others = Step(Verb.NOTE, "role", "3 roles stay for aoai-two (aoai-two, dana, you)")
    assert plan(TARGET, observed, (version(),), restore=False) == Plan(
        ABOUT, (STAYS_FOR_OTHER, STAYS_ON_RBAC, FROM_ACCOUNT, carried, others, IDENTITY_STAYS)
    )
    none = "it has no access policy"
    assert plan(TARGET, observed, (version(),), restore=True) == Plan(
        ABOUT,
        (
            STAYS_FOR_OTHER,
            restored("1 access policy counts"),
            FROM_BILLING,
            FROM_ACCOUNT,
            others,
            IDENTITY_STAYS,
        ),
        (
            Loss("you", OPERATOR, f"{OFFICER} by role, and {none}"),
            Loss("dana", DANA, f"{USER} by role, and {none}"),
            Loss("aoai-two", OTHER_IDENTITY, f"{OFFICER} by role, and {none}"),
        ),
    )


def test_several_roles_that_policies_gave_before_are_counted_and_each_is_named_once() -> None:
    more = (marked(BILLING, CRYPTO_USER, Purpose.CARRIED_OVER), marked(DANA, SECRETS_USER, Purpose.CARRIED_OVER))
    observed = on_rbac(CARRIED, *more, policies=(BILLINGS_POLICY, policy(DANA.upper(), secrets="get")))
    kept = Step(Verb.NOTE, "role", f"3 roles stay: {GAVE_BEFORE} (billing-api, dana)")
    assert kept in plan(TARGET, observed, (), restore=False).steps


def test_a_role_that_was_carried_over_from_an_entry_that_is_gone_stays_for_others() -> None:
    kept = Step(Verb.NOTE, "role", "1 role stays for others (billing-api)")
    assert kept in plan(TARGET, on_rbac(CARRIED), (), restore=False).steps


def test_a_role_of_a_principal_with_a_former_policy_stays_for_any_purpose() -> None:
    theirs = marked(BILLING.upper(), SECRETS_USER, Purpose.READER, scope=SECRET_ID)
    made = plan(TARGET, on_rbac(theirs, policies=(BILLINGS_POLICY,)), (), restore=False)
    assert Step(Verb.NOTE, "role", f"1 role stays: {GAVE_BEFORE} (billing-api)") in made.steps
    assert not [step for step in made.steps if step.verb is Verb.REMOVE and step.resource == "role"]


def test_restoring_access_policies_also_removes_roles_of_principals_with_a_policy() -> None:
    theirs = marked(BILLING, SECRETS_USER, Purpose.READER, scope=SECRET_ID)
    made = plan(TARGET, on_rbac(theirs, policies=(BILLINGS_POLICY,)), (), restore=True)
    assert removed(f"{USER} → billing-api", theirs, "reader") in made.steps


def test_the_role_of_a_deleted_identity_is_removed_and_its_account_keeps_nothing() -> None:
    observed = on_rbac(YOURS, OF_OTHER)
    gone = {OTHER_IDENTITY: Principal(OTHER_IDENTITY, missing=True)}
    made = plan(TARGET, replace(observed, principals=gone), (version(),), restore=False)
    expected = (removed(f"{OFFICER} → aoai-two", OF_OTHER, "account identity"), FROM_YOU)
    assert made == Plan(ABOUT, (DELETED, STAYS_ON_RBAC, *expected, IDENTITY_STAYS))


def test_letter_case_of_accounts_does_not_count() -> None:
    spelled = marked(IDENTITY, SECRETS_OFFICER, Purpose.IDENTITY, account="AOAI-ML")
    made = plan(TARGET, on_rbac(spelled), (version(),), restore=False)
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
def test_roles_without_the_mark_or_outside_the_vault_are_not_removed(other: Assignment) -> None:
    made = plan(TARGET, on_rbac(other), (), restore=False)
    assert [step.resource for step in made.steps] == [NAME, "vault access model", "account identity"]


def test_within_a_purpose_roles_go_by_their_id_whatever_its_letter_case() -> None:
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
    made = plan(TARGET, observed, (), restore=True)
    assert made.steps[1] == restored("3 access policies count")
    lacks = "secrets list, set, delete, recover, backup, restore, purge"
    assert made.losses == (
        Loss("dana", DANA, f"{USER}, Key Vault Crypto User by role, and it has no access policy"),
        Loss("billing-api", BILLING, f"{OFFICER} by role, and its access policy does not give {lacks}"),
    )
    assert plan(TARGET, observed, (), restore=False).losses == ()


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
def test_a_role_on_the_secret_is_lost_where_the_secret_may_stay(
    state: SecretState, versions: Collection[SecretVersion], lost: bool
) -> None:
    on_secret = replace(assigned(BILLING, SECRETS_USER), scope=SECRET_ID)
    made = plan(TARGET, on_rbac(YOURS, OF_ACCOUNT, on_secret, secret=state), versions, restore=True)
    told = Loss("billing-api", BILLING, f"{USER} by role, and it has no access policy")
    assert made.losses == ((told,) if lost else ())


def test_a_role_on_the_secret_is_lost_where_the_secret_stays_for_another_account() -> None:
    on_secret = replace(assigned(BILLING, SECRETS_USER), scope=SECRET_ID)
    observed = on_rbac(YOURS, OF_ACCOUNT, OF_OTHER, on_secret)
    told = plan(TARGET, observed, (version(),), restore=True).losses
    assert BILLING in [loss.object_id for loss in told]


# --- access policies -------------------------------------------------------------------------------------------------


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
            f"of dana stays: {forgeable}. If you gave it with --reader, name it again",
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
    assert step in plan(TARGET, on_policies(noted=(DANA,)), (), restore=False).steps


def test_entries_stay_while_other_accounts_use_the_secret_and_all_of_these_are_named() -> None:
    observed = replace(
        on_policies(policy(OPERATOR, secrets="get"), noted=(OPERATOR,)), assignments=(OF_OTHER, OF_THIRD)
    )
    made = plan(TARGET, observed, (version(),), restore=False)
    secret = Step(Verb.NOTE, NAME, "stays: aoai-three, aoai-two may use it, too")
    stays = Step(Verb.NOTE, "access policy", "of you stays: aoai-three, aoai-two may use it, too")
    kept = Step(Verb.NOTE, "role", "2 roles stay for aoai-three, aoai-two (aoai-three, aoai-two)")
    assert made == Plan(ABOUT, (secret, ON_POLICIES, stays, kept, IDENTITY_STAYS))


# --- several secrets in one vault ------------------------------------------------------------------------------------

PROD = Owner("aoai-ml", "wandb-prod")


def of_secret(each: Assignment, purpose: Purpose, secret: str) -> Assignment:
    return replace(each, description=description(purpose, Owner("aoai-ml", secret), switching=True))


def test_roles_of_another_secret_stay_and_those_that_it_needs_are_handed_over() -> None:
    others = of_secret(OF_ACCOUNT, Purpose.IDENTITY, "wandb-prod")
    observed = replace(
        on_rbac(YOURS, others, READER), own_secrets={"wandb-api-key": "aoai-ml", "wandb-prod": "aoai-ml"}
    )
    to = description(Purpose.OPERATOR, PROD, switching=True)
    assert actions(observed)[1:] == [RemoveRole(observed.vault, READER), HandOverRole(observed.vault, YOURS, to)]
    assert (
        Step(Verb.NOTE, "role", "1 role stays for aoai-ml/wandb-prod (aoai-ml)")
        in plan(TARGET, observed, (), restore=False).steps
    )


def test_the_identity_is_needed_only_by_secrets_of_its_account() -> None:
    observed = replace(on_rbac(OF_ACCOUNT), own_secrets={"wandb-api-key": "aoai-ml", "wandb-b": "aoai-b"})
    assert RemoveRole(observed.vault, OF_ACCOUNT) in actions(observed)


def test_entries_of_another_secret_stay_and_those_that_it_needs_are_handed_over() -> None:
    observed = on_policies(policy(OPERATOR, secrets="get"), policy(IDENTITY, secrets="get"), noted=(OPERATOR,))
    tags = with_entry(observed.vault.tags, IDENTITY, ["get"], PROD)
    both = {"wandb-api-key": "aoai-ml", "wandb-prod": "aoai-ml"}
    observed = replace(observed, vault=replace(observed.vault, tags=tags), own_secrets=both)
    assert RemoveEntries(observed.vault, (), (), ((OPERATOR, PROD),)) in actions(observed)
    stays = Step(Verb.NOTE, "access policy", "of aoai-ml stays: it is for aoai-ml/wandb-prod")
    assert stays in plan(TARGET, observed, (), restore=False).steps


# --- records that prove nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        replace(YOURS, role_id=CRYPTO_USER),
        replace(READER, role_id=SECRETS_OFFICER),
        replace(READER, scope=f"{VAULT_ID}/secrets/another"),
        replace(READER, scope=VAULT_ID),
        replace(CARRIED, role_id="8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ],
    ids=["operator", "reader's role", "reader's secret", "reader's scope", "carried over"],
)
def test_a_role_that_setup_does_not_give_for_the_recorded_purpose_is_left_alone(other: Assignment) -> None:
    assert [type(each) for each in actions(on_rbac(other))] == [RemoveSecret]


def test_a_role_with_a_condition_of_somebody_else_stays_and_is_named() -> None:
    narrowed = replace(OF_ACCOUNT, conditional=True)
    made = plan(TARGET, on_rbac(narrowed), (), restore=False)
    detail = f"{OFFICER} → aoai-ml stays: somebody put a condition on it. To remove it with its condition"
    assert made.steps[2] == Step(Verb.NOTE, "role", detail, command=f"az role assignment delete --ids {OF_ACCOUNT.id}")


@pytest.mark.parametrize(
    ("secrets", "goes"),
    [({"wandb-api-key": ""}, True), ({}, True), ({"wandb-api-key": "", "wandb-prod": ""}, False), (None, False)],
    ids=["the only secret", "deleted already", "one of two", "not visible"],
)
def test_a_record_of_0_1_counts_only_where_the_vault_holds_one_secret_of_setup(
    secrets: dict[str, str] | None, *, goes: bool
) -> None:
    old = replace(YOURS, description="azure-openai-wandb: operator")
    observed = replace(on_rbac(old), own_secrets=secrets)
    assert (RemoveRole(observed.vault, old) in actions(observed)) is goes
    tags = {"azure-openai-wandb-access-policies": OPERATOR}
    by_policy = on_policies(policy(OPERATOR, secrets="get sign"))
    by_policy = replace(by_policy, vault=replace(by_policy.vault, tags=tags), own_secrets=secrets)
    assert (RemoveEntries(by_policy.vault, ((OPERATOR, ("get",)),), (OPERATOR,)) in actions(by_policy)) is goes
    for each in (observed, by_policy):
        told = [s.detail for s in plan(TARGET, each, (), restore=False).steps if "version 0.1" in s.detail]
        assert len(told) == (not goes)


@pytest.mark.parametrize(
    ("role", "proven"),
    [(YOURS, True), (CARRIED, True), (READER, False), (replace(YOURS, conditional=True), False), (None, False)],
)
def test_the_tag_of_the_switch_needs_a_role_that_setup_gave_for_it(role: Assignment | None, *, proven: bool) -> None:
    observed = on_rbac(*(role,) if role else ())
    assert proves_switch(observed) is proven
    assert not proves_switch(replace(observed, vault=replace(observed.vault, tags={})))


# --- the secret and the vault ----------------------------------------------------------------------------------------


def test_on_a_vault_with_access_policies_all_roles_of_setup_are_removed() -> None:
    observed = replace(on_policies(BILLINGS_POLICY), assignments=(YOURS, CARRIED))
    made = plan(TARGET, observed, (version(),), restore=True)
    assert made == Plan(ABOUT, (DELETED, ON_POLICIES, FROM_BILLING, FROM_YOU, IDENTITY_STAYS))


def test_the_tag_of_a_switch_that_somebody_undid_is_removed_once_no_other_account_uses_the_vault() -> None:
    observed = replace(on_rbac(YOURS), vault=replace(on_rbac().vault, rbac=False))
    said = "access policies again; the vault's tag that says setup switched it"
    gone = Step(Verb.REMOVE, "vault access model", said)
    assert plan(TARGET, observed, (version(),), restore=False) == Plan(ABOUT, (DELETED, gone, FROM_YOU, IDENTITY_STAYS))
    shared = plan(TARGET, replace(observed, assignments=(OF_OTHER,)), (version(),), restore=False)
    assert shared.steps[:2] == (STAYS_FOR_OTHER, ON_POLICIES)


# --- the secret ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ((version(), version(enabled=False)), DELETED),
        ((), replace(DELETED, detail="deleted, if setup wrote it; recoverable until Azure purges it")),
        ((version(ours=False),), Step(Verb.NOTE, NAME, "stays: setup did not write it")),
        (
            (version(enabled=False), version(ours=False)),
            Step(Verb.NOTE, NAME, "stays: others wrote versions of it; those from here are disabled"),
        ),
        (
            (version(), version(enabled=False), version(ours=False), version(ours=False), version(ours=False)),
            Step(
                Verb.CHANGE,
                NAME,
                "its versions from here are disabled; 3 by others stay",
                before="enabled",
                after="disabled",
                danger=NO_KEY,
            ),
        ),
    ],
    ids=["all from here", "not seen", "none from here", "ours disabled already", "some of each"],
)
def test_a_secret_is_deleted_if_all_of_its_versions_are_ours(
    versions: tuple[SecretVersion, ...], expected: Step
) -> None:
    assert plan(TARGET, on_rbac(YOURS), versions, restore=False).steps[0] == expected


@pytest.mark.parametrize(
    ("secret", "detail"),
    [
        (Secret(SecretState.MISSING), "not there"),
        (Secret(SecretState.DELETED), "deleted already; recoverable"),
        (Secret(SecretState.DELETED, purge=NOW), "deleted already; recoverable until 2026-03-02"),
        (Secret(SecretState.UNKNOWN), "not visible to you; no mark of setup is left, and teardown deletes it first"),
    ],
)
def test_a_missing_secret_needs_no_steps(secret: Secret, detail: str) -> None:
    observed = replace(on_rbac(OF_OTHER if secret.state is SecretState.DELETED else CARRIED), secret=secret)
    assert plan(TARGET, observed, (), restore=False).steps[0] == Step(Verb.ALREADY, NAME, detail)


def test_a_secret_that_the_operators_role_will_show_is_deleted_unseen() -> None:
    shown = replace(
        DELETED, detail="deleted, if setup wrote it; recoverable until Azure purges it", before="not visible to you yet"
    )
    by_role = on_rbac(YOURS, secret=SecretState.UNKNOWN)
    by_policy = on_policies(policy(OPERATOR, secrets="get"), noted=(OPERATOR,), secret=SecretState.UNKNOWN)
    for observed in (by_role, by_policy):
        assert plan(TARGET, observed, (), restore=False).steps[0] == shown
        assert not hidden(TARGET, observed)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (on_rbac(OF_ACCOUNT, secret=SecretState.UNKNOWN), True),
        (on_rbac(replace(YOURS, principal_id=DANA), secret=SecretState.UNKNOWN), True),
        (on_rbac(OF_ACCOUNT), False),
        (on_rbac(READER, CARRIED, secret=SecretState.UNKNOWN), False),
        (on_rbac(OF_ACCOUNT, OF_OTHER, secret=SecretState.UNKNOWN), False),
        (on_rbac(secret=SecretState.UNKNOWN), False),
        (on_policies(BILLINGS_POLICY, noted=(BILLING,), secret=SecretState.UNKNOWN), True),
        (on_policies(BILLINGS_POLICY, secret=SecretState.UNKNOWN), False),
        (replace(found(), vault=replace(found().vault, tags=switched({}, NOW))), True),
    ],
)
def test_a_secret_may_be_hidden_if_marks_remain_and_none_gives_the_operator_access(
    observed: Observed, *, expected: bool
) -> None:
    assert hidden(TARGET, observed) is expected


def test_a_vault_that_setup_did_not_switch_and_missing_resources_are_reported() -> None:
    made = plan(TARGET, found(rbac=True, secret=SecretState.MISSING), (), restore=False)
    assert made == Plan(
        ABOUT,
        (
            Step(Verb.ALREADY, NAME, "not there"),
            Step(Verb.NOTE, "vault access model", "stays Azure RBAC: setup did not switch it"),
            Step(Verb.ALREADY, "account identity", "no system-assigned one"),
        ),
    )
