"""What setup and teardown touch is theirs: other secrets, extensions, conditions and forged records are left alone."""

from typing import Any

import pytest

from provisioning import errors
from provisioning.cli import teardown
from sandbox.azure.tenant import AccessPolicy
from tests.conftest import Load

from ...bench import GOOD_KEY, Bench
from ..vault_in_use import OFFICER, OWNER, SCOPE, SOON, USER, held, policies, world

ALL = ["get", "list", "set", "delete", "recover", "backup", "restore", "purge"]
CONDITION = "(@Resource[Microsoft.KeyVault/vaults/secrets:name] StringEquals 'wandb-api-key')"
TAG = "azure-openai-wandb-entry-"
TWO_ACCOUNTS = [{"name": "aoai-ml", "group": "rg-ml"}, {"name": "aoai-b", "group": "rg-ml", "system_identity": True}]


def two_secrets(load: Load, bench: Bench) -> None:
    """A vault with the keys of production and of staging."""
    load(world() | {"assignments": [OWNER]} | SOON)
    bench.setup(secret="wandb-prod")
    bench.setup(secret="wandb-staging")


def what_others_had(bench: Bench) -> tuple[object, ...]:
    tags = {name: value for name, value in bench.vault.tags.items() if name != "azure-openai-wandb"}
    return policies(bench), tags


def secrets(bench: Bench) -> list[str]:
    """Those that are not deleted."""
    return [secret.name for secret in bench.vault.secrets.values() if secret.deleted is None]


def entry(bench: Bench, name: str) -> list[str]:
    return next((given["secrets"] for who, given in policies(bench) if who == name), [])


# --- several secrets in one vault ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "last"), [("wandb-prod", "wandb-staging"), ("wandb-staging", "wandb-prod")])
@pytest.mark.parametrize("by_policy", [False, True])
def test_teardown_of_one_secret_keeps_what_another_needs_and_the_last_teardown_removes_everything(
    load: Load, bench: Bench, first: str, last: str, *, by_policy: bool
) -> None:
    load(world() | {"assignments": [OWNER]} | SOON)
    before = what_others_had(bench)
    reader = (bench.id_of("function-app"),)
    bench.setup(secret="wandb-prod", readers=reader, by_access_policy=by_policy)
    bench.setup(secret="wandb-staging", by_access_policy=by_policy)
    bench.teardown(secret=first, readers=reader)
    prod = {"readers": reader} if last == "wandb-prod" else {}
    with bench.no_writes():  # what the other secret needs is in place
        bench.setup(secret=last, by_access_policy=by_policy, **prod)
    bench.teardown(secret=last, readers=reader)
    assert held(bench) == (set() if by_policy else {("billing-api", USER)})
    assert what_others_had(bench) == before
    assert secrets(bench) == []


def test_teardown_waits_until_the_vault_shows_what_another_secret_needs(load: Load, bench: Bench) -> None:
    two_secrets(load, bench)
    for each in bench.role_assignments:
        if each.scope == bench.vault.id:
            each.effective = bench.cloud.clock.time() + 60
    bench.teardown(secret="wandb-prod")
    assert {("aoai-ml", OFFICER), ("operator", OFFICER)} <= held(bench)
    assert secrets(bench) == ["wandb-staging"]


def test_teardown_stops_where_it_may_not_list_what_another_secret_needs(load: Load, bench: Bench) -> None:
    """The secret is gone, as after an interruption, and a condition lets the operator read secrets but not list them."""
    two_secrets(load, bench)
    bench.vault.secrets["wandb-prod"].deleted = int(bench.cloud.clock.time())
    body = {"error": {"code": "Forbidden", "message": "not listed", "innererror": {"code": "ForbiddenByRbac"}}}
    bench.fault("GetSecrets", {"status": 403, "body": body})
    with pytest.raises(errors.MissingRightsError, match="may not list the secrets of kv-ml"):
        bench.teardown(secret="wandb-prod")
    assert {("aoai-ml", OFFICER), ("operator", OFFICER)} <= held(bench)


# --- two accounts of one name, in two groups, which share vault and secret -------------------------------------------


