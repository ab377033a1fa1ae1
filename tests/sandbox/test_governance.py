"""Locks, policies, deny assignments, management groups and the rest that is above resources, through the real SDKs."""

from functools import partial
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from sandbox.azure.roles import ROLE_IDS
from sandbox.cloud import Cloud
from tests.conftest import Load

from .azure import OPERATOR, grant, key_vaults, new_vault, role_assignments, secrets, tenant_of, vault_id

NAME = "0b000000-0000-4000-8000-000000000001"
APP = {"name": "app", "kind": "managed identity"}
ON_RBAC = {"name": "kv-ml", "rbac": True, "secrets": [{"name": "s", "value": "v"}]}
BY_POLICY = {"name": "kv-ml", "policies": [{"principal": "operator", "secrets": ["all"]}]}


def world(
    load: Load, vault: dict[str, Any] = ON_RBAC, *, principals: tuple[dict[str, Any], ...] = (), **rest: Any
) -> Cloud:
    data = tenant_of(vault, accounts=[{"name": "aoai-ml", "group": "rg-ml"}])
    return load(data | {"principals": [OPERATOR, APP, *principals]} | rest)


def switch(*, on: bool, **more: Any) -> Any:
    return key_vaults().update("rg-ml", "kv-ml", {"properties": {"enableRbacAuthorization": on}, **more})


def code_of(error: HttpResponseError) -> str | None:
    return error.error.code if error.error else None


LANDING_ZONE: dict[str, Any] = {
    "management_groups": [{"name": "mg-top"}, {"name": "mg-platform", "parent": "mg-top"}],
    "subscription": {"management_group": "mg-platform"},
}


def test_a_data_role_that_is_assigned_at_a_management_group_takes_hours(load: Load) -> None:
    held = {"principal": "operator", "role": "Key Vault Secrets User", "scope": "mg-top"}
    cloud = world(load, events=[{"at": 0, "do": [{"assign_role": held}]}], **LANDING_ZONE)
    for seconds, works in ((0, False), (600, False), (14_400, True)):
        cloud.clock.advance(seconds)
        if works:
            assert secrets().get_secret("s").value == "v"
        else:
            with pytest.raises(HttpResponseError, match="not authorized"):
                secrets().get_secret("s")


DELEGATED = {"principal": "operator", "role": "Role Based Access Control Administrator"} | {
    "may_assign": {"roles": ["Key Vault Secrets User"], "principal_types": ["ServicePrincipal"]}
}
CUSTOM = {
    "name": "Switcher",
    "actions": ["Microsoft.KeyVault/*", "Microsoft.Authorization/roleAssignments/*", "*/read"],
}


@pytest.mark.parametrize(
    ("held", "role", "assigns", "switches"),
    [
        ([DELEGATED, {"principal": "operator", "role": "Contributor"}], "Key Vault Secrets User", True, False),
        ([DELEGATED, {"principal": "operator", "role": "Contributor"}], "Key Vault Reader", False, False),
        (
            [
                {"principal": "operator", "role": "Key Vault Data Access Administrator"},
                {"principal": "operator", "role": "Contributor"},
            ],
            "Key Vault Certificate User",
            False,
            False,
        ),
        ([{"principal": "operator", "role": "Contributor"}], "Key Vault Reader", False, False),
        ([{"principal": "operator", "role": "Switcher"}], "Key Vault Reader", True, True),
    ],
)
def test_conditions_and_custom_roles_decide_what_may_be_assigned_and_who_may_switch(
    load: Load, held: list[dict[str, Any]], role: str, assigns: bool, switches: bool
) -> None:
    cloud = world(load, BY_POLICY, assignments=held, roles=[CUSTOM])
    outcomes = []
    assign = partial(role_assignments().create, vault_id("kv-ml"), NAME, grant(cloud, "app", role))
    for write in (assign, partial(switch, on=True)):
        try:
            write()
            outcomes.append("")
        except HttpResponseError as error:
            outcomes.append(str(code_of(error)))
    assert outcomes == ["" if assigns else "AuthorizationFailed", "" if switches else "InsufficientPermissions"]


STRICT: dict[str, tuple[Any, str]] = {
    "51 tags": (lambda: key_vaults().update("rg-ml", "kv-ml", {"tags": {str(i): "" for i in range(51)}}), "50 tags"),
    "a long value": (lambda: key_vaults().update("rg-ml", "kv-ml", {"tags": {"a": "x" * 257}}), "256"),
    "an unknown region": (
        lambda: key_vaults().begin_create_or_update("rg-ml", "kv-2", new_vault() | {"location": "atlantis"}),
        "LocationNotAvailable",
    ),
    "an unknown permission": (
        lambda: key_vaults().update_access_policy(
            "rg-ml", "kv-ml", "add", {"properties": {"accessPolicies": [entry(secrets=["fly"])]}}
        ),
        "fly",
    ),
    "another tenant": (
        lambda: key_vaults().update_access_policy(
            "rg-ml", "kv-ml", "add", {"properties": {"accessPolicies": [entry(tenant="t" * 36)]}}
        ),
        "tenant",
    ),
    "16 tags of a secret": (lambda: secrets().set_secret("s", "v", tags={str(i): "" for i in range(16)}), "15"),
    "pages of 26": (lambda: list(secrets().list_properties_of_secrets(max_page_size=26)), "between 1 and 25"),
    "an app registration": (
        lambda: role_assignments().create(
            vault_id("kv-ml"),
            NAME,
            {
                "properties": {
                    "principalId": "9" * 8 + "-9999-4999-8999-" + "9" * 12,
                    "principalType": "ServicePrincipal",
                    "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{ROLE_IDS['Reader']}",
                }
            },
        ),
        "PrincipalTypeNotSupported",
    ),
}


def entry(tenant: str = "72f988bf-0000-4000-8000-0000000000bb", **permissions: list[str]) -> dict[str, Any]:
    return {"tenantId": tenant, "objectId": "o" * 36, "permissions": permissions}


@pytest.mark.malformed("requests")
@pytest.mark.parametrize("name", STRICT)
def test_the_sandbox_is_as_strict_as_the_services(load: Load, name: str) -> None:
    old_app = {"name": "old-app", "kind": "app registration", "id": "99999999-9999-4999-8999-999999999999"}
    world(load, BY_POLICY, principals=(old_app,))
    request, words = STRICT[name]
    with pytest.raises(HttpResponseError, match=words):
        request()
