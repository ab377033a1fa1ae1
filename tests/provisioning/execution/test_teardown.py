"""teardown removes what setup added and nothing else, and setup can follow."""

import json
from datetime import timedelta

import pytest

from provisioning import errors
from provisioning.resource_ids import assignment_name
from sandbox.azure.roles import ROLE_IDS
from sandbox.scenario.actions import MoveVault
from tests.conftest import Load

from ..bench import GOOD_KEY, OPERATOR_ENV, Bench
from ..conftest import Call
from .vault_in_use import OFFICER, OWNER, SCOPE, SOON, USER, held, policies, world

# --- what goes and what stays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("restore", [False, True])
def test_setup_after_teardown_recovers_the_secret_without_a_new_version(
    load: Load, bench: Bench, restore: bool
) -> None:
    """teardown leaves what others need, or with access policies the vault as it was, and a second one writes nothing."""
    load(world() | {"clock": {"start": "2026-11-02T09:00:00Z"}})  # a tag has the date, so no run crosses midnight
    before = held(bench), policies(bench), dict(bench.vault.tags)
    bench.setup()
    reached = held(bench), dict(bench.vault.tags)
    bench.teardown(restore=restore)
    secret = bench.vault.secrets["wandb-api-key"]
    assert (secret.deleted is None, bench.vault.rbac) == (False, not restore)
    left = held(bench), policies(bench), dict(bench.vault.tags)
    assert left == (before if restore else (before[0] | {("billing-api", USER)}, before[1], reached[1]))
    assert bench.account.system_identity
    with bench.no_writes():
        bench.teardown(restore=restore)
    bench.setup()
    assert (held(bench), dict(bench.vault.tags)) == reached
    assert (secret.deleted, [v.value for v in secret.versions]) == (None, [GOOD_KEY])


def test_access_policies_can_be_restored_later(load: Load, bench: Bench) -> None:
    load(world())
    before = held(bench)
    bench.setup()
    bench.teardown()
    with pytest.raises(errors.AccessWouldBeLostError, match="function-app: Key Vault Secrets User by role"):
        bench.teardown(restore=True)  # it can no longer be seen whether the secret of that role is gone
    bench.teardown(restore=True, accept_loss=True)
    assert bench.vault.rbac is False
    assert held(bench) == before


def test_what_existed_before_setup_stays(load: Load, bench: Bench) -> None:
    """Roles under other names or without the mark, a vault on Azure RBAC, a secret that somebody else wrote."""
    secret = {"name": "wandb-api-key", "value": GOOD_KEY}
    load(world(rbac=True, policies=[], secrets=[secret]))
    derived = assignment_name(bench.vault.id, bench.id_of("operator"), ROLE_IDS[OFFICER])  # as a template names it
    bench.happens({"assign_role": OWNER | {"role": OFFICER, "scope": SCOPE, "name": derived, "effective": True}})
    bench.setup()
    assert ("aoai-ml", OFFICER) in held(bench)
    bench.teardown()
    assert ("operator", OFFICER) in held(bench)
    assert ("aoai-ml", OFFICER) not in held(bench)
    assert bench.vault.secrets["wandb-api-key"].deleted is None


def test_versions_of_others_keep_the_secret_and_ours_are_disabled(load: Load, bench: Bench) -> None:
    load(world(rbac=True, policies=[], secrets=[{"name": "wandb-api-key", "value": "by hand"}]))
    bench.setup()
    bench.teardown()
    secret = bench.vault.secrets["wandb-api-key"]
    assert secret.deleted is None
    assert [(v.value, v.enabled) for v in secret.versions] == [("by hand", True), (GOOD_KEY, False)]
    bench.setup()
    bench.teardown()
    with bench.no_writes():
        bench.teardown()


