"""A vault as a resource: created, changed, deleted, recovered, purged, the way Key Vault's control plane does it."""

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import AzureCliCredential
from azure.mgmt.keyvault import KeyVaultManagementClient

from tests.sandbox.azure import (
    SUBSCRIPTION,
    SUBSCRIPTION_ID,
    TENANT,
    Load,
    grant,
    key_vaults,
    new_vault,
    role_assignments,
    secrets,
    tenant_of,
    vault_id,
)


def entry(who: str, **permissions: list[str]) -> dict[str, Any]:
    return {"tenantId": TENANT, "objectId": who, "permissions": permissions}


WHO = "0a000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("version", "said", "rbac"),
    [
        ("2026-05-15", {}, True),
        ("2023-07-01", {"accessPolicies": []}, None),
        ("2026-05-15", {"enableRbacAuthorization": False, "accessPolicies": []}, False),
    ],
)
def test_rbac_is_the_default_from_2026_02_01_on(
    load: Load, version: str, said: dict[str, Any], rbac: bool | None
) -> None:
    load(tenant_of())
    client: Any = KeyVaultManagementClient(AzureCliCredential(), SUBSCRIPTION, polling_interval=0, api_version=version)
    client.vaults.begin_create_or_update("rg-ml", "kv-new", new_vault(**said)).result()
    assert key_vaults().get("rg-ml", "kv-new").properties.enable_rbac_authorization is rbac


@pytest.mark.parametrize(
    ("scenario", "name", "status", "code", "says"),
    [
        (tenant_of({"name": "kv-gone", "deleted": True}), "kv-gone", 409, "ConflictError", "recover or purge"),
        (tenant_of({"name": "kv-taken", "elsewhere": True}), "kv-taken", 409, "VaultAlreadyExists", "globally unique"),
        (
            tenant_of({"name": "kv-far", "group": "rg-far"}, groups=["rg-ml", "rg-far"]),
            "kv-far",
            409,
            "VaultAlreadyExists",
            "globally unique",
        ),
        (tenant_of(), "9lives", 400, "VaultNameNotValid", "begin with a letter"),
        (tenant_of(role="Reader"), "kv-new", 403, "AuthorizationFailed", "Microsoft.KeyVault/vaults/write"),
        (tenant_of(groups=["rg-other"]), "kv-new", 404, "ResourceGroupNotFound", "rg-ml"),
    ],
)
def test_the_error_for_a_vault_that_cannot_be_created_has_the_reason(
    load: Load, scenario: dict[str, Any], name: str, status: int, code: str, says: str
) -> None:
    load(scenario)
    with pytest.raises(HttpResponseError, match=says) as refused:
        key_vaults().begin_create_or_update("rg-ml", name, new_vault())
    assert (refused.value.status_code, refused.value.error.code) == (status, code)  # type: ignore[union-attr] # has one


def test_a_deleted_vault_comes_back_with_everything_but_its_role_assignments(load: Load) -> None:
    policies = [{"principal": "operator", "secrets": ["get"]}]
    before = {
        "name": "kv-ml",
        "policies": policies,
        "secrets": [{"name": "s", "value": "v"}],
        "ip_rules": ["203.0.113.0/24"],
    }
    cloud = load(tenant_of(before))
    role_assignments().create(vault_id("kv-ml") + "/secrets/s", WHO, grant(cloud, "operator", "Key Vault Secrets User"))
    key_vaults().delete("rg-ml", "kv-ml")
    with pytest.raises(ResourceNotFoundError):
        key_vaults().get("rg-ml", "kv-ml")
    gone = key_vaults().get_deleted("kv-ml", "swedencentral").properties
    assert (gone.vault_id, (gone.scheduled_purge_date - gone.deletion_date).days) == (vault_id("kv-ml"), 90)
    assert [v.name for v in key_vaults().list_deleted()] == ["kv-ml"]
    inherited = role_assignments().list_for_scope(vault_id("kv-ml"), filter="atScope()")
    assert [a.scope for a in inherited] == [SUBSCRIPTION_ID]
    back = new_vault(createMode="recover", networkAcls={"defaultAction": "Deny"})
    vault = key_vaults().begin_create_or_update("rg-ml", "kv-ml", back).result()
    assert [p.object_id for p in vault.properties.access_policies] == [cloud.world.tenant.named("operator").object_id]
    assert vault.properties.network_acls.default_action == "Allow"  # what the request says besides does not count
    assert secrets().get_secret("s").value == "v"
    assert not [a for a in cloud.world.tenant.rbac.assignments.values() if "kv-ml" in a.scope]


