"""Others change the same resources while setup runs: nobody loses access, and nothing of theirs is overwritten."""

from datetime import timedelta
from typing import Any

import pytest

from provisioning import errors
from provisioning.cli import rescue, setup
from provisioning.planning.steps import Step
from tests.conftest import Load

from ...bench import GOOD_KEY, VIEWERS_KEY, Bench
from ..vault_in_use import OFFICER, OWNER, SCOPE, SOON, USER, held

READ = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
POLICIES = [{"principal": "billing-api", "secrets": ["get"]}]
LATE = {"add_access_policy": {"vault": "kv-ml", "principal": "function-app", "secrets": ["get"]}}
GONE = {"remove_access_policy": {"vault": "kv-ml", "principal": "billing-api"}}
BACK = {"add_access_policy": {"vault": "kv-ml", **POLICIES[0]}}
NO_ROLE = {"remove_role": {"principal": "billing-api", "scope": SCOPE}}
NEVER = {"rbac_propagation": 100000}
WITH_IDENTITY = {"name": "aoai-ml", "group": "rg-ml", "system_identity": True}


def world(*events: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One application uses the vault by access policy, and others act at these moments."""
    vault = {"name": "kv-ml", "group": "rg-ml", "policies": POLICIES, "tags": {"cost-center": "ml"}}
    world = {"extends": "contoso", "vaults": [vault], "assignments": [OWNER], "events": list(events)}
    return world | {"transitions": {"rbac_propagation": 30}} | more


def event(moment: str, operation: str, *actions: dict[str, Any], nth: int = 1) -> dict[str, Any]:
    return {moment: operation, "nth": nth, "do": list(actions)}


def may_read(bench: Bench, who: str) -> bool:
    object_id, vault = bench.id_of(who), bench.vault
    if vault.rbac:
        return bool(bench.tenant.may(object_id, READ, vault.id, data=True))
    return any(p.object_id == object_id and "get" in p.permissions.get("secrets", []) for p in vault.policies)


@pytest.mark.parametrize(
    ("moment", "operation", "nth"),
    [
        ("after", "RoleAssignments_Create", 1),
        ("after", "RoleAssignments_Create", 3),
        ("before", "Vaults_Get", 2),
        ("before", "Vaults_Get", 3),
        ("before", "Vaults_Update", 1),
        ("after", "Vaults_Update", 1),
    ],
)
def test_an_access_policy_that_is_added_meanwhile_keeps_its_access(
    load: Load, bench: Bench, moment: str, operation: str, nth: int
) -> None:
    load(world(event(moment, operation, LATE, nth=nth)))
    caught = bench.setup_fails(errors.ConflictError)
    assert "run" in caught.hint.lower()
    assert not bench.vault.rbac
    assert may_read(bench, "function-app")
    assert may_read(bench, "billing-api")
    bench.setup()
    assert bench.vault.rbac
    assert may_read(bench, "function-app")


TAG = [{"change_vault": {"vault": "kv-ml", "tags": {"cost-center": value}}} for value in (None, "ml")]


@pytest.mark.parametrize(("gone", "back"), [(GONE, BACK), TAG], ids=["entry", "tag"])
@pytest.mark.parametrize("nth", range(3, 9))
def test_one_late_read_is_not_a_change(
    load: Load, bench: Bench, nth: int, gone: dict[str, Any], back: dict[str, Any]
) -> None:
    """A replica shows the vault as it was, once. Around the switch this is neither a conflict nor the truth."""
    load(world(event("before", "Vaults_Get", gone, nth=nth), event("after", "Vaults_Get", back, nth=nth)))
    bench.setup()
    assert bench.vault.rbac
    assert bench.vault.tags["cost-center"] == "ml"
    assert may_read(bench, "billing-api")


@pytest.mark.parametrize("nth", range(1, 5))
@pytest.mark.parametrize(("by_policy", "up"), [(True, True), (True, False), (False, True), (False, False)])
def test_one_late_read_loses_no_tag(load: Load, bench: Bench, nth: int, *, by_policy: bool, up: bool) -> None:
    load(world() | SOON)
    if not up:
        bench.setup(by_access_policy=by_policy)
    for moment, do in zip(("before", "after"), TAG, strict=True):
        bench.happens(do, **{moment: "Vaults_Get", "nth": nth})
    if up:
        bench.setup(by_access_policy=by_policy, propagation_wait=timedelta(0))
    else:
        bench.teardown(restore=not by_policy)
    assert bench.vault.tags["cost-center"] == "ml"
    assert len([name for name in bench.vault.tags if "-entry-" in name]) == (2 if up and by_policy else 0)


def test_reads_that_are_late_for_seconds_after_a_write_lose_no_record(load: Load, bench: Bench) -> None:
    load(world() | SOON)

    def hide(step: Step) -> None:
        if any("-entry-" in name for name in bench.vault.tags):
            written, bench.vault.tags = bench.vault.tags, {"cost-center": "ml"}
            bench.ui.after = lambda step: None
            bench.clock.before = lambda: show(written, bench.clock.slept + 12)

    def show(written: dict[str, str], after: float) -> None:
        bench.clock.before = lambda: show(written, after)
        if bench.clock.slept >= after:
            bench.vault.tags, bench.clock.before = written, lambda: None

    bench.ui.after = hide
    bench.setup(by_access_policy=True)
    assert len([name for name in bench.vault.tags if "-entry-" in name]) == 2
    bench.teardown()
    assert [policy.object_id for policy in bench.vault.policies] == [bench.id_of("billing-api")]


@pytest.mark.parametrize("nth", range(1, 5))
def test_one_late_read_of_the_account_loses_no_identity(load: Load, bench: Bench, nth: int) -> None:
    gone = {"change_account": {"account": "aoai-ml", "detach": ["id-cmk"]}}
    back = {"change_account": {"account": "aoai-ml", "attach": ["id-cmk"]}}
    account = {"name": "aoai-ml", "group": "rg-ml", "user_identities": ["id-cmk"]}
    events = event("before", "Accounts_Get", gone, nth=nth), event("after", "Accounts_Get", back, nth=nth)
    load(world(*events, accounts=[account]))
    bench.setup()
    assert bench.account.system_identity
    assert [name.rpartition("/")[2] for name in bench.account.user_identities] == ["id-cmk"]


def test_a_late_read_after_the_last_step_is_no_failure(load: Load, bench: Bench) -> None:
    load(world() | SOON)
    rbac = bench.tenant.rbac
    hidden: dict[str, Any] = {}

    def hide(step: Step) -> None:
        if step.resource == "secret wandb-api-key":
            hidden.update({k: a for k, a in rbac.assignments.items() if a.scope == bench.vault.id and a.description})
            rbac.assignments = {k: a for k, a in rbac.assignments.items() if k not in hidden}
            bench.clock.before = lambda: rbac.assignments.update(hidden)

    bench.ui.after = hide
    bench.setup()


def test_a_vault_that_changes_with_every_read_is_not_switched(load: Load, bench: Bench) -> None:
    flapping = [event("before", "Vaults_Get", (GONE, BACK)[n % 2], nth=3 + n) for n in range(7)]
    load(world(*flapping))
    bench.setup_fails(errors.ConflictError, "Every read of kv-ml shows different")
    assert not bench.vault.rbac


def test_a_removed_access_policy_makes_the_plan_smaller_and_setup_continues(load: Load, bench: Bench) -> None:
    load(world(event("after", "RoleAssignments_Create", GONE)))
    bench.setup()
    assert bench.vault.rbac
    assert bench.stored[-1] == GOOD_KEY


def test_a_role_that_is_removed_meanwhile_stops_the_switch(load: Load, bench: Bench) -> None:
    load(world(event("after", "RoleAssignments_Create", NO_ROLE, nth=3)))
    bench.setup_fails(errors.ConflictError, "not switched")
    assert may_read(bench, "billing-api")


def test_a_switch_by_somebody_else_is_not_claimed(load: Load, bench: Bench) -> None:
    theirs = {"change_vault": {"vault": "kv-ml", "rbac": True, "tags": {"switched-by": "platform-team"}}}
    load(world(event("after", "RoleAssignments_Create", theirs, nth=3)))
    bench.setup()
    assert bench.vault.tags == {"cost-center": "ml", "switched-by": "platform-team"}
    with pytest.raises(errors.NotOursError):
        bench.teardown(restore=True)
    assert bench.vault.rbac


def test_tags_that_are_added_meanwhile_survive_the_switch(load: Load, bench: Bench) -> None:
    tagged = {"change_vault": {"vault": "kv-ml", "tags": {"owner": "finance"}}}
    load(world(event("after", "RoleAssignments_Create", tagged, nth=3)))
    bench.setup()
    assert bench.vault.tags.items() >= {"cost-center": "ml", "owner": "finance"}.items()


@pytest.mark.parametrize("key", [GOOD_KEY, VIEWERS_KEY])
def test_a_key_that_another_operator_stores_meanwhile_is_not_replaced(load: Load, bench: Bench, key: str) -> None:
    stored = {"write_secret": {"vault": "kv-ml", "name": "wandb-api-key", "value": key}}
    vault = {"name": "kv-ml", "group": "rg-ml", "rbac": True}
    roles = [OWNER, OWNER | {"role": OFFICER}]
    load(world(event("after", "RoleAssignments_Create", stored), vaults=[vault], assignments=roles) | SOON)
    if key == GOOD_KEY:
        bench.setup()
    else:
        with pytest.raises(errors.ConflictError, match="it now needs more: secret wandb-api-key") as caught:
            bench.setup()
        assert "run the same command again" in caught.value.hint.lower()
    assert bench.stored == [key]


def test_a_deny_assignment_that_is_added_meanwhile_stops_the_switch(load: Load, bench: Bench) -> None:
    deny = {"deny": {"name": "stack", "scope": "rg-ml", "principals": ["billing-api"], "data_actions": ["*"]}}
    load(world(event("after", "RoleAssignments_Create", deny)))
    bench.setup_fails(errors.ConflictError, "deny assignment stack forbids")
    assert not bench.vault.rbac


def test_identities_that_are_attached_meanwhile_are_kept(load: Load, bench: Bench) -> None:
    attached = {"change_account": {"account": "aoai-ml", "attach": ["id-cmk"]}}
    load(world(event("before", "Accounts_Get", attached, nth=2)))
    bench.setup()
    assert bench.account.system_identity
    assert [name.rpartition("/")[2] for name in bench.account.user_identities] == ["id-cmk"]


def test_roles_from_above_the_vault_do_not_replace_an_access_policy(load: Load, bench: Bench) -> None:
    """They may be activations that end, and from a management group they take hours."""
    above = {"principal": "billing-api", "role": "Key Vault Administrator", "scope": "rg-ml"}
    load(world(assignments=[OWNER, above]))
    bench.setup()
    assert ("billing-api", USER) in held(bench)


@pytest.mark.parametrize("where", [{"scope": "rg-ml"}, {"scope": SCOPE, "expires_in": "2h"}], ids=["above", "ends"])
def test_a_role_that_does_not_count_for_the_switch_does_not_count_for_the_accounts_identity_either(
    load: Load, bench: Bench, where: dict[str, str]
) -> None:
    vault = {"name": "kv-ml", "group": "rg-ml", "policies": [{"principal": "aoai-ml", "secrets": ["get"]}]}
    role = {"principal": "aoai-ml", "role": OFFICER, **where}
    load(world(accounts=[WITH_IDENTITY], vaults=[vault], assignments=[OWNER, role]))
    bench.setup()
    assert ("aoai-ml", USER) in held(bench)


def test_an_activation_ending_within_the_run_does_not_replace_the_operators_policy(load: Load, bench: Bench) -> None:
    vault = {"name": "kv-ml", "group": "rg-ml", "policies": [{"principal": "operator", "secrets": ["get", "set"]}]}
    ends = {"principal": "operator", "role": OFFICER, "scope": SCOPE, "expires_in": "20m"}
    load(world(vaults=[vault], assignments=[OWNER, ends]))
    bench.setup_fails(errors.AccessWouldBeLostError, "Key Vault Secrets Officer ends on")


@pytest.mark.parametrize("yes", [True, False])
def test_a_role_that_covers_somebody_and_is_removed_before_the_answer_stops_the_switch(
    load: Load, bench: Bench, *, yes: bool
) -> None:
    """All roles are there already, so that nothing but the answer, or W&B's, takes time."""
    roles = [{"principal": who, "role": OFFICER, "scope": SCOPE} for who in ("aoai-ml", "operator", "billing-api")]
    load(world(accounts=[WITH_IDENTITY], assignments=[OWNER, *roles])).clock.advance(3600)

    def meanwhile() -> bool:
        bench.happens(NO_ROLE)
        bench.cloud.clock.advance(60)
        return True

    session = bench.session()
    check = session.check_key
    bench.ui.confirm = lambda question: meanwhile()  # type: ignore[method-assign]
    if yes:
        session.check_key = lambda *key: (meanwhile(), check(*key))[1]
    with pytest.raises(errors.ConflictError, match="it now needs more: role Key Vault Secrets User → billing-api"):
        setup.setup(session, yes=yes, interactive=True)
    assert may_read(bench, "billing-api")


# --- out of the switch -----------------------------------------------------------------------------------------------


def failing(operation: str, *nth: int, **do: Any) -> dict[str, Any]:
    return {"op": operation, "when": {"nth": nth}, "do": do}


@pytest.mark.parametrize(
    "do",
    [
        {"status": 403, "body": {"error": {"code": "Forbidden", "innererror": {"code": "ForbiddenByFirewall"}}}},
        {"status": 400},
        {"status": 401},
    ],
    ids=["firewall", "refused", "sign-in"],
)
def test_anything_that_fails_after_the_switch_switches_back(load: Load, bench: Bench, do: dict[str, Any]) -> None:
    load(world(faults=[{"op": "GetSecret", "when": {"nth": list(range(3, 30))}, "do": do}]))
    bench.setup_fails(errors.ProvisioningError, "switched back to access policies")
    assert not bench.vault.rbac
    assert bench.vault.tags == {"cost-center": "ml"}
    assert may_read(bench, "billing-api")


@pytest.mark.parametrize("do", [{"status": 500}, {"lost_response": True}], ids=["500", "answer lost"])
def test_an_unclear_answer_to_the_switch_is_settled_by_reading(load: Load, bench: Bench, do: dict[str, Any]) -> None:
    load(world(faults=[failing("Vaults_Update", 1, **do)]))
    bench.setup()
    assert bench.vault.rbac
    assert may_read(bench, "billing-api")


@pytest.mark.parametrize("status", [409, 429, 403])
def test_a_refusal_of_a_repeated_switch_is_settled_by_reading_too(load: Load, bench: Bench, status: int) -> None:
    """The first answer was 500, though the vault was switched; azure-core repeated the request."""
    ours = {"azure-openai-wandb": "switched-to-rbac 2026-11-30"}
    done = {"change_vault": {"vault": "kv-ml", "rbac": True, "tags": ours}}
    again = failing("Vaults_Update", 2, status=status, headers={"Retry-After": "3600"})
    faults = [failing("Vaults_Update", 1, status=500), again]
    load(world(event("before", "Vaults_Update", done), faults=faults, transitions=NEVER))
    bench.setup_fails(errors.ProvisioningError, "switched back to access policies")
    assert not bench.vault.rbac
    assert may_read(bench, "billing-api")


@pytest.mark.parametrize("do", [{"status": 409}, {"reset": True}], ids=["busy", "no network"])
def test_a_way_back_that_fails_for_a_moment_is_tried_again(load: Load, bench: Bench, do: dict[str, Any]) -> None:
    load(world(faults=[failing("Vaults_Update", *range(2, 7), **do)], transitions=NEVER))
    bench.setup_fails(errors.AccessNotEffectiveError, "switched back to access policies")
    assert not bench.vault.rbac


def test_a_way_back_that_can_never_succeed_is_not_tried_again(load: Load, bench: Bench) -> None:
    refused = {"op": "Vaults_Update", "when": {"nth": [*range(2, 30)]}, "do": {"status": 400}}
    load(world(faults=[refused], transitions={"rbac_propagation": 100000}))
    bench.setup_fails(errors.AccessNotEffectiveError, "Switching back failed", hint="rescue --key-vault /subscr")
    assert bench.cloud.counts["Vaults_Update"] == 2, "the switch, and one way back"


def test_a_policy_that_keeps_rbac_is_not_reported_as_switched_back(load: Load, bench: Bench) -> None:
    """An Azure Policy with the effect Modify answers 200 and leaves the vault on Azure RBAC."""
    enforced = event("after", "Vaults_Update", {"change_vault": {"vault": "kv-ml", "rbac": True}}, nth=2)
    load(world(enforced, transitions=NEVER))
    caught = bench.setup_fails(errors.AccessNotEffectiveError, "still on Azure RBAC", hint="rescue --key-vault /subscr")
    assert "switched back to access policies" not in caught.message
    assert "its owner can grant an exemption first" in caught.hint, "the policy would undo rescue, too"


@pytest.mark.parametrize(("command", "nth"), [("teardown", 4), ("rescue", 2)])
def test_one_late_read_after_the_way_back_is_no_failure(load: Load, bench: Bench, command: str, nth: int) -> None:
    load(world() | SOON)
    bench.setup()
    bench.fault("Vaults_Get", {"late": True}, nth=[bench.cloud.counts["Vaults_Get"] + nth])
    if command == "teardown":
        bench.teardown(restore=True)
    else:
        rescue.rescue(bench.session(), yes=True, interactive=False)
    assert not bench.vault.rbac


def test_a_switch_that_a_policy_undoes_is_not_claimed(load: Load, bench: Bench) -> None:
    undone = event("after", "Vaults_Update", {"change_vault": {"vault": "kv-ml", "rbac": False}})
    load(world(undone))
    bench.setup_fails(errors.ConflictError)
    assert not bench.vault.rbac