def test_a_version_that_the_list_does_not_show_yet_keeps_the_secret(load: Load, bench: Bench) -> None:
    """Somebody else stores a key, and the list of versions is behind."""
    theirs = {"write_secret": {"vault": "kv-ml", "name": "wandb-api-key", "value": "theirs"}}
    load(world() | SOON)
    bench.setup()
    bench.fault("GetSecretVersions", {"late": True}, nth=[2])
    bench.happens(theirs, before="GetSecretVersions", nth=2)
    bench.teardown()
    secret = bench.vault.secrets["wandb-api-key"]
    assert secret.deleted is None
    assert [(v.value, v.enabled) for v in secret.versions] == [(GOOD_KEY, False), ("theirs", True)]


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_secret_that_the_operator_cannot_see_is_deleted_too(load: Load, bench: Bench) -> None:
    """Another operator, who has no role on the vault."""
    load(world())
    bench.setup()
    bench.happens({"assign_role": OWNER | {"principal": "dana", "effective": True}})
    bench.who = "dana"
    with bench.no_writes(), pytest.raises(errors.MissingRightsError, match="You may not read secret") as caught:
        bench.teardown()
    assert "`setup`" in caught.value.hint
    bench.setup()
    bench.teardown()
    assert bench.vault.secrets["wandb-api-key"].deleted is not None
    assert held(bench) == {("billing-api", USER), ("function-app", USER)}


def test_teardown_of_a_deleted_vault_reports_what_is_left(load: Load, bench: Bench) -> None:
    everywhere = OWNER | {"scope": "subscription"}  # to see deleted vaults takes a right there
    load(world(deleted=True) | {"assignments": [everywhere]})
    with pytest.raises(errors.VaultDeletedError) as caught:
        bench.teardown()
    assert "az cognitiveservices account identity remove -g rg-ml -n aoai-ml" in caught.value.hint


def test_a_vault_that_somebody_switched_back_by_hand_loses_the_tag_of_the_switch(load: Load, bench: Bench) -> None:
    """The second run cannot see the secret, and need not: no record of setup is left that it could belong to."""
    load(world())
    tags = dict(bench.vault.tags)
    bench.setup()
    bench.vault.rbac = False
    bench.setup(by_access_policy=True)
    bench.teardown()
    assert bench.vault.tags == tags
    with bench.no_writes():
        bench.teardown()


def test_missing_rights_are_named_before_anything_is_written(load: Load, bench: Bench) -> None:
    load(world())
    bench.setup()
    reader = OWNER | {"role": "Reader", "effective": True}
    bench.happens({"remove_role": OWNER}, {"assign_role": reader})
    with bench.no_writes(), pytest.raises(errors.MissingRightsError) as caught:
        bench.teardown(restore=True)
    assert "roleAssignments/delete" in caught.value.message
    assert "vaults/write" in caught.value.message


# --- the command -----------------------------------------------------------------------------------------------------


WITH_KEY = OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY}


def test_teardown_shows_its_plan_asks_and_reports_what_stays(load: Load, call: Call) -> None:
    cloud = load(world() | SOON)
    assert call("setup", "--yes", "--propagation-wait", "0", env=WITH_KEY).returncode == 0
    writes = cloud.writes
    shown = call("teardown", "--dry-run", env=OPERATOR_ENV)
    assert shown.returncode == 0
    assert "- remove secret wandb-api-key" in shown.stdout
    refused = call("teardown", env=OPERATOR_ENV)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert cloud.writes == writes
    done = call("teardown", "--yes", env=OPERATOR_ENV)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Removed.")
    assert "az keyvault secret recover --vault-name kv-ml -n wandb-api-key" in done.stdout
    assert "az keyvault secret purge --vault-name kv-ml -n wandb-api-key" in done.stdout
    assert "az cognitiveservices account identity remove -g rg-ml -n aoai-ml" in done.stdout
    again = call("teardown", env=OPERATOR_ENV)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("Nothing to remove.")
    stays = again.stdout.partition("Remaining:")[2]
    assert "account identity" in stays
    assert "wandb-api-key" not in stays, "it was deleted, and who may not look any more must not think otherwise"


