"""Locks, policies, deny assignments, management groups and the rest that is above resources, through the real SDKs."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import AzureCliCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient

from sandbox.azure.roles import ROLE_IDS
from sandbox.cloud import Cloud

from .azure import (
    GROUP,
    OPERATOR,
    SUBSCRIPTION,
    Load,
    grant,
    inner_code,
    key_vaults,
    new_vault,
    role_assignments,
    secrets,
    tenant_of,
    vault_id,
)

NAME = "0b000000-0000-4000-8000-000000000001"
APP = {"name": "app", "kind": "managed identity"}
ON_RBAC = {"name": "kv-ml", "rbac": True, "secrets": [{"name": "s", "value": "v"}]}
BY_POLICY = {"name": "kv-ml", "policies": [{"principal": "operator", "secrets": ["all"]}]}
VAULTS = "Microsoft.KeyVault/vaults"
RBAC_DEMANDED = {"name": "p", "definition": "Azure Key Vault should use RBAC permission model", "effect": "deny"}


def world(
    load: Load, vault: dict[str, Any] = ON_RBAC, *, principals: tuple[dict[str, Any], ...] = (), **rest: Any
) -> Cloud:
    data = tenant_of(vault, accounts=[{"name": "aoai-ml", "group": "rg-ml"}])
    return load(data | {"principals": [OPERATOR, APP, *principals]} | rest)


def switch(*, on: bool, **more: Any) -> Any:
    return key_vaults().update("rg-ml", "kv-ml", {"properties": {"enableRbacAuthorization": on}, **more})


def code_of(error: HttpResponseError) -> str | None:
    return error.error.code if error.error else None


def accounts() -> Any:
    return CognitiveServicesManagementClient(AzureCliCredential(), SUBSCRIPTION, polling_interval=0).accounts


WRITES: dict[str, Callable[[Cloud], object]] = {
    "tag": lambda cloud: key_vaults().update("rg-ml", "kv-ml", {"tags": {"a": "b"}}),
    "off": lambda cloud: switch(on=False),
    "delete": lambda cloud: key_vaults().delete("rg-ml", "kv-ml"),
    "assign": lambda cloud: role_assignments().create(
        vault_id("kv-ml"), NAME, grant(cloud, "app", "Key Vault Secrets User")
    ),
    "identity": lambda cloud: (
        accounts().begin_update("rg-ml", "aoai-ml", {"identity": {"type": "SystemAssigned"}}).result()
    ),  # or its thread polls in the next world
}


@pytest.mark.parametrize(
    ("above", "refused", "code", "words"),
    [
        ({"locks": [{"name": "k", "scope": "rg-ml", "level": "ReadOnly"}]}, set(WRITES), "ScopeLocked", GROUP),
        ({"locks": [{"name": "k", "level": "CanNotDelete"}]}, {"delete"}, "ScopeLocked", SUBSCRIPTION),
        (
            {"locks": [{"name": "k", "scope": f"rg-ml/{VAULTS}/kv-ml/secrets/s", "level": "CanNotDelete"}]},
            {"delete"},
            "ScopeLocked",
            "secrets/s",
        ),
        ({"subscription": {"state": "Disabled"}}, set(WRITES), "ReadOnlyDisabledSubscription", "read only"),
        ({"subscription": {"assignment_limit": 1}}, {"assign"}, "RoleAssignmentLimitExceeded", "limit of 1"),
        ({"policies": [RBAC_DEMANDED]}, {"off"}, "RequestDisallowedByPolicy", "RBAC permission model"),
        (
            {
                "policies": [
                    {"name": "tags", "effect": "deny", "type": VAULTS, "if": {"field": "tags.owner", "exists": False}}
                ]
            },
            {"tag", "off"},
            "RequestDisallowedByPolicy",
            '"policyAssignment": {"name": "tags"',
        ),
        (
            {"policies": [{"name": "keep", "effect": "denyAction", "type": VAULTS}]},
            {"delete"},
            "RequestDisallowedByPolicy",
            "keep",
        ),
        ({"policies": [RBAC_DEMANDED | {"enforced": False}]}, set(), "", ""),
        ({"policies": [RBAC_DEMANDED | {"exclude": ["rg-ml"]}]}, set(), "", ""),
        (
            {"deny_assignments": [{"name": "stack", "scope": "rg-ml", "actions": ["Microsoft.CognitiveServices/*"]}]},
            {"identity"},
            "DenyAssignmentAuthorizationFailed",
            "stack",
        ),
        (
            {"deny_assignments": [{"name": "stack", "scope": "rg-ml", "actions": ["*"], "exclude": ["operator"]}]},
            set(),
            "",
            "",
        ),
    ],
)
def test_governance_refuses_writes_and_names_the_cause(
    load: Load, above: dict[str, Any], refused: set[str], code: str, words: str
) -> None:
    met = {}
    for name, write in WRITES.items():
        cloud = world(load, **above)
        try:
            write(cloud)
        except HttpResponseError as error:
            met[name] = (code_of(error), words in str(error))
    assert met == dict.fromkeys(refused, (code, True))


def test_a_modify_policy_changes_every_write_and_is_announced_by_the_restrictions_check(load: Load) -> None:
    keep = {"properties.enableRbacAuthorization": True, "tags.by": "policy"}
    policy = {"name": "keep", "scope": "rg-ml", "effect": "modify", "type": VAULTS, "set": keep}
    world(load, BY_POLICY, policies=[policy])
    answer = key_vaults().update("rg-ml", "kv-ml", {"tags": {"owner": "ml"}})
    assert (answer.properties.enable_rbac_authorization, answer.tags) == (True, {"owner": "ml", "by": "policy"})
    assert switch(on=False).properties.enable_rbac_authorization is True


@pytest.mark.parametrize(
    ("policy", "body", "refused"),
    [
        ("Key Vault secrets should have an expiration date", {}, True),
        ("Key Vault secrets should have an expiration date", {"days": 900}, False),
        ("Secrets should have the specified maximum validity period", {"days": 91}, True),
        ("Secrets should have the specified maximum validity period", {"days": 90}, False),
        ("Secrets should have content type set", {"days": 1}, True),
    ],
)
def test_the_vault_enforces_policies_on_secrets(load: Load, policy: str, body: dict[str, int], refused: bool) -> None:
    assigned = {"name": "p", "definition": policy, "effect": "deny", "parameters": {"maximumValidityInDays": 90}}
    cloud = world(load, BY_POLICY, policies=[assigned])
    properties: dict[str, Any] = {"expires_on": cloud.clock.now() + timedelta(**body)} if body else {}
    if refused:
        with pytest.raises(HttpResponseError, match="policy assignment 'p'") as error:
            secrets().set_secret("s", "v", **properties)
        assert inner_code(error.value) == "ForbiddenByGovernancePolicy"
    else:
        secrets().set_secret("s", "v", **properties)


LANDING_ZONE: dict[str, Any] = {
    "management_groups": [{"name": "mg-top"}, {"name": "mg-platform", "parent": "mg-top"}],
    "subscription": {"management_group": "mg-platform"},
}


@pytest.mark.parametrize("scope", ["mg-top", "mg-platform", "/", "subscription"])
def test_a_role_from_above_is_inherited_and_listed_with_its_scope(load: Load, scope: str) -> None:
    held = {"principal": "operator", "role": "Key Vault Secrets User", "scope": scope}
    owner = {"principal": "operator", "role": "Owner", "scope": "rg-ml"}
    cloud = world(load, assignments=[owner, held], **LANDING_ZONE)
    assert secrets().get_secret("s").value == "v"
    wanted = cloud.world.builder.scope(scope)
    for condition in ("atScope()", f"assignedTo('{cloud.world.tenant.named('operator').object_id}')", None):
        found = [a.scope for a in role_assignments().list_for_scope(vault_id("kv-ml"), filter=condition)]
        assert sorted(found) == sorted([GROUP, wanted]), condition


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


def test_members_of_nested_groups_have_what_the_outer_group_has_until_it_ends(load: Load) -> None:
    groups = (
        {"name": "inner", "kind": "group", "members": ["operator"]},
        {"name": "outer", "kind": "group", "members": ["inner"]},
    )
    held = {"principal": "outer", "role": "Key Vault Secrets User", "expires_in": "4h"}
    owner = {"principal": "operator", "role": "Owner"}
    cloud = world(load, principals=groups, assignments=[owner, held])
    assert secrets().get_secret("s").value == "v"
    client = AuthorizationManagementClient(AzureCliCredential(), SUBSCRIPTION, api_version="2020-10-01")
    instances = list(client.role_assignment_schedule_instances.list_for_scope(GROUP, filter="atScope()"))
    ends = {str(each.assignment_type): each.end_date_time for each in instances}
    assert ends["Assigned"] is None
    assert ends["Activated"].timestamp() == pytest.approx(cloud.clock.time() + 4 * 3600, abs=1)
    cloud.clock.advance(4 * 3600)
    with pytest.raises(HttpResponseError, match="not authorized"):
        secrets().get_secret("s")
    assert len(list(role_assignments().list_for_scope(GROUP, filter="atScope()"))) == 1


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


def test_another_subscription_has_its_own_groups_and_another_tenant_its_own_tokens(load: Load) -> None:
    other, foreign = "5b1f6d1c-0000-4000-8000-0000000000ab", "5b1f6d1c-0000-4000-8000-0000000000ac"
    tenant = "72f988bf-0000-4000-8000-0000000000cc"
    more = [{"id": other, "name": "shared"}, {"id": foreign, "name": "partner", "tenant_id": tenant}]
    groups = ["rg-ml", {"name": "rg-shared", "subscription": "shared"}]
    vaults = [{"name": "kv-ml", "group": "rg-shared"}]
    owners = [
        {"principal": "operator", "role": "Owner", "scope": each} for each in ("subscription", "shared", "partner")
    ]
    world(load, subscriptions=more, groups=groups, vaults=vaults, assignments=owners)
    there = KeyVaultManagementClient(AzureCliCredential(), other).vaults
    assert f"/subscriptions/{other}/" in str(there.get("rg-shared", "kv-ml").id)
    with pytest.raises(HttpResponseError, match="ResourceGroupNotFound"):
        key_vaults().get("rg-shared", "kv-ml")
    with pytest.raises(HttpResponseError, match="wrong issuer") as wrong:
        KeyVaultManagementClient(AzureCliCredential(), foreign).vaults.get("rg", "kv")
    assert code_of(wrong.value) == "InvalidAuthenticationTokenTenant"
    theirs = KeyVaultManagementClient(AzureCliCredential(tenant_id=tenant), foreign).vaults
    assert list(theirs.list_by_subscription()) == []


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
    "pages of 26": (
        lambda: list(secrets().list_properties_of_secrets(max_page_size=26)),
        "between 1 and 25",
    ),
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
