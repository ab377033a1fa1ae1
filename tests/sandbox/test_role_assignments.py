"""Role assignments on one secret, with descriptions and conditions, and those that outlive their principal."""

import uuid
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from sandbox.cloud import Cloud
from tests.sandbox.azure import SUBSCRIPTION_ID, Load, grant, role_assignments, secrets, tenant_of, vault_id

SECRET = vault_id("kv-ml") + "/secrets/wandb-api-key"
NAME = "0b000000-0000-4000-8000-000000000001"
APP = {"name": "app", "kind": "managed identity"}
CONDITION = "@Resource[Microsoft.KeyVault/vaults/secrets:name] StringEquals 'wandb-api-key'"


@pytest.fixture
def cloud_with_app(load: Load) -> Cloud:
    scenario = tenant_of({"name": "kv-ml", "rbac": True})
    return load(scenario | {"principals": [*scenario["principals"], APP]})


def listed(scope: str) -> list[str]:
    return [a.name for a in role_assignments().list_for_scope(scope, filter="atScope()") if a.scope != SUBSCRIPTION_ID]


def test_a_role_on_one_secret_can_be_given_before_the_secret_is_there_and_taken_back(cloud_with_app: Cloud) -> None:
    """Whether Azure takes an assignment on a secret that is not there yet is UNVERIFIED; ARM checks no child resources."""
    wanted = grant(cloud_with_app, "app", "Key Vault Secrets User")
    made = role_assignments().create(SECRET, NAME, wanted)
    assert (made.scope, made.name) == (SECRET, NAME)
    assert (listed(SECRET), listed(vault_id("kv-ml")), listed(SECRET + "-2")) == ([NAME], [], [])
    assert role_assignments().get(SECRET, NAME).principal_id == made.principal_id
    assert role_assignments().delete(SECRET, NAME).id == made.id
    assert role_assignments().delete(SECRET, NAME) is None
    with pytest.raises(ResourceNotFoundError):
        role_assignments().get(SECRET, NAME)


def test_description_and_condition_come_back_and_can_change_under_the_same_name(cloud_with_app: Cloud) -> None:
    more: dict[str, Any] = {"description": "by setup", "condition": CONDITION, "conditionVersion": "2.0"}
    made = role_assignments().create(SECRET, NAME, grant(cloud_with_app, "app", "Key Vault Secrets User", **more))
    read = role_assignments().get(SECRET, NAME)
    for shown in (made, read):
        assert (shown.description, shown.condition, shown.condition_version) == ("by setup", CONDITION, "2.0")
    plain = grant(cloud_with_app, "app", "Key Vault Secrets User", description="without condition")
    assert role_assignments().create(SECRET, NAME, plain).created_on == made.created_on
    after = role_assignments().get(SECRET, NAME)
    assert (after.description, after.condition, after.condition_version) == ("without condition", None, None)


@pytest.mark.parametrize(("met", "status"), [(True, 200), (False, 403)])
def test_a_condition_may_forbid_what_the_role_allows(load: Load, met: bool, status: int) -> None:
    scenario = tenant_of({"name": "kv-ml", "rbac": True, "secrets": [{"name": "s", "value": "v"}]})
    held = {"principal": "operator", "role": "Key Vault Secrets User", "condition": CONDITION, "condition_met": met}
    cloud = load(scenario | {"assignments": [*scenario["assignments"], held]})
    if not met:
        with pytest.raises(HttpResponseError, match="not authorized"):
            secrets().get_secret("s")
    else:
        assert secrets().get_secret("s").value == "v"
    assert cloud.world.trace.exchanges[-1].status == status


def test_an_assignment_outlives_its_principal_with_the_type_it_had(load: Load) -> None:
    """Microsoft, "Role assignments with identity not found": they are not removed. (`Unknown` is Azure PowerShell's word
    for a principal that it cannot find in the directory; the enum of ARM has none.)"""
    scenario = tenant_of({"name": "kv-ml"})
    ghost = {"name": "ghost", "kind": "user", "deleted": True, "id": str(uuid.UUID(int=7))}
    held = {"principal": "ghost", "role": "Reader", "scope": "rg-ml", "description": "left long ago"}
    load(scenario | {"principals": [*scenario["principals"], ghost], "assignments": [*scenario["assignments"], held]})
    found = [a for a in role_assignments().list_for_scope(vault_id("kv-ml")) if a.principal_id == ghost["id"]]
    assert [(a.principal_type, a.description) for a in found] == [("User", "left long ago")]
