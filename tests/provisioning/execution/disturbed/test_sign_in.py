"""The operator's sign-in outlasts the switch of a vault, the probe and the way back; otherwise the vault is not switched."""

from contextlib import suppress
from typing import Any

import pytest

from provisioning import errors, shell
from provisioning.cli import doctor, setup
from provisioning.planning.steps import Verb
from tests.conftest import Load

from ...bench import Bench


def world(token_life: str, federated_for: str | None = None, **more: Any) -> dict[str, Any]:
    """A vault that others use. `az` gets no new token after `federated_for`."""
    vault = {"name": "kv-ml", "group": "rg-ml", "policies": [{"principal": "billing-api", "secrets": ["get"]}]}
    sign_in = {"token_life": token_life, "federated_for": federated_for}
    return {"extends": "contoso", "vaults": [vault], "sign_in": sign_in, "transitions": {"rbac_propagation": 60}} | more


@pytest.mark.parametrize("life", ["13m", "15m1s", "60m"])
def test_a_sign_in_that_can_be_renewed_is_not_an_obstacle(load: Load, bench: Bench, life: str) -> None:
    load(world(life))
    bench.setup()
    assert bench.vault.rbac


def test_tokens_of_a_pipeline_last_for_the_whole_command(load: Load, bench: Bench) -> None:
    """Its sign-in gives new tokens for minutes only, and those that exist are valid for an hour."""
    load(world("60m", "5m"))
    bench.setup()
    assert bench.vault.rbac


@pytest.mark.parametrize("life", ["13m", "15m59s"])
def test_a_sign_in_that_ends_during_the_wait_stops_setup_before_the_switch(load: Load, bench: Bench, life: str) -> None:
    load(world(life, "5m"))
    caught = bench.setup_fails(errors.NotSignedInError, "The vault was not switched", hint="azure/login")
    assert "AADSTS700024" in caught.message
    assert "Vaults_Update" not in bench.cloud.counts
    load(world(life))
    bench.setup()


@pytest.mark.parametrize("life", ["17m", "24m"])
def test_a_sign_in_that_ends_during_the_probe_leaves_time_for_the_way_back(load: Load, bench: Bench, life: str) -> None:
    load(world(life, "5m", transitions={"rbac_propagation": 100000}))
    bench.setup_fails(errors.AccessNotEffectiveError, r"your sign-in ends soon.* switched back")
    assert not bench.vault.rbac


def test_a_sign_in_that_cannot_be_renewed_stops_setup_before_anything_is_written(load: Load, bench: Bench) -> None:
    later = {"after": "GetSecret", "do": [{"advance": {"seconds": 300}}]}
    load(world("9m", "1m", events=[later]))
    bench.setup_is_refused(errors.NotSignedInError, r"AADSTS700024.* Nothing was written")


def test_the_token_for_a_new_vault_is_requested_before_the_vault_is_created(load: Load, bench: Bench) -> None:
    later = {"before": "Vaults_CheckNameAvailability", "do": [{"advance": {"seconds": 300}}]}
    load(world("60m", "1m", vaults=[], events=[later]))
    bench.setup_is_refused(errors.NotSignedInError, r"AADSTS700024.* Nothing was written", create_vault=True)


# --- what the token says ----------------------------------------------------------------------------------------------


def test_a_sign_in_without_mfa_is_a_line_of_the_plan_and_a_warning_of_doctor(load: Load, bench: Bench) -> None:
    load(world("60m") | {"sign_in": {"mfa": False}})
    session = bench.session()
    made = setup.plan(session)
    note = made.steps[-1]
    assert (note.verb, note.resource, note.action) == (Verb.NOTE, "sign-in", None)
    assert "refuse the first write" in note.danger
    assert note.command.startswith("az login --tenant 72f988bf-0000-4000-8000-0000000000bb --claims-challenge eyJ")
    assert any(text.startswith("sign-in: ") for text in session.facts["warnings"])
    with suppress(errors.BrokenLinkError):
        doctor.doctor(session, None)
    sign_in = session.facts["checks"][0]
    assert (sign_in["name"], sign_in["state"], sign_in["remedy"]) == ("sign-in", "warning", note.command)
    bench.setup()
    assert "sign-in" not in [step.resource for step in setup.plan(bench.session()).steps], "nothing will be written"


def test_the_command_for_mfa_is_that_of_the_program_that_signed_in() -> None:
    assert shell.mfa_login("azd auth login", "T") == "azd auth login --tenant-id T"
    assert shell.mfa_login("Connect-AzAccount", "T").startswith("Connect-AzAccount -Tenant T -ClaimsChallenge eyJ")


def test_principals_that_a_guest_may_not_see_do_not_count_as_deleted(load: Load, bench: Bench) -> None:
    load(world("60m") | {"sign_in": {"guest": True}})
    session = bench.session()
    made = setup.plan(session)
    assert made.losses == ()
    assert [s.detail for s in made.steps if s.resource == "directory"] == [
        "you may not read all of it: deleted principals and those of App Service certificates are not recognised"
    ]
    bench.setup()
    assert bench.vault.rbac


@pytest.mark.parametrize("seen", [[], ["operator"]], ids=["nobody", "the caller, but not the account's identity"])
def test_an_answer_without_principals_that_exist_says_nothing_about_the_others(
    load: Load, bench: Bench, seen: list[str]
) -> None:
    account = {"name": "aoai-ml", "group": "rg-ml", "system_identity": True}
    cloud = load(world("60m") | {"sign_in": {}, "accounts": [account]})
    ids = [{"@odata.type": "#microsoft.graph.user", "id": cloud.world.tenant.named(name).object_id} for name in seen]
    partial = {"op": "DirectoryObjects_GetByIds", "do": {"status": 200, "body": {"value": ids}}}
    load(world("60m") | {"sign_in": {}, "accounts": [account], "faults": [partial]})
    assert setup.plan(bench.session()).losses == ()


def test_a_principal_that_is_not_in_a_whole_answer_is_missing(load: Load, bench: Bench) -> None:
    people = [
        {"name": "operator", "kind": "user", "display_name": "you@contoso.example"},
        {"name": "billing-api", "kind": "managed identity", "deleted": True},
    ]
    load(world("60m") | {"sign_in": {}, "principals": people})
    (loss,) = setup.plan(bench.session()).losses
    assert "a deleted principal can be restored for 30 days" in loss.reason