def test_purge_protection_keeps_a_deleted_vault(load: Load) -> None:
    load(tenant_of({"name": "kv-gone", "deleted": True, "purge_protection": True}))
    assert key_vaults().get_deleted("kv-gone", "swedencentral").properties.purge_protection_enabled
    with pytest.raises(HttpResponseError, match="'DeletedVaultPurge' is not allowed"):
        key_vaults().begin_purge_deleted("kv-gone", "swedencentral")


def test_an_owner_of_only_the_group_sees_no_deleted_vault_but_may_recover_one(load: Load) -> None:
    load(tenant_of({"name": "kv-gone", "deleted": True}, scope="rg-ml"))
    with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
        key_vaults().get_deleted("kv-gone", "swedencentral")
    assert (
        key_vaults().begin_create_or_update("rg-ml", "kv-gone", new_vault(createMode="recover")).result().name
        == "kv-gone"
    )


def test_a_patch_changes_what_it_names_and_nothing_else(load: Load) -> None:
    load(tenant_of({"name": "kv-ml", "rbac": True, "tags": {"team": "ml"}}))
    rules = {
        "defaultAction": "Deny",
        "bypass": "None",
        "ipRules": [{"value": "198.51.100.4"}],
        "virtualNetworkRules": [],
    }
    changed = key_vaults().update(
        "rg-ml", "kv-ml", {"properties": {"networkAcls": rules, "publicNetworkAccess": "Enabled"}}
    )
    assert (changed.tags, changed.properties.enable_rbac_authorization) == ({"team": "ml"}, True)
    assert [r.value for r in changed.properties.network_acls.ip_rules] == ["198.51.100.4/32"]
    tagged = key_vaults().update("rg-ml", "kv-ml", {"tags": {"team": "ml", "was": "policies"}})
    assert (tagged.tags["was"], tagged.properties.network_acls) == ("policies", changed.properties.network_acls)
    private = key_vaults().update("rg-ml", "kv-ml", {"properties": {"publicNetworkAccess": "Disabled"}})
    assert private.properties.public_network_access == "Disabled"


@pytest.mark.parametrize("properties", [{"enablePurgeProtection": False}, {"softDeleteRetentionInDays": 30}])
def test_changes_to_irreversible_settings_are_refused(load: Load, properties: dict[str, Any]) -> None:
    load(tenant_of({"name": "kv-ml", "purge_protection": True}))
    with pytest.raises(HttpResponseError, match="BadRequest"):
        key_vaults().update("rg-ml", "kv-ml", {"properties": properties})


def test_the_switch_to_rbac_needs_the_right_to_assign_roles(load: Load) -> None:
    load(tenant_of({"name": "kv-ml"}, role="Contributor"))
    assert key_vaults().update("rg-ml", "kv-ml", {"tags": {"a": "b"}}).tags == {"a": "b"}
    with pytest.raises(HttpResponseError, match="roleAssignments/write"):
        key_vaults().update("rg-ml", "kv-ml", {"properties": {"enableRbacAuthorization": True}})


def test_access_policies_are_added_replaced_and_removed_by_identity(load: Load) -> None:
    load(tenant_of({"name": "kv-ml", "policies": [{"principal": WHO, "secrets": ["Get", "list"], "keys": ["get"]}]}))

    def change(verb: str, *entries: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
        body = {"properties": {"accessPolicies": list(entries)}}
        shown = key_vaults().update_access_policy("rg-ml", "kv-ml", verb, body).properties.access_policies
        return {p.object_id: {k: v for k, v in p.permissions.as_dict().items() if v} for p in shown}

    other = WHO.replace("1", "2")
    assert change("add", entry(WHO, secrets=["get", "set"]), entry(other, secrets=["get"])) == {
        WHO: {"keys": ["get"], "secrets": ["Get", "list", "set"]},
        other: {"secrets": ["get"]},
    }
    assert change("remove", entry(WHO, secrets=["get", "list"]), entry(other, secrets=["get"])) == {
        WHO: {"keys": ["get"], "secrets": ["set"]}
    }
    assert change("replace", entry(WHO, certificates=["list"])) == {WHO: {"certificates": ["list"]}}
    assert change("remove", entry(other, secrets=["get"])) == {WHO: {"certificates": ["list"]}}


def test_an_entry_for_an_application_on_behalf_of_a_user_is_another_entry(load: Load) -> None:
    load(tenant_of({"name": "kv-ml", "policies": [{"principal": WHO, "secrets": ["get"]}]}))
    compound = entry(WHO, secrets=["set"]) | {"applicationId": WHO.replace("1", "3")}
    body = {"properties": {"accessPolicies": [compound]}}
    shown = key_vaults().update_access_policy("rg-ml", "kv-ml", "add", body).properties.access_policies
    assert [(p.application_id, p.permissions.secrets) for p in shown] == [
        (None, ["get"]),
        (WHO.replace("1", "3"), ["set"]),
    ]
