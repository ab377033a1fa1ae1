"""`--contributor`: who starts fine-tuning jobs gets the role on the account, and teardown takes back what setup gave."""

from typing import Any

import pytest

from provisioning import errors
from provisioning.checks import access
from provisioning.cli import setup
from provisioning.planning.access.contributors import ROLE, SUBMITTING
from provisioning.planning.steps import Verb
from sandbox.azure.roles import ROLES
from tests.conftest import Load

from ..bench import OPERATOR_ENV, Bench
from ..conftest import Call
from .vault_in_use import OWNER, SOON, world

VAULT = {"name": "kv-ml", "group": "rg-ml"}
PEOPLE = [
    {"name": "operator", "kind": "user", "display_name": "you@contoso.example"},
    {"name": "dana", "kind": "user", "display_name": "dana@contoso.example"},
    {"name": "ml-team", "kind": "group", "members": ["dana"]},
]
ACCOUNT = "rg-ml/Microsoft.CognitiveServices/accounts/aoai-ml"


def on_account(bench: Bench) -> set[tuple[str, str]]:
    """(who, role) at the account."""
    tenant = bench.tenant
    found = (a for a in tenant.rbac.assignments.values() if a.scope.lower().endswith("/accounts/aoai-ml"))
    return {(tenant.principals[a.principal_id].alias, ROLES[a.role_id].name) for a in found}


def may_submit(bench: Bench, name: str) -> bool:
    who, place = bench.id_of(name), bench.account.id
    return all(bench.tenant.may(who, action, place, data=True) for action in SUBMITTING)


@pytest.mark.parametrize("by_policy", [False, True])
def test_contributors_may_start_jobs_from_setup_to_teardown(load: Load, bench: Bench, by_policy: bool) -> None:
    load(world() | {"assignments": [OWNER]} | SOON)
    options: dict[str, Any] = {"contributors": (bench.id_of("dana"),), "by_access_policy": by_policy}
    assert "role Cognitive Services OpenAI Contributor → dana" in setup.status(bench.session(**options)).left
    bench.setup(**options)
    assert on_account(bench) == {("dana", ROLE)}
    assert may_submit(bench, "dana")
    assert bench.idle(**options)
    assert not setup.status(bench.session(**options)).work
    bench.teardown()
    assert on_account(bench) == set()


@pytest.mark.parametrize("through", ["dana", "ml-team"], ids=["another role", "a group"])
def test_a_contributor_whose_other_roles_suffice_gets_no_role_and_keeps_those_at_teardown(
    load: Load, bench: Bench, through: str
) -> None:
    given = {"principal": through, "role": "Cognitive Services OpenAI Contributor", "scope": "rg-ml"}
    load(world() | {"principals": PEOPLE, "vaults": [VAULT], "assignments": [OWNER, given]} | SOON)
    session = bench.setup(contributors=(bench.id_of("dana"),))
    assert on_account(bench) == set()
    shown = [s["detail"] for s in session.facts["steps"] if s["verb"] == Verb.ALREADY]
    assert "Cognitive Services OpenAI Contributor → dana@contoso.example on aoai-ml" in shown
    bench.teardown()
    assert may_submit(bench, "dana")


def test_a_role_with_a_condition_is_neither_replaced_nor_removed(load: Load, bench: Bench) -> None:
    given = {"principal": "dana", "role": ROLE, "scope": ACCOUNT, "condition": "(false)", "condition_met": False}
    load(world() | {"assignments": [OWNER, given]} | SOON)
    bench.setup_is_refused(errors.ConditionalRoleError, contributors=(bench.id_of("dana"),))
    bench.setup()
    bench.teardown()
    assert on_account(bench) == {("dana", ROLE)}


PIM_TEAM = {"principal": "ml-team", "role": ROLE, "scope": "rg-ml", "expires_in": "4h"}