@pytest.mark.parametrize(
    ("first", "by_policy", "with_identity"),
    [("rg-ml", False, True), ("rg-two", False, False), ("rg-ml", True, False), ("rg-two", True, True)],
)
def test_teardown_of_one_account_touches_nothing_of_another_with_its_name(
    load: Load, bench: Bench, first: str, *, by_policy: bool, with_identity: bool
) -> None:
    both = [{"name": "aoai-ml", "group": "rg-ml"}, {"name": "aoai-ml", "group": "rg-two", "endpoint": "two.example"}]
    owners = [OWNER, OWNER | {"scope": "rg-two"}]
    load(world() | {"groups": ["rg-ml", "rg-two"], "accounts": both, "assignments": owners} | SOON)
    before = what_others_had(bench)
    readers = {"rg-ml": (bench.id_of("function-app"),), "rg-two": (bench.id_of("dana"),)}

    options: dict[str, Any] = {"vault_group": "rg-ml", "with_identity": with_identity}
    of_both = readers["rg-ml"] + readers["rg-two"]
    for group in readers:
        bench.setup(**options, resource_group=group, readers=readers[group], by_access_policy=by_policy)
    last = next(group for group in readers if group != first)
    bench.teardown(**options, resource_group=first, readers=of_both)
    with bench.no_writes():  # what the other account needs is in place
        bench.setup(**options, resource_group=last, readers=readers[last], by_access_policy=by_policy)
    bench.teardown(**options, resource_group=last, readers=of_both)
    assert held(bench) == (set() if by_policy else {("billing-api", USER)})
    assert what_others_had(bench) == before
    assert secrets(bench) == []


# --- another account that uses the secret, without any record of setup -----------------------------------------------

JOBS = "Cognitive Services OpenAI User"
LISTS = {"principal": "function-app", "role": JOBS, "scope": "rg-ml"}
READS = {"principal": "function-app", "role": USER, "scope": SCOPE}
MEMBERS = [{"name": "operator", "kind": "user"}, {"name": "readers", "kind": "group", "members": ["aoai-b"]}]


@pytest.mark.parametrize(
    ("given", "rbac", "shared"),
    [
        ([{"principal": "aoai-b", "role": OFFICER, "scope": SCOPE}], True, "aoai-b"),
        ([{"principal": "aoai-b", "role": USER, "scope": "rg-ml"}], True, "aoai-b"),
        ([{"principal": "readers", "role": USER, "scope": f"{SCOPE}/secrets/wandb-api-key"}], True, "aoai-b"),
        ([LISTS, READS], True, "aoai-b"),
        ([LISTS | {"scope": "subscription"}, READS], True, "aoai-b"),
        ([READS], True, ""),
        ([LISTS], True, ""),
        ([LISTS | {"principal": "dana"}, READS | {"principal": "dana"}], True, ""),
        ([{"principal": "aoai-b", "role": "Key Vault Crypto Service Encryption User", "scope": SCOPE}], True, ""),
        ([], False, "aoai-b"),
        ([], False, "readers"),
    ],
    ids=[
        *("identity", "inherited", "group", "function app", "function app of the subscription"),
        *("reads no jobs", "reads no secrets", "a person", "keys only", "access policy", "access policy of a group"),
    ],
)
def test_a_secret_that_another_account_may_use_stays_even_without_a_record(
    load: Load, bench: Bench, given: list[dict[str, Any]], shared: str, *, rbac: bool
) -> None:
    """The other account's setup, which finds everything in place, writes nothing that teardown could recognize."""
    people = [*MEMBERS, {"name": "dana", "kind": "user"}, {"name": "function-app", "kind": "managed identity"}]
    theirs = [] if rbac else [{"principal": shared, "secrets": ["get"]}]
    shared = shared and "aoai-b"
    scene = {"accounts": TWO_ACCOUNTS, "principals": people, "assignments": [OWNER, *given]}
    load(world(rbac=rbac, policies=theirs) | scene | SOON)
    (other,) = (each for each in bench.tenant.accounts.values() if each.name == "aoai-b")
    subscription = other.id.split("/")[2]
    other.id = other.id.replace(subscription, subscription.upper())  # Azure does not always use the same letter case
    bench.setup(by_access_policy=not rbac)
    session = bench.teardown()
    (line,) = [step["detail"] for step in session.facts["steps"] if step["resource"] == "secret wandb-api-key"]
    assert (f"{shared} may use it, too" in line) == bool(shared)
    assert (bench.vault.secrets["wandb-api-key"].deleted is None) == bool(shared)
    with bench.no_writes():
        bench.teardown()


