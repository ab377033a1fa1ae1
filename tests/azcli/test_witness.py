"""An independent witness: after `setup`, the real Azure CLI shows the same identity, vault, assignments and secret.

Once for each kind of operator: a person, who signed in to that az itself, so that `setup` gets its tokens from it too;
an application, by the variables of azure-identity; a managed identity, by App Service's token endpoint.
"""

import json
import uuid
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest

from tests.contracts import findings
from tests.provisioning.bench import ACCOUNT_RECORD, GOOD_KEY

from .witness import VAULT, Witness

pytestmark = [pytest.mark.azcli, pytest.mark.timeout(900)]  # the first test may have to install az

OFFICER = "Key Vault Secrets Officer"
_ARM_GUID = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
_NEAREST = {"7.4": "7.5", "2026-05-15-preview": "2023-05-01", "2022-05-01-preview": "2022-04-01"}
"""Versions that only az asks for, and the descriptions that are nearest to them."""


@pytest.fixture(scope="module")
def done(witness: Witness) -> Any:
    """The document that `setup` printed."""
    return witness.setup()


@pytest.fixture(scope="module")
def seen(witness: Witness, done: Any) -> dict[str, Any]:
    """What az sees after it."""
    assert done["ok"]
    return witness.everything()


def test_az_sees_the_accounts_identity_and_the_vault_on_rbac_with_its_old_policies(seen: dict[str, Any]) -> None:
    identity, vault = seen["identity"], seen["vault"]["properties"]
    assert (identity["type"], identity["userAssignedIdentities"]) == ("SystemAssigned", None)
    assert str(uuid.UUID(identity["principalId"])) == identity["principalId"]
    assert (vault["enableRbacAuthorization"], len(vault["accessPolicies"])) == (True, 3)


def test_az_sees_a_role_for_operator_account_and_everybody_who_had_access(done: Any, seen: dict[str, Any]) -> None:
    assert all(a["description"] for a in seen["assignments"]), "each says what it is for"
    had_access = {p["objectId"] for p in seen["vault"]["properties"]["accessPolicies"]}
    assert had_access <= {a["principalId"] for a in seen["assignments"]}
    officers = {a["principalId"]: a for a in seen["assignments"] if a["roleDefinitionName"] == OFFICER}
    operator, account = officers[done["signed_in"]["object_id"]], officers[seen["identity"]["principalId"]]
    assert operator["principalType"] == done["signed_in"]["kind"]
    assert account["principalType"] == "ServicePrincipal"


def test_az_shows_assignments_with_the_names_of_arms_guid_function(seen: dict[str, Any]) -> None:
    assert len(seen["assignments"]) == 7
    for each in seen["assignments"]:
        role = each["roleDefinitionId"].rsplit("/", 1)[-1]
        assert each["scope"] == VAULT
        assert each["name"] == str(uuid.uuid5(_ARM_GUID, f"{VAULT}-{each['principalId']}-{role}"))


def test_az_reads_the_key_as_the_operator_and_finds_one_version(seen: dict[str, Any]) -> None:
    secret = seen["secret"]
    assert (secret["value"], secret["contentType"]) == (GOOD_KEY, "Weights & Biases API key")
    assert secret["attributes"]["enabled"] is True
    assert secret["attributes"]["expires"]
    assert secret["tags"].items() >= {"azure-openai-account": ACCOUNT_RECORD, "wandb-entity": "acme"}.items()
    assert [v["id"] for v in seen["versions"]] == [secret["id"]]


def test_a_second_setup_changes_nothing_that_az_can_see(witness: Witness, seen: dict[str, Any]) -> None:
    assert witness.setup()["applied"] == []
    assert witness.everything() == seen


def test_tokens_come_from_the_operators_kind_of_sign_in(witness: Witness, done: Any) -> None:
    """As a person, `setup` must have got its tokens from the real az; otherwise the other tests prove nothing about it."""
    via = {"operator": "az login", "pipeline": "AZURE_* environment variables", "ops-vm": "a managed identity"}
    assert done["signed_in"]["via"] == via[witness.principal]
    signed_in = witness.az("account", "show", "--query", "user.type")
    assert signed_in == ("user" if witness.principal == "operator" else "servicePrincipal")


def test_the_sandboxs_answers_to_az_match_the_official_descriptions(witness: Witness, seen: dict[str, Any]) -> None:
    assert seen
    of_az = [e for e in witness.trace() if "AZURECLI/" in e["request"]["headers"].get("user-agent", "")]
    assert {"Accounts_Get", "Vaults_Get", "RoleAssignments_ListForScope", "GetSecret"} <= {
        e["operation"] for e in of_az
    }
    assert findings(_as_described(e) for e in of_az) == []


def _as_described(exchange: Any) -> Any:
    parts = urlsplit(exchange["request"]["url"])
    query = {k: _NEAREST.get(v, v) if k == "api-version" else v for k, v in parse_qsl(parts.query)}
    url = urlunsplit(parts._replace(query=urlencode(query)))
    return {**exchange, "request": {**exchange["request"], "url": url}}


def test_the_trace_of_az_contains_no_secret(witness: Witness, seen: dict[str, Any]) -> None:
    assert seen["secret"]["value"] == GOOD_KEY
    trace = json.dumps(witness.trace())
    for secret in (GOOD_KEY, "pipeline-secret", "eyJ"):  # the last is how every token begins
        assert secret not in trace