def test_a_vault_without_soft_delete_deletes_permanently_and_nothing_says_otherwise(load: Load, call: Call) -> None:
    cloud = load(world(soft_delete=False) | SOON)
    assert call("setup", "--yes", "--propagation-wait", "0", env=WITH_KEY).returncode == 0
    done = call("teardown", "--yes", env=OPERATOR_ENV)
    assert done.returncode == 0, done.stderr
    shown = done.stdout + done.stderr
    assert "deleted permanently; the vault has no soft delete" in shown
    assert "recover" not in shown
    assert not cloud.world.tenant.vaults["kv-ml"].secrets
    assert call("setup", "--yes", "--propagation-wait", "0", env=WITH_KEY).returncode == 0


def test_the_document_lists_what_was_applied_and_what_stays(load: Load, call: Call) -> None:
    load(world() | SOON)
    call("setup", "--yes", "--propagation-wait", "0", env=WITH_KEY)
    result = call("teardown", "--restore-access-policies", "--yes", "-o", "json", env=OPERATOR_ENV)
    document = json.loads(result.stdout)
    assert document["ok"] is True
    assert document["applied"] == [s for s in document["steps"] if s["verb"] != "note"]
    assert document["applied"][0]["resource"] == "secret wandb-api-key"
    assert document["applied"][-1]["detail"] == f"{OFFICER} → you"
    assert document["secret_deleted"] is True
    assert [s["resource"] for s in document["stays"]] == ["account identity"]


# --- interruptions (at every request: see evidence/) ------------------------------------------------------------------


def end(bench: Bench) -> tuple[object, ...]:
    secret = bench.vault.secrets.get("wandb-api-key")
    gone = secret is None or secret.deleted is not None
    return gone, bench.vault.rbac, dict(bench.vault.tags), held(bench), [who for who, _ in policies(bench)]


@pytest.mark.parametrize(("at", "restore"), [(0, True), (1, False), (2, True)])
def test_ctrl_c_between_steps_lists_the_changes_that_stand(load: Load, bench: Bench, at: int, restore: bool) -> None:
    load(world() | SOON)
    bench.setup(propagation_wait=timedelta(0))
    bench.teardown(restore=restore)
    reached = end(bench)
    bench.setup(propagation_wait=timedelta(0))
    bench.ui.interrupt_after(at + 1)
    with pytest.raises(errors.InterruptedByUserError, match=rf"{at + 1} of \d changes were made"):
        bench.teardown(restore=restore)
    bench.teardown(restore=restore)
    assert end(bench) == reached


def test_a_resource_that_reappears_during_teardown_is_reported(load: Load, bench: Bench) -> None:
    """Somebody runs setup at the same time."""
    load(world() | SOON)
    bench.setup(propagation_wait=timedelta(0))
    rbac = bench.tenant.rbac
    theirs = next(a for a in bench.role_assignments if "wandb: operator" in (a.description or ""))
    bench.ui.after = lambda step: rbac.add(theirs) if step.detail.endswith("→ you") else None
    with pytest.raises(errors.NotInPlaceError, match="Key Vault Secrets Officer → you"):
        bench.teardown(restore=True)
    assert bench.clock.slept >= 180, "Azure's listing got its time"


def test_roles_that_a_moved_vault_left_behind_are_removed_and_those_of_others_stay(load: Load, bench: Bench) -> None:
    roles = [OWNER | {"scope": "subscription"}, {"principal": "dana", "role": USER, "scope": SCOPE}]
    load(world() | {"groups": ["rg-ml", "rg-two"], "assignments": roles} | SOON)
    reader = bench.id_of("function-app")
    session = bench.setup(readers=(reader,))
    assert "later moves" in [step["resource"] for step in session.facts["steps"]]
    before = bench.vault.id
    MoveVault(vault="kv-ml", group="rg-two").apply(bench.cloud.world.builder)
    bench.setup(vault_group="rg-two", readers=(reader,))
    bench.teardown(vault_group="rg-two")
    left = {a.description for a in bench.role_assignments if a.scope.startswith(before)}
    assert left == {None}, "that of somebody else"
    assert not [a for a in bench.role_assignments if a.scope == f"{bench.vault.id}/secrets/wandb-api-key"]
