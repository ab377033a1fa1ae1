"""Rights are judged by what a principal may do: setup, status and doctor agree, whichever role or group gives the right."""

from contextlib import suppress

import pytest

from provisioning.cli import doctor
from provisioning.errors import BrokenLinkError
from sandbox.azure.tenant import AccessPolicy
from tests.conftest import Load
from tests.provisioning import chain
from tests.provisioning.bench import Bench

VAULT = "rg-ml/Microsoft.KeyVault/vaults/kv-ml"
GROUP = {"name": "sg-secrets-officers", "kind": "group", "members": ["operator"]}
IDENTITY = {"principal": "aoai-ml", "role": "Key Vault Secrets Officer", "scope": VAULT}


def state(bench: Bench, name: str) -> str:
    """The state of one check of doctor."""
    session = bench.session()
    with suppress(BrokenLinkError):
        doctor.doctor(session, None)
    found: str = next(each["state"] for each in session.facts["checks"] if each["name"] == name)
    return found


def test_an_access_policy_of_a_group_counts(bench: Bench) -> None:
    chain.put(bench.cloud, vault={"rbac": False, "policies": [{"principal": "operator", "secrets": ["Get"]}]})
    tenant, group = bench.tenant, "11111111-2222-3333-4444-555555555555"
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
        e.request["body"]["properties"].get("principalType")
        for e in cloud.world.trace.exchanges
        if e.operation == "RoleAssignments_Create"
    ]
    assert sent
    assert all(sent)
