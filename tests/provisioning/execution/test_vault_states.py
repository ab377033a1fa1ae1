"""setup with a vault that is missing, deleted, being created, or behind network rules."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self, cast

import pytest

from provisioning import errors, models
from provisioning.azure.client import Azure
from provisioning.cli import setup
from provisioning.execution.access import wait_for_access
from provisioning.execution.services import SETTLING, Services
from provisioning.models import Secret, SecretState
from provisioning.planning.actions import AwaitVault, CreateVault, RecoverVault
from provisioning.planning.steps import Verb
from sandbox.azure.key_vault_errors import CLIENT_ADDRESS
from tests.conftest import Load

from ..bench import GOOD_KEY, Bench
from ..conftest import Call
from .vault_in_use import OFFICER, held

OFFICERS = {("operator", OFFICER), ("aoai-ml", OFFICER)}
SUBSCRIPTION_OWNER = [{"principal": "operator", "role": "Owner"}]
GROUP_OWNER = [{"principal": "operator", "role": "Owner", "scope": "rg-ml"}]
KEPT = [{"name": "wandb-api-key", "value": GOOD_KEY}]


def world(*, seen: bool = True, vaults: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """Contoso with these vaults, and an operator who may read the whole subscription, or only the group."""
    owner = SUBSCRIPTION_OWNER if seen else GROUP_OWNER
    return {"extends": "contoso", "vaults": vaults or [], "assignments": owner, **more}


def deleted(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "kv-ml", "group": "rg-ml", "deleted": True} | more]


# --- missing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [True, False], ids=["subscription", "group only"])
def test_one_plan_creates_a_vault_and_everything_in_it(load: Load, bench: Bench, *, seen: bool) -> None:
    load(world(seen=seen))
    session = bench.setup(create_vault=True)
    assert isinstance(bench.ui.steps[0].action, CreateVault), "first: what can be refused comes before what is written"
    doubts = [s for s in session.facts["steps"] if "a deleted one" in s.get("danger", "")]
    assert len(doubts) == (0 if seen else 1), "the operator may not ask whether the name is free"
    vault = bench.vault
    assert (vault.rbac, vault.purge_protection, vault.retention_days, vault.sku) == (True, True, 90, "standard")
    assert vault.location == "swedencentral", "where the account is"
    assert held(bench) == OFFICERS
    assert bench.stored == [GOOD_KEY]
    assert bench.idle(create_vault=True)


@pytest.mark.parametrize("seen", [True, False], ids=["before anything", "by creating"])
def test_a_vault_name_that_is_taken_stops_setup_before_anything_is_written(
    load: Load, bench: Bench, *, seen: bool
) -> None:
    load(world(seen=seen, vaults=[{"name": "kv-ml", "group": "rg-ml", "elsewhere": True}]))
    bench.setup_fails(errors.VaultNameTakenError, "already in use", hint="--key-vault", create_vault=True)
    assert not any(a.system_identity for a in bench.tenant.accounts.values())
    assert ("Vaults_CreateOrUpdate" in bench.cloud.counts) is not seen


def test_a_vault_that_somebody_created_in_the_meantime_is_not_replaced(load: Load, bench: Bench) -> None:
    load(world())
    theirs = {"name": "kv-ml", "group": "rg-ml", "policies": [{"principal": "dana", "secrets": ["get"]}]}

    def think(question: str) -> bool:
        bench.happens({"add_vault": theirs})
        return True

    bench.ui.confirm = think  # type: ignore[method-assign]  # the operator thinks the plan over
    with pytest.raises(errors.ConflictError, match="created by somebody else"):
        setup.setup(bench.session(create_vault=True), yes=False, interactive=True)
    assert len(bench.vault.policies) == 1


def test_setup_waits_for_a_vault_whose_name_is_being_registered(load: Load, bench: Bench) -> None:
    """As an interrupted run leaves it: without a data plane yet, so that no request goes there."""
    load(world(vaults=[{"name": "kv-ml", "group": "rg-ml", "rbac": True}]))
    bench.vault.registering = 3
    bench.setup(create_vault=True)
    assert isinstance(bench.ui.steps[0].action, AwaitVault)
    assert bench.ui.steps[0].verb is Verb.WAIT
    assert bench.stored == [GOOD_KEY]


def test_a_name_that_is_never_registered_ends_with_a_clear_error(load: Load, bench: Bench) -> None:
    load(world(vaults=[{"name": "kv-ml", "group": "rg-ml", "rbac": True}]))
    bench.vault.registering = 1000
    bench.setup_fails(errors.BusyError, "host name")


@dataclass
class Unresolved:
    """The network, with a vault whose host name does not resolve for the first so many reads."""

    reads_left: int

    def secrets(self, vault: object) -> Self:
        return self

    def read(self, name: str) -> Secret:
        self.reads_left -= 1
        if self.reads_left >= 0:
            raise errors.UnreachableError("kv-ml.vault.azure.net does not resolve", hint="wait")
        return Secret(SecretState.MISSING)


def test_an_unresolved_host_name_is_retried_for_a_new_vault_but_not_for_an_old_one(bench: Bench) -> None:
    def read(unresolved: int, registered: datetime | None) -> Secret:
        services = Services(cast(Azure, Unresolved(unresolved)), bench.clock, bench.ui, timedelta(minutes=10))
        vault = models.Vault("", "kv-ml", "https://kv-ml.vault.azure.net/", rbac=True)
        return wait_for_access(services, vault, "wandb-api-key", registered)[0]

    with pytest.raises(errors.UnreachableError):
        read(2, registered=None)
    assert bench.clock.slept == 0
    assert read(2, bench.clock.now()).state is SecretState.MISSING
    assert bench.clock.slept == 1 + 2
    with pytest.raises(errors.UnreachableError):
        read(1000, bench.clock.now())
    assert bench.clock.slept < SETTLING.total_seconds() + 20, "only for some minutes"


# --- deleted ---------------------------------------------------------------------------------------------------------


def test_a_deleted_vault_is_an_error_with_the_dates_of_deletion_and_purge(load: Load, bench: Bench) -> None:
    load(world(vaults=deleted(), clock={"start": "2026-03-02T08:00:00Z"}))
    bench.setup_is_refused(errors.VaultDeletedError, r"on 2026-03-02 .* until 2026-05-31", hint="--recover-key-vault")


def test_an_invisible_deleted_vault_is_reported_when_its_name_is_refused(load: Load, bench: Bench) -> None:
    load(world(seen=False, vaults=deleted()))
    missing = bench.setup_fails(errors.NotFoundError)
    bench.setup_fails(errors.VaultDeletedError, hint="--recover-key-vault", create_vault=True)
    assert "--recover-key-vault" in missing.hint


@pytest.mark.parametrize("seen", [True, False], ids=["subscription", "group only"])
def test_a_recovered_vault_is_planned_again_and_lost_roles_are_assigned_again(
    load: Load, bench: Bench, *, seen: bool
) -> None:
    load(world(seen=seen, vaults=deleted(rbac=True, secrets=KEPT)))
    bench.setup(recover_vault=True)
    assert isinstance(bench.ui.steps[0].action, RecoverVault)
    assert held(bench) == OFFICERS
    assert bench.stored == [GOOD_KEY], "the right key is adopted"
    assert bench.idle(recover_vault=True)


def test_a_recovered_vault_on_access_policies_is_migrated_by_the_second_plan(load: Load, bench: Bench) -> None:
    load(world(vaults=deleted(policies=[{"principal": "billing-api", "secrets": ["get"]}])))
    bench.setup(recover_vault=True)
    assert bench.vault.rbac is True
    assert any("billing-api" in s.detail for s in bench.ui.steps)


def test_a_principal_that_would_lose_access_stops_setup_between_the_two_plans(load: Load, bench: Bench) -> None:
    compound = {"principal": "dana", "secrets": ["get"], "application_id": "11111111-0000-4000-8000-000000000001"}
    load(world(vaults=deleted(policies=[compound])))
    session = bench.session(recover_vault=True)
    with pytest.raises(errors.AccessWouldBeLostError, match="Nothing more was written"):
        setup.setup(session, yes=True, interactive=False)
    assert [s["resource"] for s in session.facts["applied"]] == ["vault"]
    assert not bench.vault.rbac


def test_each_of_the_two_plans_is_shown_and_needs_consent(load: Load, bench: Bench) -> None:
    load(world(vaults=deleted(rbac=True)))
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return len(asked) == 1

    bench.ui.confirm = confirm  # type: ignore[method-assign]  # the operator's answers
    with pytest.raises(errors.DeclinedError, match="Nothing more was written"):
        setup.setup(bench.session(recover_vault=True), yes=False, interactive=True)
    assert len(asked) == 2
    assert bench.vault.deleted is None
    assert held(bench) == set()


def test_a_vault_deleted_in_another_group_is_not_recovered(load: Load, bench: Bench) -> None:
    load(world(vaults=deleted(group="rg-old"), groups=["rg-ml", "rg-old"]))
    bench.setup_fails(errors.NotFoundError, "rg-old", hint="-g", recover_vault=True)


@pytest.mark.parametrize("seen", [True, False], ids=["subscription", "group only"])
def test_a_missing_deleted_vault_is_reported(load: Load, bench: Bench, *, seen: bool) -> None:
    load(world(seen=seen))
    bench.setup_fails(errors.NotFoundError, "deleted", hint="--create-key-vault", recover_vault=True)


@pytest.mark.parametrize("name", ["kv", "-kv-ml", "kv-ml-", "kv--ml", "1kv-ml", "k" * 25, "kv_ml"])
def test_an_invalid_vault_name_is_refused_at_once(call: Call, name: str) -> None:
    done = call("plan", "-g", "rg-ml", "--openai-account", "aoai-ml", f"--key-vault={name}")
    assert done.returncode == 2
    assert "3 to 24 letters, digits and single hyphens" in done.stderr


# --- network rules ---------------------------------------------------------------------------------------------------


def test_an_operator_in_the_allowed_network_continues_and_is_warned_of_other_clients(load: Load, bench: Bench) -> None:
    load(world(vaults=[{"name": "kv-ml", "group": "rg-ml", "firewall": True, "ip_rules": [CLIENT_ADDRESS]}]))
    session = bench.session()
    setup.setup(session, yes=True, interactive=False)
    assert bench.stored == [GOOD_KEY]
    note = next(s for s in session.facts["steps"] if s["resource"] == "vault network")
    assert note["verb"] == "note"
    assert "aoai-ml and the function app may be blocked" in note["danger"]
    assert not setup.status(bench.session()).work, "a warning is no drift"
