"""Rights are judged by what a principal may do: setup, status and doctor agree, whichever role or group gives the right."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest

from provisioning.cli import doctor, setup
from provisioning.errors import BrokenLinkError
from sandbox.azure.tenant import AccessPolicy
from sandbox.cloud import Cloud
from tests.provisioning import chain
from tests.provisioning.bench import Bench

Load = Callable[[Mapping[str, Any]], Cloud]

VAULT = "rg-ml/Microsoft.KeyVault/vaults/kv-ml"
GROUP = {"name": "sg-secrets-officers", "kind": "group", "members": ["operator"]}
CONTRIBUTOR = {"principal": "operator", "role": "Contributor", "scope": "rg-ml"}
IDENTITY = {"principal": "aoai-ml", "role": "Key Vault Secrets Officer", "scope": VAULT}


def state(bench: Bench, name: str) -> str:
    """The state of one check of doctor."""
    session = bench.session()
    with suppress(BrokenLinkError):
        doctor.doctor(session, None)
    found: str = next(each["state"] for each in session.facts["checks"] if each["name"] == name)
    return found


@pytest.mark.parametrize(
    ("principal", "role"),
    [("sg-secrets-officers", "Key Vault Secrets Officer"), ("operator", "Key Vault Administrator")],
    ids=["through a group", "a stronger role"],
)
def test_an_operator_who_may_write_the_secret_needs_no_role_and_no_right_to_assign_one(
    load: Load, bench: Bench, principal: str, role: str
) -> None:
    users = [{"name": "operator", "kind": "user", "display_name": "you@contoso.example"}, GROUP]
    grants = [CONTRIBUTOR, IDENTITY, {"principal": principal, "role": role, "scope": VAULT}]
    account = {"name": "aoai-ml", "group": "rg-ml", "location": "swedencentral", "system_identity": True}
    vault = {"name": "kv-ml", "group": "rg-ml", "rbac": True}
    cloud = load(
        {
            "extends": "contoso",
            "transitions": {"rbac_propagation": 0},
            "principals": users,
            "assignments": grants,
            "accounts": [account],
            "vaults": [vault],
        }
    )
    assert [step.resource for step in setup.status(bench.session()).changes] == ["secret wandb-api-key"]
    bench.setup()
    assert "RoleAssignments_Create" not in cloud.counts
    assert not setup.status(bench.session()).work
    assert state(bench, "vault access") == "ok"


def test_a_role_inherited_from_a_management_group_counts(load: Load, bench: Bench) -> None:
    chain.put(bench.cloud, without=(("aoai-ml", "Key Vault Secrets Officer"),))
    tenant = bench.cloud.world.tenant
    identity = tenant.named("aoai-ml").object_id
    scope = "/providers/Microsoft.Management/managementGroups/mg-platform"
    assignment = {
        "id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/22222222-2222-4222-8222-222222222222",
        "name": "22222222-2222-4222-8222-222222222222",
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "principalId": identity,
            "principalType": "ServicePrincipal",
            "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
            "scope": scope,
            "createdOn": "2025-01-01T00:00:00Z",
        },
    }
    listed = {"op": "RoleAssignments_ListForScope", "do": {"status": 200, "body": {"value": [assignment]}}}
    chain.put(bench.cloud, without=(("aoai-ml", "Key Vault Secrets Officer"),), faults=[listed])
    assert state(bench, "identity access") == "ok"
    steps = [s.detail for s in setup.status(bench.session()).changes]
    assert not [detail for detail in steps if "aoai-ml" in detail]


def test_an_access_policy_of_a_group_counts(bench: Bench) -> None:
    chain.put(bench.cloud, vault={"rbac": False, "policies": [{"principal": "operator", "secrets": ["Get"]}]})
    tenant, group = bench.cloud.world.tenant, "11111111-2222-3333-4444-555555555555"
    bench.vault.policies.append(AccessPolicy(group, {"secrets": ["get"]}))
    assert state(bench, "identity access") == "failed"
    identity = tenant.named("aoai-ml").object_id
    tenant.rbac.groups = {**tenant.rbac.groups, identity: frozenset({group})}
    assert state(bench, "identity access") == "ok"


def test_a_directory_that_cannot_be_read_is_reported_as_unread(bench: Bench) -> None:
    refused = {"op": "DirectoryObjects_GetMemberObjects", "do": {"status": 403}}
    policies = [{"principal": "operator", "secrets": ["Get"]}]
    chain.put(bench.cloud, vault={"rbac": False, "policies": policies}, faults=[refused])
    session = bench.session()
    with pytest.raises(BrokenLinkError):
        doctor.doctor(session, None)
    seen = next(each["seen"] for each in session.facts["checks"] if each["name"] == "identity access")
    assert "its groups could not be read" in seen


def test_the_type_of_a_principal_is_always_sent(load: Load, bench: Bench) -> None:
    """A right to assign roles may be conditioned on it. Without the directory, other types are tried after the first."""
    refused = {"op": "DirectoryObjects_GetByIds", "do": {"status": 403}}
    cloud = load({"extends": "contoso", "transitions": {"rbac_propagation": 0}, "faults": [refused]})
    bench.setup()
    sent = [
        json_body(e.request)["properties"].get("principalType")
        for e in cloud.world.trace.exchanges
        if e.operation == "RoleAssignments_Create"
    ]
    assert sent
    assert all(sent)


def json_body(request: Mapping[str, Any]) -> Any:
    return request["body"]