@pytest.mark.parametrize(
    ("given", "end"),
    [(PIM_TEAM, None), (PIM_TEAM | {"principal": "dana"}, None), (PIM_TEAM, "soon"), (PIM_TEAM, 5)],
    ids=["of a group", "above", "unreadable end", "end of another type"],
)
def test_a_role_that_ends_does_not_count(
    load: Load, bench: Bench, given: dict[str, str], end: str | int | None
) -> None:
    load({"extends": "contoso", "principals": PEOPLE, "assignments": [OWNER, given], "vaults": [VAULT]} | SOON)
    if end:
        ids = [a.id for a in bench.role_assignments if a.principal_id == bench.id_of("ml-team")]
        shown = [{}, *({"properties": {"originRoleAssignmentId": each, "endDateTime": end}} for each in ids)]
        bench.fault("RoleAssignmentScheduleInstances_ListForScope", {"status": 200, "body": {"value": shown}})
    azure = bench.session().sign_in()
    seen = access.to_submit(azure, azure.account("rg-ml", "aoai-ml"), bench.id_of("dana"))
    assert f"its role {ROLE} ends on " in seen.finding(bench.clock.now(), "", "").seen
    session = bench.setup(contributors=(bench.id_of("dana"),))
    assert f"its role {ROLE} ends on " in str(session.facts["steps"])
    assert on_account(bench) == {("dana", ROLE)}
    bench.cloud.clock.advance(5 * 3600)
    assert may_submit(bench, "dana")


@pytest.mark.parametrize("status", [403, 500])
def test_a_role_whose_end_cannot_be_read_counts_for_doctor_as_for_setup(load: Load, bench: Bench, status: int) -> None:
    given = {"principal": "dana", "role": ROLE, "scope": ACCOUNT}
    fault = {"op": "RoleAssignmentScheduleInstances_ListForScope", "do": {"status": status}}
    load(world() | {"assignments": [OWNER, given], "faults": [fault]} | SOON)
    azure = bench.session().sign_in()
    seen = access.to_submit(azure, azure.account("rg-ml", "aoai-ml"), bench.id_of("dana"))
    assert seen.by == (ROLE,)


def test_a_role_that_ends_at_the_account_itself_cannot_be_replaced_and_is_named(load: Load, bench: Bench) -> None:
    load(world() | {"assignments": [OWNER, PIM_TEAM | {"principal": "dana", "scope": ACCOUNT}]} | SOON)
    session = bench.setup(contributors=(bench.id_of("dana"),))
    assert "UTC, and a permanent one cannot be added before that" in str(session.facts["steps"])
    bench.cloud.clock.advance(5 * 3600)
    bench.setup(contributors=(bench.id_of("dana"),))
    assert may_submit(bench, "dana")


def test_a_role_that_others_gave_is_not_removed(load: Load, bench: Bench) -> None:
    given = {"principal": "dana", "role": ROLE, "scope": ACCOUNT}
    record = "azure-openai-wandb: contributor of aoai-ml/wandb-api-key"
    forged = given | {"principal": "billing-api", "description": record}
    load(world() | {"assignments": [OWNER, given, forged]} | SOON)
    bench.setup()
    bench.teardown()
    assert on_account(bench) == {("dana", ROLE), ("billing-api", ROLE)}


def test_another_secret_of_the_account_keeps_its_contributors(load: Load, bench: Bench) -> None:
    load(world() | {"assignments": [OWNER]} | SOON)
    dana = (bench.id_of("dana"),)
    bench.setup(secret="wandb-prod", contributors=dana)
    bench.setup(secret="wandb-staging", contributors=dana)
    bench.teardown(secret="wandb-prod")
    assert on_account(bench) == {("dana", ROLE)}
    bench.teardown(secret="wandb-staging")
    assert on_account(bench) == set()


def test_the_right_is_required_at_the_account(load: Load, bench: Bench) -> None:
    """The vault is in another group, where the operator may assign roles."""
    owners = [{"principal": "operator", "role": "Contributor", "scope": "rg-ml"}, OWNER | {"scope": "rg-vaults"}]
    vault = {"name": "kv-ml", "group": "rg-vaults"}
    load({"extends": "contoso", "groups": ["rg-ml", "rg-vaults"], "vaults": [vault], "assignments": owners} | SOON)
    dana = (bench.id_of("dana"),)
    words = "roleAssignments/write at aoai-ml"
    bench.setup_fails(errors.MissingRightsError, words, vault_group="rg-vaults", contributors=dana)
    bench.setup(vault_group="rg-vaults")


def test_the_option_takes_several_object_ids(bench: Bench, call: Call) -> None:
    both = f"{bench.id_of('dana')} {bench.id_of('billing-api')}"
    done = call("plan", "-o", "json", env=OPERATOR_ENV | {"AZURE_OPENAI_CONTRIBUTORS": both})
    assert done.stdout.count("Cognitive Services OpenAI Contributor \\u2192") == 2