def test_another_account_that_gets_access_while_teardown_asks_keeps_the_secret(load: Load, bench: Bench) -> None:
    load(world(rbac=True, policies=[]) | {"accounts": TWO_ACCOUNTS, "assignments": [OWNER]} | SOON)
    bench.setup()
    given = {"assign_role": {"principal": "aoai-b", "role": USER, "scope": SCOPE}}

    def confirm(question: str) -> bool:
        bench.happens(given)
        return bool(question)

    bench.ui.confirm = confirm  # type: ignore[method-assign]
    with bench.no_writes(), pytest.raises(errors.ConflictError, match="stays for aoai-b/wandb-api-key"):
        teardown.teardown(bench.session(), restore=False, yes=False, interactive=True)


def test_an_account_that_has_another_secret_does_not_count_as_a_user_of_this_one(load: Load, bench: Bench) -> None:
    load(world(rbac=True, policies=[]) | {"accounts": TWO_ACCOUNTS, "assignments": [OWNER]} | SOON)
    bench.setup()
    bench.setup(account="aoai-b", secret="wandb-b")
    bench.teardown()
    assert bench.vault.secrets["wandb-api-key"].deleted is not None
    assert ("aoai-b", OFFICER) in held(bench)


# --- others change the vault between the steps of teardown -----------------------------------------------------------

BOTH = [{"principal": "billing-api", "secrets": ["get"]}, {"principal": "operator", "secrets": ALL}]


def test_roles_stay_if_others_switch_the_vault_while_teardown_removes_them(load: Load, bench: Bench) -> None:
    load(world(policies=BOTH) | {"assignments": [OWNER]} | SOON)
    bench.setup()
    bench.vault.rbac = False  # somebody ran rescue
    switch = {"change_vault": {"vault": "kv-ml", "rbac": True}}
    bench.happens(switch, after="DeleteSecret")
    bench.teardown()
    assert {("billing-api", USER), ("operator", OFFICER)} <= held(bench)


def test_access_that_others_give_after_the_plan_stops_the_way_back_of_teardown(load: Load, bench: Bench) -> None:
    load(world() | {"assignments": [OWNER]} | SOON)
    bench.setup()
    given = {"assign_role": {"principal": "dana", "role": USER, "scope": SCOPE}}
    bench.happens(given, {"advance": {"seconds": 60}}, after="DeleteSecret")
    with pytest.raises(errors.ConflictError, match=r"dana.* would lose access"):
        bench.teardown(restore=True)
    assert bench.vault.rbac
    assert {("billing-api", USER), ("dana", USER)} <= held(bench)


# --- entries that setup and others share -----------------------------------------------------------------------------


def test_an_entry_extended_by_others_is_reduced_and_one_extended_by_setup_is_restored(load: Load, bench: Bench) -> None:
    load(world())
    reader = bench.id_of("function-app")
    bench.vault.policies.append(AccessPolicy(bench.id_of("operator"), {"secrets": ["get"], "keys": ["sign"]}))
    bench.setup(by_access_policy=True, readers=(reader,))
    extended = next(p for p in bench.vault.policies if p.object_id == reader)
    extended.permissions["secrets"] = ["get", "list", "set"]
    bench.teardown(readers=(reader,))
    assert entry(bench, "function-app") == ["list", "set"]
    assert dict(policies(bench))["operator"] == {"secrets": ["get"], "keys": ["sign"]}
    assert bench.vault.tags == {"cost-center": "ml"}


def test_a_permission_that_others_give_while_setup_runs_is_not_recorded_as_its_own(load: Load, bench: Bench) -> None:
    load(world() | {"assignments": [OWNER]})
    given = {"add_access_policy": {"vault": "kv-ml", "principal": "dana", "secrets": ["get"]}}
    bench.happens(given, before="Vaults_Update")
    readers = (bench.id_of("dana"),)
    bench.setup(by_access_policy=True, readers=readers)
    bench.teardown(readers=readers)
    assert entry(bench, "dana") == ["get"]


