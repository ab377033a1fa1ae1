"""Somebody changes the chain with the real Azure CLI: `status` names it with exit status 2, `setup` puts it right."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .witness import VAULT, Witness

pytestmark = [pytest.mark.azcli, pytest.mark.timeout(900)]

ACCOUNT = ("-g", "rg-ml", "-n", "aoai-ml")
SECRET = ("--vault-name", "kv-ml", "--name", "wandb-api-key")


@pytest.fixture(scope="module")
def chain(az: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witness]:
    """A chain in place, its operator at az. Each test leaves it in place again."""
    with Witness(az, tmp_path_factory.mktemp("edits"), "operator") as witness:
        witness.setup()
        yield witness


def drift(chain: Witness) -> list[Any]:
    """What `status` says is not as it should be."""
    status, document = chain.provisioning("status")
    assert status == 2, document
    assert document["in_place"] is False
    return [step for step in document["steps"] if step["verb"] != "ok"]


def put_right(chain: Witness) -> None:
    """`setup`, after which `status` has nothing to say."""
    chain.setup()
    status, document = chain.provisioning("status")
    assert status == 0, document


def test_an_assignment_that_was_removed_comes_back_under_its_name(chain: Witness) -> None:
    before, account = chain.assignments(), chain.identity()["principalId"]
    gone = next(a for a in before if a["principalId"] == account)
    chain.az("role", "assignment", "delete", "--ids", gone["id"])
    assert gone["name"] not in [a["name"] for a in chain.assignments()]
    assert [step["detail"] for step in drift(chain)] == ["Key Vault Secrets Officer → aoai-ml"]
    put_right(chain)
    assert [a["id"] for a in chain.assignments()] == [a["id"] for a in before]


def test_a_vault_that_was_switched_back_to_access_policies_is_put_on_rbac_again(chain: Witness) -> None:
    chain.az("keyvault", "update", "--name", "kv-ml", "--enable-rbac-authorization", "false")
    assert "vault access model" in [step["resource"] for step in drift(chain)]
    put_right(chain)
    assert chain.vault()["properties"]["enableRbacAuthorization"] is True


def test_an_identity_that_was_switched_off_is_replaced_with_its_role(chain: Witness) -> None:
    before = chain.identity()["principalId"]
    chain.az("cognitiveservices", "account", "identity", "remove", *ACCOUNT)
    assert "account identity" in [step["resource"] for step in drift(chain)]
    put_right(chain)
    now = chain.identity()["principalId"]
    assert now != before
    assert now in [a["principalId"] for a in chain.assignments()]


def test_a_secret_that_was_deleted_is_recovered_and_not_written_again(chain: Witness) -> None:
    before = chain.versions()
    chain.az("keyvault", "secret", "delete", *SECRET)
    assert "secret wandb-api-key" in [step["resource"] for step in drift(chain)]
    put_right(chain)
    assert [v["id"] for v in chain.versions()] == [v["id"] for v in before]


def test_a_role_that_somebody_gave_in_az_is_adopted_under_its_own_name(chain: Witness) -> None:
    account = chain.identity()["principalId"]
    ours = next(a for a in chain.assignments() if a["principalId"] == account)
    chain.az("role", "assignment", "delete", "--ids", ours["id"])
    given = ("--assignee-object-id", account, "--assignee-principal-type", "ServicePrincipal")
    role = ("--role", "Key Vault Secrets Officer", "--scope", VAULT)
    theirs = chain.az("role", "assignment", "create", *given, *role)
    assert theirs["name"] != ours["name"]
    status, document = chain.provisioning("status")
    assert status == 0, document
    assert chain.setup()["applied"] == []
    assert theirs["name"] in [a["name"] for a in chain.assignments()]
