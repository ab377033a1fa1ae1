"""setup against the sandbox, in this process: its results, from every starting state."""

from datetime import timedelta
from typing import Any

import pytest

from provisioning import errors
from provisioning.cli import setup
from provisioning.resource_ids import assignment_name
from tests.conftest import Load

from ..bench import GOOD_KEY, Bench
from .vault_in_use import OFFICER, OWNER, held

CONTOSO_VAULT = {"name": "kv-ml", "group": "rg-ml"}
POLICIES = [
    {"principal": "billing-api", "secrets": ["Get", "List"]},
    {"principal": "dana", "secrets": ["get", "list", "set", "delete"]},
]


def vault(**more: Any) -> dict[str, Any]:
    return {"extends": "contoso", "vaults": [CONTOSO_VAULT | more]}


def account(**more: Any) -> dict[str, Any]:
    return {"extends": "contoso", "accounts": [{"name": "aoai-ml", "group": "rg-ml", **more}]}


def test_setup_completes_the_chain_and_nobody_loses_access(bench: Bench) -> None:
    bench.setup()
    assert bench.account.system_identity
    assert bench.vault.rbac is True
    assert held(bench) == {
        ("operator", OFFICER),
        ("aoai-ml", OFFICER),
        ("billing-api", "Key Vault Secrets User"),
        ("reports-job", "Key Vault Secrets User"),
        ("reports-job", "Key Vault Crypto Service Encryption User"),
        ("dana", OFFICER),
        ("dana", "Key Vault Certificate User"),
        ("function-app", "Key Vault Secrets User"),  # on its secret, as before
    }
    assert bench.stored == [GOOD_KEY]
    assert len(bench.vault.policies) == 3, "access policies stay stored: they are the way back"
    for each in bench.role_assignments:
        if each.scope == bench.vault.id:  # the name that a template gives it
            assert each.name == assignment_name(bench.vault.id, each.principal_id, each.role_id)


def test_everybody_can_use_the_vault_at_every_moment(bench: Bench) -> None:
    """The sandbox checks the access at each step and each second of the wait."""
    action = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
    people = [bench.id_of(name) for name in ("billing-api", "reports-job", "dana")]

    def look() -> None:
        if bench.vault.rbac:
            assert all(bench.tenant.may(who, action, bench.vault.id, data=True) for who in people)

    bench.clock.before = look
    bench.ui.after = lambda step: look()
    bench.tenant.transitions.rbac_propagation = 590
    bench.setup()
    assert bench.clock.slept >= 600


def test_a_local_clock_that_is_slow_does_not_double_the_wait(bench: Bench) -> None:
    bench.clock.behind = timedelta(minutes=5)
    bench.setup()
    assert 600 <= bench.clock.slept < 700


def test_a_local_clock_that_is_fast_does_not_shorten_the_wait_for_the_roles_of_an_interrupted_run(bench: Bench) -> None:
    bench.clock.stop_when(lambda: True)
    bench.setup_fails(errors.InterruptedByUserError, "waiting for: roles take effect")
    bench.clock.behind = -timedelta(minutes=11)
    bench.setup()
    assert 590 <= bench.clock.slept < 700


def test_after_the_switch_setup_waits_until_the_operator_has_access(load: Load, bench: Bench) -> None:
    load(vault(policies=[]) | {"transitions": {"rbac_propagation": 300}})
    bench.setup()
    assert 300 <= bench.clock.slept <= 320


def test_a_vault_that_refuses_access_after_the_switch_is_switched_back(load: Load, bench: Bench) -> None:
    load(vault(policies=POLICIES) | {"transitions": {"rbac_propagation": 3600}})
    bench.setup_fails(errors.AccessNotEffectiveError, "switched back to access policies", hint="--access-timeout")
    assert bench.vault.rbac is False
    assert bench.stored == []
    bench.cloud.clock.advance(3600)
    bench.setup()
    assert bench.vault.rbac is True
    assert bench.stored == [GOOD_KEY]


def test_a_vault_on_rbac_is_never_switched_back(load: Load, bench: Bench) -> None:
    load(vault(rbac=True) | {"transitions": {"rbac_propagation": 3600}})
    bench.setup_fails(errors.AccessNotEffectiveError)
    assert bench.vault.rbac is True
    bench.cloud.clock.advance(3600)
    bench.setup()
    assert bench.stored == [GOOD_KEY]


def test_rights_on_the_two_resources_are_enough_for_the_operator(load: Load, bench: Bench) -> None:
    scopes = ("Microsoft.KeyVault/vaults/kv-ml", "Microsoft.CognitiveServices/accounts/aoai-ml")
    owner = [OWNER | {"scope": f"rg-ml/{scope}"} for scope in scopes]
    load({"extends": "contoso", "assignments": owner})
    bench.setup()
    assert bench.stored == [GOOD_KEY]


def test_a_principal_whose_access_cannot_be_mapped_stops_setup_before_anything_is_written(
    load: Load, bench: Bench
) -> None:
    compound = {"principal": "dana", "secrets": ["get"], "application_id": "11111111-0000-4000-8000-000000000001"}
    gone = {"principal": "99999999-0000-4000-8000-000000000009", "secrets": ["get"]}
    load(vault(policies=[*POLICIES[:1], compound, gone]))
    caught = bench.setup_is_refused(errors.AccessWouldBeLostError)
    assert "compound" in caught.message
    assert "99999999" in caught.message
    bench.setup(accept_loss=True)
    assert bench.vault.rbac is True


@pytest.mark.parametrize(
    ("world", "error", "words"),
    [
        (account(kind="FormRecognizer"), errors.WrongAccountError, "FormRecognizer"),
        (account(custom_subdomain=False), errors.WrongAccountError, "--custom-domain"),
        (vault(firewall=True), errors.VaultUnreachableError, "network-rule add -n kv-ml --ip-address 203.0.113.7 "),
        (vault(rbac=True, public_network=False), errors.VaultUnreachableError, "private endpoint"),
        ({"extends": "contoso", "assignments": []}, errors.NotFoundError, "az login --tenant"),
    ],
    ids=["other kind", "no subdomain", "firewall", "private", "no rights at all"],
)
def test_resources_that_are_not_ready_are_reported_before_anything_is_written(
    load: Load, bench: Bench, world: dict[str, Any], error: type[errors.NotReadyError], words: str
) -> None:
    load(world)
    caught = bench.setup_is_refused(error)
    assert words in caught.message + caught.hint


@pytest.mark.parametrize("role", ["Contributor", "Reader"])
def test_missing_rights_are_named_with_the_role_that_gives_them(load: Load, bench: Bench, role: str) -> None:
    load({"extends": "contoso", "assignments": [OWNER | {"role": role}]})
    session = bench.session()
    with pytest.raises(errors.MissingRightsError) as caught:
        setup.setup(session, yes=True, interactive=False)
    assert "Microsoft.Authorization/roleAssignments/write at kv-ml" in caught.value.message
    assert [r["scope"] for r in session.facts["missing_rights"] if "roleAssignments" in r["action"]] == [bench.vault.id]
    assert ("vaults/write" in caught.value.message) is (role == "Reader")
    assert "Role Based Access Control Administrator" in caught.value.hint
    assert bench.cloud.writes == 0


def test_names_may_be_given_in_any_letter_case(bench: Bench) -> None:
    names = {"resource_group": "RG-ml", "account": "AOAI-ml", "vault": "KV-ml"}
    bench.setup(**names)
    assert bench.idle()
    bench.teardown(**names, restore=True)
    assert not [a for a in bench.role_assignments if a.scope == bench.vault.id]
