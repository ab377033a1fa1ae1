"""Which roles, entries and tags count as those of setup, for which secret."""

from dataclasses import replace

import pytest

from provisioning.models import SECRETS_OFFICER, SECRETS_USER, Assignment
from provisioning.planning.actions import HandOverRole, RemoveEntries, RemoveRole, RemoveSecret
from provisioning.planning.owned import proves_switch
from provisioning.planning.ownership import Owner, Purpose, description, place_of, with_entry
from provisioning.planning.steps import Step, Verb
from provisioning.planning.teardown import plan_teardown

from .marked_states import (
    CARRIED,
    CRYPTO_USER,
    OF_ACCOUNT,
    OFFICER,
    READER,
    SECRET_ID,
    YOURS,
    actions,
    marked,
    on_policies,
    on_rbac,
    plan,
    version,
)
from .states import BILLING, DANA, IDENTITY, OPERATOR, TARGET, VAULT_ID, found, policy

# --- several secrets in one vault -------------------------------------------------------------------------------------


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
    assert Step(Verb.NOTE, "role", "1 role stays for aoai-ml/wandb-prod (aoai-ml)") in plan(observed).steps


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
    assert stays in plan(observed).steps


# --- accounts of one name ---------------------------------------------------------------------------------------------

HERE, ELSEWHERE = (replace(PROD, secret="wandb-api-key", place=p) for p in (place_of(found().account.id), "0badcafe"))


@pytest.mark.parametrize("theirs", [OPERATOR, DANA], ids=["the same operator", "another operator"])
def test_roles_of_an_account_of_the_same_name_stay_and_those_that_it_may_need_are_handed_over(theirs: str) -> None:
    mine = marked(BILLING, SECRETS_USER, Purpose.READER, scope=SECRET_ID, mark=description(Purpose.READER, HERE))
    their_role, purpose = (SECRETS_USER, Purpose.READER) if theirs == DANA else (SECRETS_OFFICER, Purpose.OPERATOR)
    scope = SECRET_ID if theirs == DANA else VAULT_ID
    other = marked(theirs, their_role, purpose, scope=scope, mark=description(purpose, ELSEWHERE))
    observed = on_rbac(mine, other)
    handed = HandOverRole(observed.vault, mine, description(Purpose.READER, ELSEWHERE))
    assert actions(observed) == [handed]
    made = plan(observed, version())
    assert made.steps[0].detail == "stays: another account named aoai-ml may use it, too"
    after = replace(observed, assignments=(replace(mine, description=handed.description), other))
    assert actions(after) == []


def test_a_moved_account_is_recognised_by_the_role_of_its_identity() -> None:
    before = (
        marked(IDENTITY, SECRETS_OFFICER, Purpose.IDENTITY, mark=description(Purpose.IDENTITY, ELSEWHERE)),
        marked(OPERATOR, SECRETS_OFFICER, Purpose.OPERATOR, mark=description(Purpose.OPERATOR, ELSEWHERE)),
    )
    assert [type(each) for each in actions(on_rbac(*before))] == [RemoveSecret, RemoveRole, RemoveRole]


def test_entries_of_an_account_of_the_same_name_stay() -> None:
    observed = on_policies(policy(OPERATOR, secrets="get"), policy(DANA, secrets="get"))
    tags = with_entry(with_entry({}, OPERATOR, ["get"], HERE), DANA, ["get"], ELSEWHERE)
    observed = replace(observed, vault=replace(observed.vault, tags=tags))
    made = plan_teardown(replace(TARGET, readers=(DANA,)), observed, (version(),), restore=False)
    assert [step.action for step in made.work] == [RemoveEntries(observed.vault, (), (), ((OPERATOR, ELSEWHERE),))]
    assert "of dana stays: it is for another account named aoai-ml/wandb-api-key" in [s.detail for s in made.steps]


# --- records that prove nothing ---------------------------------------------------------------------------------------


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
    made = plan(on_rbac(narrowed))
    detail = f"{OFFICER} → aoai-ml stays: somebody put a condition on it. To remove it with its condition"
    assert made.steps[2] == Step(Verb.NOTE, "role", detail, command=f"az role assignment delete --ids {OF_ACCOUNT.id}")


@pytest.mark.parametrize(
    ("secrets", "goes"),
    [({"wandb-api-key": ""}, True), ({}, True), ({"wandb-api-key": "", "wandb-prod": ""}, False), (None, False)],
    ids=["the only secret", "deleted already", "one of two", "not visible"],
)
def test_a_record_of_0_1_counts_only_in_a_vault_with_one_secret(secrets: dict[str, str] | None, goes: bool) -> None:
    old = replace(YOURS, description="azure-openai-wandb: operator")
    observed = replace(on_rbac(old), own_secrets=secrets)
    assert (RemoveRole(observed.vault, old) in actions(observed)) is goes
    tags = {"azure-openai-wandb-access-policies": OPERATOR}
    by_policy = on_policies(policy(OPERATOR, secrets="get sign"))
    by_policy = replace(by_policy, vault=replace(by_policy.vault, tags=tags), own_secrets=secrets)
    assert (RemoveEntries(by_policy.vault, ((OPERATOR, ("get",)),), (OPERATOR,)) in actions(by_policy)) is goes
    for each in (observed, by_policy):
        notes = [s.detail for s in plan(each).steps if "version 0.1" in s.detail]
        assert len(notes) == (not goes)


@pytest.mark.parametrize(
    ("role", "proven"),
    [(YOURS, True), (CARRIED, True), (READER, False), (replace(YOURS, conditional=True), False), (None, False)],
)
def test_the_tag_of_the_switch_needs_a_role_that_setup_gave_for_it(role: Assignment | None, *, proven: bool) -> None:
    observed = on_rbac(*(role,) if role else ())
    assert proves_switch(observed) is proven
    assert not proves_switch(replace(observed, vault=replace(observed.vault, tags={})))