def test_teardown_may_be_repeated_where_a_readers_entry_stays(load: Load, bench: Bench) -> None:
    load(world())
    bench.setup(by_access_policy=True, readers=(bench.id_of("function-app"),))
    bench.teardown()
    with bench.no_writes():
        bench.teardown()
    assert entry(bench, "function-app") == ["get"]


@pytest.mark.parametrize("old", [False, True])
def test_forged_tags_remove_nobodys_access(load: Load, bench: Bench, *, old: bool) -> None:
    """Somebody who may write tags, and no access policies, names others in them."""
    load(world(policies=[*BOTH, {"principal": "dana", "secrets": ["get", "list"]}]))
    ids = [bench.id_of("billing-api"), bench.id_of("dana")]
    one = {"azure-openai-wandb-access-policies": " ".join(ids)}
    each = {f"{TAG}{who}": "get list: aoai-ml/wandb-api-key" for who in ids}
    bench.vault.tags |= one if old else each
    with bench.no_writes():
        bench.teardown()


def test_a_forged_tag_of_the_switch_does_not_switch_the_vault_back(load: Load, bench: Bench) -> None:
    load(world(rbac=True))
    bench.vault.tags["azure-openai-wandb"] = "switched-to-rbac 2026-01-01"
    with bench.no_writes(), pytest.raises(errors.NotOursError):
        bench.teardown(restore=True)


# --- conditions of others --------------------------------------------------------------------------------------------


def narrow(bench: Bench) -> Any:
    """Put a condition on the account identity's role, as a security team does."""
    found = next(a for a in bench.role_assignments if a.principal_id == bench.account.system_identity)
    found.condition, found.condition_version = CONDITION, "2.0"
    return found


def test_setup_stops_at_a_condition_before_anything_is_written(load: Load, bench: Bench) -> None:
    load(world() | SOON)
    bench.setup()
    narrow(bench)
    bench.setup_is_refused(errors.ConditionalRoleError, f"{OFFICER} → aoai-ml", hint="az role assignment list")


def test_a_condition_that_is_added_during_setup_survives(load: Load, bench: Bench) -> None:
    load(world(rbac=True) | SOON)
    bench.setup()
    rbac = bench.tenant.rbac
    theirs = next(a for a in bench.role_assignments if a.principal_id == bench.account.system_identity)
    rbac.assignments = {name: a for name, a in rbac.assignments.items() if not a.description}

    def assign_it_with_a_condition(step: object) -> None:
        rbac.add(theirs)
        narrow(bench)

    bench.ui.after = assign_it_with_a_condition
    bench.setup_fails(errors.ConditionalRoleError)
    assert theirs.condition == CONDITION


@pytest.mark.parametrize("command", ["teardown", "rotate"])
def test_a_condition_that_refuses_to_list_versions_is_not_reported_as_no_access(
    load: Load, bench: Bench, command: str
) -> None:
    """With a condition on the secret's name, listing is refused and reading works."""
    officer = {"principal": "operator", "role": OFFICER, "scope": "rg-ml", "condition": CONDITION}
    narrowed = officer | {"condition_refuses": ["Microsoft.KeyVault/vaults/secrets/readMetadata/action"]}
    ours = {"name": "wandb-api-key", "value": GOOD_KEY, "tags": {"created-by": "azure-openai-wandb"}}
    load(world(rbac=True, policies=[], secrets=[ours]) | {"assignments": [OWNER, narrowed]} | SOON)
    words = "may read secret wandb-api-key, but not list its versions"
    with bench.no_writes(), pytest.raises(errors.MissingRightsError, match=words) as caught:
        bench.teardown() if command == "teardown" else bench.rotate("5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00009")
    assert "condition" in caught.value.hint


def test_teardown_leaves_a_role_with_a_condition(load: Load, bench: Bench) -> None:
    load(world() | SOON)
    bench.setup()
    narrowed = narrow(bench)
    bench.teardown()
    assert narrowed.name.lower() in bench.tenant.rbac.assignments


def test_a_role_that_others_change_during_teardown_is_planned_again_and_stays(load: Load, bench: Bench) -> None:
    load(world() | SOON)
    bench.setup()
    bench.ui.after = lambda step: narrow(bench) if "secret" in step.resource else None
    bench.teardown()
    assert ("aoai-ml", OFFICER) in held(bench)
    assert ("operator", OFFICER) not in held(bench)
